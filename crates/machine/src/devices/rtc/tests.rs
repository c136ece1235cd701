use super::*;
use proptest::prelude::*;

/// 20 February 2026, 22:13:20 UTC, a Friday.
const POWER_ON: i64 = 1_771_625_600;

fn seconds(seconds: f64) -> GuestTime {
    GuestTime::from_nanoseconds((seconds * 1e9) as u64)
}

fn get(rtc: &mut Rtc, index: u8, now: GuestTime) -> u8 {
    rtc.write(0x70, index, now);
    rtc.read(0x71, now)
}

fn set(rtc: &mut Rtc, index: u8, value: u8, now: GuestTime) {
    rtc.write(0x70, index, now);
    rtc.write(0x71, value, now);
}

fn time(rtc: &mut Rtc, now: GuestTime) -> [u8; 8] {
    calendar::REGISTERS.map(|index| get(rtc, index, now))
}

#[test]
fn the_clock_shows_wall_clock_plus_guest_time() {
    let mut rtc = Rtc::new(POWER_ON);
    assert_eq!(time(&mut rtc, GuestTime::BOOT), [0x20, 0x13, 0x22, 0x06, 0x20, 0x02, 0x26, 0x20]);
    let later = [0x19, 0x14, 0x22, 0x06, 0x20, 0x02, 0x26, 0x20];
    assert_eq!(time(&mut rtc, seconds(59.999)), later);
}

#[test]
fn the_nmi_mask_is_not_part_of_the_index() {
    let mut rtc = Rtc::new(POWER_ON);
    set(&mut rtc, 0x80 | 0x40, 0x5a, GuestTime::BOOT);
    assert_eq!(get(&mut rtc, 0x40, GuestTime::BOOT), 0x5a);
    assert_eq!(rtc.read(0x70, GuestTime::BOOT), 0xff);
}

#[test]
fn an_update_is_announced_just_before_the_second_turns() {
    let mut rtc = Rtc::new(POWER_ON);
    assert_eq!(get(&mut rtc, REGISTER_A, seconds(0.999_7)), 0x26);
    assert_eq!(get(&mut rtc, REGISTER_A, seconds(0.999_8)), 0xa6);
    assert_eq!(get(&mut rtc, REGISTER_A, seconds(1.0)), 0x26);
}

#[test]
fn linux_sets_the_clock() {
    let mut rtc = Rtc::new(POWER_ON);
    let now = seconds(10.3);
    set(&mut rtc, REGISTER_B, 0x82, now);
    set(&mut rtc, REGISTER_A, 0x76, now);
    for (index, value) in [(9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x58), (0x32, 0x19)] {
        set(&mut rtc, index, value, now);
    }
    assert_eq!(get(&mut rtc, 0, seconds(12.0)), 0x58, "the clock is held");
    set(&mut rtc, REGISTER_B, 0x02, seconds(12.0));
    set(&mut rtc, REGISTER_A, 0x26, seconds(12.2));
    assert_eq!(get(&mut rtc, 0, seconds(12.6)), 0x58);
    assert_eq!(get(&mut rtc, 0, seconds(12.8)), 0x59, "half a second after the divider's release");
    assert_eq!(time(&mut rtc, seconds(13.8)), [0, 0, 0, 0x07, 1, 1, 0, 0x20], "a Saturday");
}

#[test]
fn a_running_clock_takes_single_registers() {
    let mut rtc = Rtc::new(POWER_ON);
    set(&mut rtc, 4, 0x05, seconds(1.5));
    assert_eq!(get(&mut rtc, 4, seconds(1.5)), 0x05);
    assert_eq!(get(&mut rtc, 0, seconds(2.0)), 0x22);
}

#[test]
fn the_update_interrupt_comes_each_second_until_register_c_is_read() {
    let mut rtc = Rtc::new(POWER_ON);
    set(&mut rtc, REGISTER_B, 0x12, seconds(0.5));
    assert_eq!(rtc.deadline(), Some(seconds(1.0)));
    rtc.advance(seconds(0.999));
    assert!(!rtc.interrupt());
    rtc.advance(seconds(1.0));
    assert!(rtc.interrupt());
    assert_eq!(rtc.deadline(), None);
    assert_eq!(get(&mut rtc, REGISTER_C, seconds(1.1)) & 0xb0, 0x90);
    assert!(!rtc.interrupt());
    assert_eq!(rtc.deadline(), Some(seconds(2.0)));
}

#[test]
fn the_alarm_interrupt_comes_at_its_time() {
    let mut rtc = Rtc::new(POWER_ON);
    for (index, value) in [(HOURS_ALARM, 0x22), (MINUTES_ALARM, 0x15), (SECONDS_ALARM, 0x00)] {
        set(&mut rtc, index, value, GuestTime::BOOT);
    }
    set(&mut rtc, REGISTER_B, 0x22, GuestTime::BOOT);
    assert_eq!(rtc.deadline(), Some(seconds(100.0)));
    rtc.advance(seconds(99.9));
    assert!(!rtc.interrupt());
    rtc.advance(seconds(5000.0));
    assert!(rtc.interrupt(), "an hour later it has gone off, too");
    assert_eq!(get(&mut rtc, REGISTER_C, seconds(5000.0)) & 0xa0, 0xa0);
    assert_eq!(rtc.deadline(), Some(seconds(86_500.0)));
}

#[test]
fn the_periodic_interrupt_has_the_rate_of_register_a() {
    let mut rtc = Rtc::new(POWER_ON);
    set(&mut rtc, REGISTER_B, 0x42, GuestTime::BOOT);
    let mut edges = 0;
    while let Some(due) = rtc.deadline().filter(|due| *due <= seconds(2.0)) {
        rtc.advance(due);
        assert!(rtc.interrupt());
        assert_eq!(get(&mut rtc, REGISTER_C, due) & 0xc0, 0xc0);
        edges += 1;
    }
    assert_eq!(edges, 2048);
}

#[test]
fn setting_the_clock_disables_the_update_interrupt() {
    let mut rtc = Rtc::new(POWER_ON);
    set(&mut rtc, REGISTER_B, 0x92, GuestTime::BOOT);
    assert_eq!(get(&mut rtc, REGISTER_B, GuestTime::BOOT), 0x82);
}

#[test]
fn status_registers_cannot_be_written() {
    let mut rtc = Rtc::new(POWER_ON);
    set(&mut rtc, REGISTER_C, 0xff, GuestTime::BOOT);
    set(&mut rtc, REGISTER_D, 0, GuestTime::BOOT);
    assert_eq!(get(&mut rtc, REGISTER_C, GuestTime::BOOT), 0);
    assert_eq!(get(&mut rtc, REGISTER_D, GuestTime::BOOT), 0x80);
}

#[test]
fn damaged_states_are_refused() {
    let good = Rtc::new(POWER_ON).save();
    type Damage = fn(&mut State);
    let damages: [Damage; 5] = [
        |state| state.index = 128,
        |state| state.phase = NANOSECONDS,
        |state| state.flags = 1,
        |state| state.ram[0x0a] = 0x80,
        |state| state.ram[0x0d] = 0x80,
    ];
    for damage in damages {
        let mut state = good.clone();
        damage(&mut state);
        assert!(Rtc::restore(&state).is_err(), "{state:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(u8),
    Write(u8, u8),
    Advance,
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let index = || prop_oneof![4 => 0u8..0x10, 1 => any::<u8>(), 1 => Just(0x32)];
    let access = prop_oneof![
        index().prop_map(Step::Read),
        (index(), any::<u8>()).prop_map(|(index, value)| Step::Write(index, value)),
        Just(Step::Advance),
    ];
    (prop_oneof![0u64..4_000_000_000, Just(u64::MAX >> 3)], access)
}

/// Carries out a step; returns all that can be seen of it.
fn apply(rtc: &mut Rtc, now: GuestTime, step: &Step) -> (u8, bool, Option<GuestTime>) {
    let mut value = 0;
    match *step {
        Step::Read(index) => value = get(rtc, index, now),
        Step::Write(index, byte) => set(rtc, index, byte, now),
        Step::Advance => rtc.advance(now),
    }
    (value, rtc.interrupt(), rtc.deadline())
}

proptest! {
    #[test]
    fn a_restored_clock_goes_on_alike_and_no_access_panics(
        power_on: i64,
        before in prop::collection::vec(step(), 0..40),
        after in prop::collection::vec(step(), 0..40),
    ) {
        let (mut rtc, mut now) = (Rtc::new(power_on), 0u64);
        for (pause, step) in &before {
            now = now.saturating_add(*pause);
            apply(&mut rtc, GuestTime::from_nanoseconds(now), step);
        }
        let mut restored = Rtc::restore(&rtc.save()).unwrap();
        prop_assert_eq!(&restored, &rtc);
        for (pause, step) in &after {
            now = now.saturating_add(*pause);
            let now = GuestTime::from_nanoseconds(now);
            prop_assert_eq!(apply(&mut restored, now, step), apply(&mut rtc, now, step));
        }
        prop_assert_eq!(restored.save(), rtc.save());
    }

    #[test]
    fn the_line_rises_at_its_deadline_and_not_before(steps in prop::collection::vec(step(), 0..40)) {
        let (mut rtc, mut now) = (Rtc::new(POWER_ON), 0u64);
        for (pause, step) in &steps {
            now = now.saturating_add(pause % 4_000_000_000);
            apply(&mut rtc, GuestTime::from_nanoseconds(now), step);
        }
        if let Some(due) = rtc.deadline() {
            rtc.advance(GuestTime::from_nanoseconds(due.nanoseconds() - 1));
            prop_assert!(!rtc.interrupt());
            rtc.advance(due);
            prop_assert!(rtc.interrupt());
        }
    }
}
