//! The encoding is frozen: a log that was written must stay readable. Whoever changes one of these must raise
//! [`FORMAT`](crate::file::FORMAT).

use super::*;
use crate::entry::*;
use crate::sample::{self, KERNEL, at, interrupt, output, tick, time};
use outlive_engine::ExitNumber;

/// Each entry in hexadecimal digits, behind those before.
#[track_caller]
fn frozen(expected: &[(Entry, &str)]) {
    let mut context = Context::default();
    let mut found = Vec::new();
    for (entry, _) in expected {
        let mut bytes = Vec::new();
        encode(&mut context, entry, &mut bytes);
        found.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    let expected: Vec<_> = expected.iter().map(|(_, digits)| digits.replace(' ', "")).collect();
    assert_eq!(found, expected);
}

#[test]
fn times() {
    frozen(&[
        (Entry::Time(time(0)), "00"),
        (Entry::Time(time(256)), "04"),
        (Entry::Time(time(256 * 63)), "f8"),
        (Entry::Time(time(256 * 126)), "0100"),
        (Entry::Time(time(256 * 1000)), "0d2b"),
        (Entry::Time(time(256 * 20_000)), "fce0280100"),
        (Entry::Time(time(256 * 200_000)), "fc80fc0a00"),
        (Entry::Time(time(256 * 200_000 + 1)), "5b02"),
        (Entry::Time(time(256 * 200_000)), "5b01"),
    ]);
}

#[test]
fn ticks_and_interrupts() {
    frozen(&[
        (tick(at(5, 0, KERNEL), 10_000_000), "6a05fc11000004fc002d3101"),
        (interrupt(at(5, 0, KERNEL), 32, 0x1234), "22203412"),
        (tick(at(25, 0, KERNEL), 20_000_000), "4614"),
        (interrupt(at(25, 3, KERNEL), 32, 0x1234), "16033412"),
        (interrupt(at(25, 9, KERNEL + 1), 33, 0x1234), "3a0615213412"),
        (interrupt(at(26, 300, KERNEL + 1), 33, 0x1234), "0e01fb2c013412"),
        (interrupt(at(27, 1, KERNEL), 33, 0x1234), "120101013412"),
        (interrupt(at(28, 0, 0x40_0000), 33, 0x1234), "0a01fc100000013412"),
        (tick(at(28, 0, 0x40_0000), 29_999_999), "6201"),
    ]);
}

#[test]
fn other_inputs() {
    let here = at(1, 0, 0);
    let input = |input| Entry::Input { at: here, input };
    let completion =
        |request, failed| Input::DiskCompletion { disk: 2, request, failed, data: vec![0xdd; 2] };
    frozen(&[
        (input(Input::Console(b"ls\n".to_vec())), "e601036c730a"),
        (input(Input::Frame { network: 0, bytes: vec![0xaa; 3] }), "8203aaaaaa"),
        (input(Input::Frame { network: 5, bytes: vec![0xaa; 3] }), "a20503aaaaaa"),
        (input(completion(7, false)), "c202000e02dddd"),
        (input(completion(6, true)), "c202010102dddd"),
    ]);
}

#[test]
fn outputs() {
    let disk = |operation, bytes| OutputMarker::Disk { disk: 2, operation, bytes };
    frozen(&[
        (output(15, OutputMarker::Console), "3fefbe"),
        (output(31, OutputMarker::Console), "4310efbe"),
        (output(32, OutputMarker::Frame { network: 0, bytes: 60 }), "47013cefbe"),
        (output(33, OutputMarker::Frame { network: 5, bytes: 1514 }), "4b0105fbea05efbe"),
        (output(34, disk(DiskOperation::Read, 4096)), "4f0102fb0010efbe"),
        (output(35, disk(DiskOperation::Write, 512)), "530102fb0002efbe"),
        (output(36, disk(DiskOperation::Flush, 0)), "57010200efbe"),
    ]);
}

#[test]
fn ends() {
    let end = |reason| Entry::End(Box::new(End { reason, exit: ExitNumber(300), state: None }));
    frozen(&[
        (end(EndReason::PowerOff), "6700fb2c0100"),
        (end(EndReason::Reset), "6701fb2c0100"),
        (end(EndReason::DebugExit(3)), "670203fb2c0100"),
        (end(EndReason::Requested), "6703fb2c0100"),
        (end(EndReason::TripleFault), "6704fb2c0100"),
        (end(EndReason::Refused("no".into())), "6705026e6ffb2c0100"),
    ]);
}

#[test]
fn states() {
    let state = sample::digest(at(1, 2, KERNEL), 4);
    let end = End { reason: EndReason::PowerOff, exit: ExitNumber(1), state: Some(state.clone()) };
    frozen(&[
        (
            Entry::Registers(Box::new(sample::registers())),
            "5ffb3412000000000000000000000000000000fd00000081fffffffffb460200000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000fb7f0300000000000000000000000000000000fe00000000000000000000000010000000000000000000000000000000fb801f01000e01020000",
        ),
        (
            Entry::Digest(Box::new(state)),
            "630102fd00000081ffffffff04fc40e201000303030303030303030303030303030303030303030303030303030303030303040404040404040404040404040404040404040404040404040404040404040405050505050505050505050505050505050505050505050505050505050505050606060606060606060606060606060606060606060606060606060606060606fb3412000000000000000000000000000000fd00000081fffffffffb460200000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000fb7f0300000000000000000000000000000000fe00000000000000000000000010000000000000000000000000000000fb801f01000e0102000004011111001111001111fbfc011111",
        ),
        (
            Entry::End(Box::new(end)),
            "670001010102fd00000081ffffffff04fc40e201000303030303030303030303030303030303030303030303030303030303030303040404040404040404040404040404040404040404040404040404040404040405050505050505050505050505050505050505050505050505050505050505050606060606060606060606060606060606060606060606060606060606060606fb3412000000000000000000000000000000fd00000081fffffffffb460200000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000fb7f0300000000000000000000000000000000fe00000000000000000000000010000000000000000000000000000000fb801f01000e0102000004011111001111001111fbfc011111",
        ),
    ]);
}
