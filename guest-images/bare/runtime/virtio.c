#include "virtio.h"

#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "pic.h"
#include "string.h"

/*
 * Where the slots are. The command line word virtio=<base>,<stride>,<first irq> places them
 * elsewhere, with consecutive IRQs, as on other monitors.
 */
#define SLOT_BASE 0xd0000000ul
#define SLOT_STRIDE 0x1000ul
static const uint8_t slot_irqs[VIRTIO_SLOTS] = {5, 9, 10, 11, 12, 6, 3, 14};

static uint64_t slot_word(unsigned field, uint64_t otherwise)
{
	size_t length;
	const char *text = boot_word("virtio", &length);
	if (text == NULL)
		return otherwise;
	uint64_t value = boot_parse_number(&text);
	for (; field > 0; field--) {
		if (*text++ != ',')
			fail("virtio=: expected <base>,<stride>,<first irq>");
		value = boot_parse_number(&text);
	}
	return value;
}

uint64_t virtio_slot_base(unsigned slot)
{
	return slot_word(0, SLOT_BASE) + slot * slot_word(1, SLOT_STRIDE);
}

unsigned virtio_slot_irq(unsigned slot)
{
	uint64_t first = slot_word(2, 0);
	return first != 0 ? (unsigned)first + slot : slot_irqs[slot];
}

bool virtio_find(enum virtio_id id, unsigned n, struct virtio_device *device)
{
	for (unsigned slot = 0; slot < VIRTIO_SLOTS; slot++) {
		uint64_t base = virtio_slot_base(slot);
		if (mmio_read32(base + VIRTIO_MAGIC) != VIRTIO_MAGIC_VALUE ||
		    mmio_read32(base + VIRTIO_DEVICE_ID) != id)
			continue;
		if (n-- > 0)
			continue;
		*device = (struct virtio_device){base, virtio_slot_irq(slot)};
		expect_equal("virtio version", mmio_read32(base + VIRTIO_VERSION), 2);
		return true;
	}
	return false;
}

uint32_t virtio_read(const struct virtio_device *device, uint32_t offset)
{
	return mmio_read32(device->base + offset);
}

void virtio_write(const struct virtio_device *device, uint32_t offset, uint32_t value)
{
	mmio_write32(device->base + offset, value);
}

uint64_t virtio_read64(const struct virtio_device *device, uint32_t offset)
{
	uint32_t low = virtio_read(device, offset);
	return (uint64_t)virtio_read(device, offset + 4) << 32 | low;
}

void virtio_write64(const struct virtio_device *device, uint32_t offset, uint64_t value)
{
	virtio_write(device, offset, (uint32_t)value);
	virtio_write(device, offset + 4, (uint32_t)(value >> 32));
}

/* The reset is complete when the status reads 0. */
void virtio_reset(const struct virtio_device *device)
{
	virtio_write(device, VIRTIO_STATUS, 0);
	while (virtio_read(device, VIRTIO_STATUS) != 0)
		;
}

static uint64_t offered_features(const struct virtio_device *device)
{
	virtio_write(device, VIRTIO_DEVICE_FEATURES_SELECT, 0);
	uint64_t low = virtio_read(device, VIRTIO_DEVICE_FEATURES);
	virtio_write(device, VIRTIO_DEVICE_FEATURES_SELECT, 1);
	return (uint64_t)virtio_read(device, VIRTIO_DEVICE_FEATURES) << 32 | low;
}

static void accept_features(const struct virtio_device *device, uint64_t features)
{
	virtio_write(device, VIRTIO_DRIVER_FEATURES_SELECT, 0);
	virtio_write(device, VIRTIO_DRIVER_FEATURES, (uint32_t)features);
	virtio_write(device, VIRTIO_DRIVER_FEATURES_SELECT, 1);
	virtio_write(device, VIRTIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

/* The order of 3.1.1. */
uint64_t virtio_negotiate(const struct virtio_device *device, uint64_t wanted)
{
	uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE;
	virtio_reset(device);
	virtio_write(device, VIRTIO_STATUS, status);
	status |= VIRTIO_STATUS_DRIVER;
	virtio_write(device, VIRTIO_STATUS, status);
	uint64_t offered = offered_features(device);
	if ((offered & VIRTIO_F_VERSION_1) == 0)
		fail("the device does not offer VERSION_1, but only features 0x%lx", offered);
	uint64_t features = VIRTIO_F_VERSION_1 | (offered & wanted);
	accept_features(device, features);
	status |= VIRTIO_STATUS_FEATURES_OK;
	virtio_write(device, VIRTIO_STATUS, status);
	expect_equal("status once the features are set", virtio_read(device, VIRTIO_STATUS), status);
	return features;
}

void virtio_driver_ok(const struct virtio_device *device)
{
	uint32_t status = virtio_read(device, VIRTIO_STATUS) | VIRTIO_STATUS_DRIVER_OK;
	virtio_write(device, VIRTIO_STATUS, status);
	expect_equal("status of a device in use", virtio_read(device, VIRTIO_STATUS), status);
}

static uint64_t base_of_irq[16];

static void on_interrupt(struct trap_frame *frame)
{
	uint64_t base = base_of_irq[frame->vector - VECTOR_IRQ_BASE];
	mmio_write32(base + VIRTIO_INTERRUPT_ACK, mmio_read32(base + VIRTIO_INTERRUPT_STATUS));
}

void virtio_enable_interrupt(const struct virtio_device *device)
{
	base_of_irq[device->irq] = device->base;
	irq_handle(device->irq, on_interrupt);
}

static void free_all_descriptors(struct virtqueue *queue)
{
	for (unsigned i = 0; i < queue->size; i++)
		queue->descriptors[i].next = (uint16_t)(i + 1);
	queue->first_free = 0;
	queue->free_count = queue->size;
}

void virtqueue_init(struct virtqueue *queue, const struct virtio_device *device, unsigned index)
{
	memset(queue, 0, sizeof *queue);
	queue->device = *device;
	queue->index = index;
	virtio_write(device, VIRTIO_QUEUE_SELECT, index);
	expect_equal("QueueReady before set-up", virtio_read(device, VIRTIO_QUEUE_READY), 0);
	uint32_t size_max = virtio_read(device, VIRTIO_QUEUE_SIZE_MAX);
	if (size_max == 0)
		fail("queue %u does not exist", index);
	queue->size = size_max < QUEUE_SIZE ? size_max : QUEUE_SIZE;
	free_all_descriptors(queue);
	virtio_write(device, VIRTIO_QUEUE_SIZE, queue->size);
	virtio_write64(device, VIRTIO_QUEUE_DESCRIPTORS, (uint64_t)queue->descriptors);
	virtio_write64(device, VIRTIO_QUEUE_AVAILABLE, (uint64_t)&queue->available);
	virtio_write64(device, VIRTIO_QUEUE_USED, (uint64_t)&queue->used);
	virtio_write(device, VIRTIO_QUEUE_READY, 1);
	expect_equal("QueueReady after set-up", virtio_read(device, VIRTIO_QUEUE_READY), 1);
}

uint16_t virtqueue_submit(struct virtqueue *queue, const struct segment *segments, unsigned count)
{
	if (count > queue->free_count)
		fail("a chain of %u descriptors, but %u are free", count, queue->free_count);
	uint16_t head = queue->first_free, last = head;
	for (unsigned i = 0; i < count; i++) {
		last = queue->first_free;
		struct descriptor *descriptor = &queue->descriptors[last];
		descriptor->address = (uint64_t)segments[i].address;
		descriptor->length = segments[i].length;
		descriptor->flags = DESCRIPTOR_NEXT | (segments[i].device_writes ? DESCRIPTOR_WRITE : 0);
		queue->first_free = descriptor->next;
	}
	queue->descriptors[last].flags &= (uint16_t)~DESCRIPTOR_NEXT;
	queue->free_count -= count;
	queue->available.ring[queue->available.index % queue->size] = head;
	/* The device may look as soon as the index moves: the chain must be complete before. */
	compiler_barrier();
	queue->available.index++;
	return head;
}

void virtqueue_notify(struct virtqueue *queue)
{
	/* 2.6.13.4.1: the flag must be read after the index was written, or both sides wait. */
	full_barrier();
	if ((queue->used.flags & USED_NO_NOTIFY) == 0)
		virtio_write(&queue->device, VIRTIO_QUEUE_NOTIFY, queue->index);
}

static void free_chain(struct virtqueue *queue, uint16_t head)
{
	uint16_t last = head;
	unsigned count = 1;
	for (; queue->descriptors[last].flags & DESCRIPTOR_NEXT; count++)
		last = queue->descriptors[last].next;
	queue->descriptors[last].next = queue->first_free;
	queue->first_free = head;
	queue->free_count += count;
}

bool virtqueue_take(struct virtqueue *queue, uint16_t *head, uint32_t *length)
{
	if (queue->used_seen == queue->used.index)
		return false;
	compiler_barrier();
	unsigned slot = queue->used_seen % queue->size;
	if (queue->used.ring[slot].id >= queue->size)
		fail("the device used chain %u of a queue of %u", queue->used.ring[slot].id, queue->size);
	*head = (uint16_t)queue->used.ring[slot].id;
	*length = queue->used.ring[slot].length;
	queue->used_seen++;
	free_chain(queue, *head);
	return true;
}
