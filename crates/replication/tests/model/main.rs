//! The protocol, explored: every order of events of a small pair, with the state machines that run in earnest.
//!
//! # What is modelled
//!
//! Two nodes with the real [`Primary`](outlive_replication::protocol::Primary),
//! [`Backup`](outlive_replication::protocol::Backup) and [`OutputGate`](outlive_replication::gate::OutputGate), and
//! what is between them:
//!
//! * a vCPU that cuts one, two or three batches with an output each, at any time, in some runs with the guest's end;
//! * the driver, in which the release of an output and its leaving are two steps, with anything between them;
//! * a channel each way that keeps order. It can be cut, so that each direction loses any tail of what is in flight and
//!   each side learns of it in its own time, or fall silent in one direction, and nobody is told;
//! * the arbiter: it decides at once, its answers take their time, and it can be unavailable, with the claim being
//!   made or not;
//! * time, in ticks, the same for both. It passes at any moment, whoever has something to do. So each side can be
//!   frozen at each step and for any number of ticks, and each message be late;
//! * crashes of a process, whose messages in flight arrive, and of a host, whose messages may not, at each step;
//! * a handover, a backup that leaves, a divergence.
//!
//! In *prompt* runs time passes only when nobody has anything to do. There a single failure must not end the guest.
//!
//! # Bounds
//!
//! Each run tells its own: how many batches, failures and refusals of the arbiter there are and in which ticks they can
//! happen. After these ticks the run goes on promptly and without further failures, until both sides have come to rest.
//! A heartbeat is due each tick, a lease has 2 ticks, so the backup waits 3, and silence is suspicious after 2.
//!
//! # What is not modelled
//!
//! A side being frozen between its look at the clock and the leaving of an output; clocks that run at different rates;
//! peers that lie; wrong storage of the arbiter; slowing the guest down; two pairs. States are told apart by 64 bits
//! of hash, so of ten million states two are mixed up with a probability of less than one in a hundred thousand.

mod bounds;
mod channel;
mod nodes;
mod pair;
mod properties;
mod steps;

use bounds::{Bounds, Mutation};
use properties::{NOTHING_LATE, NOTHING_LOST, ONE_LIVE, REACHABLE};
use stateright::{Checker, HasDiscoveries, Model};

/// Explores all of it, and says how much that was.
fn explore(name: &str, bounds: Bounds) {
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    println!("{name}: {states} states, {steps} steps, the longest run has {}", checker.max_depth());
    checker.assert_properties();
}

/// Explores until the property is seen not to hold.
fn refute(property: &'static str, mutation: Mutation, bounds: Bounds) {
    let bounds = Bounds { mutation: Some(mutation), ..bounds };
    let found = HasDiscoveries::AllOf([property].into());
    let checker = bounds.checker().finish_when(found).spawn_bfs().join();
    let steps = checker.assert_any_discovery(property).into_actions();
    println!("{mutation:?}: \"{property}\" fails after {} steps: {steps:?}", steps.len());
}

#[test]
fn a_pair_whose_sides_freeze_at_any_time_keeps_the_rules() {
    explore("freezing", Bounds { ticks: 4, batches: 1, ..Bounds::QUIET });
    explore("freezing, more outputs", Bounds { batches: 3, ticks: 2, ..Bounds::QUIET });
}

#[test]
fn a_crash_at_any_step_keeps_the_rules() {
    explore("a crash", Bounds { mishaps: 1, crashes: true, ..Bounds::QUIET });
}

#[test]
fn a_channel_that_is_cut_or_falls_silent_at_any_step_keeps_the_rules() {
    explore("a cut", Bounds { mishaps: 1, cuts: true, silences: true, ..Bounds::QUIET });
}

#[test]
fn an_arbiter_that_is_away_keeps_the_rules() {
    explore(
        "arbiter away",
        Bounds { refusals: 2, mishaps: 1, crashes: true, cuts: true, batches: 1, ..Bounds::QUIET },
    );
}

#[test]
fn two_mishaps_at_any_steps_keep_the_rules() {
    explore("two mishaps", Bounds { ticks: 2, batches: 1, ..Bounds::EVERYTHING });
}

#[test]
fn sides_that_leave_or_diverge_keep_the_rules() {
    explore("leaving", Bounds { mishaps: 1, leaves: true, diverges: true, ..Bounds::QUIET });
}

#[test]
fn the_end_of_the_guest_keeps_the_rules() {
    explore(
        "the end",
        Bounds { guest_ends: true, mishaps: 1, crashes: true, cuts: true, batches: 1, ..Bounds::QUIET },
    );
}

#[test]
fn one_mishap_does_not_end_the_guest() {
    let prompt = Bounds { is_prompt: true, refusals: 2, ..Bounds::EVERYTHING };
    explore("one mishap", Bounds { mishaps: 1, ..prompt });
    explore("one mishap at the end", Bounds { mishaps: 1, guest_ends: true, ..prompt });
}

#[test]
fn two_mishaps_in_time_keep_the_rules() {
    explore("two mishaps, prompt", Bounds { is_prompt: true, refusals: 1, ..Bounds::EVERYTHING });
}

#[test]
fn the_model_finds_a_lease_that_is_longer_than_the_wait() {
    refute(ONE_LIVE, Mutation::LongLease, Bounds::QUIET);
    refute(NOTHING_LATE, Mutation::LongLease, Bounds::QUIET);
}

#[test]
fn the_model_finds_a_lease_that_is_not_checked() {
    refute(NOTHING_LATE, Mutation::LeaseNotChecked, Bounds::QUIET);
}

#[test]
fn the_model_finds_outputs_that_leave_without_acknowledgement() {
    refute(REACHABLE, Mutation::NoOutputRule, Bounds { mishaps: 1, crashes: true, ..Bounds::QUIET });
}

#[test]
fn the_model_finds_outputs_that_are_told_as_released_before_they_left() {
    refute(NOTHING_LOST, Mutation::ToldTooEarly, Bounds::QUIET);
}

#[test]
fn the_model_finds_a_handover_that_does_not_hold_outputs_back() {
    refute(NOTHING_LATE, Mutation::NotHeldBack, Bounds { mishaps: 1, leaves: true, ..Bounds::QUIET });
}

#[test]
fn the_model_finds_an_arbiter_that_lets_both_win() {
    refute(ONE_LIVE, Mutation::TwoWinners, Bounds { mishaps: 1, cuts: true, ..Bounds::QUIET });
}
