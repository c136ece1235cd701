use outlive_engine::{Activity, ExitNumber, GuestTime, InstructionCount, PendingEvent, VcpuState};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::entry::*;
use crate::sample::{KERNEL, at, interrupt, output, tick, time};

/// Numbers near each other, near the ends of their range, and anywhere.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, 1_000_000..1_000_300u64, Just(u64::MAX), Just(1 << 63), any::<u64>()]
}

fn any_time() -> impl Strategy<Value = GuestTime> {
    let steps = (0..70_000u64).prop_map(|steps| steps * TIME_QUANTUM);
    prop_oneof![steps, number(), (u64::MAX - 1000..=u64::MAX)].prop_map(GuestTime::from_nanoseconds)
}

fn landmark() -> impl Strategy<Value = Landmark> {
    let rip = prop_oneof![(0..20u64).prop_map(|n| KERNEL + n * 77), number()];
    (prop_oneof![0..4u64, number()], prop_oneof![Just(0), number()], rip)
        .prop_map(|(exit, since_exit, rip)| at(exit, since_exit, rip))
}

fn input() -> impl Strategy<Value = Input> {
    let bytes = || vec(any::<u8>(), 0..300);
    prop_oneof![
        any_time().prop_map(Input::ClockTick),
        bytes().prop_map(Input::Console),
        (0..3u8, bytes()).prop_map(|(network, bytes)| Input::Frame { network, bytes }),
        (any::<u8>(), number(), any::<bool>(), bytes()).prop_map(|(disk, request, failed, data)| {
            Input::DiskCompletion { disk, request, failed, data }
        }),
    ]
}

fn marker() -> impl Strategy<Value = OutputMarker> {
    let operation =
        prop_oneof![Just(DiskOperation::Read), Just(DiskOperation::Write), Just(DiskOperation::Flush)];
    prop_oneof![
        Just(OutputMarker::Console),
        (0..3u8, any::<u32>()).prop_map(|(network, bytes)| OutputMarker::Frame { network, bytes }),
        (any::<u8>(), operation, any::<u32>()).prop_map(|(disk, operation, bytes)| OutputMarker::Disk {
            disk,
            operation,
            bytes
        }),
    ]
}

fn registers() -> impl Strategy<Value = VcpuState> {
    (any::<[u64; 4]>(), any::<u128>(), any::<Option<(u8, Option<u32>)>>(), any::<bool>()).prop_map(
        |([rax, rip, cr3, base], xmm, pending, halted)| {
            let mut state = VcpuState { rip, ..VcpuState::default() };
            (state.general.rax, state.control.cr3, state.segments.gs.base) = (rax, cr3, base);
            state.floating_point.xmm[15] = xmm;
            state.pending =
                pending.map(|(vector, error_code)| PendingEvent::Exception { vector, error_code });
            state.activity = if halted { Activity::Halted } else { Activity::Running };
            state
        },
    )
}

fn state_digest() -> impl Strategy<Value = StateDigest> {
    let page = (number(), any::<u16>()).prop_map(|(page, check)| PageCheck { page, check });
    (landmark(), any_time(), any::<u64>(), any::<[Hash; 4]>(), registers(), vec(page, 0..40)).prop_map(
        |(at, time, instructions, [running, memory, devices, disks], registers, pages)| StateDigest {
            at,
            time,
            instructions: InstructionCount(instructions),
            running,
            registers,
            memory,
            devices,
            disks,
            pages,
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    let reason = prop_oneof![
        Just(EndReason::PowerOff),
        Just(EndReason::Reset),
        any::<u8>().prop_map(EndReason::DebugExit),
        Just(EndReason::Requested),
        Just(EndReason::TripleFault),
        any::<String>().prop_map(EndReason::Refused),
    ];
    (reason, number(), proptest::option::of(state_digest())).prop_map(|(reason, exit, state)| End {
        reason,
        exit: ExitNumber(exit),
        state,
    })
}

/// Any entry but an end.
fn entry_before_end() -> impl Strategy<Value = Entry> {
    prop_oneof![
        6 => any_time().prop_map(Entry::Time),
        6 => (landmark(), input()).prop_map(|(at, input)| Entry::Input { at, input }),
        6 => (landmark(), any::<u8>(), any::<u16>())
            .prop_map(|(at, vector, check)| interrupt(at, vector, check)),
        6 => (number(), marker(), any::<u16>()).prop_map(|(exit, output, check)| Entry::Output {
            exit: ExitNumber(exit), output, check: Check(check)
        }),
        1 => registers().prop_map(|state| Entry::Registers(Box::new(state))),
        1 => state_digest().prop_map(|digest| Entry::Digest(Box::new(digest))),
    ]
}

/// Entries in any order, which need not make sense; an end only as the last one, if at all.
pub(crate) fn entries() -> impl Strategy<Value = Vec<Entry>> {
    (vec(entry_before_end(), 0..60), proptest::option::of(end())).prop_map(|(mut entries, end)| {
        entries.extend(end.map(|end| Entry::End(Box::new(end))));
        entries
    })
}

fn encoded(entries: &[Entry]) -> Vec<u8> {
    let (mut context, mut bytes) = (Context::default(), Vec::new());
    for entry in entries {
        encode(&mut context, entry, &mut bytes);
    }
    bytes
}

/// The length of each of the entries, behind those before.
fn lengths(entries: &[Entry]) -> Vec<usize> {
    let mut context = Context::default();
    let length = |entry: &Entry| {
        let mut bytes = Vec::new();
        encode(&mut context, entry, &mut bytes);
        bytes.len()
    };
    entries.iter().map(length).collect()
}

proptest! {
    #[test]
    fn every_entry_comes_back(entries in entries()) {
        let bytes = encoded(&entries);
        let (mut context, mut source) = (Context::default(), Source::new(&bytes));
        for entry in &entries {
            prop_assert_eq!(&decode(&mut context, &mut source).unwrap(), entry);
        }
        prop_assert_eq!(source.left(), 0);
    }

    #[test]
    fn an_entry_that_is_cut_off_is_refused(entries in entries(), cut: prop::sample::Index) {
        let Some(last) = entries.last() else { return Ok(()) };
        let before = encoded(&entries[..entries.len() - 1]);
        let mut context = Context::default();
        for entry in &entries[..entries.len() - 1] {
            encode(&mut context, entry, &mut Vec::new());
        }
        let whole = encoded(&entries);
        let whole = &whole[before.len()..];
        let short = &whole[..cut.index(whole.len())];
        prop_assert!(decode(&mut context, &mut Source::new(short)).is_err(), "{:?}", last);
    }

    #[test]
    fn any_bytes_are_entries_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let (mut context, mut source) = (Context::default(), Source::new(&bytes));
        let mut entries = Vec::new();
        while let Ok(entry) = decode(&mut context, &mut source) {
            entries.push(entry);
        }
        let again = encoded(&entries);
        let (mut context, mut source) = (Context::default(), Source::new(&again));
        for entry in &entries {
            prop_assert_eq!(&decode(&mut context, &mut source).unwrap(), entry);
        }
    }
}

#[test]
fn a_time_read_takes_one_byte_for_a_step_and_two_for_a_pause() {
    let steps = [0, 1, 62, 63, 64, 16_190, 16_191, 16_384];
    let length = |steps: u64| {
        let last = 256 * 1000 + 17;
        lengths(&[Entry::Time(time(last)), Entry::Time(time((last / 256 + steps) * 256).max(time(last)))])[1]
    };
    assert_eq!(steps.map(length), [1, 1, 1, 2, 2, 2, 3, 5]);
}

#[test]
fn a_time_that_was_told_before_takes_one_byte_wherever_it_is() {
    for last in [0, 1, 255, 256, 10_000_151, u64::MAX] {
        assert_eq!(lengths(&[Entry::Time(time(last)), Entry::Time(time(last))])[1], 1, "{last}");
    }
}

#[test]
fn an_interrupt_right_behind_its_input_takes_three_bytes() {
    let here = at(5, 0, KERNEL);
    let again = at(9, 0, KERNEL);
    let entries =
        [tick(here, 10_000_000), interrupt(here, 32, 1), tick(again, 20_000_000), interrupt(again, 32, 2)];
    assert_eq!(lengths(&entries)[3], 3);
}

#[test]
fn a_periodic_tick_at_the_same_instruction_takes_two_bytes() {
    let ticks: Vec<_> = (1..10).map(|n| tick(at(20 * n, 0, KERNEL), 10_000_000 * n)).collect();
    assert_eq!(lengths(&ticks)[2..], [2; 7]);
}

#[test]
fn a_console_byte_takes_three_bytes() {
    let bytes: Vec<_> = (1..10).map(|n| output(2 * n, OutputMarker::Console)).collect();
    assert_eq!(lengths(&bytes), [3; 9]);
}

/// What the pieces above are for: a hundred ticks a second of the 8254 (11 932 of its periods), each with its
/// interrupt and from two to four time reads, some microseconds to a hundred apart.
#[test]
fn a_tick_of_an_idle_guest_takes_less_than_twelve_bytes() {
    let mut entries = Vec::new();
    for n in 1..=100 {
        let due = GuestTime::at_tick(11_932 * n, 1_193_182).nanoseconds();
        let here = at(14 * n, 0, KERNEL);
        entries.extend([tick(here, due), interrupt(here, 32, n as u16)]);
        let reads = [90_000, 93_000, 110_000, 250_000].map(|later| (due + later) / 256 * 256);
        entries.extend(reads[..2 + n as usize % 3].iter().map(|&read| Entry::Time(time(read))));
    }
    let bytes = encoded(&entries).len();
    assert!(bytes < 12 * 100, "{bytes} bytes for 100 ticks");
}
