//! What a driver sees of the registers, whether it keeps to the rules or not.

use super::*;
use crate::virtio::block::Block;
use crate::virtio::driver::{
    CONFIGURATION_CHANGE, Driver, HIGH_RAM, Place, RAM_END, USED_BUFFER, dump, readable, register, status,
    writable,
};
use crate::virtio::fault::RestoreError;
use crate::virtio::net::Net;
use crate::world::{DiskIndex, NetworkIndex};

fn disk() -> Block {
    Block::new(DiskIndex(0), 0x1_0000, false, "disk")
}

fn network() -> Net {
    Net::new(NetworkIndex(0), [2, 0, 0, 0xaa, 0xbb, 0xcc])
}

/// A driver that has got as far as `FEATURES_OK`.
fn settled() -> Driver<Block> {
    let mut driver = Driver::new(disk());
    driver.set(register::STATUS, status::DRIVER);
    let offered = driver.offered();
    assert!(driver.settle(offered.into()));
    driver
}

#[test]
fn a_driver_recognizes_the_devices() {
    let identity = |at: &dyn Fn(u64) -> u32| [at(0), at(4), at(8), at(12)];
    let disk = Driver::new(disk());
    assert_eq!(identity(&|offset| disk.get(offset)), [0x7472_6976, 2, 2, 0x4c54_554f]);
    let network = Driver::new(network());
    assert_eq!(identity(&|offset| network.get(offset)), [0x7472_6976, 2, 1, 0x4c54_554f]);
}

#[test]
fn devices_come_up_in_the_order_of_linux() {
    let mut disk = Driver::ready(disk(), 256);
    assert_eq!(disk.offered(), 1 << 32 | 1 << 9 | 1 << 6 | 1 << 2 | 1 << 1);
    assert!(disk.transport.is_live());
    let mut network = Driver::ready(network(), 256);
    assert_eq!(network.offered(), 1 << 32 | 1 << 5);
    assert!(network.transport.is_live());
}

#[test]
fn features_beyond_the_second_half_are_zero() {
    let mut driver = Driver::new(disk());
    for select in [2, 3, 4, u32::MAX] {
        driver.set(register::DEVICE_FEATURES_SELECT, select);
        assert_eq!(driver.get(register::DEVICE_FEATURES), 0);
    }
}

#[test]
fn a_feature_that_is_not_offered_is_refused() {
    for bit in 0..128 {
        let mut driver = Driver::new(disk());
        driver.set(register::STATUS, status::DRIVER);
        let offered = u128::from(driver.offered());
        let is_offered = offered & 1 << bit != 0;
        assert_eq!(driver.settle(offered | 1 << bit), is_offered, "bit {bit}");
    }
}

#[test]
fn demanded_features_cannot_be_left_out() {
    for (missing, agrees) in [(32, false), (9, false), (6, true), (2, true), (1, true)] {
        let mut driver = Driver::new(disk());
        driver.set(register::STATUS, status::DRIVER);
        let offered = u128::from(driver.offered());
        assert_eq!(driver.settle(offered & !(1 << missing)), agrees, "without bit {missing}");
    }
}

#[test]
fn refused_features_can_be_corrected() {
    let mut driver = Driver::new(disk());
    driver.set(register::STATUS, status::DRIVER);
    assert!(!driver.settle(1 << 28));
    driver.set(register::STATUS, status::DRIVER_OK);
    assert_eq!(driver.get(register::STATUS), status::DRIVER);
    assert!(driver.settle(1 << 32 | 1 << 9));
}

#[test]
fn features_are_chosen_between_driver_and_features_ok_only() {
    let mut driver = Driver::new(disk());
    driver.set(register::DRIVER_FEATURES, u32::MAX);
    assert_eq!(driver.transport.save().driver_features, 0);
    let mut driver = settled();
    let before = driver.transport.save().driver_features;
    driver.set(register::DRIVER_FEATURES, u32::MAX);
    assert_eq!(driver.transport.save().driver_features, before);
}

#[test]
fn accesses_that_are_not_of_a_register_read_ones_and_write_nothing() {
    let mut driver = settled();
    let before = driver.transport.save();
    for (offset, bytes) in [(0x70, 1), (0x70, 2), (0x70, 8), (0x72, 4), (0x71, 1), (0x6e, 4), (0x44, 0)] {
        driver.transport.write(offset, bytes, 0, &driver.memory, &mut driver.outputs);
        let ones = if bytes == 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
        assert_eq!(driver.transport.read(offset, bytes), ones, "{bytes} bytes at {offset:#x}");
    }
    assert_eq!(driver.transport.save(), before);
}

#[test]
fn registers_for_what_is_not_offered_do_nothing() {
    let mut driver = settled();
    let before = driver.transport.save();
    for offset in [0x18, 0x28, 0x3c, 0x40, 0x48, 0xac, 0xc0, 0xf8] {
        driver.set(offset, 1);
        assert_eq!(driver.get(offset), 0, "{offset:#x}");
    }
    for offset in [0xb0, 0xb4, 0xb8, 0xbc] {
        assert_eq!(driver.get(offset), u32::MAX, "no shared memory: {offset:#x}");
    }
    assert_eq!(driver.transport.save(), before);
}

#[test]
fn the_configuration_space_reads_in_every_width_from_every_offset() {
    let mut driver = Driver::new(network());
    let mut expected = [2, 0, 0, 0xaa, 0xbb, 0xcc].to_vec();
    expected.resize(32, 0);
    for bytes in 1..=8u8 {
        for offset in 0..20 {
            let mut wanted = [0; 8];
            wanted[..bytes.into()].copy_from_slice(&expected[offset..offset + usize::from(bytes)]);
            let found = driver.transport.read(0x100 + offset as u64, bytes);
            assert_eq!(found, u64::from_le_bytes(wanted), "{bytes} bytes at {offset}");
        }
    }
    driver.transport.write(0x100, 4, 0, &driver.memory, &mut driver.outputs);
    assert_eq!(driver.transport.read(0x100, 1), 2);
    assert_eq!(driver.transport.read(u64::MAX, 8), 0);
}

#[test]
fn a_disk_tells_its_limits() {
    let driver = Driver::new(disk());
    assert_eq!(driver.transport.read(0x100, 8), 0x1_0000);
    assert_eq!([0x108, 0x10c, 0x114].map(|offset| driver.get(offset)), [8192, 128, 512]);
    assert_eq!(driver.get(0xfc), 0);
}

#[test]
fn queues_that_do_not_exist_stay_out_of_use() {
    let mut driver = settled();
    for queue in [1, 2, u32::MAX] {
        driver.set_up_queue(queue, Place::usual(0, 16));
        assert_eq!(driver.get(register::QUEUE_SIZE_MAX), 0);
        assert_eq!(driver.get(register::QUEUE_READY), 0);
    }
    driver.set(register::QUEUE_SELECT, 0);
    assert_eq!(driver.get(register::QUEUE_SIZE_MAX), 256);
    assert!(!driver.is_broken());
}

#[test]
fn queues_are_not_set_up_before_the_features_are_settled() {
    let mut driver = Driver::new(disk());
    driver.set(register::STATUS, status::DRIVER);
    driver.set_up_queue(0, Place::usual(0, 16));
    assert_eq!(driver.get(register::QUEUE_READY), 0);
    assert_eq!(driver.transport.save().queues[0], Default::default());
    assert!(!driver.is_broken());
}

#[test]
fn a_queue_in_use_cannot_be_moved() {
    let mut driver = Driver::ready(disk(), 16);
    let before = driver.transport.save();
    driver.set_up_queue(0, Place::usual(1, 32));
    assert_eq!(driver.transport.save(), before);
}

#[test]
fn a_queue_that_was_stopped_starts_from_the_beginning() {
    let mut driver = Driver::ready(disk(), 16);
    driver.offer(0, &[readable(0x4_0000, 16), writable(0x5_0000, 513)]);
    driver.notify(0);
    driver.set(register::QUEUE_READY, 0);
    assert_eq!(driver.get(register::QUEUE_READY), 0);
    driver.set_up_queue(0, Place::usual(0, 16));
    let position = driver.transport.save().queues[0].position;
    assert_eq!(position, Some(Default::default()));
    assert!(driver.transport.device().reissue().is_empty());
}

#[test]
fn impossible_sizes_need_a_reset() {
    for size in [0, 3, 255, 257, 512, 0x8000, 0x1_0000, 0x1_0010, u32::MAX] {
        let mut driver = settled();
        driver.set_up_queue(0, Place::usual(0, size));
        assert!(driver.is_broken(), "{size}");
        assert_eq!(driver.get(register::QUEUE_READY), 0);
    }
    for size in (0..=8).map(|power| 1 << power) {
        let mut driver = settled();
        driver.set_up_queue(0, Place::usual(0, size));
        assert!(!driver.is_broken(), "{size}");
    }
}

#[test]
fn misplaced_rings_need_a_reset() {
    let usual = Place::usual(0, 256);
    let anywhere =
        [RAM_END, RAM_END - 16, HIGH_RAM - 16, HIGH_RAM + RAM_END - 16, 0xd000_0000, u64::MAX - 15, 1 << 63];
    let misaligned = [1, 2, 8].map(|by| Place { descriptors: usual.descriptors + by, ..usual });
    let places = anywhere.iter().flat_map(|&address| {
        [
            Place { descriptors: address, ..usual },
            Place { available: address, ..usual },
            Place { used: address, ..usual },
        ]
    });
    let others = [
        Place { available: usual.available + 1, ..usual },
        Place { available: 0, ..usual },
        Place { used: usual.used + 2, ..usual },
    ];
    for place in places.chain(misaligned).chain(others) {
        let mut driver = settled();
        driver.set_up_queue(0, place);
        assert!(driver.is_broken(), "{place:x?}");
        assert_eq!(driver.get(register::INTERRUPT_STATUS), 0, "no interrupt before DRIVER_OK");
    }
}

#[test]
fn rings_may_lie_anywhere_in_ram() {
    let top = Place {
        size: 256,
        descriptors: HIGH_RAM,
        available: RAM_END - (6 + 2 * 256),
        used: HIGH_RAM + RAM_END - 2056,
    };
    let mut driver = settled();
    driver.set_up_queue(0, top);
    assert_eq!(driver.get(register::QUEUE_READY), 1);
}

#[test]
fn notifications_out_of_order_do_nothing() {
    let mut driver = settled();
    driver.set_up_queue(0, Place::usual(0, 16));
    driver.offer(0, &[readable(0x4_0000, 16), writable(0x5_0000, 513)]);
    let (before, ram) = (driver.transport.save(), dump(&driver.memory));
    driver.notify(0);
    assert_eq!(driver.transport.save(), before);
    driver.set(register::STATUS, status::DRIVER_OK);
    let before = driver.transport.save();
    for queue in [1, 2, 0x1_0000, u32::MAX] {
        driver.notify(queue);
    }
    assert_eq!(driver.transport.save(), before);
    assert_eq!(dump(&driver.memory), ram);
    assert!(driver.outputs.is_empty());
    driver.notify(0);
    assert_eq!(driver.outputs.len(), 1);
}

#[test]
fn a_live_device_that_needs_a_reset_says_so_and_does_no_more() {
    let mut driver = Driver::ready(disk(), 16);
    driver.advance_available(0, 17);
    driver.notify(0);
    assert!(driver.is_broken());
    assert_eq!(driver.get(register::INTERRUPT_STATUS), CONFIGURATION_CHANGE);
    assert!(driver.transport.interrupt_line());
    driver.set_up_queue(0, Place::usual(0, 16));
    driver.notify(0);
    assert!(driver.outputs.is_empty());
    driver.bring_up(16);
    assert!(driver.transport.is_live());
}

#[test]
fn a_device_of_a_driver_that_failed_does_no_more() {
    let mut driver = Driver::ready(disk(), 16);
    driver.set(register::STATUS, 0x80 | status::DRIVER_OK);
    driver.offer(0, &[readable(0x4_0000, 16), writable(0x5_0000, 513)]);
    driver.notify(0);
    assert!(driver.outputs.is_empty());
}

#[test]
fn the_interrupt_line_is_up_until_all_is_acknowledged() {
    let mut driver = Driver::ready(disk(), 16);
    driver.store(0x4_0000, 0xffu32.to_le_bytes());
    driver.offer(0, &[readable(0x4_0000, 16), writable(0x5_0000, 1)]);
    driver.notify(0);
    driver.advance_available(0, 17);
    driver.notify(0);
    assert_eq!(driver.get(register::INTERRUPT_STATUS), USED_BUFFER | CONFIGURATION_CHANGE);
    driver.set(register::INTERRUPT_ACKNOWLEDGE, USED_BUFFER);
    assert!(driver.transport.interrupt_line());
    driver.set(register::INTERRUPT_ACKNOWLEDGE, !USED_BUFFER);
    assert!(!driver.transport.interrupt_line());
}

#[test]
fn a_reset_leaves_nothing_but_the_next_request_number() {
    let mut driver = Driver::ready(disk(), 16);
    driver.offer(0, &[readable(0x4_0000, 16), writable(0x5_0000, 513)]);
    driver.advance_available(0, 100);
    driver.notify(0);
    driver.advance_available(0, 0u16.wrapping_sub(100));
    driver.bring_up(16);
    driver.offer(0, &[readable(0x4_0000, 16), writable(0x5_0000, 513)]);
    driver.notify(0);
    driver.set(register::QUEUE_SELECT, 5);
    driver.set(register::STATUS, 0);
    let mut expected = Driver::new(disk()).transport.save();
    expected.device.next_request = driver.transport.save().device.next_request;
    assert_eq!(driver.transport.save(), expected);
}

#[test]
fn states_that_no_device_has_are_refused() {
    let driver = Driver::ready(disk(), 16);
    type Change = fn(&mut MmioState<crate::virtio::BlockState>);
    let changes: [Change; 8] = [
        |state| state.status = 4,
        |state| state.interrupts = 4,
        |state| state.queues.clear(),
        |state| state.driver_features = 0,
        |state| state.driver_features |= 1 << 100,
        |state| state.status = 3,
        |state| state.queues[0].size = 3,
        |state| state.queues[0].used = RAM_END,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut state = driver.transport.save();
        change(&mut state);
        let restored: Result<_, RestoreError> = VirtioMmio::new(disk()).restore(state, &driver.memory);
        assert!(restored.is_err(), "change {i}");
    }
    let restored = VirtioMmio::new(disk()).restore(driver.transport.save(), &driver.memory);
    assert_eq!(restored.unwrap().save(), driver.transport.save());
}
