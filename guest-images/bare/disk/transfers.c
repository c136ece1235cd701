/*
 * Writes and reads of the same sectors in different shapes. The pattern of a sector depends on its
 * number, on the round and on a seed, so that no stale or misplaced sector passes.
 */

#include "boot.h"
#include "console.h"
#include "string.h"
#include "tests.h"

#define BUFFER_SECTORS 16
#define BUFFER_SIZE (BUFFER_SECTORS * SECTOR_SIZE)
#define SMALL_PIECE 128
#define IN_FLIGHT 16
#define SEGMENTS_NEEDED 8
/* How many sectors the tests touch, from first=N on. */
#define SECTORS_TOUCHED 128

static uint64_t round_number;
static uint64_t first_sector;
static uint8_t written[BUFFER_SIZE], found[BUFFER_SIZE];

static void fill_pattern(uint8_t *memory, uint64_t sector, unsigned sectors, uint64_t seed)
{
	uint64_t *words = (uint64_t *)memory;
	for (unsigned i = 0; i < sectors * SECTOR_SIZE / 8; i++)
		words[i] = (((sector << 16) + i) ^ (round_number << 48) ^ (seed << 40)) * 0x9e3779b97f4a7c15;
}

static void check_pattern(const char *what, uint64_t sector, const uint8_t *memory, const uint8_t *expected,
			  unsigned sectors)
{
	for (unsigned i = 0; i < sectors * SECTOR_SIZE / 8; i++) {
		uint64_t wanted = ((const uint64_t *)expected)[i], is = ((const uint64_t *)memory)[i];
		if (wanted != is)
			fail("%s: sector %lu, word %u: expected 0x%lx, found 0x%lx", what, sector + i / 64, i % 64, wanted, is);
	}
}

/* Cuts a piece of memory into segments of the given sizes, repeated as often as needed. */
static unsigned cut(struct segment *segments, uint8_t *memory, uint32_t length, const uint32_t *sizes, unsigned kinds,
		    bool device_writes)
{
	unsigned count = 0;
	while (length > 0) {
		uint32_t size = sizes[count % kinds];
		if (size > length)
			size = length;
		segments[count++] = (struct segment){memory, size, device_writes};
		memory += size;
		length -= size;
	}
	return count;
}

/* Writes in one shape and reads in another. */
static void test_shapes(struct block *block, const char *what, const uint32_t *write_sizes, unsigned write_kinds,
			const uint32_t *read_sizes, unsigned read_kinds, unsigned sectors, uint64_t seed)
{
	struct segment segments[BLOCK_SEGMENTS];
	uint64_t sector = first_sector + seed;
	fill_pattern(written, sector, sectors, seed);
	memset(found, 0, sizeof found);
	unsigned count = cut(segments, written, sectors * SECTOR_SIZE, write_sizes, write_kinds, false);
	expect_equal(what, block_execute(block, BLOCK_WRITE, sector, segments, count), BLOCK_OK);
	count = cut(segments, found, sectors * SECTOR_SIZE, read_sizes, read_kinds, true);
	expect_equal(what, block_execute(block, BLOCK_READ, sector, segments, count), BLOCK_OK);
	check_pattern(what, sector, found, written, sectors);
}

static void test_pieces(struct block *block)
{
	static const uint32_t whole[] = {BUFFER_SIZE}, sector[] = {SECTOR_SIZE}, uneven[] = {100, 1000, 1, 4000, 19},
			      small[] = {SMALL_PIECE};
	unsigned pieces = block_segments_max(block) & ~3u;
	if (pieces < SEGMENTS_NEEDED)
		fail("the disk takes %u segments, expected at least %u", pieces, SEGMENTS_NEEDED);
	test_shapes(block, "one sector", whole, 1, whole, 1, 1, 0);
	test_shapes(block, "many sectors", whole, 1, whole, 1, BUFFER_SECTORS, 1);
	test_shapes(block, "a segment for each sector", sector, 1, whole, 1, 8, 2);
	test_shapes(block, "uneven segments", uneven, 5, sector, 1, 8, 3);
	test_shapes(block, "uneven segments", whole, 1, uneven, 5, 8, 4);
	if (pieces > BUFFER_SIZE / SMALL_PIECE)
		pieces = BUFFER_SIZE / SMALL_PIECE;
	unsigned sectors = pieces * SMALL_PIECE / SECTOR_SIZE;
	test_shapes(block, "many small segments", small, 1, whole, 1, sectors, 5);
	test_shapes(block, "many small segments", whole, 1, small, 1, sectors, 6);
}

/* 2.6.4: a device must not assume which part of a request lies in which descriptor. */
static void test_framing(struct block *block)
{
	static struct {
		uint8_t data[SECTOR_SIZE];
		volatile uint8_t status;
	} answer;
	struct block_header header = {.type = BLOCK_READ, .sector = first_sector};
	const uint8_t *bytes = (const uint8_t *)&header;
	struct segment chain[] = {
		{bytes, 4, false},
		{bytes + 4, sizeof header - 4, false},
		{&answer, 100, true},
		{answer.data + 100, SECTOR_SIZE - 100 + 1, true},
	};
	uint32_t length;
	fill_pattern(written, first_sector, 1, 7);
	expect_equal("write", block_transfer(block, BLOCK_WRITE, first_sector, written, SECTOR_SIZE), BLOCK_OK);
	answer.status = BLOCK_UNTOUCHED;
	virtqueue_submit(&block->queue, chain, sizeof chain / sizeof chain[0]);
	virtqueue_notify(&block->queue);
	block_wait(block, &length);
	expect_equal("status behind the data", answer.status, BLOCK_OK);
	expect_equal("used length of an unusual framing", length, SECTOR_SIZE + 1);
	check_pattern("unusual framing", first_sector, answer.data, written, 1);
}

static struct flight {
	struct block_request request;
	uint8_t memory[4 * SECTOR_SIZE];
	uint64_t sector;
	unsigned sectors;
	uint16_t head;
	bool done;
} flights[IN_FLIGHT];

static void land(uint16_t head)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		if (flights[i].head == head && !flights[i].done) {
			flights[i].done = true;
			expect_equal("status of a request in flight", flights[i].request.status, BLOCK_OK);
			return;
		}
	}
	fail("chain %u is done, but was not in flight", head);
}

/* Makes all requests known to the device at once; they may come back in any order. */
static void fly(struct block *block, enum block_type type)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		struct flight *flight = &flights[i];
		struct segment data = {flight->memory, flight->sectors * SECTOR_SIZE, type == BLOCK_READ};
		flight->done = false;
		flight->head = block_submit(block, &flight->request, type, flight->sector, &data, 1);
	}
	virtqueue_notify(&block->queue);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		uint32_t length;
		land(block_wait(block, &length));
	}
}

static void test_in_flight(struct block *block)
{
	/* Each needs three descriptors. */
	if (block->queue.size < 3 * IN_FLIGHT)
		fail("a queue of %u is too small for %u requests", block->queue.size, IN_FLIGHT);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		flights[i].sector = first_sector + 32 + (i * 5 % IN_FLIGHT) * 4;
		flights[i].sectors = 1 + i % 4;
		fill_pattern(flights[i].memory, flights[i].sector, flights[i].sectors, 8);
	}
	fly(block, BLOCK_WRITE);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		memset(flights[i].memory, 0, sizeof flights[i].memory);
	fly(block, BLOCK_READ);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		fill_pattern(written, flights[i].sector, flights[i].sectors, 8);
		check_pattern("in flight", flights[i].sector, flights[i].memory, written, flights[i].sectors);
	}
}

static void test_last_sector(struct block *block)
{
	uint64_t last = block->capacity - 1;
	fill_pattern(written, last, 1, 9);
	expect_equal("write of the last sector", block_transfer(block, BLOCK_WRITE, last, written, SECTOR_SIZE), BLOCK_OK);
	expect_equal("read of the last sector", block_transfer(block, BLOCK_READ, last, found, SECTOR_SIZE), BLOCK_OK);
	check_pattern("last sector", last, found, written, 1);
}

void test_transfers(struct block *block, uint64_t round)
{
	round_number = round;
	first_sector = boot_number("first", 0);
	if (block->capacity < first_sector + SECTORS_TOUCHED)
		fail("a disk of %lu sectors, expected at least %lu", block->capacity, first_sector + SECTORS_TOUCHED);
	test_pieces(block);
	test_framing(block);
	test_in_flight(block);
	test_last_sector(block);
}
