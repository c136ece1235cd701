//! A device survives any guest, and does the same whenever the same happens to it.

use outlive_engine::GuestRam;
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::virtio::driver::{HIGH_RAM, Place, RAM_END, dump, register, test_ram};
use crate::virtio::slot::Slot;
use crate::world::{DiskOperation, DiskStatus, Output};

/// Something that happens to a device.
#[derive(Clone, Debug)]
enum Event {
    /// A register access.
    Read { offset: u64, bytes: u8 },
    /// A register access.
    Write { offset: u64, bytes: u8, value: u64 },
    /// The guest writes memory, rings perhaps.
    Store { address: u64, bytes: Vec<u8> },
    /// The driver makes chains available and notifies.
    Offer { queue: usize, offer: Offer },
    /// The device is initialized, with queues that may be anywhere.
    BringUp { places: [Place; 2] },
    /// The oldest request is completed, or a frame comes in.
    Input { failed: bool, bytes: usize },
    /// The device is saved, and another one takes over.
    Restore,
}

/// Addresses in and around RAM.
fn ring_address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..0x4000u64,
        1 => RAM_END - 64..RAM_END + 64,
        1 => HIGH_RAM - 64..HIGH_RAM + 64,
        1 => Just(u64::MAX - 15),
        1 => any::<u64>(),
    ]
}

/// Places that are mostly acceptable, and all over each other.
fn place() -> impl Strategy<Value = Place> {
    let sizes = prop_oneof![9 => (0..9u32).prop_map(|power| 1 << power), 1 => any::<u32>()];
    (sizes, ring_address(), ring_address(), ring_address()).prop_map(
        |(size, descriptors, available, used)| Place {
            size,
            descriptors: descriptors & !15,
            available: available & !1,
            used: used & !3,
        },
    )
}

/// Places that are all right.
fn usual_places() -> [Place; 2] {
    [0, 1].map(|queue| Place::usual(queue, SIZE.into()))
}

fn event(offer: impl Strategy<Value = Event>) -> impl Strategy<Value = Event> {
    let contents = prop::collection::vec(0..9u8, 1..100);
    let register = prop_oneof![9 => (0..0x50u64).prop_map(|index| 4 * index), 1 => any::<u64>()];
    let width = prop_oneof![9 => Just(4u8), 1 => any::<u8>()];
    let value = prop_oneof![8 => 0..16u64, 1 => any::<u64>()];
    let notify = (0..3u64).prop_map(|value| Event::Write { offset: register::QUEUE_NOTIFY, bytes: 4, value });
    prop_oneof![
        1 => (register.clone(), width.clone()).prop_map(|(offset, bytes)| Event::Read { offset, bytes }),
        2 => (register, width, value).prop_map(|(offset, bytes, value)| Event::Write { offset, bytes, value }),
        1 => (0..0x4000u64, contents).prop_map(|(address, bytes)| Event::Store { address, bytes }),
        9 => offer,
        1 => [place(), place()].prop_map(|places| Event::BringUp { places }),
        3 => Just(Event::BringUp { places: usual_places() }),
        4 => notify,
        4 => (any::<bool>(), 0..1600usize).prop_map(|(failed, bytes)| Event::Input { failed, bytes }),
        1 => Just(Event::Restore),
    ]
}

/// A disk has one queue.
fn disk_event() -> impl Strategy<Value = Event> {
    event(offer(request()).prop_map(|offer| Event::Offer { queue: 0, offer }))
}

/// A network interface has one queue for each direction.
fn network_event() -> impl Strategy<Value = Event> {
    let receive = offer(room()).prop_map(|offer| Event::Offer { queue: 0, offer });
    let transmit = offer(packet()).prop_map(|offer| Event::Offer { queue: 1, offer });
    event(prop_oneof![receive, transmit])
}

/// A slot and its surroundings.
struct Bench {
    slot: Slot,
    make: fn() -> Slot,
    memory: GuestRam,
    outputs: Vec<Output>,
    reads: Vec<u64>,
    places: [Place; 2],
}

impl Bench {
    fn new(make: fn() -> Slot) -> Self {
        let places = usual_places();
        let (outputs, reads) = (Vec::new(), Vec::new());
        let mut bench = Self { slot: make(), make, memory: test_ram(), outputs, reads, places };
        bench.bring_up(&places);
        bench
    }

    fn set(&mut self, register: u64, value: u32) {
        self.slot.write(register, 4, value.into(), &self.memory, &mut self.outputs);
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Read { offset, bytes } => self.reads.push(self.slot.read(*offset, *bytes)),
            Event::Write { offset, bytes, value } => {
                self.slot.write(*offset, *bytes, *value, &self.memory, &mut self.outputs);
            }
            Event::Store { address, bytes } => {
                self.memory.write_slice(bytes, GuestAddress(*address)).unwrap();
            }
            Event::Offer { queue, offer } => self.offer(*queue, offer),
            Event::BringUp { places } => self.bring_up(places),
            Event::Input { failed, bytes } => self.input(*failed, *bytes),
            Event::Restore => self.restore(),
        }
        self.reads.push(self.slot.interrupt_line().into());
    }

    /// Errors are those of a guest whose rings are not in RAM.
    fn offer(&mut self, queue: usize, offer: &Offer) {
        let Place { size, descriptors, available, .. } = self.places[queue];
        offer.fill_buffers(&self.memory);
        offer.fill_table(&self.memory, descriptors);
        let index_at = GuestAddress(available.wrapping_add(2));
        let mut index = self.memory.read_obj::<u16>(index_at).unwrap_or(0);
        for head in &offer.heads {
            let slot = u64::from(index).checked_rem(size.into()).unwrap_or(0);
            let _ = self.memory.write_obj(*head, GuestAddress(available.wrapping_add(4 + 2 * slot)));
            index = index.wrapping_add(1);
        }
        let _ = self.memory.write_obj(index, index_at);
        self.set(register::QUEUE_NOTIFY, queue as u32);
    }

    fn bring_up(&mut self, places: &[Place; 2]) {
        self.set(register::STATUS, 0);
        self.set(register::STATUS, 3);
        for select in 0..2 {
            self.set(register::DEVICE_FEATURES_SELECT, select);
            self.set(register::DRIVER_FEATURES_SELECT, select);
            let offered = self.slot.read(register::DEVICE_FEATURES, 4) as u32;
            self.set(register::DRIVER_FEATURES, offered);
        }
        self.set(register::STATUS, 11);
        self.places = *places;
        for (queue, place) in (0..).zip(places) {
            let _ = self.memory.write_obj(0u32, GuestAddress(place.available));
            self.set(register::QUEUE_SELECT, queue);
            self.set(register::QUEUE_SIZE, place.size);
            self.set(register::QUEUE_DESCRIPTORS, place.descriptors as u32);
            self.set(register::QUEUE_DESCRIPTORS + 4, (place.descriptors >> 32) as u32);
            self.set(register::QUEUE_AVAILABLE, place.available as u32);
            self.set(register::QUEUE_AVAILABLE + 4, (place.available >> 32) as u32);
            self.set(register::QUEUE_USED, place.used as u32);
            self.set(register::QUEUE_USED + 4, (place.used >> 32) as u32);
            self.set(register::QUEUE_READY, 1);
        }
        self.set(register::STATUS, 15);
    }

    fn input(&mut self, failed: bool, bytes: usize) {
        match &mut self.slot {
            Slot::Net(transport) => transport.receive(&vec![7; bytes], &self.memory),
            Slot::Block(transport) => {
                let Some((id, operation)) = transport.device().reissue().into_iter().next() else { return };
                let status = if failed { DiskStatus::Failed } else { DiskStatus::Done };
                let data = match operation {
                    DiskOperation::Read { bytes, .. } if !failed => vec![9; bytes as usize],
                    _ => Vec::new(),
                };
                transport.complete(id, status, &data, &self.memory).unwrap();
            }
        }
    }

    fn restore(&mut self) {
        let state = self.slot.save();
        self.slot = (self.make)().restore(state.clone(), &self.memory).unwrap();
        assert_eq!(self.slot.save(), state);
    }
}

/// Runs the same events twice, the second time without saving and restoring in between.
fn run_twice(make: fn() -> Slot, events: &[Event]) {
    let (mut first, mut second) = (Bench::new(make), Bench::new(make));
    for event in events {
        first.apply(event);
        if matches!(event, Event::Restore) {
            second.reads.push(second.slot.interrupt_line().into());
        } else {
            second.apply(event);
        }
    }
    assert_eq!(first.reads, second.reads);
    assert_eq!(first.outputs, second.outputs);
    assert_eq!(first.slot.save(), second.slot.save());
    assert!(dump(&first.memory) == dump(&second.memory), "memory differs");
}

proptest! {
    #[test]
    fn a_disk_survives_any_guest_and_is_deterministic(events in prop::collection::vec(disk_event(), 1..40)) {
        run_twice(|| Slot::from(disk()), &events);
    }

    #[test]
    fn a_network_interface_survives_any_guest_and_is_deterministic(
        events in prop::collection::vec(network_event(), 1..40),
    ) {
        run_twice(|| Slot::from(network()), &events);
    }
}
