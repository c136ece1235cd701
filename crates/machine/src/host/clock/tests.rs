use proptest::prelude::*;

use super::*;
use crate::devices::pit::Pit;

const SECOND: u64 = 1_000_000_000;

fn at(nanoseconds: u64) -> GuestTime {
    GuestTime::from_nanoseconds(nanoseconds)
}

fn from(last: u64) -> ToldTime {
    ToldTime { last: at(last), deadline: None }
}

/// The time of the tick that a deadline makes, which was set at one moment and looked at at another.
fn tick(told: &mut ToldTime, deadline: u64, set: u64, seen: u64) -> Option<u64> {
    told.set_deadline(Some(at(deadline)), at(set));
    told.take_due(at(seen)).map(|due| due.time.nanoseconds())
}

#[test]
fn reads_are_told_in_whole_steps() {
    let mut told = from(0);
    let reads = [0, 255, 256, 1000, 1023, 1024].map(|now| told.read(at(now)).nanoseconds());
    assert_eq!(reads, [0, 0, 256, 768, 768, 1024]);
}

#[test]
fn where_a_step_begins_in_the_past_the_last_time_is_told_again() {
    let mut told = from(1000);
    assert_eq!(told.read(at(1001)), at(1000), "time goes on from where it stood");
    assert_eq!(tick(&mut told, 1500, 1100, 1520), Some(1500));
    assert_eq!(told.read(at(1530)), at(1500), "the timer was due after the step began");
    assert_eq!(told.read(at(1536)), at(1536));
}

#[test]
fn a_tick_is_told_with_its_deadline_however_late_it_is_seen() {
    let mut told = from(0);
    assert_eq!(tick(&mut told, 10_007, 0, 10_006), None);
    assert_eq!(tick(&mut told, 10_007, 0, 10_007), Some(10_007));
    assert_eq!(tick(&mut told, 20_007, 10_100, 900_000), Some(20_007));
    told.read(at(1_000_000));
    let last = told.last.nanoseconds();
    assert_eq!(tick(&mut told, last - 7, last - 9, 1_000_300), Some(last), "the guest has seen a later time");
}

#[test]
fn a_process_that_was_stopped_ticks_with_the_time_of_now() {
    let mut told = from(0);
    let longest = LONGEST_DELAY.as_nanos() as u64;
    assert_eq!(tick(&mut told, 1, 0, longest), Some(1));
    assert_eq!(tick(&mut told, 100, 1, 100 + longest), Some((100 + longest) / CLOCK_STEP * CLOCK_STEP));
}

#[test]
fn a_deadline_that_had_passed_when_it_was_set_ticks_at_once() {
    let mut told = from(0);
    assert_eq!(tick(&mut told, 1000, 5000, 5000), Some(4864));
    assert_eq!(
        tick(&mut told, 5001, 5002, 5003),
        Some(5001),
        "not before the deadline, as the step would be"
    );
    assert_eq!(tick(&mut told, 0, 5004, 5004), Some(5001));
}

#[test]
fn a_tick_disarms_its_deadline() {
    let mut told = from(0);
    assert_eq!(tick(&mut told, 5, 0, 7), Some(5));
    assert_eq!(told.take_due(at(SECOND)), None);
    told.set_deadline(Some(at(9)), at(8));
    told.set_deadline(None, at(8));
    assert_eq!(told.take_due(at(SECOND)), None);
}

#[test]
fn the_delay_is_what_has_passed_since_the_deadline() {
    let mut told = from(0);
    told.set_deadline(Some(at(1000)), at(0));
    assert_eq!(told.take_due(at(1777)).unwrap().delay, Duration::from_nanos(777));
}

/// A timer of so many periods per second, as a guest programs it at power-on.
fn timer(hertz: u64) -> Pit {
    let mut timer = Pit::new();
    let count = (crate::devices::pit::FREQUENCY / hertz) as u16;
    timer.write(0x43, 0x34, GuestTime::BOOT);
    count.to_le_bytes().into_iter().for_each(|byte| timer.write(0x40, byte, GuestTime::BOOT));
    timer
}

/// Ticks the timer with all that is due at one moment. The times told.
fn tick_all(told: &mut ToldTime, timer: &mut Pit, now: u64) -> Vec<u64> {
    let due = std::iter::from_fn(|| {
        let due = told.take_due(at(now))?;
        assert!(timer.advance(due.time), "a tick for nothing");
        told.set_deadline(timer.deadline(), at(now));
        Some(due.time.nanoseconds())
    });
    due.take(10).collect()
}

#[test]
fn periodic_ticks_have_the_distance_of_their_timer_however_late_the_host_is() {
    let (mut told, mut timer) = (from(0), timer(100));
    told.set_deadline(timer.deadline(), at(0));
    // Looked at every 7 ms, hence up to 7 ms late.
    let moments = (1..1000).map(|moment| moment * SECOND * 7 / 1000);
    let ticks: Vec<_> = moments.flat_map(|now| tick_all(&mut told, &mut timer, now)).collect();
    assert!(ticks.len() > 690, "{} ticks", ticks.len());
    let (least, most) = ticks
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .fold((u64::MAX, 0), |(least, most), distance| (least.min(distance), most.max(distance)));
    assert!(most - least <= 1, "from {least} to {most} ns");
}

#[test]
fn missed_periods_make_three_ticks_at_most_whatever_their_number() {
    for hertz in [100, 1000, 8192, 500_000] {
        for late in [SECOND / 50, SECOND / 2, 10 * SECOND, 3600 * SECOND] {
            for now in (late..).step_by(37).take(200) {
                let (mut told, mut timer) = (from(0), timer(hertz));
                told.set_deadline(timer.deadline(), at(0));
                let ticks = tick_all(&mut told, &mut timer, now);
                // One with the deadline, one with the step of now, one for an edge between that and now.
                assert!((1..=3).contains(&ticks.len()), "{hertz} Hz at {now} ns: {ticks:?}");
                assert!(told.deadline.unwrap().at > at(now), "it has caught up");
            }
        }
    }
}

/// What a machine does with a clock.
#[derive(Clone, Copy, Debug)]
enum Act {
    Read,
    /// Sets a deadline so far from now.
    Set(i64),
    Look,
}

fn act() -> impl Strategy<Value = (u64, Act)> {
    let act = prop_oneof![
        Just(Act::Read),
        (-2000i64..5000).prop_map(Act::Set),
        (-3_000_000_000i64..3_000_000_000).prop_map(Act::Set),
        Just(Act::Look)
    ];
    (prop_oneof![0u64..1000, 0..3 * SECOND], act)
}

proptest! {
    #[test]
    fn told_times_never_go_back_nor_ahead_of_the_host_and_are_steps_deadlines_or_the_last_again(
        base in prop_oneof![0..10 * SECOND, Just(u64::MAX - 1)],
        acts in prop::collection::vec(act(), 1..100),
    ) {
        let (mut told, mut now, mut deadline) = (from(base), base, None);
        for (passed, act) in acts {
            now = now.saturating_add(passed);
            let last = told.last.nanoseconds();
            let time = match act {
                Act::Set(distance) => {
                    deadline = Some(now.saturating_add_signed(distance));
                    told.set_deadline(deadline.map(at), at(now));
                    continue;
                }
                Act::Read => told.read(at(now)).nanoseconds(),
                Act::Look => match told.take_due(at(now)) {
                    Some(due) => {
                        let due_at = deadline.unwrap();
                        prop_assert!(due.time.nanoseconds() >= due_at, "it would fire nothing");
                        prop_assert_eq!(due.delay, Duration::from_nanos(now - due_at));
                        due.time.nanoseconds()
                    }
                    None => {
                        prop_assert!(told.deadline.is_none_or(|deadline| deadline.at > at(now)));
                        continue;
                    }
                },
            };
            prop_assert!(last <= time && time <= now, "{last} {time} {now}");
            let is_expected = time.is_multiple_of(CLOCK_STEP) || time == last || Some(time) == deadline;
            prop_assert!(is_expected, "{time} after {last}");
        }
    }
}

#[test]
fn a_running_clock_follows_the_host_from_where_it_was_started() {
    let base = at(12_345);
    let begun = Instant::now();
    let mut clock = Clock::start(base);
    assert_eq!(
        clock.set_deadline(Some(base + Duration::from_millis(5))),
        Some(clock.started + Duration::from_millis(5))
    );
    assert!(clock.until_deadline().unwrap() <= Duration::from_millis(5));
    std::thread::sleep(Duration::from_millis(6));
    assert_eq!(clock.take_due().unwrap().time, base + Duration::from_millis(5));
    let read = clock.read();
    assert!(read - base >= Duration::from_millis(5) && read - base <= begun.elapsed());
}
