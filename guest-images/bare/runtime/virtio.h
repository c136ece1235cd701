/*
 * virtio over MMIO, version 2 without legacy, and split queues. Citations are of the VirtIO 1.1
 * specification.
 */

#ifndef VIRTIO_H
#define VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

/* Registers, 4.2.2. */
enum virtio_register {
	VIRTIO_MAGIC = 0x000,
	VIRTIO_VERSION = 0x004,
	VIRTIO_DEVICE_ID = 0x008,
	VIRTIO_VENDOR_ID = 0x00c,
	VIRTIO_DEVICE_FEATURES = 0x010,
	VIRTIO_DEVICE_FEATURES_SELECT = 0x014,
	VIRTIO_DRIVER_FEATURES = 0x020,
	VIRTIO_DRIVER_FEATURES_SELECT = 0x024,
	VIRTIO_QUEUE_SELECT = 0x030,
	VIRTIO_QUEUE_SIZE_MAX = 0x034,
	VIRTIO_QUEUE_SIZE = 0x038,
	VIRTIO_QUEUE_READY = 0x044,
	VIRTIO_QUEUE_NOTIFY = 0x050,
	VIRTIO_INTERRUPT_STATUS = 0x060,
	VIRTIO_INTERRUPT_ACK = 0x064,
	VIRTIO_STATUS = 0x070,
	VIRTIO_QUEUE_DESCRIPTORS = 0x080,
	VIRTIO_QUEUE_AVAILABLE = 0x090,
	VIRTIO_QUEUE_USED = 0x0a0,
	VIRTIO_CONFIG_GENERATION = 0x0fc,
	VIRTIO_CONFIG = 0x100,
};

#define VIRTIO_MAGIC_VALUE 0x74726976u

enum virtio_id {
	VIRTIO_NET = 1,
	VIRTIO_BLOCK = 2,
};

#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER 2u
#define VIRTIO_STATUS_DRIVER_OK 4u
#define VIRTIO_STATUS_FEATURES_OK 8u

#define VIRTIO_F_VERSION_1 (1ul << 32)

#define VIRTIO_SLOTS 8

struct virtio_device {
	uint64_t base;
	unsigned irq;
};

uint64_t virtio_slot_base(unsigned slot);
unsigned virtio_slot_irq(unsigned slot);

/* Finds the n-th device (from 0) of that kind, in the order of the slots. */
bool virtio_find(enum virtio_id id, unsigned n, struct virtio_device *device);

uint32_t virtio_read(const struct virtio_device *device, uint32_t offset);
void virtio_write(const struct virtio_device *device, uint32_t offset, uint32_t value);
/* A 64-bit register or field as two of 32 bits, low half first. */
uint64_t virtio_read64(const struct virtio_device *device, uint32_t offset);
void virtio_write64(const struct virtio_device *device, uint32_t offset, uint64_t value);

void virtio_reset(const struct virtio_device *device);

/* Resets, and agrees on VERSION_1 and those of the wanted features that are offered; returns them. */
uint64_t virtio_negotiate(const struct virtio_device *device, uint64_t wanted);
void virtio_driver_ok(const struct virtio_device *device);

/* Acknowledges the device's interrupts as they come, so that HLT wakes; the rings tell the rest. */
void virtio_enable_interrupt(const struct virtio_device *device);

#define QUEUE_SIZE 128

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4

#define AVAILABLE_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct available_ring {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[QUEUE_SIZE];
};

struct used_ring {
	uint16_t flags;
	uint16_t index;
	struct {
		uint32_t id;
		uint32_t length;
	} ring[QUEUE_SIZE];
};

/* The parts shared with the device come first; 2.6 asks for alignments of 16, 2 and 4. */
struct virtqueue {
	struct descriptor descriptors[QUEUE_SIZE] __attribute__((aligned(16)));
	volatile struct available_ring available __attribute__((aligned(2)));
	volatile struct used_ring used __attribute__((aligned(4)));
	struct virtio_device device;
	unsigned index;
	unsigned size; /* a power of two, at most QUEUE_SIZE */
	unsigned free_count;
	uint16_t first_free;
	uint16_t used_seen;
};

struct segment {
	const void *address;
	uint32_t length;
	bool device_writes;
};

void virtqueue_init(struct virtqueue *queue, const struct virtio_device *device, unsigned index);

/* Makes a chain available; its head identifies it. Fails the guest if descriptors are short. */
uint16_t virtqueue_submit(struct virtqueue *queue, const struct segment *segments, unsigned count);

/* Tells the device, unless it asked not to be told. */
void virtqueue_notify(struct virtqueue *queue);

/* Takes one used chain back, if there is one. */
bool virtqueue_take(struct virtqueue *queue, uint16_t *head, uint32_t *length);

#endif
