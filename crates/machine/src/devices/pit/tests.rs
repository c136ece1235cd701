use super::*;
use proptest::prelude::*;

mod naive;

use naive::Naive;

fn at(tick: u64) -> GuestTime {
    GuestTime::at_tick(tick, FREQUENCY)
}

/// A timer with a channel programmed at tick 0: control word, low byte, high byte.
fn programmed(control: u8, count: u16) -> Pit {
    let mut pit = Pit::new();
    program(&mut pit, control, count, 0);
    pit
}

fn program(pit: &mut Pit, control: u8, count: u16, tick: u64) {
    let port = 0x40 + u16::from(control >> 6);
    pit.write(0x43, control, at(tick));
    for byte in count.to_le_bytes() {
        pit.write(port, byte, at(tick));
    }
}

/// The count of channel 0, latched and read.
fn latched(pit: &mut Pit, tick: u64) -> u16 {
    pit.write(0x43, 0x00, at(tick));
    u16::from_le_bytes([pit.read(0x40, at(tick)), pit.read(0x40, at(tick + 9))])
}

#[test]
fn linux_gets_a_hundred_ticks_a_second() {
    // LATCH of a kernel with HZ=100.
    let mut pit = programmed(0x34, 11932);
    let mut edges = 0;
    while let Some(deadline) = pit.deadline().filter(|deadline| *deadline <= at(10 * FREQUENCY)) {
        assert!(pit.advance(deadline));
        assert!(!pit.advance(deadline), "an edge is told once");
        edges += 1;
    }
    assert_eq!(edges, 10 * FREQUENCY / 11932);
}

#[test]
fn a_one_shot_of_linux_fires_once() {
    for (control, ticks) in [(0x38, 5000 + 2), (0x30, 5000 + 1)] {
        let mut pit = programmed(control, 5000);
        assert!(!pit.advance(at(0)), "{control:#x}");
        assert_eq!(pit.deadline(), Some(at(ticks)), "{control:#x}");
        assert!(!pit.advance(at(ticks - 1)), "{control:#x}");
        assert!(pit.advance(at(ticks)), "{control:#x}");
        assert_eq!(pit.deadline(), None, "{control:#x}");
    }
}

#[test]
fn hours_collapse_into_one_edge_without_drift() {
    let mut pit = programmed(0x34, 1000);
    let hours = 100 * 3600 * FREQUENCY;
    assert!(pit.advance(at(hours)));
    let next = pit.deadline().unwrap();
    assert_eq!(next, at(1 + (hours - 1).next_multiple_of(1000)));
}

#[test]
fn an_edge_outlives_the_reprogramming_of_its_channel() {
    let mut pit = programmed(0x30, 100);
    program(&mut pit, 0x30, 60_000, 200);
    assert!(pit.deadline().unwrap() <= at(200));
    assert!(pit.advance(at(201)));
    assert!(!pit.advance(at(60_000)));
}

#[test]
fn an_edge_that_did_not_happen_is_not_told() {
    let mut pit = programmed(0x30, 100);
    program(&mut pit, 0x30, 60_000, 99);
    assert!(!pit.advance(at(50_000)));
}

#[test]
fn a_control_word_that_raises_the_output_makes_an_edge() {
    let mut pit = programmed(0x30, 0);
    pit.write(0x43, 0x34, at(10));
    assert!(pit.advance(at(11)));
}

#[test]
fn a_latched_count_stands_still() {
    let mut pit = programmed(0x34, 1000);
    assert_eq!(latched(&mut pit, 11), 990);
    assert_eq!(latched(&mut pit, 1000), 1);
    assert_eq!(latched(&mut pit, 1001), 1000);
}

#[test]
fn the_first_of_two_latches_wins() {
    let mut pit = programmed(0x34, 1000);
    pit.write(0x43, 0x00, at(101));
    pit.write(0x43, 0x00, at(201));
    assert_eq!(pit.read(0x40, at(300)), (900u16 & 0xff) as u8);
    assert_eq!(pit.read(0x40, at(300)), (900u16 >> 8) as u8);
}

#[test]
fn read_back_gives_status_then_count() {
    let mut pit = programmed(0x34, 1000);
    pit.write(0x43, 0xc2, at(11));
    assert_eq!(pit.read(0x40, at(11)), 0x80 | 0x34);
    assert_eq!(pit.read(0x40, at(11)), (990u16 & 0xff) as u8);
    assert_eq!(pit.read(0x40, at(11)), (990u16 >> 8) as u8);
}

#[test]
fn null_count_is_set_until_a_count_is_in_force() {
    let mut pit = Pit::new();
    let status = |pit: &mut Pit, tick| {
        pit.write(0x43, 0xe2, at(tick));
        pit.read(0x40, at(tick))
    };
    assert_eq!(status(&mut pit, 0) & 0x40, 0, "as firmware would have left it");
    pit.write(0x43, 0x34, at(0));
    assert_eq!(status(&mut pit, 1) & 0x40, 0x40, "no count yet");
    pit.write(0x40, 100, at(2));
    pit.write(0x40, 0, at(2));
    assert_eq!(status(&mut pit, 2) & 0x40, 0x40, "loaded with the next tick");
    assert_eq!(status(&mut pit, 3) & 0x40, 0);
    pit.write(0x40, 50, at(4));
    pit.write(0x40, 0, at(4));
    assert_eq!(status(&mut pit, 102) & 0x40, 0x40, "the old period goes on");
    assert_eq!(status(&mut pit, 103) & 0x40, 0);
}

#[test]
fn single_byte_access_fills_the_other_byte_with_zeros() {
    let mut pit = Pit::new();
    pit.write(0x43, 0x24, at(0));
    pit.write(0x40, 0x12, at(0));
    assert_eq!(pit.read(0x40, at(1)), 0x12);
    assert_eq!(pit.read(0x40, at(1)), 0x12);
    assert_eq!(pit.deadline(), Some(at(1 + 0x1200)));
}

#[test]
fn decimal_counters_count_decimally() {
    let mut pit = programmed(0x35, 0x1000);
    assert_eq!(latched(&mut pit, 2), 0x0999);
    assert_eq!(pit.deadline(), Some(at(1001)));
    program(&mut pit, 0x35, 0, 0);
    assert_eq!(latched(&mut pit, 2), 0x9999);
}

#[test]
fn the_gate_of_channel_2_holds_its_count() {
    let mut pit = programmed(0xb0, 100);
    assert!(!pit.output(2, at(1000)));
    pit.set_gate(true, at(1000));
    assert!(!pit.output(2, at(1099)));
    assert!(pit.output(2, at(1100)));
}

#[test]
fn a_square_wave_is_high_for_half_its_period() {
    let pit = programmed(0x36, 7);
    let wave: String = (1..=14).map(|tick| if pit.output(0, at(tick)) { 'H' } else { 'L' }).collect();
    assert_eq!(wave, "HHHHLLLHHHHLLL");
}

#[test]
fn damaged_states_are_refused() {
    let good = programmed(0x34, 1000).save();
    assert!(Pit::restore(&good).is_ok());
    type Damage = fn(&mut State);
    let damages: [Damage; 8] = [
        |state| state.counters[0].mode = 6,
        |state| state.counters[0].gate = false,
        |state| state.counters[0].register = Some(0),
        |state| state.counters[0].register = None,
        |state| state.counters[0].run.as_mut().unwrap().count = 0x1_0001,
        |state| state.counters[0].run.as_mut().unwrap().from = u64::MAX,
        |state| state.accesses[1].access = 0,
        |state| state.searched = u64::MAX,
    ];
    for damage in damages {
        let mut state = good.clone();
        damage(&mut state);
        assert!(Pit::restore(&state).is_err(), "{state:?}");
    }
}

/// An access after some ticks.
#[derive(Clone, Debug)]
enum Step {
    Read(u16),
    Write(u16, u8),
    Gate(bool),
    Advance,
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let access = prop_oneof![
        (0x40u16..0x44).prop_map(Step::Read),
        (0x40u16..0x44, any::<u8>()).prop_map(|(port, value)| Step::Write(port, value)),
        any::<bool>().prop_map(Step::Gate),
        Just(Step::Advance),
    ];
    let pause = prop_oneof![0u64..4, 0u64..70_000, Just(u64::MAX >> 12)];
    (pause, access)
}

/// Carries out a step; returns all that can be seen of it.
fn apply(pit: &mut Pit, now: GuestTime, step: &Step) -> (u8, bool, Option<GuestTime>, [bool; 3]) {
    let (mut value, mut edge) = (0, false);
    match *step {
        Step::Read(port) => value = pit.read(port, now),
        Step::Write(port, byte) => pit.write(port, byte, now),
        Step::Gate(high) => pit.set_gate(high, now),
        Step::Advance => edge = pit.advance(now),
    }
    (value, edge, pit.deadline(), [0, 1, 2].map(|channel| pit.output(channel, now)))
}

/// What a guest may do to one channel, as the naive model understands it.
#[derive(Clone, Debug)]
enum Deed {
    Program(u8),
    Load(u16),
    Gate(bool),
    Wait(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0u8..6).prop_map(Deed::Program),
        (2u16..40).prop_map(Deed::Load),
        any::<bool>().prop_map(Deed::Gate),
        (0u64..100).prop_map(Deed::Wait),
        (0u64..4).prop_map(Deed::Wait),
    ]
}

/// Does to one channel of both models what `deed` says.
fn act(pit: &mut Pit, naive: &mut Naive, channel: u8, deed: &Deed, tick: &mut u64) {
    match *deed {
        Deed::Program(mode) => {
            pit.write(0x43, channel << 6 | 0x30 | mode << 1, at(*tick));
            naive.program(mode);
        }
        Deed::Load(count) => {
            for byte in count.to_le_bytes() {
                pit.write(0x40 + u16::from(channel), byte, at(*tick));
            }
            naive.load(count);
        }
        Deed::Gate(high) if channel == 2 => {
            pit.set_gate(high, at(*tick));
            naive.set_gate(high);
        }
        Deed::Gate(_) => {}
        Deed::Wait(ticks) => {
            *tick += ticks;
            (0..ticks).for_each(|_| naive.clock());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn counts_and_outputs_are_those_of_a_chip_clocked_tick_by_tick(
        deeds in prop::collection::vec(deed(), 0..60),
    ) {
        let (mut pit, mut naive, mut tick) = (Pit::new(), Naive::new(false), 0);
        for deed in &deeds {
            act(&mut pit, &mut naive, 2, deed, &mut tick);
            prop_assert_eq!(pit.output(2, at(tick)), naive.output(), "output, tick {}", tick);
            pit.write(0x43, 0x80, at(tick));
            let count = [pit.read(0x42, at(tick)), pit.read(0x42, at(tick))];
            prop_assert_eq!(u16::from_le_bytes(count), naive.count(), "count, tick {}", tick);
            pit.write(0x43, 0xe8, at(tick));
            let null_count = pit.read(0x42, at(tick)) & 0x40 != 0;
            prop_assert_eq!(null_count, naive.null_count(), "null count, tick {}", tick);
        }
    }

    #[test]
    fn edges_are_those_of_a_chip_clocked_tick_by_tick(
        deeds in prop::collection::vec((deed(), any::<bool>()), 0..60),
    ) {
        let (mut pit, mut naive, mut tick) = (Pit::new(), Naive::new(true), 0);
        for (deed, look) in &deeds {
            act(&mut pit, &mut naive, 0, deed, &mut tick);
            if *look {
                let due = pit.deadline().is_some_and(|deadline| deadline <= at(tick));
                let edge = naive.take_rise();
                prop_assert_eq!(due, edge, "deadline, tick {}", tick);
                prop_assert_eq!(pit.advance(at(tick)), edge, "edge, tick {}", tick);
            }
        }
    }

    #[test]
    fn a_count_falls_by_one_each_tick(count in 2u16.., tick in 1u64..1 << 40) {
        let mut pit = programmed(0x34, count);
        let (now, next) = (latched(&mut pit, tick), latched(&mut pit, tick + 1));
        prop_assert_eq!(next, if now == 1 { count } else { now - 1 });
    }

    #[test]
    fn a_restored_timer_goes_on_alike_and_no_access_panics(
        before in prop::collection::vec(step(), 0..40),
        after in prop::collection::vec(step(), 0..40),
    ) {
        let (mut pit, mut tick) = (Pit::new(), 0u64);
        for (pause, step) in &before {
            tick = tick.saturating_add(*pause);
            apply(&mut pit, at(tick), step);
        }
        let mut restored = Pit::restore(&pit.save()).unwrap();
        prop_assert_eq!(&restored, &pit);
        for (pause, step) in &after {
            tick = tick.saturating_add(*pause);
            prop_assert_eq!(apply(&mut restored, at(tick), step), apply(&mut pit, at(tick), step));
        }
        prop_assert_eq!(restored.save(), pit.save());
    }
}
