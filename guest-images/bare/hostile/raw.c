#include "block.h"
#include "boot.h"
#include "cases.h"
#include "cpu.h"
#include "string.h"

/* Reads that a device gets to react: exits, not time, so that every run has as many. */
#define SETTLE_READS 16

struct virtqueue raw;
uint8_t scratch[SCRATCH_SIZE] __attribute__((aligned(PAGE_SIZE)));

void raw_begin(const struct victim *victim)
{
	virtio_negotiate(&victim->device, ~0ul);
	memset(&raw, 0, sizeof raw);
}

void raw_place(const struct victim *victim, uint64_t descriptors, uint64_t available, uint64_t used, uint32_t size)
{
	const struct virtio_device *device = &victim->device;
	virtio_write(device, VIRTIO_QUEUE_SELECT, victim->queue);
	virtio_write(device, VIRTIO_QUEUE_SIZE, size);
	virtio_write64(device, VIRTIO_QUEUE_DESCRIPTORS, descriptors);
	virtio_write64(device, VIRTIO_QUEUE_AVAILABLE, available);
	virtio_write64(device, VIRTIO_QUEUE_USED, used);
	virtio_write(device, VIRTIO_QUEUE_READY, 1);
	virtio_write(device, VIRTIO_STATUS,
		     VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
			     VIRTIO_STATUS_DRIVER_OK);
}

void raw_start(const struct victim *victim)
{
	raw_begin(victim);
	raw_place(victim, (uint64_t)raw.descriptors, (uint64_t)&raw.available, (uint64_t)&raw.used, QUEUE_SIZE);
}

void raw_describe(unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
	raw.descriptors[index] = (struct descriptor){address, length, flags, next};
}

void raw_settle(const struct victim *victim, unsigned reads)
{
	while (reads-- > 0)
		virtio_read(&victim->device, VIRTIO_STATUS);
}

void raw_notify(const struct victim *victim)
{
	compiler_barrier();
	virtio_write(&victim->device, VIRTIO_QUEUE_NOTIFY, victim->queue);
	raw_settle(victim, SETTLE_READS);
	virtio_write(&victim->device, VIRTIO_INTERRUPT_ACK, virtio_read(&victim->device, VIRTIO_INTERRUPT_STATUS));
}

void raw_offer(const struct victim *victim, uint16_t head)
{
	raw.available.ring[raw.available.index % QUEUE_SIZE] = head;
	compiler_barrier();
	raw.available.index++;
	raw_notify(victim);
}

void raw_describe_good(const struct victim *victim)
{
	memset(scratch, 0, sizeof(struct block_header));
	if (victim->id == VIRTIO_NET) {
		raw_describe(0, (uint64_t)scratch, 80, victim->queue == 0 ? DESCRIPTOR_WRITE : 0, 0);
		return;
	}
	/* A header of zeros is a read of sector 0. */
	raw_describe(0, (uint64_t)scratch, sizeof(struct block_header), DESCRIPTOR_NEXT, 1);
	raw_describe(1, (uint64_t)scratch + 1024, SECTOR_SIZE, DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 2);
	raw_describe(2, (uint64_t)scratch + 4096, 1, DESCRIPTOR_WRITE, 0);
}

const unsigned bad_address_count = 7;

uint64_t bad_address(const struct victim *victim, unsigned n)
{
	switch (n) {
	case 0:
		return boot_ram_end();
	case 1:
		return boot_ram_end() - 8;
	case 2:
		return victim->device.base;
	case 3:
		return 0xe0000000;
	case 4:
		return 1ul << 52;
	case 5:
		return 1ul << 63;
	default:
		return -16ul;
	}
}

uint64_t read_sized(uint64_t address, unsigned size)
{
	uint64_t value = 0;
	switch (size) {
	case 1:
		asm volatile("movb (%1), %b0" : "+r"(value) : "r"(address) : "memory");
		break;
	case 2:
		asm volatile("movw (%1), %w0" : "+r"(value) : "r"(address) : "memory");
		break;
	case 4:
		asm volatile("movl (%1), %k0" : "=r"(value) : "r"(address) : "memory");
		break;
	default:
		asm volatile("movq (%1), %q0" : "=r"(value) : "r"(address) : "memory");
		break;
	}
	return value;
}

void write_sized(uint64_t address, unsigned size, uint64_t value)
{
	switch (size) {
	case 1:
		asm volatile("movb %b0, (%1)" : : "r"(value), "r"(address) : "memory");
		break;
	case 2:
		asm volatile("movw %w0, (%1)" : : "r"(value), "r"(address) : "memory");
		break;
	case 4:
		asm volatile("movl %k0, (%1)" : : "r"(value), "r"(address) : "memory");
		break;
	default:
		asm volatile("movq %q0, (%1)" : : "r"(value), "r"(address) : "memory");
		break;
	}
}
