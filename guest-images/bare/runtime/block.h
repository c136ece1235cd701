/* A driver for virtio block devices; citations are of the VirtIO 1.1 specification, 5.2. */

#ifndef BLOCK_H
#define BLOCK_H

#include "virtio.h"

#define SECTOR_SIZE 512u

#define BLOCK_F_SEGMENTS_MAX (1ul << 2)
#define BLOCK_F_READ_ONLY (1ul << 5)
#define BLOCK_F_FLUSH (1ul << 9)

/* Offsets in the configuration space. */
#define BLOCK_CONFIG_CAPACITY 0
#define BLOCK_CONFIG_SEGMENTS_MAX 12

enum block_type {
	BLOCK_READ = 0,
	BLOCK_WRITE = 1,
	BLOCK_FLUSH = 4,
	BLOCK_GET_ID = 8,
};

enum block_status {
	BLOCK_OK = 0,
	BLOCK_ERROR = 1,
	BLOCK_UNSUPPORTED = 2,
	/* Ours: what the driver puts there before, and no device may leave. */
	BLOCK_UNTOUCHED = 0xff,
};

struct block {
	struct virtqueue queue;
	struct virtio_device device;
	uint64_t features;
	uint64_t capacity; /* in sectors */
};

struct block_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* A request in flight: what the device reads first and writes last. */
struct block_request {
	struct block_header header;
	volatile uint8_t status;
};

#define BLOCK_SEGMENTS 64

void block_open(struct block *block, const struct virtio_device *device);

/* How many segments of data a request may have. */
unsigned block_segments_max(const struct block *block);

/* Queues a request without telling the device; returns the head of its chain. */
uint16_t block_submit(struct block *block, struct block_request *request, uint32_t type, uint64_t sector,
		      const struct segment *data, unsigned count);

/* Sleeps until some request is done; returns its chain, and how much the device says it wrote. */
uint16_t block_wait(struct block *block, uint32_t *written);

/* One request from begin to end. Checks the length that a successful one reports. */
enum block_status block_execute(struct block *block, uint32_t type, uint64_t sector, const struct segment *data,
				unsigned count);

/* A read or write of one piece of memory. */
enum block_status block_transfer(struct block *block, enum block_type type, uint64_t sector, void *memory,
				 uint32_t length);

#endif
