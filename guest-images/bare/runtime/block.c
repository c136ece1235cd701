#include "block.h"

#include "console.h"
#include "cpu.h"

void block_open(struct block *block, const struct virtio_device *device)
{
	block->device = *device;
	block->features =
		virtio_negotiate(device, BLOCK_F_SEGMENTS_MAX | BLOCK_F_READ_ONLY | BLOCK_F_FLUSH);
	block->capacity = virtio_read64(device, VIRTIO_CONFIG + BLOCK_CONFIG_CAPACITY);
	virtqueue_init(&block->queue, device, 0);
	virtio_enable_interrupt(device);
	virtio_driver_ok(device);
}

unsigned block_segments_max(const struct block *block)
{
	/* A chain also has the header and the status. */
	uint32_t limit = block->queue.size - 2;
	if (limit > BLOCK_SEGMENTS)
		limit = BLOCK_SEGMENTS;
	if ((block->features & BLOCK_F_SEGMENTS_MAX) == 0)
		return limit;
	uint32_t offered = virtio_read(&block->device, VIRTIO_CONFIG + BLOCK_CONFIG_SEGMENTS_MAX);
	return offered < limit ? offered : limit;
}

uint16_t block_submit(struct block *block, struct block_request *request, uint32_t type, uint64_t sector,
		      const struct segment *data, unsigned count)
{
	struct segment chain[BLOCK_SEGMENTS + 2];
	request->header = (struct block_header){.type = type, .sector = sector};
	request->status = BLOCK_UNTOUCHED;
	chain[0] = (struct segment){&request->header, sizeof request->header, false};
	for (unsigned i = 0; i < count; i++)
		chain[1 + i] = data[i];
	chain[1 + count] = (struct segment){(const void *)&request->status, 1, true};
	return virtqueue_submit(&block->queue, chain, count + 2);
}

uint16_t block_wait(struct block *block, uint32_t *written)
{
	uint16_t head;
	while (!virtqueue_take(&block->queue, &head, written))
		wait_for_interrupt();
	return head;
}

/* The used length counts what the device wrote: data that it returned, and the status. */
static void check_written(uint32_t written, const struct segment *data, unsigned count)
{
	uint32_t expected = 1;
	for (unsigned i = 0; i < count; i++)
		if (data[i].device_writes)
			expected += data[i].length;
	expect_equal("used length of a block request", written, expected);
}

enum block_status block_execute(struct block *block, uint32_t type, uint64_t sector, const struct segment *data,
				unsigned count)
{
	static struct block_request request;
	uint32_t written;
	uint16_t head = block_submit(block, &request, type, sector, data, count);
	virtqueue_notify(&block->queue);
	expect_equal("chain of a block request", block_wait(block, &written), head);
	if (request.status == BLOCK_OK)
		check_written(written, data, count);
	return request.status;
}

enum block_status block_transfer(struct block *block, enum block_type type, uint64_t sector, void *memory,
				 uint32_t length)
{
	struct segment data = {memory, length, type != BLOCK_WRITE};
	return block_execute(block, type, sector, &data, 1);
}
