use std::time::Duration;

use super::*;

const MILLISECOND: u64 = 1_000_000;

const TIMING: Timing = Timing {
    suspect_after: Duration::from_millis(200),
    lease: Duration::from_millis(80),
    heartbeat: Duration::from_millis(10),
    lag_limit: Duration::from_millis(100),
};

/// The moment so many milliseconds behind the beginning of this host's clock.
fn at(milliseconds: u64) -> Moment {
    Moment(milliseconds * MILLISECOND)
}

/// The moment by the primary's clock, which has nothing to do with that of the backup.
fn theirs(milliseconds: u64) -> Moment {
    Moment(77 + milliseconds * MILLISECOND)
}

fn batch(begins: u64, end: u64, sent: u64, released: u64) -> BackupEvent {
    BackupEvent::Batch {
        begins: LogPosition(begins),
        end: LogPosition(end),
        bytes: 100,
        sent: theirs(sent),
        released: LogPosition(released),
    }
}

fn heartbeat(sent: u64, released: u64) -> BackupEvent {
    BackupEvent::Heartbeat { sent: theirs(sent), released: LogPosition(released) }
}

fn ack(received: u64, executed: u64, echo: u64) -> BackupAction {
    BackupAction::SendAck {
        received: LogPosition(received),
        executed: LogPosition(executed),
        echo: theirs(echo),
    }
}

fn live(received: u64, released: u64) -> BackupAction {
    BackupAction::GoLive { received: LogPosition(received), released: LogPosition(released) }
}

/// What a backup answers to one event.
fn tell(backup: &mut Backup, event: BackupEvent, now: Moment) -> Vec<BackupAction> {
    let mut actions = Vec::new();
    backup.handle(event, now, &mut actions);
    actions
}

/// A backup that has received entries up to 5, at 1000.
fn backup() -> Backup {
    let mut backup = Backup::new(TIMING, at(990));
    let actions = tell(&mut backup, batch(0, 5, 1, 0), at(1000));
    assert_eq!(actions, [BackupAction::Feed { end: LogPosition(5) }, ack(5, 0, 1)]);
    backup
}

/// A backup that claims the flag since 1001.
fn claiming() -> Backup {
    let mut backup = backup();
    let actions = tell(&mut backup, BackupEvent::ChannelLost, at(1001));
    assert_eq!(actions, suspected(Suspicion::ChannelLost));
    backup
}

fn suspected(why: Suspicion) -> [BackupAction; 2] {
    [BackupAction::CloseChannel(why), BackupAction::Claim]
}

#[test]
fn batches_are_fed_and_acknowledged_before_they_are_executed() {
    let mut backup = backup();
    let actions = tell(&mut backup, batch(5, 9, 2, 0), at(1001));
    assert_eq!(actions, [BackupAction::Feed { end: LogPosition(9) }, ack(9, 0, 2)]);
}

#[test]
fn heartbeats_are_answered_with_their_moment_and_what_is_executed() {
    let mut backup = backup();
    assert_eq!(tell(&mut backup, BackupEvent::Executed(LogPosition(3)), at(1001)), []);
    assert_eq!(tell(&mut backup, heartbeat(8, 0), at(1002)), [ack(5, 3, 8)]);
}

#[test]
fn outputs_that_have_left_the_primary_are_forgotten() {
    let mut backup = backup();
    let forget = BackupAction::Forget { up_to: LogPosition(4) };
    assert_eq!(tell(&mut backup, heartbeat(2, 4), at(1001)), [forget, ack(5, 0, 2)]);
    assert_eq!(tell(&mut backup, heartbeat(3, 4), at(1002)), [ack(5, 0, 3)]);
}

#[test]
fn a_backup_goes_live_no_earlier_than_a_lease_and_an_eighth_after_it_last_heard_something() {
    let mut backup = claiming();
    assert_eq!(tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1003)), []);
    assert_eq!(backup.next_deadline(), Some(at(1090)));
    assert_eq!(tell(&mut backup, BackupEvent::Tick, Moment(at(1090).0 - 1)), []);
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(1090)), [live(5, 0)]);
}

#[test]
fn silence_that_was_longer_than_the_lease_needs_no_wait() {
    let mut backup = backup();
    assert_eq!(backup.next_deadline(), Some(at(1200)));
    let actions = tell(&mut backup, BackupEvent::Tick, at(1200));
    assert_eq!(actions, suspected(Suspicion::Silence(TIMING.suspect_after)));
    assert_eq!(tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1201)), [live(5, 0)]);
}

#[test]
fn a_primary_that_left_needs_no_wait() {
    let mut backup = backup();
    assert_eq!(tell(&mut backup, BackupEvent::PeerLeft, at(1001)), suspected(Suspicion::Left));
    assert_eq!(tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1002)), [live(5, 0)]);
}

#[test]
fn a_farewell_that_comes_after_the_suspicion_does_not_shorten_the_wait() {
    let mut backup = claiming();
    assert_eq!(tell(&mut backup, BackupEvent::PeerLeft, at(1002)), []);
    assert_eq!(tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1003)), []);
}

#[test]
fn a_backup_that_was_frozen_reads_its_socket_before_it_suspects() {
    let mut backup = backup();
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(9000)), []);
    assert_eq!(tell(&mut backup, heartbeat(2, 0), at(9001)), [ack(5, 0, 2)]);
    assert_eq!(backup.next_deadline(), Some(at(9201)));
}

#[test]
fn while_it_claims_nothing_that_the_primary_says_counts() {
    let mut backup = claiming();
    for event in [batch(5, 6, 2, 0), heartbeat(2, 5), BackupEvent::PeerLeft, BackupEvent::ChannelLost] {
        assert_eq!(tell(&mut backup, event, at(1080)), [], "{event:?}");
    }
    tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1081));
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(1090)), [live(5, 0)]);
}

#[test]
fn who_has_lost_stands_down() {
    let mut backup = claiming();
    let actions = tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Lost), at(1002));
    assert_eq!(actions, [BackupAction::StandDown(StandDown::Lost)]);
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(9000)), []);
}

#[test]
fn an_arbiter_that_was_not_available_is_asked_again() {
    let mut backup = claiming();
    assert_eq!(tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Unavailable), at(1010)), []);
    assert_eq!(backup.next_deadline(), Some(at(1110)));
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(1110)), [BackupAction::Claim]);
}

#[test]
fn a_backup_that_has_diverged_tells_and_never_claims() {
    let mut backup = backup();
    let stopped = BackupAction::StandDown(StandDown::Diverged);
    assert_eq!(tell(&mut backup, BackupEvent::Diverged, at(1001)), [BackupAction::SendDiverged, stopped]);
    for event in [BackupEvent::ChannelLost, BackupEvent::PeerLeft, BackupEvent::Tick] {
        assert_eq!(tell(&mut backup, event, at(9000)), [], "{event:?}");
    }
}

#[test]
fn a_backup_that_diverges_after_it_has_won_does_not_go_live() {
    let mut backup = claiming();
    tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1003));
    let actions = tell(&mut backup, BackupEvent::Diverged, at(1004));
    assert_eq!(actions, [BackupAction::StandDown(StandDown::Diverged)]);
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(9000)), []);
}

#[test]
fn a_backup_that_leaves_says_so_and_never_claims() {
    let mut backup = backup();
    let stopped = BackupAction::StandDown(StandDown::Left);
    assert_eq!(tell(&mut backup, BackupEvent::Leave, at(1001)), [BackupAction::SendLeave, stopped]);
    assert_eq!(tell(&mut backup, BackupEvent::ChannelLost, at(1002)), []);
}

#[test]
fn behind_the_end_a_backup_finishes_only_when_all_has_left_the_primary() {
    let mut backup = backup();
    tell(&mut backup, BackupEvent::Executed(LogPosition(5)), at(1001));
    assert_eq!(tell(&mut backup, BackupEvent::EndExecuted, at(1001)), []);
    let actions = tell(&mut backup, heartbeat(2, 5), at(1002));
    let forget = BackupAction::Forget { up_to: LogPosition(5) };
    assert_eq!(actions, [forget, ack(5, 5, 2), BackupAction::Finish]);
}

#[test]
fn a_backup_that_executes_the_end_last_tells_the_primary_before_it_finishes() {
    let mut backup = backup();
    tell(&mut backup, heartbeat(2, 5), at(1001));
    tell(&mut backup, BackupEvent::Executed(LogPosition(5)), at(1002));
    let actions = tell(&mut backup, BackupEvent::EndExecuted, at(1002));
    assert_eq!(actions, [ack(5, 5, 2), BackupAction::Finish]);
}

#[test]
fn last_outputs_that_a_lost_primary_has_not_let_out_are_the_backups() {
    let mut backup = claiming();
    tell(&mut backup, BackupEvent::Executed(LogPosition(5)), at(1002));
    assert_eq!(tell(&mut backup, BackupEvent::EndExecuted, at(1002)), []);
    tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1003));
    assert_eq!(tell(&mut backup, BackupEvent::Tick, at(1090)), [live(5, 0), BackupAction::Finish]);
}

#[test]
fn a_live_backup_finishes_with_its_guest() {
    let mut backup = backup();
    tell(&mut backup, BackupEvent::PeerLeft, at(1001));
    tell(&mut backup, BackupEvent::Claimed(ClaimOutcome::Won), at(1002));
    tell(&mut backup, BackupEvent::Executed(LogPosition(5)), at(1003));
    assert_eq!(tell(&mut backup, BackupEvent::EndExecuted, at(1003)), [BackupAction::Finish]);
}

#[test]
fn a_primary_that_says_what_cannot_be_is_as_good_as_lost() {
    let gap = |begins, end| PeerFault::Gap {
        begins: LogPosition(begins),
        end: LogPosition(end),
        received: LogPosition(5),
    };
    let too_much = PeerFault::ReleasedTooMuch { released: LogPosition(6), received: LogPosition(5) };
    for (event, fault) in [
        (batch(6, 7, 2, 0), gap(6, 7)),
        (batch(4, 7, 2, 0), gap(4, 7)),
        (batch(5, 5, 2, 0), gap(5, 5)),
        (batch(5, 7, 2, 6), too_much),
        (heartbeat(2, 6), too_much),
        (heartbeat(0, 0), PeerFault::MomentWentBack { before: theirs(1), now: theirs(0) }),
    ] {
        let actions = tell(&mut backup(), event, at(1001));
        assert_eq!(actions, suspected(Suspicion::Broken(fault)), "{event:?}");
    }
}

#[test]
fn a_primary_that_takes_a_release_back_is_as_good_as_lost() {
    let mut backup = backup();
    tell(&mut backup, heartbeat(2, 4), at(1001));
    let fault = PeerFault::PositionWentBack { before: LogPosition(4), now: LogPosition(3) };
    assert_eq!(tell(&mut backup, heartbeat(3, 3), at(1002)), suspected(Suspicion::Broken(fault)));
}

#[test]
fn a_batch_behind_the_end_is_refused() {
    let mut backup = backup();
    tell(&mut backup, BackupEvent::Executed(LogPosition(5)), at(1001));
    tell(&mut backup, BackupEvent::EndExecuted, at(1001));
    let actions = tell(&mut backup, batch(5, 6, 2, 0), at(1002));
    assert_eq!(actions, suspected(Suspicion::Broken(PeerFault::BehindTheEnd)));
}

#[test]
#[should_panic(expected = "what is executed was received")]
fn what_was_not_received_cannot_be_executed() {
    tell(&mut backup(), BackupEvent::Executed(LogPosition(6)), at(1001));
}

#[test]
fn the_status_tells_how_far_the_machine_is_behind() {
    let mut backup = backup();
    tell(&mut backup, batch(5, 9, 2, 3), at(1004));
    tell(&mut backup, BackupEvent::Executed(LogPosition(6)), at(1005));
    let status = backup.status(at(1010));
    assert_eq!((status.phase, status.received), (BackupPhase::Following, LogPosition(9)));
    assert_eq!((status.executed, status.released), (LogPosition(6), LogPosition(3)));
    assert_eq!((status.lag_entries, status.lag_bytes), (3, 100));
    assert_eq!((status.lag, status.silence), (Duration::from_millis(6), Duration::from_millis(6)));
}
