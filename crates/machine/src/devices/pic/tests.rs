use super::*;
use proptest::prelude::*;

/// Initialises both chips as Linux does: vectors 0x30 and 0x38, everything unmasked.
fn initialised() -> InterruptController {
    let mut pic = InterruptController::new();
    for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x01)] {
        pic.write(port, value);
    }
    for (port, value) in [(0xa0, 0x11), (0xa1, 0x38), (0xa1, 0x02), (0xa1, 0x01)] {
        pic.write(port, value);
    }
    pic
}

#[test]
fn the_mask_reads_back_as_linux_probes_it() {
    let mut pic = InterruptController::new();
    pic.write(0xa1, 0xff);
    pic.write(0x21, 0xfb);
    assert_eq!(pic.read(0x21), 0xfb);
    let mut pic = initialised();
    assert_eq!((pic.read(0x21), pic.read(0xa1)), (0, 0), "ICW1 clears the mask");
}

#[test]
fn nothing_is_delivered_before_the_guest_unmasks() {
    let mut pic = InterruptController::new();
    (0..16).filter(|&irq| irq != 2).for_each(|irq| pic.pulse(irq));
    assert!(!pic.pending());
}

#[test]
fn an_edge_is_served_once() {
    let mut pic = initialised();
    pic.set_line(4, true);
    assert!(pic.pending());
    assert_eq!(pic.acknowledge(), 0x34);
    pic.write(0x20, 0x64);
    assert!(!pic.pending(), "the line is still high, but did not rise again");
    pic.pulse(4);
    assert!(pic.pending());
}

#[test]
fn a_level_is_served_for_as_long_as_it_is_high() {
    let mut pic = initialised();
    pic.write(0x4d0, 0xff);
    assert_eq!(pic.read(0x4d0), 0xf8, "IRQ 0 to 2 stay edge-triggered");
    pic.write(0x4d1, 0xff);
    assert_eq!(pic.read(0x4d1), 0xde, "IRQ 8 and 13 stay edge-triggered");
    pic.set_line(5, true);
    assert_eq!(pic.acknowledge(), 0x35);
    assert!(!pic.pending(), "in service");
    pic.write(0x20, 0x65);
    assert!(pic.pending());
    pic.set_line(5, false);
    assert!(!pic.pending());
}

#[test]
fn a_slave_interrupt_needs_both_ends() {
    let mut pic = initialised();
    pic.set_line(10, true);
    assert_eq!(pic.acknowledge(), 0x3a);
    pic.pulse(14);
    assert!(!pic.pending(), "lower on the slave");
    pic.pulse(3);
    assert!(!pic.pending(), "lower on the master");
    pic.write(0xa0, 0x62);
    assert!(!pic.pending(), "the master still serves its input 2");
    pic.write(0x20, 0x62);
    assert_eq!(pic.acknowledge(), 0x3e);
}

#[test]
fn a_line_that_falls_too_early_gives_a_spurious_interrupt() {
    let mut pic = initialised();
    pic.set_line(4, true);
    pic.set_line(4, false);
    assert!(!pic.pending());
    assert_eq!(pic.acknowledge(), 0x37);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0, "Linux sees that nothing is in service");
}

#[test]
fn linux_mask_and_ack_sees_requests_and_service() {
    let mut pic = initialised();
    pic.pulse(1);
    pic.pulse(7);
    assert_eq!(pic.acknowledge(), 0x31);
    assert_eq!(pic.read(0x20), 0x80, "IRR");
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0x02, "ISR");
    pic.write(0x20, 0x0a);
    assert_eq!(pic.read(0x20), 0x80, "IRR again");
    pic.write(0x21, 0x02);
    pic.write(0x20, 0x61);
    assert_eq!(pic.acknowledge(), 0x37);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0x80, "a real IRQ 7 is in service");
}

#[test]
fn a_higher_level_nests_and_the_non_specific_end_ends_it() {
    let mut pic = initialised();
    pic.pulse(5);
    assert_eq!(pic.acknowledge(), 0x35);
    pic.pulse(0);
    assert_eq!(pic.acknowledge(), 0x30);
    pic.write(0x20, 0x20);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 1 << 5);
}

#[test]
fn rotation_on_end_puts_the_served_level_last() {
    let mut pic = initialised();
    pic.pulse(4);
    assert_eq!(pic.acknowledge(), 0x34);
    pic.write(0x20, 0xa0);
    for irq in [3, 4, 5] {
        pic.pulse(irq);
    }
    assert_eq!(pic.acknowledge(), 0x35);
    pic.write(0x20, 0xe5);
    assert_eq!(pic.acknowledge(), 0x33);
    pic.write(0x20, 0x63);
    assert_eq!(pic.acknowledge(), 0x34);
}

#[test]
fn set_priority_makes_the_next_level_highest() {
    let mut pic = initialised();
    pic.write(0x20, 0xc5);
    pic.pulse(0);
    pic.pulse(6);
    assert_eq!(pic.acknowledge(), 0x36);
}

#[test]
fn automatic_end_leaves_nothing_in_service() {
    let mut pic = initialised();
    for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x03)] {
        pic.write(port, value);
    }
    pic.write(0x20, 0x80);
    pic.pulse(3);
    pic.pulse(4);
    assert_eq!(pic.acknowledge(), 0x33);
    pic.pulse(3);
    assert_eq!(pic.acknowledge(), 0x34, "rotation put 3 last");
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 0);
}

#[test]
fn special_mask_mode_lets_lower_levels_through() {
    let mut pic = initialised();
    pic.pulse(3);
    assert_eq!(pic.acknowledge(), 0x33);
    pic.pulse(6);
    assert!(!pic.pending());
    pic.write(0x21, 1 << 3);
    pic.write(0x20, 0x68);
    assert_eq!(pic.acknowledge(), 0x36);
    pic.write(0x20, 0x20);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 1 << 3, "the non-specific end does not see the masked level");
}

#[test]
fn special_fully_nested_mode_lets_the_slave_interrupt_itself() {
    let mut pic = initialised();
    for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x11)] {
        pic.write(port, value);
    }
    pic.pulse(12);
    assert_eq!(pic.acknowledge(), 0x3c);
    pic.pulse(3);
    assert!(!pic.pending(), "lower levels of the master still wait");
    pic.pulse(9);
    assert_eq!(pic.acknowledge(), 0x39);
}

#[test]
fn a_poll_acknowledges() {
    let mut pic = initialised();
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20), 0x07, "nothing to serve");
    pic.pulse(6);
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20), 0x86);
    pic.write(0x20, 0x0b);
    assert_eq!(pic.read(0x20), 1 << 6);
}

#[test]
fn initialisation_forgets_edges_but_not_levels() {
    let mut pic = initialised();
    pic.write(0x4d0, 1 << 5);
    pic.set_line(5, true);
    pic.set_line(4, true);
    for (port, value) in [(0x20, 0x13), (0x21, 0x40), (0x21, 0x01)] {
        pic.write(port, value);
    }
    assert_eq!(pic.read(0x21), 0, "with a single chip there is no ICW3");
    assert_eq!(pic.acknowledge(), 0x45);
    assert_eq!(pic.acknowledge(), 0x47, "the edge is gone");
}

#[test]
fn damaged_states_are_refused() {
    let good = initialised().save();
    type Damage = fn(&mut State);
    let damages: [Damage; 6] = [
        |state| state.master.edges = 1,
        |state| state.slave.elcr = 1,
        |state| state.slave.vector_base = 1,
        |state| state.master.lowest = 8,
        |state| state.master.awaits_icw = 1,
        |state| state.master.lines = 1 << 2,
    ];
    for damage in damages {
        let mut state = good.clone();
        damage(&mut state);
        assert!(InterruptController::restore(&state).is_err(), "{state:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Line(u8, bool),
    Pulse(u8),
    Acknowledge,
    Read(u16),
    Write(u16, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let irq = prop::sample::select(vec![0u8, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let port = prop::sample::select(vec![0x20u16, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]);
    prop_oneof![
        (irq.clone(), any::<bool>()).prop_map(|(irq, high)| Step::Line(irq, high)),
        irq.prop_map(Step::Pulse),
        Just(Step::Acknowledge),
        port.clone().prop_map(Step::Read),
        (port, any::<u8>()).prop_map(|(port, value)| Step::Write(port, value)),
    ]
}

/// Carries out a step; returns all that can be seen of it.
fn apply(pic: &mut InterruptController, step: &Step) -> (u8, bool) {
    let value = match *step {
        Step::Line(irq, high) => {
            pic.set_line(irq, high);
            0
        }
        Step::Pulse(irq) => {
            pic.pulse(irq);
            0
        }
        Step::Acknowledge => pic.acknowledge(),
        Step::Read(port) => pic.read(port),
        Step::Write(port, value) => {
            pic.write(port, value);
            0
        }
    };
    (value, pic.pending())
}

/// The data sheet's rule in its plainest words: walk down the priorities, stop at the first level in
/// service.
fn naive_request(state: &ChipState, cascade: Option<u8>) -> Option<u8> {
    let first = (state.lowest + 1) % 8;
    for level in (first..first + 8).map(|level| level % 8) {
        let set = |register: u8| register & (1 << level) != 0;
        let asks = set(state.edges) || set(state.lines) && (set(state.elcr) || cascade == Some(level));
        let served = set(state.in_service) && !(state.special_mask && set(state.mask));
        let nests = cascade == Some(level) && state.special_nested;
        if asks && !set(state.mask) && (!served || nests) {
            return Some(level);
        }
        if served {
            return None;
        }
    }
    None
}

proptest! {
    #[test]
    fn intr_is_high_for_an_unmasked_request_above_all_in_service(steps in prop::collection::vec(step(), 0..60)) {
        let mut pic = initialised();
        for step in &steps {
            apply(&mut pic, step);
            let state = pic.save();
            prop_assert_eq!(pic.pending(), naive_request(&state.master, Some(2)).is_some());
            prop_assert_eq!(state.master.lines & 4 != 0, naive_request(&state.slave, None).is_some());
        }
    }

    #[test]
    fn an_acknowledged_interrupt_is_in_service_or_spurious(steps in prop::collection::vec(step(), 0..60)) {
        let mut pic = initialised();
        for step in &steps {
            apply(&mut pic, step);
        }
        let before = pic.save();
        let vector = pic.acknowledge();
        let after = pic.save();
        match naive_request(&before.master, Some(2)) {
            None => prop_assert_eq!((vector, after), (before.master.vector_base | 7, before)),
            Some(2) => prop_assert_eq!(vector & 0xf8, before.slave.vector_base),
            Some(level) => {
                prop_assert_eq!(vector, before.master.vector_base | level);
                prop_assert_eq!(after.master.in_service & (1 << level) == 0, before.master.auto_eoi);
            }
        }
    }

    #[test]
    fn a_restored_controller_goes_on_alike(
        before in prop::collection::vec(step(), 0..60),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let mut pic = initialised();
        for step in &before {
            apply(&mut pic, step);
        }
        let mut restored = InterruptController::restore(&pic.save()).unwrap();
        prop_assert_eq!(&restored, &pic);
        for step in &after {
            prop_assert_eq!(apply(&mut restored, step), apply(&mut pic, step));
        }
        prop_assert_eq!(restored.save(), pic.save());
    }
}
