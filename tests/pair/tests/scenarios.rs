//! Each failure has the outcome that the design gives it, on the software engine and with the bare key-value guest,
//! which boots at once. `scripts/chaos` does the same with redis, on other engines, and often.

use std::time::Duration;

use outlive_rehearsal::checkout::obstacle;
use outlive_rehearsal::client::Service;
use outlive_rehearsal::pair::Engine;
use outlive_rehearsal::scenario::{Options, Scenario, rehearse};
use outlive_rehearsal::verdict::Paint;

fn holds(scenario: Scenario) {
    if let Some(obstacle) = obstacle() {
        eprintln!("SKIPPED: {obstacle}");
        return;
    }
    let options = Options {
        engine: Engine::Soft,
        service: Service::Kv,
        clients: 4,
        seed: fastrand::u64(..),
        within: Duration::from_secs(1),
        // A host that is busy with other tests is no failure.
        suspect_after: Duration::from_secs(1),
        keep: None,
        talkative: true,
    };
    let report = rehearse(scenario, &options);
    let timeline = report.timeline.as_ref().map_or("", |(plain, _)| plain);
    let told = report.verdicts.told(Paint::plain());
    assert!(
        report.verdicts.all_hold(),
        "seed {}\n{timeline}\n{told}\nkept: {:?}\n{:?}",
        report.seed,
        report.folder,
        report.replay
    );
}

macro_rules! tests {
    ($($name:ident: $scenario:ident;)*) => {
        $(#[test]
        fn $name() {
            holds(Scenario::$scenario);
        })*

        /// No scenario is without a test.
        #[test]
        fn every_scenario_is_tested() {
            assert_eq!([$(Scenario::$scenario),*], Scenario::ALL);
        }
    };
}

tests! {
    a_killed_primary_is_taken_over: PrimaryKilled;
    a_primary_that_is_asked_to_end_hands_over: Handover;
    a_primary_goes_on_when_its_backup_is_killed: BackupKilled;
    exactly_one_side_goes_on_when_the_channel_is_cut: ChannelCut;
    exactly_one_side_goes_on_when_the_backup_hears_nothing: ChannelCutToBackup;
    exactly_one_side_goes_on_when_the_primary_hears_nothing: ChannelCutToPrimary;
    exactly_one_side_goes_on_when_the_link_is_down: ChannelUnplugged;
    a_primary_that_was_frozen_does_no_harm: PrimaryFrozen;
    an_arbiter_that_is_away_disturbs_nobody: ArbiterAway;
    nothing_leaves_while_the_arbiter_is_away: ArbiterAwayThenKill;
    a_backup_that_was_stopped_stands_down: BackupStopped;
    a_pair_goes_on_when_its_log_file_is_full: LogFull;
    no_output_leaves_before_it_is_acknowledged: AcknowledgementsHeld;
    a_primary_goes_on_when_its_backup_diverges: BackupDiverged;
}
