#include "net.h"

#include "console.h"
#include "cpu.h"
#include "string.h"
#include "virtio.h"

/* VirtIO 1.1, 5.1. */
#define NET_F_MAC (1ul << 5)
#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1

#define BUFFERS 64
#define NONE 0xffff

/* With VERSION_1 the header always has its last field; without offloads all of it is zero. */
struct net_header {
	uint8_t flags, segmentation;
	uint16_t header_length, segment_size, checksum_start, checksum_offset, buffers;
};

struct buffer {
	struct net_header header;
	uint8_t frame[FRAME_MAX];
};

/* A queue with its buffers: one descriptor each, so that the head of a chain tells the buffer. */
struct ring {
	struct virtqueue queue;
	struct buffer buffers[BUFFERS];
	uint16_t buffer_of_head[QUEUE_SIZE];
	unsigned count;
};

static struct virtio_device device;
static struct ring receive, transmit;

/* The frame that net_receive gave out, and the buffer that net_buffer gave out. */
static uint16_t frame_in_use = NONE;
static uint16_t buffer_in_use = NONE;

static uint16_t free_buffers[BUFFERS];
static unsigned free_count;

static void open_ring(struct ring *ring, unsigned index)
{
	virtqueue_init(&ring->queue, &device, index);
	ring->count = ring->queue.size < BUFFERS ? ring->queue.size : BUFFERS;
}

static void submit(struct ring *ring, uint16_t index, uint32_t length, bool device_writes)
{
	struct segment segment = {&ring->buffers[index], length, device_writes};
	ring->buffer_of_head[virtqueue_submit(&ring->queue, &segment, 1)] = index;
}

static void offer_receive_buffer(uint16_t index)
{
	submit(&receive, index, sizeof receive.buffers[index], true);
}

static void read_mac(uint64_t features, uint8_t mac[MAC_SIZE])
{
	static const uint8_t local[MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
	memcpy(mac, local, MAC_SIZE);
	if (features & NET_F_MAC) {
		uint64_t config = virtio_read64(&device, VIRTIO_CONFIG);
		memcpy(mac, &config, MAC_SIZE);
	}
}

void net_open(uint8_t mac[MAC_SIZE])
{
	if (!virtio_find(VIRTIO_NET, 0, &device))
		fail_with(EXIT_NO_DEVICE, "no network device");
	read_mac(virtio_negotiate(&device, NET_F_MAC), mac);
	open_ring(&receive, RECEIVE_QUEUE);
	open_ring(&transmit, TRANSMIT_QUEUE);
	for (uint16_t i = 0; i < transmit.count; i++)
		free_buffers[free_count++] = i;
	/* That a frame was sent is of interest only where buffers are short. */
	transmit.queue.available.flags = AVAILABLE_NO_INTERRUPT;
	virtio_enable_interrupt(&device);
	virtio_driver_ok(&device);
	for (uint16_t i = 0; i < receive.count; i++)
		offer_receive_buffer(i);
	virtqueue_notify(&receive.queue);
}

const uint8_t *net_receive(uint32_t *length)
{
	uint16_t head;
	uint32_t written;
	if (frame_in_use != NONE)
		offer_receive_buffer(frame_in_use);
	frame_in_use = NONE;
	if (!virtqueue_take(&receive.queue, &head, &written))
		return NULL;
	frame_in_use = receive.buffer_of_head[head];
	if (written < sizeof(struct net_header) || written > sizeof(struct buffer))
		fail("the device wrote %u bytes into a buffer of %lu", written, sizeof(struct buffer));
	*length = written - sizeof(struct net_header);
	return receive.buffers[frame_in_use].frame;
}

void net_wait(void)
{
	/* The buffers given back while frames were taken, all at once. */
	virtqueue_notify(&receive.queue);
	wait_for_interrupt();
}

static void take_back_sent(void)
{
	uint16_t head;
	uint32_t written;
	while (virtqueue_take(&transmit.queue, &head, &written))
		free_buffers[free_count++] = transmit.buffer_of_head[head];
}

/* Looks again after asking for interrupts: the device may have been done just before. */
static void wait_for_free(unsigned wanted)
{
	take_back_sent();
	if (free_count >= wanted)
		return;
	transmit.queue.available.flags = 0;
	full_barrier();
	while (take_back_sent(), free_count < wanted)
		wait_for_interrupt();
	transmit.queue.available.flags = AVAILABLE_NO_INTERRUPT;
}

uint8_t *net_buffer(void)
{
	if (buffer_in_use == NONE) {
		wait_for_free(1);
		buffer_in_use = free_buffers[--free_count];
	}
	return transmit.buffers[buffer_in_use].frame;
}

void net_send(uint32_t length)
{
	struct buffer *buffer = &transmit.buffers[buffer_in_use];
	if (length < FRAME_MIN) {
		memset(buffer->frame + length, 0, FRAME_MIN - length);
		length = FRAME_MIN;
	}
	submit(&transmit, buffer_in_use, sizeof buffer->header + length, false);
	buffer_in_use = NONE;
	virtqueue_notify(&transmit.queue);
}

void net_drain(void)
{
	wait_for_free(transmit.count - (buffer_in_use == NONE ? 0 : 1));
}
