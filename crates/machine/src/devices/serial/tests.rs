use super::*;
use proptest::prelude::*;

/// DTR, RTS and OUT2: how drivers open the port.
const OPEN: u8 = 0x0b;

/// A port with its FIFO on and its line connected.
fn open() -> Serial {
    let mut serial = Serial::new();
    assert_eq!(serial.write(2, 0x01), None);
    assert_eq!(serial.write(4, OPEN), None);
    serial
}

fn set(serial: &mut Serial, offset: u16, value: u8) {
    assert_eq!(serial.write(offset, value), None);
}

fn drain(serial: &mut Serial) -> Vec<u8> {
    let mut bytes = Vec::new();
    while serial.read(5) & 0x01 != 0 {
        bytes.push(serial.read(0));
    }
    bytes
}

#[test]
fn what_is_written_is_transmitted_at_once() {
    let mut serial = Serial::new();
    assert_eq!(serial.read(5), 0x60);
    assert_eq!(serial.write(0, b'x'), Some(b'x'));
    assert_eq!(serial.read(5), 0x60);
}

#[test]
fn the_divisor_hides_behind_its_access_bit() {
    let mut serial = open();
    set(&mut serial, 3, 0x83);
    set(&mut serial, 0, 0x01);
    set(&mut serial, 1, 0x02);
    assert_eq!((serial.read(0), serial.read(1)), (1, 2));
    set(&mut serial, 3, 0x03);
    assert_eq!((serial.read(0), serial.read(1)), (0, 0));
}

/// The tests of `autoconfig` and `autoconfig_16550a` in Linux' 8250 driver.
#[test]
fn linux_takes_the_port_for_a_16550a() {
    let mut serial = Serial::new();
    set(&mut serial, 1, 0);
    assert_eq!(serial.read(1), 0);
    set(&mut serial, 1, 0x0f);
    assert_eq!(serial.read(1), 0x0f);
    set(&mut serial, 1, 0x40);
    assert_eq!(serial.read(1) & 0x40, 0, "not an XScale");
    set(&mut serial, 4, 0x1a);
    assert_eq!(serial.read(6) & 0xf0, 0x90, "loopback shows RTS and OUT2 as CTS and DCD");
    set(&mut serial, 4, 0);
    set(&mut serial, 2, 0x01);
    assert_eq!(serial.read(2) >> 6, 3, "a working FIFO");
    set(&mut serial, 3, 0x80);
    set(&mut serial, 2, 0x21);
    assert_eq!(serial.read(2) & 0x20, 0, "of 16 bytes and not of 64");
}

/// The tests for broken transmitter interrupts in `serial8250_do_startup`.
#[test]
fn linux_finds_no_bugs_in_the_transmitter() {
    let mut serial = open();
    for _ in 0..2 {
        set(&mut serial, 1, 0x02);
        assert_eq!(serial.read(5) & 0x40, 0x40);
        assert_eq!(serial.read(2) & 0x0f, 0x02, "enabling asserts the interrupt again");
        set(&mut serial, 1, 0);
    }
    assert_eq!(serial.read(2) & 0x0f, 0x01);
}

#[test]
fn reading_iir_acknowledges_the_transmitter_and_writing_asks_again() {
    let mut serial = open();
    set(&mut serial, 1, 0x02);
    assert_eq!(serial.take_line(), Line::High);
    assert_eq!(serial.read(2), 0xc2);
    assert_eq!(serial.take_line(), Line::Low);
    assert_eq!(serial.write(0, b'x'), Some(b'x'));
    assert_eq!(serial.take_line(), Line::High);
    assert_eq!(serial.write(0, b'y'), Some(b'y'));
    assert_eq!(serial.take_line(), Line::Reasserted);
    assert_eq!(serial.take_line(), Line::High);
}

#[test]
fn received_bytes_interrupt_until_all_are_read() {
    let mut serial = open();
    set(&mut serial, 1, 0x01);
    serial.receive(b"ab");
    assert_eq!(serial.read(2), 0xc4);
    assert!(serial.interrupt(), "reading IIR takes nothing away");
    assert_eq!(serial.read(0), b'a');
    assert!(serial.interrupt());
    assert_eq!(serial.read(0), b'b');
    assert!(!serial.interrupt());
}

#[test]
fn less_than_the_trigger_level_is_a_timeout() {
    let mut serial = open();
    set(&mut serial, 2, 0x81);
    set(&mut serial, 1, 0x01);
    serial.receive(b"1234567");
    assert_eq!(serial.read(2), 0xcc);
    serial.receive(b"8");
    assert_eq!(serial.read(2), 0xc4);
}

#[test]
fn a_long_input_passes_through_the_fifo_in_order() {
    let mut serial = open();
    let bytes: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    serial.receive(&bytes);
    assert_eq!(drain(&mut serial), bytes);
}

#[test]
fn what_has_no_room_is_dropped_and_counted() {
    let mut serial = Serial::new();
    serial.receive(&vec![1; QUEUE_CAPACITY]);
    serial.receive(&[2; 5]);
    assert_eq!((serial.room(), serial.dropped()), (0, 5));
    set(&mut serial, 4, OPEN);
    assert_eq!(drain(&mut serial), vec![1; QUEUE_CAPACITY]);
}

#[test]
fn input_waits_while_the_driver_sets_up_the_port() {
    let mut serial = Serial::new();
    serial.receive(b"early");
    for value in [0x01, 0x07, 0x00, 0x01] {
        set(&mut serial, 2, value);
        assert_eq!(serial.read(5) & 0x01, 0);
        serial.read(0);
    }
    set(&mut serial, 4, OPEN);
    assert_eq!(drain(&mut serial), b"early");
}

#[test]
fn clearing_the_fifo_takes_what_is_in_it() {
    let mut serial = open();
    serial.receive(b"gone");
    set(&mut serial, 2, 0x03);
    assert_eq!(drain(&mut serial), b"");
}

#[test]
fn loopback_returns_what_is_sent_and_keeps_the_world_out() {
    let mut serial = open();
    set(&mut serial, 4, OPEN | 0x10);
    serial.receive(b"later");
    for byte in 0..17 {
        assert_eq!(serial.write(0, byte), None);
    }
    assert_eq!(serial.read(5) & 0x03, 0x03, "the seventeenth byte overran the FIFO");
    assert_eq!(drain(&mut serial), (0..16).collect::<Vec<u8>>());
    set(&mut serial, 4, OPEN);
    assert_eq!(drain(&mut serial), b"later");
}

#[test]
fn the_interrupt_needs_out2() {
    let mut serial = open();
    set(&mut serial, 1, 0x02);
    set(&mut serial, 4, 0x03);
    assert_eq!(serial.take_line(), Line::Low);
    assert_eq!(serial.read(2) & 0x0f, 0x02);
}

#[test]
fn damaged_states_are_refused() {
    let good = open().save();
    type Damage = fn(&mut State);
    let damages: [Damage; 6] = [
        |state| state.interrupt_enable = 0x10,
        |state| state.modem_control = 0x20,
        |state| state.modem_changes = 0x10,
        |state| state.fifo_control = 0x02,
        |state| state.fifo = vec![0; 17],
        |state| state.queue = vec![0; QUEUE_CAPACITY + 1],
    ];
    for damage in damages {
        let mut state = good.clone();
        damage(&mut state);
        assert!(Serial::restore(&state).is_err());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(u16),
    Write(u16, u8),
    Receive(Vec<u8>),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u16..9).prop_map(Step::Read),
        (0u16..9, any::<u8>()).prop_map(|(offset, value)| Step::Write(offset, value)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Receive),
        Just(Step::Look),
    ]
}

/// Carries out a step; returns all that can be seen of it.
fn apply(serial: &mut Serial, step: &Step) -> (u8, Option<u8>, Option<Line>, bool) {
    let (mut value, mut sent, mut line) = (0, None, None);
    match step {
        Step::Read(offset) => value = serial.read(*offset),
        Step::Write(offset, byte) => sent = serial.write(*offset, *byte),
        Step::Receive(bytes) => serial.receive(bytes),
        Step::Look => line = Some(serial.take_line()),
    }
    (value, sent, line, serial.interrupt())
}

proptest! {
    #[test]
    fn a_restored_port_goes_on_alike_and_no_access_panics(
        before in prop::collection::vec(step(), 0..80),
        after in prop::collection::vec(step(), 0..80),
    ) {
        let mut serial = Serial::new();
        for step in &before {
            apply(&mut serial, step);
        }
        let mut restored = Serial::restore(&serial.save()).unwrap();
        prop_assert_eq!(&restored, &serial);
        for step in &after {
            prop_assert_eq!(apply(&mut restored, step), apply(&mut serial, step));
        }
        prop_assert_eq!(restored.save(), serial.save());
    }

    #[test]
    fn iir_reports_a_cause_exactly_when_the_line_is_high(steps in prop::collection::vec(step(), 0..80)) {
        let mut serial = Serial::new();
        for step in &steps {
            apply(&mut serial, step);
        }
        set(&mut serial, 4, OPEN);
        let high = serial.interrupt();
        prop_assert_eq!(serial.read(2) & 0x01 == 0, high);
    }
}
