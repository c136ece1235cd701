use super::*;
use crate::board::Board;
use crate::devices::{pic, pit, rtc, serial, system_control};
use crate::encoding::{decode, encode};
use crate::machine::MachineState;
use crate::memory::{PAGE_SIZE, RamSize, create_ram};
use crate::virtio::block::{OperationState, RequestState, SegmentState};
use crate::virtio::queue::{QueueState, RingPosition};
use crate::virtio::{Block, BlockState, MmioState, Net, NetState, SlotState};
use crate::world::{DiskIndex, NetworkIndex};
use outlive_engine::{Activity, ExitNumber, InstructionCount, InterruptShadow, PendingEvent};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vm_memory::{Bytes, GuestAddress};

/// A board of which every field that can be there is there.
fn full_board() -> BoardState {
    let chip = |from: u8| pic::ChipState {
        lines: from,
        edges: from + 1,
        elcr: from + 2,
        mask: from + 3,
        in_service: from + 4,
        vector_base: from + 5,
        lowest: from + 6,
        awaits_icw: from + 7,
        single: true,
        icw4_follows: false,
        auto_eoi: true,
        rotate_on_auto_eoi: false,
        special_nested: true,
        special_mask: false,
        reads_in_service: true,
        poll: false,
    };
    let counter = |from: u8| pit::CounterState {
        mode: from,
        bcd: true,
        gate: false,
        register: Some(u32::from(from) + 1),
        null_count: true,
        run: Some(pit::RunState {
            from: u64::from(from) + 2,
            count: u32::from(from) + 3,
            starts_low: true,
            handover: Some(u64::from(from) + 4),
            stopped: Some(u64::from(from) + 5),
        }),
        idle_value: u32::from(from) + 6,
        idle_output: false,
    };
    let access = |from: u8| pit::AccessState {
        access: from,
        low_written: Some(from + 1),
        high_next: true,
        latched_count: Some(u16::from(from) + 2),
        latched_status: Some(from + 3),
    };
    BoardState {
        interrupts: pic::State { master: chip(1), slave: chip(11) },
        pit: pit::State {
            counters: [counter(21), counter(31), counter(41)],
            accesses: [access(51), access(61), access(71)],
            searched: 81,
            edge: true,
        },
        control: system_control::State { stored: 82 },
        rtc: rtc::State {
            index: 83,
            ram: std::array::from_fn(|at| at as u8),
            epoch: -84,
            phase: 85,
            searched: GuestTime::from_nanoseconds(86),
            flags: 87,
        },
        serial: serial::State {
            divisor: 300,
            interrupt_enable: 91,
            fifo_control: 92,
            line_control: 93,
            modem_control: 94,
            scratch: 95,
            overrun: true,
            modem_changes: 96,
            transmitter_emptied: false,
            dipped: true,
            fifo: vec![97, 98],
            queue: vec![99],
            dropped: 100,
        },
        slots: vec![full_disk(), full_network()],
    }
}

fn full_transport<S>(from: u32, device: S) -> MmioState<S> {
    let queue = QueueState {
        size: from + 6,
        descriptors: u64::from(from) + 7,
        available: u64::from(from) + 8,
        used: u64::from(from) + 9,
        position: Some(RingPosition { next_available: 1, next_used: 2 }),
    };
    MmioState {
        status: from,
        interrupts: from + 1,
        device_features_select: from + 2,
        driver_features_select: from + 3,
        driver_features: u128::from(from) + 4,
        queue_select: from + 5,
        queues: vec![queue],
        device,
    }
}

fn full_disk() -> SlotState {
    let request = |id: u64, operation| {
        let answer = vec![SegmentState { address: id + 1, bytes: 2 }];
        RequestState { id, head: 3, operation, answer }
    };
    let in_flight = vec![
        request(121, OperationState::Read { sector: 5, bytes: 512 }),
        request(122, OperationState::Write { sector: 6, data: vec![7, 8] }),
        request(123, OperationState::Flush),
    ];
    SlotState::Block(full_transport(110, BlockState { next_request: 124, in_flight }))
}

fn full_network() -> SlotState {
    let state = NetState { backlog: vec![vec![1, 2], vec![3]], dropped_sent: 4, dropped_received: 5 };
    SlotState::Net(full_transport(130, state))
}

/// A processor of which every field that can be there is there, each number another one than the next.
fn full_processor() -> VcpuState {
    let state = VcpuState {
        pending: Some(PendingEvent::Exception { vector: 14, error_code: Some(2) }),
        shadow: InterruptShadow::Sti,
        activity: Activity::Halted,
        ..VcpuState::default()
    };
    let mut tree = serde_json::to_value(&state).unwrap();
    let mut leaves = Vec::new();
    collect_leaves(&tree, String::new(), &mut leaves);
    // Whatever order the tree keeps.
    leaves.sort();
    for (at, path) in leaves.iter().enumerate() {
        let leaf = tree.pointer_mut(path).unwrap();
        if leaf.is_number() {
            *leaf = Value::from(at + 1);
        }
    }
    serde_json::from_value(tree).unwrap()
}

fn full_machine() -> MachineState {
    MachineState {
        vcpu: full_processor(),
        board: full_board(),
        time: GuestTime::from_nanoseconds(1),
        exits: ExitNumber(2),
        since_exit: InstructionCount(3),
        windows: 2,
        instructions: InstructionCount(4),
        has_landmark: true,
    }
}

fn power_on() -> Board {
    let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
    let disk = Block::new(DiskIndex(0), 64, false, "disk");
    let net = Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1]);
    Board::new(ram, 1_700_000_000, vec![disk.into(), net.into()])
}

/// The value with one leaf changed, for each leaf.
fn with_one_leaf_changed<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Vec<T> {
    let tree = serde_json::to_value(value).unwrap();
    let mut leaves = Vec::new();
    collect_leaves(&tree, String::new(), &mut leaves);
    let change = |path: &String| {
        let other = |leaf| {
            let mut changed = tree.clone();
            *changed.pointer_mut(path).unwrap() = leaf;
            serde_json::from_value::<T>(changed).ok().filter(|changed| changed != value)
        };
        let leaf = tree.pointer(path).unwrap();
        let changed = other_leaves(leaf).into_iter().find_map(other);
        changed.unwrap_or_else(|| panic!("{path} cannot be changed from {leaf}"))
    };
    leaves.iter().map(change).collect()
}

fn collect_leaves(tree: &Value, path: String, leaves: &mut Vec<String>) {
    match tree {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect_leaves(field, format!("{path}/{name}"), leaves));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, item)| collect_leaves(item, format!("{path}/{at}"), leaves));
        }
        Value::Null => panic!("{path} is empty: a full state has something there"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => leaves.push(path),
    }
}

/// What may stand in the place of a leaf.
fn other_leaves(leaf: &Value) -> Vec<Value> {
    match leaf {
        Value::Bool(flag) => vec![Value::Bool(!flag)],
        Value::Number(number) => vec![Value::from(number.as_i64().unwrap() ^ 1)],
        // The name of a variant.
        _ => vec!["None".into(), "Running".into(), json!({ "Read": { "sector": 0, "bytes": 0 } })],
    }
}

#[test]
fn every_field_of_the_processor_is_in_the_digest_of_registers() {
    let state = full_processor();
    let digest = Digest::of_registers(&state);
    let changed = with_one_leaf_changed(&state);
    assert!(changed.len() > 110, "{} leaves", changed.len());
    for changed in changed {
        assert_ne!(Digest::of_registers(&changed), digest, "{changed:?}");
    }
}

#[test]
fn every_field_of_every_device_is_in_the_digest_of_devices() {
    let (state, time) = (full_board(), GuestTime::from_nanoseconds(9));
    let digest = Digest::of_devices(&state, time);
    let changed = with_one_leaf_changed(&state);
    assert!(changed.len() > 270, "{} leaves", changed.len());
    for changed in changed {
        assert_ne!(Digest::of_devices(&changed, time), digest, "{changed:?}");
    }
    assert_ne!(Digest::of_devices(&state, GuestTime::from_nanoseconds(10)), digest);
}

/// The digests below follow from the layout of the saved forms. If one of them changes, a state or a log of
/// before cannot be read any more: raise [`MachineState::VERSION`] and take the new digest over.
#[test]
fn the_layout_of_saved_forms_is_frozen() {
    let board = power_on();
    let empty_memory = Digest::of_memory(board.ram());
    board.ram().write_slice(b"outlive", GuestAddress(0x1f_fff9)).unwrap();
    let found = [
        Digest::of_registers(&VcpuState::default()),
        Digest::of_registers(&full_processor()),
        Digest::of_devices(&board.save(), GuestTime::BOOT),
        Digest::of_devices(&full_board(), GuestTime::BOOT),
        Digest(*blake3::hash(&full_machine().encode()).as_bytes()),
        empty_memory,
        Digest::of_memory(board.ram()),
    ];
    assert_eq!(found.map(|digest| digest.to_string()), FROZEN);
}

const FROZEN: [&str; 7] = [
    "659fc8736d35404cad0795847b666a2236386eea002573c0d21cde36c01871d7",
    "91a1b465ad31d90339526642bb11773fbecff6176353145b3afddba202061887",
    "7885e64361d1ce23b9d61bed582a706111982deca9d6bf7f3a91b3dfbed77f04",
    "c64e8add71b95abdfa49fc702e89bfe18ab56ed8b21c00d3b38249b53f905e86",
    "b4d769650c824ab49d793d47d2b1a1dfde6546cbc743155436954334e228ec2a",
    "8ed9e8171343d22ffa09ff894c2d36c1b6a16df8a0bda42b41142844ee1b35cb",
    "8e53e12cf20146dbb42e1b5e6a042424241198ee3827efd2fd39fad49457a181",
];

#[test]
fn saved_forms_come_back_from_their_bytes() {
    assert_eq!(decode::<BoardState>(&encode(&full_board())).unwrap(), full_board());
    assert_eq!(MachineState::decode(&full_machine().encode()).unwrap(), full_machine());
}

#[test]
fn a_digest_is_read_back_from_what_it_prints() {
    let digest = Digest(std::array::from_fn(|at| at as u8 ^ 0xa5));
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for bad in ["", "12", &"g".repeat(64), &"1".repeat(65), &"é".repeat(32)] {
        assert_eq!(bad.parse::<Digest>(), Err(DigestError), "{bad}");
    }
}

const RAM_BYTES: usize = 1 << 20;

fn memory() -> GuestRam {
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM_BYTES)]).unwrap();
    ram.write_slice(&[1; PAGE_SIZE], GuestAddress(0x5000)).unwrap();
    ram.write_slice(&[2; 3 * PAGE_SIZE], GuestAddress(0x9000)).unwrap();
    ram
}

#[test]
fn zeros_are_zeros_whoever_wrote_them() {
    let (ram, digest) = (memory(), Digest::of_memory(&memory()));
    ram.write_slice(&[0; 2 * PAGE_SIZE], GuestAddress(0x4_0000)).unwrap();
    assert_eq!(Digest::of_memory(&ram), digest);
}

#[test]
fn pages_that_change_places_change_the_digest() {
    let moved = GuestRam::from_ranges(&[(GuestAddress(0), RAM_BYTES)]).unwrap();
    moved.write_slice(&[1; PAGE_SIZE], GuestAddress(0x6000)).unwrap();
    moved.write_slice(&[2; 3 * PAGE_SIZE], GuestAddress(0x9000)).unwrap();
    assert_ne!(Digest::of_memory(&moved), Digest::of_memory(&memory()));
}

#[test]
fn the_size_of_memory_is_in_its_digest() {
    let empty = |bytes| Digest::of_memory(&GuestRam::from_ranges(&[(GuestAddress(0), bytes)]).unwrap());
    assert_ne!(empty(RAM_BYTES), empty(2 * RAM_BYTES));
}

fn pages(ram: &GuestRam) -> Vec<(u64, blake3::Hash)> {
    let mut pages = Vec::new();
    let digest = Digest::of_memory_by_page(ram, |page, hash| pages.push((page, *hash)));
    assert_eq!(digest, Digest::of_memory(ram));
    pages
}

#[test]
fn the_hash_of_each_page_that_holds_something_is_reported_in_order() {
    let (ones, twos) = (blake3::hash(&[1; PAGE_SIZE]), blake3::hash(&[2; PAGE_SIZE]));
    assert_eq!(pages(&memory()), [(5, ones), (9, twos), (10, twos), (11, twos)]);
}

proptest! {
    #[test]
    fn any_changed_bit_of_memory_changes_the_digest(address in 0..RAM_BYTES as u64, bit in 0u32..8) {
        let ram = memory();
        let digest = Digest::of_memory(&ram);
        let byte: u8 = ram.read_obj(GuestAddress(address)).unwrap();
        ram.write_obj(byte ^ 1 << bit, GuestAddress(address)).unwrap();
        prop_assert_ne!(Digest::of_memory(&ram), digest);
        let (before, after) = (pages(&memory()), pages(&ram));
        let page = address / PAGE_SIZE as u64;
        let hash_of = |pages: &[(u64, _)]| pages.iter().find(|(number, _)| *number == page).copied();
        prop_assert_ne!(hash_of(&before), hash_of(&after));
        let others = |pages: Vec<(u64, _)>| pages.into_iter().filter(move |(number, _)| *number != page);
        prop_assert!(others(before).eq(others(after)), "another page was reported as changed");
        ram.write_obj(byte, GuestAddress(address)).unwrap();
        prop_assert_eq!(Digest::of_memory(&ram), digest);
    }
}
