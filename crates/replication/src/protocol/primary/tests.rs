use proptest::prelude::*;

use super::*;

const MILLISECOND: u64 = 1_000_000;

const TIMING: Timing = Timing {
    suspect_after: Duration::from_millis(200),
    lease: Duration::from_millis(50),
    heartbeat: Duration::from_millis(10),
    lag_limit: Duration::from_millis(100),
};

/// The moment so many milliseconds behind the beginning.
fn at(milliseconds: u64) -> Moment {
    Moment(milliseconds * MILLISECOND)
}

fn acknowledged(received: u64, executed: u64, echo: Moment) -> PrimaryEvent {
    PrimaryEvent::Acknowledged { received: LogPosition(received), executed: LogPosition(executed), echo }
}

fn batch(end: u64) -> PrimaryEvent {
    PrimaryEvent::Batch { end: LogPosition(end), bytes: 100 }
}

fn release(up_to: u64, until: Option<Moment>) -> PrimaryAction {
    PrimaryAction::Release { up_to: LogPosition(up_to), until }
}

/// What a primary answers to one event.
fn tell(primary: &mut Primary, event: PrimaryEvent, now: Moment) -> Vec<PrimaryAction> {
    let mut actions = Vec::new();
    primary.handle(event, now, &mut actions);
    actions
}

/// A primary that has sent entries up to 5 at the beginning.
fn primary() -> Primary {
    let mut primary = Primary::new(TIMING, at(0));
    let actions = tell(&mut primary, batch(5), at(0));
    let sent = PrimaryAction::SendBatch { end: LogPosition(5), sent: at(0), released: LogPosition(0) };
    assert_eq!(actions, [sent]);
    primary
}

/// A primary that claims the flag, with outputs up to 5 held back.
fn claiming() -> Primary {
    let mut primary = primary();
    let actions = tell(&mut primary, PrimaryEvent::ChannelLost, at(1));
    assert_eq!(actions, suspected(Suspicion::ChannelLost));
    primary
}

fn suspected(why: Suspicion) -> [PrimaryAction; 3] {
    [PrimaryAction::HoldBack, PrimaryAction::CloseChannel(why), PrimaryAction::Claim]
}

fn phase(primary: &Primary) -> PrimaryPhase {
    primary.status(at(0)).phase
}

#[test]
fn outputs_leave_up_to_what_is_acknowledged_while_the_lease_lasts() {
    let mut primary = primary();
    let actions = tell(&mut primary, acknowledged(5, 0, at(0)), at(3));
    assert_eq!(actions, [release(5, Some(at(50)))]);
}

#[test]
fn batches_are_sent_without_waiting() {
    let mut primary = primary();
    for end in 6..20 {
        let actions = tell(&mut primary, batch(end), at(1));
        assert!(matches!(actions[..], [PrimaryAction::SendBatch { .. }]));
    }
}

#[test]
fn an_acknowledgement_whose_lease_is_over_releases_nothing_but_the_next_one_does() {
    let mut primary = primary();
    assert!(matches!(
        tell(&mut primary, PrimaryEvent::Tick, at(45))[..],
        [PrimaryAction::SendHeartbeat { .. }]
    ));
    assert_eq!(tell(&mut primary, acknowledged(5, 0, at(0)), at(50)), []);
    assert_eq!(tell(&mut primary, acknowledged(5, 0, at(45)), at(51)), [release(5, Some(at(95)))]);
}

#[test]
fn what_has_left_is_told_to_the_backup_and_not_what_may_leave() {
    let mut primary = primary();
    tell(&mut primary, acknowledged(5, 0, at(0)), at(3));
    let told = |actions: Vec<PrimaryAction>| match actions[..] {
        [PrimaryAction::SendBatch { released, .. }] => released,
        _ => panic!("{actions:?} is no batch"),
    };
    assert_eq!(told(tell(&mut primary, batch(6), at(4))), LogPosition(0));
    assert_eq!(tell(&mut primary, PrimaryEvent::LetOut(LogPosition(5)), at(5)), []);
    assert_eq!(told(tell(&mut primary, batch(7), at(6))), LogPosition(5));
}

#[test]
#[should_panic(expected = "an output leaves only behind its acknowledgement")]
fn an_output_that_has_left_too_early_is_not_hidden() {
    tell(&mut primary(), PrimaryEvent::LetOut(LogPosition(5)), at(1));
}

#[test]
fn a_heartbeat_is_due_when_nothing_was_sent() {
    let mut primary = Primary::new(TIMING, at(7));
    assert_eq!(primary.next_deadline(), Some(at(7)));
    let beat = |sent| [PrimaryAction::SendHeartbeat { sent, released: LogPosition(0) }];
    assert_eq!(tell(&mut primary, PrimaryEvent::Tick, at(7)), beat(at(7)));
    assert_eq!(primary.next_deadline(), Some(at(17)));
    tell(&mut primary, batch(5), at(12));
    assert_eq!(primary.next_deadline(), Some(at(22)));
    assert_eq!(tell(&mut primary, PrimaryEvent::Tick, at(21)), []);
    assert_eq!(tell(&mut primary, PrimaryEvent::Tick, at(22)), beat(at(22)));
}

#[test]
fn silence_of_the_backup_makes_the_primary_hold_back_and_claim() {
    let mut primary = primary();
    tell(&mut primary, acknowledged(5, 0, at(0)), at(3));
    tell(&mut primary, PrimaryEvent::Tick, at(202));
    let actions = tell(&mut primary, PrimaryEvent::Tick, at(203));
    assert_eq!(actions, suspected(Suspicion::Silence(TIMING.suspect_after)));
}

#[test]
fn what_a_primary_sends_itself_does_not_end_the_silence() {
    let mut primary = primary();
    for end in 6..26 {
        tell(&mut primary, batch(end), at((end - 5) * 10));
    }
    assert_eq!(phase(&primary), PrimaryPhase::Claiming);
}

#[test]
fn a_primary_that_was_frozen_reads_its_socket_before_it_suspects() {
    let mut primary = primary();
    let actions = tell(&mut primary, PrimaryEvent::Tick, at(5000));
    assert!(matches!(actions[..], [PrimaryAction::SendHeartbeat { .. }]));
    assert_eq!(tell(&mut primary, acknowledged(5, 0, at(0)), at(5001)), []);
    assert_eq!(phase(&primary), PrimaryPhase::Protected);
}

#[test]
fn whatever_ends_the_pair_makes_the_primary_claim_at_once() {
    for (event, why) in [
        (PrimaryEvent::ChannelLost, Suspicion::ChannelLost),
        (PrimaryEvent::PeerLeft, Suspicion::Left),
        (PrimaryEvent::PeerDiverged, Suspicion::Diverged),
    ] {
        assert_eq!(tell(&mut primary(), event, at(1)), suspected(why));
    }
}

#[test]
fn while_it_claims_nothing_leaves_and_nothing_that_the_backup_says_counts() {
    let mut primary = claiming();
    for event in [
        acknowledged(5, 5, at(0)),
        batch(6),
        PrimaryEvent::PeerLeft,
        PrimaryEvent::PeerDiverged,
        PrimaryEvent::ChannelLost,
        PrimaryEvent::Tick,
    ] {
        assert_eq!(tell(&mut primary, event, at(2)), [], "{event:?}");
    }
    assert_eq!(primary.next_deadline(), None);
}

#[test]
fn who_has_won_lets_everything_out_for_ever() {
    let mut primary = claiming();
    tell(&mut primary, batch(6), at(2));
    let actions = tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Won), at(3));
    assert_eq!(actions, [PrimaryAction::GoAlone, release(6, None)]);
    assert_eq!(tell(&mut primary, batch(9), at(4)), [release(9, None)]);
    assert!(!primary.throttle(at(60_000)));
}

#[test]
fn who_has_lost_stands_down_and_lets_nothing_out_any_more() {
    let mut primary = claiming();
    let actions = tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Lost), at(3));
    assert_eq!(actions, [PrimaryAction::StandDown(StandDown::Lost)]);
    for event in [batch(6), acknowledged(6, 6, at(0)), PrimaryEvent::Leave, PrimaryEvent::Ended] {
        assert_eq!(tell(&mut primary, event, at(4)), [], "{event:?}");
    }
}

#[test]
fn an_arbiter_that_was_not_available_is_asked_again() {
    let mut primary = claiming();
    assert_eq!(tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Unavailable), at(10)), []);
    assert_eq!(primary.next_deadline(), Some(at(110)));
    assert_eq!(tell(&mut primary, PrimaryEvent::Tick, at(109)), []);
    assert_eq!(tell(&mut primary, PrimaryEvent::Tick, at(110)), [PrimaryAction::Claim]);
    assert_eq!(tell(&mut primary, PrimaryEvent::Tick, at(500)), []);
}

#[test]
#[should_panic(expected = "only a claim that was made has an outcome")]
fn an_outcome_of_no_claim_is_a_fault_of_the_driver() {
    tell(&mut primary(), PrimaryEvent::Claimed(ClaimOutcome::Won), at(1));
}

#[test]
fn a_handover_holds_outputs_back_before_it_says_so_and_for_ever() {
    let mut primary = primary();
    tell(&mut primary, acknowledged(5, 0, at(0)), at(3));
    let left = PrimaryAction::StandDown(StandDown::Left);
    let actions = tell(&mut primary, PrimaryEvent::Leave, at(4));
    assert_eq!(actions, [PrimaryAction::HoldBack, PrimaryAction::SendLeave, left]);
    for event in [acknowledged(5, 5, at(0)), PrimaryEvent::ChannelLost, PrimaryEvent::Tick] {
        assert_eq!(tell(&mut primary, event, at(5)), [], "{event:?}");
    }
}

#[test]
fn a_primary_that_leaves_while_it_claims_uses_no_flag_that_it_wins() {
    let mut primary = claiming();
    let actions = tell(&mut primary, PrimaryEvent::Leave, at(2));
    assert_eq!(actions, [PrimaryAction::StandDown(StandDown::Left)]);
    assert_eq!(tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Won), at(3)), []);
}

#[test]
fn a_primary_finishes_when_all_has_left_and_the_backup_has_executed_the_end() {
    let mut primary = primary();
    assert_eq!(tell(&mut primary, PrimaryEvent::Ended, at(1)), []);
    assert_eq!(tell(&mut primary, acknowledged(5, 0, at(0)), at(2)), [release(5, Some(at(50)))]);
    let last = PrimaryAction::SendHeartbeat { sent: at(3), released: LogPosition(5) };
    assert_eq!(tell(&mut primary, PrimaryEvent::LetOut(LogPosition(5)), at(3)), [last]);
    let actions = tell(&mut primary, acknowledged(5, 5, at(3)), at(4));
    assert_eq!(actions, [release(5, Some(at(53))), PrimaryAction::Finish]);
}

#[test]
fn behind_the_end_a_lost_backup_is_claimed_against_only_if_outputs_are_left() {
    let mut primary = primary();
    tell(&mut primary, PrimaryEvent::Ended, at(1));
    let mut done = primary.clone();
    assert_eq!(tell(&mut primary, PrimaryEvent::ChannelLost, at(2)), suspected(Suspicion::ChannelLost));
    let actions = tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Won), at(3));
    assert_eq!(actions, [PrimaryAction::GoAlone, release(5, None), PrimaryAction::Finish]);

    tell(&mut done, acknowledged(5, 0, at(0)), at(2));
    tell(&mut done, PrimaryEvent::LetOut(LogPosition(5)), at(3));
    let actions = tell(&mut done, PrimaryEvent::ChannelLost, at(4));
    assert_eq!(actions.last(), Some(&PrimaryAction::Finish));
    assert!(!actions.contains(&PrimaryAction::Claim));
}

#[test]
fn a_primary_alone_finishes_with_its_guest() {
    let mut primary = claiming();
    tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Won), at(3));
    assert_eq!(tell(&mut primary, PrimaryEvent::Ended, at(4)), [PrimaryAction::Finish]);
}

#[test]
fn a_backup_that_says_what_cannot_be_is_as_good_as_lost() {
    let position = LogPosition;
    for (event, fault) in [
        (acknowledged(6, 0, at(0)), PeerFault::NeverSent { received: position(6), sent: position(5) }),
        (acknowledged(3, 0, at(0)), PeerFault::NeverSent { received: position(3), sent: position(5) }),
        (
            acknowledged(5, 6, at(0)),
            PeerFault::ExecutedTooMuch { executed: position(6), received: position(5) },
        ),
        (acknowledged(5, 0, at(1)), PeerFault::EchoFromTheFuture { echo: at(1) }),
    ] {
        let actions = tell(&mut primary(), event, at(2));
        assert_eq!(actions, suspected(Suspicion::Broken(fault)), "{event:?}");
    }
}

#[test]
fn a_backup_that_goes_back_is_as_good_as_lost() {
    let mut primary = primary();
    tell(&mut primary, batch(8), at(1));
    tell(&mut primary, acknowledged(8, 8, at(1)), at(2));
    let back =
        |before, now| PeerFault::PositionWentBack { before: LogPosition(before), now: LogPosition(now) };
    for (event, fault) in [
        (acknowledged(5, 5, at(1)), back(8, 5)),
        (acknowledged(8, 5, at(1)), back(8, 5)),
        (acknowledged(8, 8, at(0)), PeerFault::MomentWentBack { before: at(1), now: at(0) }),
    ] {
        let actions = tell(&mut primary.clone(), event, at(3));
        assert_eq!(actions, suspected(Suspicion::Broken(fault)), "{event:?}");
    }
}

#[test]
fn an_acknowledgement_before_anything_was_sent_is_refused() {
    let mut primary = Primary::new(TIMING, at(5));
    let actions = tell(&mut primary, acknowledged(0, 0, at(0)), at(5));
    assert_eq!(actions, suspected(Suspicion::Broken(PeerFault::EchoFromTheFuture { echo: at(0) })));
}

#[test]
fn the_guest_is_slowed_down_when_the_backup_executes_too_late() {
    let mut primary = primary();
    tell(&mut primary, acknowledged(5, 0, at(0)), at(3));
    assert!(!primary.throttle(at(100)));
    assert!(primary.throttle(at(101)));
    tell(&mut primary, acknowledged(5, 5, at(0)), at(102));
    assert!(!primary.throttle(at(103)));
}

#[test]
fn the_guest_is_slowed_down_when_too_much_is_not_acknowledged_even_while_claiming() {
    let mut primary = primary();
    let much = PrimaryEvent::Batch { end: LogPosition(6), bytes: UNACKNOWLEDGED_LIMIT };
    tell(&mut primary, much, at(1));
    assert!(primary.throttle(at(1)));
    tell(&mut primary, PrimaryEvent::ChannelLost, at(2));
    assert!(primary.throttle(at(2)));
    tell(&mut primary, PrimaryEvent::Claimed(ClaimOutcome::Won), at(3));
    assert!(!primary.throttle(at(3)));
}

#[test]
fn the_status_tells_how_far_the_backup_is_behind() {
    let mut primary = primary();
    tell(&mut primary, batch(8), at(4));
    tell(&mut primary, acknowledged(8, 5, at(4)), at(5));
    let status = primary.status(at(10));
    assert_eq!(
        (status.cut, status.received, status.executed),
        (LogPosition(8), LogPosition(8), LogPosition(5))
    );
    assert_eq!((status.lag_entries, status.lag_bytes, status.unacknowledged_bytes), (3, 100, 0));
    assert_eq!((status.lag, status.silence), (Duration::from_millis(6), Duration::from_millis(5)));
}

/// What a backup says: the truth, mostly.
#[derive(Clone, Debug)]
enum Said {
    Truth,
    Anything(u64, u64, u64),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        30 => Just(Said::Truth),
        1 => (0..30_u64, 0..30_u64, 0..300_u64).prop_map(|(received, executed, echo)| {
            Said::Anything(received, executed, echo)
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_a_backup_says_no_lease_is_longer_than_its_echo_allows(
        steps in prop::collection::vec((said(), 0..60_u64, any::<bool>()), 1..60),
    ) {
        let mut primary = primary();
        let (mut now, mut cut, mut sent, mut last) = (0, 5, at(0), Moment(0));
        for (said, passed, has_cut) in steps {
            now += passed;
            let event = match said {
                Said::Truth => acknowledged(cut, cut, sent),
                Said::Anything(received, executed, echo) => acknowledged(received, executed, at(echo)),
            };
            let mut actions = tell(&mut primary, event, at(now));
            if has_cut {
                cut += 1;
                actions.extend(tell(&mut primary, batch(cut), at(now)));
            }
            for action in actions {
                match action {
                    PrimaryAction::SendBatch { sent: moment, .. }
                    | PrimaryAction::SendHeartbeat { sent: moment, .. } => sent = moment,
                    PrimaryAction::Release { up_to, until } => {
                        let until = until.expect("nobody has won");
                        prop_assert!(up_to <= LogPosition(cut) && at(now) < until && last <= until);
                        prop_assert!(until <= sent.after(TIMING.lease));
                        last = until;
                    }
                    _ => (),
                }
            }
        }
    }
}
