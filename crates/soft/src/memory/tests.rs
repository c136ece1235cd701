//! What the manual says of paging, against the walk and the buffer in front of it.

use std::cmp::Ordering;

use outlive_engine::{Answer, ControlRegisters, Exit};
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::memory::walk::code;

/// RAM of the tests. Addresses beyond it are outside.
const RAM: u64 = 0x10_0000;
/// Where the tables are: one of each level.
const TABLES: [u64; 4] = [0x1000, 0x2000, 0x3000, 0x4000];
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

struct Paged {
    ram: GuestRam,
    memory: Memory,
}

impl Paged {
    fn new(write_protect: bool, no_execute: bool) -> Self {
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM as usize)]).unwrap();
        let mut memory = Memory::new(&ram);
        memory.set_paging(&ControlRegisters {
            cr0: 1 | 1 << 31 | u64::from(write_protect) << 16,
            cr3: TABLES[0],
            efer: 1 << 8 | 1 << 10 | u64::from(no_execute) << 11,
            ..ControlRegisters::default()
        });
        Self { ram, memory }
    }

    /// Everything that can be had, through pages of 4 KiB mapped to themselves, for the first 2 MiB.
    fn open() -> Self {
        let paged = Self::new(true, true);
        for pair in TABLES.windows(2) {
            paged.set(pair[0], pair[1] | 7);
        }
        (0..512).for_each(|page| paged.set(TABLES[3] + 8 * page, page << 12 | 7));
        paged
    }

    fn set(&self, at: u64, entry: u64) {
        self.ram.write_obj(entry, GuestAddress(at)).unwrap();
    }

    fn entry(&self, at: u64) -> u64 {
        self.ram.read_obj(GuestAddress(at)).unwrap()
    }

    fn access(&mut self, kind: Kind, linear: u64) -> Result<GuestPhysical, Reason> {
        let mode = self.memory.mode;
        let translated = self.memory.translate(mode, kind, linear);
        translated.map(|found| found.physical).map_err(|Abort| self.memory.reason.take().unwrap())
    }
}

fn page_fault(linear: u64, code: u32) -> Reason {
    Reason::Exception(Exception::page_fault(linear, code))
}

/// The entries on the way to one page, with a level at which a large page may end it.
#[derive(Clone, Debug)]
struct Way {
    entries: [u64; 4],
    write_protect: bool,
    no_execute: bool,
    user: bool,
    kind: Kind,
    linear: u64,
}

fn way() -> impl Strategy<Value = Way> {
    let flag =
        |bit: u64, likely: f64| prop::bool::weighted(likely).prop_map(move |set| if set { bit } else { 0 });
    let flags = (
        flag(PRESENT, 0.95),
        flag(WRITABLE, 0.8),
        flag(USER, 0.8),
        flag(ACCESSED, 0.3),
        flag(DIRTY, 0.3),
        flag(LARGE, 0.2),
        flag(NO_EXECUTE, 0.1),
        flag(1 << 45, 0.02),
    );
    let entry = flags.prop_map(|(a, b, c, d, e, f, g, h)| a | b | c | d | e | f | g | h);
    let kind = prop_oneof![Just(Kind::Read), Just(Kind::Write), Just(Kind::Fetch)];
    (prop::array::uniform4(entry), any::<[bool; 3]>(), kind, 0..1u64 << 47).prop_map(
        |(entries, [write_protect, no_execute, user], kind, linear)| Way {
            entries,
            write_protect,
            no_execute,
            user,
            kind,
            linear,
        },
    )
}

/// What the manual says (Intel SDM volume 3, 5.5, 5.6 and 5.7): the level at which the walk ends, and the fault if it
/// is one.
fn expected(way: &Way) -> (usize, Option<u32>) {
    let mut base = if way.user { code::USER } else { 0 };
    match way.kind {
        Kind::Read => {}
        Kind::Write => base |= code::WRITE,
        Kind::Fetch => base |= if way.no_execute { code::FETCH } else { 0 },
    }
    for level in 0..4 {
        let entry = way.entries[level];
        if entry & PRESENT == 0 {
            return (level, Some(base));
        }
        let is_reserved = entry & 1 << 45 != 0
            || !way.no_execute && entry & NO_EXECUTE != 0
            || level == 0 && entry & LARGE != 0;
        if is_reserved {
            return (level, Some(base | code::PRESENT | code::RESERVED));
        }
        if level == 3 || entry & LARGE != 0 {
            let on_the_way = &way.entries[..=level];
            let writable = on_the_way.iter().all(|entry| entry & WRITABLE != 0);
            let user = on_the_way.iter().all(|entry| entry & USER != 0);
            let executable = on_the_way.iter().all(|entry| entry & NO_EXECUTE == 0);
            let allowed = match way.kind {
                Kind::Read => true,
                Kind::Write => writable || !way.user && !way.write_protect,
                Kind::Fetch => executable,
            };
            let is_allowed = allowed && (user || !way.user);
            return (level, (!is_allowed).then_some(base | code::PRESENT));
        }
    }
    unreachable!("the last level is a page")
}

/// Where the entry of each level is for a linear address.
fn places(linear: u64) -> [u64; 4] {
    std::array::from_fn(|level| TABLES[level] + (linear >> (39 - 9 * level) & 511) * 8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn translation_faults_and_marks_are_those_of_the_manual(way in way()) {
        let mut paged = Paged::new(way.write_protect, way.no_execute);
        paged.memory.set_mode(way.user, false, CodeSize::Long);
        let places = places(way.linear);
        for level in 0..4 {
            // A page is at physical address 0, whatever its size; a table is where the next level's is.
            let is_page = level == 3 || way.entries[level] & LARGE != 0;
            let target = if is_page { 0 } else { TABLES[level + 1] };
            paged.set(places[level], way.entries[level] | target);
        }
        let before = places.map(|place| paged.entry(place));
        let found = paged.access(way.kind, way.linear);
        let after = places.map(|place| paged.entry(place));
        let (end, fault) = expected(&way);
        let size = 1u64 << (39 - 9 * end);
        let expected = match fault {
            None => Ok(GuestPhysical(way.linear % size)),
            Some(code) => Err(page_fault(way.linear, code)),
        };
        prop_assert_eq!(found, expected);
        for (level, (before, after)) in before.into_iter().zip(after).enumerate() {
            // What led to the last entry is marked even if that one faults (5.8).
            let marks = match level.cmp(&end) {
                Ordering::Less => ACCESSED,
                Ordering::Equal if fault.is_some() => 0,
                Ordering::Equal if way.kind == Kind::Write => ACCESSED | DIRTY,
                Ordering::Equal => ACCESSED,
                Ordering::Greater => 0,
            };
            prop_assert_eq!(after, before | marks, "level {}", level);
        }
    }

    #[test]
    fn addresses_with_a_broken_sign_extension_fault_before_the_walk(linear: u64) {
        prop_assume!(!is_canonical(linear));
        let mut paged = Paged::open();
        prop_assert_eq!(paged.access(Kind::Read, linear), Err(Reason::NotCanonical));
    }
}

#[test]
fn a_table_that_was_executed_stops_the_guest_when_it_is_to_be_marked() {
    let mut paged = Paged::open();
    assert!(paged.memory.read::<1>(0x8000).is_ok());
    paged.memory.watch_code(TABLES[3] >> PAGE_BITS);
    assert!(paged.memory.read::<1>(0x8000).is_ok(), "it is marked already");
    assert_eq!(paged.memory.read::<1>(0x9000), Err(Abort));
    assert!(matches!(paged.memory.reason.take(), Some(Reason::Exit(Exit::Unhandled(_)))));
}

#[test]
fn a_write_marks_a_page_that_was_read_before() {
    let mut paged = Paged::open();
    assert_eq!(paged.memory.read::<1>(0x8000), Ok([0]));
    let entry = TABLES[3] + 8 * 8;
    assert_eq!(paged.entry(entry) & (ACCESSED | DIRTY), ACCESSED);
    assert_eq!(paged.memory.write(0x8000, [1]), Ok(Step::Next));
    assert_eq!(paged.entry(entry) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
}

#[test]
fn a_write_that_faults_on_its_second_page_changes_nothing() {
    let mut paged = Paged::open();
    paged.set(TABLES[3] + 8 * 9, 0);
    assert_eq!(paged.memory.write(0x8ffc, [1; 8]), Err(Abort));
    assert_eq!(paged.memory.reason.take(), Some(page_fault(0x9000, code::WRITE)));
    assert_eq!(paged.memory.read::<4>(0x8ffc), Ok([0; 4]));
}

#[test]
fn accesses_that_cross_a_page_are_one_access() {
    let mut paged = Paged::open();
    // The two pages change places.
    paged.set(TABLES[3] + 8 * 8, 0x9000 | 7);
    paged.set(TABLES[3] + 8 * 9, 0x8000 | 7);
    assert_eq!(paged.memory.write(0x8ffe, [1, 2, 3, 4]), Ok(Step::Next));
    assert_eq!(paged.memory.read::<4>(0x8ffe), Ok([1, 2, 3, 4]));
    let read = |at| paged.ram.read_obj::<u8>(GuestAddress(at)).unwrap();
    assert_eq!([read(0x9ffe), read(0x9fff), read(0x8000), read(0x8001)], [1, 2, 3, 4]);
}

#[test]
fn a_change_of_an_entry_is_seen_after_a_flush() {
    let mut paged = Paged::open();
    paged.ram.write_obj(7u8, GuestAddress(0x9000)).unwrap();
    assert_eq!(paged.memory.read::<1>(0x8000), Ok([0]));
    paged.set(TABLES[3] + 8 * 8, 0x9000 | 7);
    let before = paged.memory.circumstances.number(false);
    paged.memory.flush_page(0x8fff);
    assert!(!paged.memory.circumstances.are(before), "what remembers the way to code learns of it");
    assert_eq!(paged.memory.read::<1>(0x8000), Ok([7]));
}

#[test]
fn a_read_outside_of_ram_asks_until_it_has_all_answers() {
    let mut paged = Paged::open();
    let ask = |paged: &mut Paged| {
        paged.memory.mmio.begin();
        match paged.memory.read::<16>(0x18_0004) {
            Ok(value) => Ok(u128::from_le_bytes(value)),
            Err(Abort) => Err(paged.memory.reason.take().unwrap()),
        }
    };
    for (address, answer) in [(0x18_0004, 1), (0x18_000c, 2)] {
        let exit = Exit::MmioRead { address: GuestPhysical(address), bytes: 8 };
        assert_eq!(ask(&mut paged), Err(Reason::Exit(exit)));
        paged.memory.mmio.wait();
        paged.memory.mmio.answer(Answer::Value(answer));
    }
    assert_eq!(ask(&mut paged), Ok(2 << 64 | 1));
}

#[test]
fn a_write_outside_of_ram_is_told_in_parts_of_eight_bytes() {
    let mut paged = Paged::open();
    paged.memory.attention = false;
    assert_eq!(paged.memory.write(0x18_0000, 0x1234_5678_9abc_def0u128.to_le_bytes()), Ok(Step::Leave));
    let told: Vec<_> = std::iter::from_fn(|| paged.memory.mmio.next_write()).collect();
    let places: Vec<_> = told.iter().map(|write| (write.address.0, write.bytes, write.value)).collect();
    assert_eq!(places, [(0x18_0000, 8, 0x1234_5678_9abc_def0), (0x18_0008, 8, 0)]);
}

#[test]
fn writes_to_decoded_code_are_seen_whoever_writes() {
    let mut paged = Paged::open();
    assert_eq!(paged.memory.write(0x8000, [1]), Ok(Step::Next));
    paged.memory.watch_code(8);
    paged.memory.attention = false;
    assert_eq!(paged.memory.write(0x7fff, [1; 2]), Ok(Step::Leave), "by an instruction");
    assert_eq!(paged.memory.take_written_code(), [8]);
    paged.memory.watch_code(8);
    paged.memory.take_over_foreign_writes();
    paged.memory.take_written_code();
    paged.memory.watch_code(8);
    paged.ram.write_obj(1u8, GuestAddress(0x8010)).unwrap();
    paged.memory.take_over_foreign_writes();
    assert_eq!(paged.memory.take_written_code(), [8], "by a device");
}

#[test]
fn alignment_is_checked_in_ring_3_if_asked_for() {
    let mut paged = Paged::open();
    for (is_user, aligned, faults) in [(false, true, false), (true, false, false), (true, true, true)] {
        paged.memory.set_mode(is_user, aligned, CodeSize::Long);
        for _ in 0..2 {
            assert_eq!(paged.memory.read::<4>(0x8002).is_err(), faults);
            assert!(paged.memory.read::<4>(0x8004).is_ok());
            assert!(paged.memory.read::<1>(0x8003).is_ok());
        }
    }
}

#[test]
fn a_look_from_outside_marks_nothing() {
    let paged = Paged::open();
    assert_eq!(paged.memory.peek(0x8123), Some(GuestPhysical(0x8123)));
    assert_eq!(paged.memory.peek(1 << 40), None);
    assert_eq!(paged.memory.peek(1 << 63), None);
    assert_eq!(paged.entry(TABLES[3] + 8 * 8) & ACCESSED, 0);
}
