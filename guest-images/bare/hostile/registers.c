/* The registers of a virtio device, in the wrong order, with wrong values, at wrong widths. */

#include "cases.h"
#include "console.h"

#define ABSENT_QUEUE 77

/* Notifications at every stage before the device is in use. */
void case_early_notify(const struct victim *victim)
{
	virtio_reset(&victim->device);
	raw_notify(victim);
	virtio_write(&victim->device, VIRTIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
	raw_notify(victim);
	raw_begin(victim);
	raw_notify(victim);
	raw_describe_good(victim);
	raw.available.index = 1;
	virtio_write(&victim->device, VIRTIO_QUEUE_SELECT, victim->queue);
	virtio_write(&victim->device, VIRTIO_QUEUE_SIZE, QUEUE_SIZE);
	virtio_write(&victim->device, VIRTIO_QUEUE_READY, 1);
	raw_notify(victim);
	/* In use, but its queue never set up. */
	raw_begin(victim);
	virtio_driver_ok(&victim->device);
	raw_notify(victim);
}

void case_absent_queue(const struct victim *victim)
{
	struct victim absent = *victim;
	absent.queue = ABSENT_QUEUE;
	raw_begin(victim);
	virtio_write(&victim->device, VIRTIO_QUEUE_SELECT, ABSENT_QUEUE);
	expect_equal("largest size of an absent queue", virtio_read(&victim->device, VIRTIO_QUEUE_SIZE_MAX), 0);
	raw_describe_good(victim);
	raw_place(&absent, (uint64_t)raw.descriptors, (uint64_t)&raw.available, (uint64_t)&raw.used, QUEUE_SIZE);
	raw_offer(&absent, 0);
	absent.queue = 0xffff;
	raw_notify(&absent);
	absent.queue = 0xffffffff;
	virtio_write(&victim->device, VIRTIO_QUEUE_SELECT, absent.queue);
	raw_notify(&absent);
}

/* Features that were never offered, none at all, and selectors that do not exist. */
void case_features(const struct victim *victim)
{
	static const uint32_t features[] = {0, 0xffffffff, 0x55555555};
	const struct virtio_device *device = &victim->device;
	for (unsigned i = 0; i < sizeof features / sizeof features[0]; i++) {
		virtio_reset(device);
		virtio_write(device, VIRTIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
		for (uint32_t select = 0; select < 4; select++) {
			virtio_write(device, VIRTIO_DEVICE_FEATURES_SELECT, select * 0x40000001);
			virtio_read(device, VIRTIO_DEVICE_FEATURES);
			virtio_write(device, VIRTIO_DRIVER_FEATURES_SELECT, select * 0x40000001);
			virtio_write(device, VIRTIO_DRIVER_FEATURES, features[i]);
		}
		virtio_write(device, VIRTIO_STATUS,
			     VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
		raw_place(victim, (uint64_t)raw.descriptors, (uint64_t)&raw.available, (uint64_t)&raw.used, QUEUE_SIZE);
		raw_notify(victim);
	}
}

/* Every status byte, after which rings are moved, notified and acknowledged at random stages. */
void case_status(const struct victim *victim)
{
	for (uint32_t status = 0; status < 256; status += 5) {
		virtio_write(&victim->device, VIRTIO_STATUS, status);
		virtio_write(&victim->device, VIRTIO_QUEUE_READY, status & 1);
		virtio_write(&victim->device, VIRTIO_INTERRUPT_ACK, 0xffffffff);
		virtio_read(&victim->device, VIRTIO_STATUS);
	}
	virtio_write(&victim->device, VIRTIO_STATUS, 0xffffffff);
}

static void access_all_widths(uint64_t first, uint64_t last, uint64_t value)
{
	for (uint64_t address = first; address < last; address++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			read_sized(address, size);
			write_sized(address, size, value);
		}
}

/* The configuration space and far behind it, over the end of the slot, at every alignment. */
void case_config_widths(const struct victim *victim)
{
	uint64_t base = victim->device.base;
	raw_start(victim);
	access_all_widths(base + VIRTIO_CONFIG, base + VIRTIO_CONFIG + 0x60, 0xffffffffffffffff);
	access_all_widths(base + 0x1f4, base + 0x200, 0xffffffffffffffff);
}

/*
 * All registers at all widths and alignments. The values are such that, as an address of a ring, they
 * lie outside memory: what a device makes of narrow writes is open, but must not hurt the guest.
 */
void case_register_widths(const struct victim *victim)
{
	static const uint64_t values[] = {0xffffffffffffffff, 0xaaaaaaaaaaaaaaaa};
	for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
		raw_start(victim);
		access_all_widths(victim->device.base, victim->device.base + VIRTIO_CONFIG, values[i]);
	}
}
