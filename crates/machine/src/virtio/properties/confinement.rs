//! A device writes only what the driver has given it to write: used rings and writable buffers.

use proptest::prelude::*;

use super::*;
use crate::virtio::VirtioDevice;
use crate::virtio::driver::{Driver, Place, WRITE, dump};
use crate::world::{DiskOperation, DiskStatus};

/// Everything that a device may have written: used rings and writable buffers.
fn may_be_written(queues: u32, offer: &Offer) -> Vec<(u64, u64)> {
    let used = (0..queues).map(|queue| (Place::usual(queue, SIZE.into()).used, 6 + 8 * u64::from(SIZE)));
    let buffers = offer
        .descriptors
        .iter()
        .filter(|descriptor| descriptor.flags & WRITE != 0)
        .filter(|descriptor| descriptor.address.saturating_add(descriptor.bytes.into()) <= RAM_END)
        .map(|descriptor| (descriptor.address, descriptor.bytes.into()));
    used.chain(buffers).collect()
}

/// All of RAM with those ranges blanked.
fn dump_without(memory: &GuestRam, ranges: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = dump(memory);
    for &(address, length) in ranges {
        bytes[address as usize..][..length as usize].fill(0);
    }
    bytes
}

/// Puts an offer into all queues.
fn rig<D: VirtioDevice>(driver: &mut Driver<D>, offer: &Offer) {
    offer.fill_buffers(&driver.memory);
    for queue in 0..D::QUEUES {
        offer.fill_table(&driver.memory, Place::usual(queue as u32, SIZE.into()).descriptors);
        offer.heads.iter().for_each(|&head| driver.make_available(queue, head));
    }
}

proptest! {
    #[test]
    fn a_disk_writes_only_where_it_may(offer in offer(request())) {
        let mut driver = Driver::ready(disk(), SIZE.into());
        rig(&mut driver, &offer);
        let ranges = may_be_written(1, &offer);
        let before = dump_without(&driver.memory, &ranges);
        driver.notify(0);
        for (id, operation) in driver.transport.device().reissue() {
            let data = match operation {
                DiskOperation::Read { bytes, .. } => vec![9; bytes as usize],
                _ => Vec::new(),
            };
            driver.transport.complete(id, DiskStatus::Done, &data, &driver.memory).unwrap();
        }
        prop_assert!(dump_without(&driver.memory, &ranges) == before);
    }

    #[test]
    fn a_network_interface_writes_only_where_it_may(
        offer in prop_oneof![offer(packet()), offer(room())],
        frames in prop::collection::vec(14..1600usize, 0..5),
    ) {
        let mut driver = Driver::ready(network(), SIZE.into());
        rig(&mut driver, &offer);
        let ranges = may_be_written(2, &offer);
        let before = dump_without(&driver.memory, &ranges);
        frames.iter().for_each(|&bytes| driver.transport.receive(&vec![7; bytes], &driver.memory));
        driver.notify(1);
        driver.notify(0);
        prop_assert!(dump_without(&driver.memory, &ranges) == before);
    }
}
