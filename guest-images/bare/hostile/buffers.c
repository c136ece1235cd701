/* Good rings with buffers and requests that make no sense. */

#include "block.h"
#include "cases.h"
#include "console.h"
#include "string.h"

#define CHAIN_DESCRIPTORS 3
#define RESET_SETTLE_READS 200

static unsigned chain_length(const struct victim *victim)
{
	return victim->id == VIRTIO_BLOCK ? CHAIN_DESCRIPTORS : 1;
}

/* Each descriptor of a good chain in turn points to where there is no memory, or not enough. */
void case_buffer_addresses(const struct victim *victim)
{
	for (unsigned n = 0; n < bad_address_count; n++)
		for (unsigned i = 0; i < chain_length(victim); i++) {
			raw_start(victim);
			raw_describe_good(victim);
			raw.descriptors[i].address = bad_address(victim, n);
			/* Enough to get over the end of memory from a place just before it. */
			raw.descriptors[i].length += 16;
			raw_offer(victim, 0);
		}
}

/*
 * Lengths that are zero, odd, or beyond all memory. The huge ones begin inside memory; a device that
 * checked only the beginning would overwrite the guest.
 */
void case_lengths(const struct victim *victim)
{
	static const uint32_t lengths[] = {0, 1, 511, 513, 0x7fffffff, 0x80000000, 0xfffffe00, 0xffffffff};
	for (unsigned n = 0; n < sizeof lengths / sizeof lengths[0]; n++)
		for (unsigned i = 0; i < chain_length(victim); i++) {
			raw_start(victim);
			raw_describe_good(victim);
			raw.descriptors[i].length = lengths[n];
			raw_offer(victim, 0);
		}
}

/* Writable where the device reads, readable where it writes: one at a time, then all. */
void case_directions(const struct victim *victim)
{
	for (unsigned i = 0; i < chain_length(victim); i++) {
		raw_start(victim);
		raw_describe_good(victim);
		raw.descriptors[i].flags ^= DESCRIPTOR_WRITE;
		raw_offer(victim, 0);
	}
	raw_start(victim);
	raw_describe_good(victim);
	for (unsigned i = 0; i < chain_length(victim); i++)
		raw.descriptors[i].flags ^= DESCRIPTOR_WRITE;
	raw_offer(victim, 0);
}

/* Chains that end early: without status, without data, without most of the header. */
void case_short_requests(const struct victim *victim)
{
	for (unsigned last = 0; last < chain_length(victim); last++) {
		raw_start(victim);
		raw_describe_good(victim);
		raw.descriptors[last].flags &= (uint16_t)~DESCRIPTOR_NEXT;
		raw_offer(victim, 0);
		raw.descriptors[0].length = 3;
		raw_offer(victim, 0);
	}
}

static void offer_block_request(const struct victim *victim, uint32_t type, uint64_t sector, uint32_t length)
{
	raw_start(victim);
	raw_describe_good(victim);
	*(struct block_header *)scratch = (struct block_header){type, 0xffffffff, sector};
	raw.descriptors[1].length = length;
	raw_offer(victim, 0);
}

/* Block requests with all kinds of types, sectors and lengths, which need not fit one another. */
void case_strange_requests(const struct victim *victim)
{
	static const uint32_t types[] = {BLOCK_READ, BLOCK_FLUSH, BLOCK_GET_ID, 2, 11, 13, 0x80000000, 0xffffffff};
	static const uint64_t all_sectors[] = {0, 1ul << 31, 1ul << 55, (1ul << 55) - 1, 1ul << 63, -1ul};
	static const uint32_t lengths[] = {0, 21, 1536};
	if (victim->id != VIRTIO_BLOCK)
		return;
	for (unsigned t = 0; t < sizeof types / sizeof types[0]; t++)
		for (unsigned s = 0; s < sizeof all_sectors / sizeof all_sectors[0]; s++)
			for (unsigned l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
				offer_block_request(victim, types[t], all_sectors[s], lengths[l]);
}

/* Frames too short for a header, too long for a network, and with offloads that nobody agreed on. */
void case_strange_frames(const struct victim *victim)
{
	static const uint32_t lengths[] = {0, 1, 11, 12, 13, 25, 26, 1600, SCRATCH_SIZE};
	if (victim->id != VIRTIO_NET)
		return;
	for (unsigned fill = 0; fill < 2; fill++)
		for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
			raw_start(victim);
			raw_describe_good(victim);
			memset(scratch, fill ? 0xff : 0, SCRATCH_SIZE);
			raw.descriptors[0].length = lengths[i];
			raw_offer(victim, 0);
		}
}

/* A reset while requests are under way: none may touch memory after it. */
void case_reset_in_flight(const struct victim *victim)
{
	for (unsigned round = 0; round < 8; round++) {
		raw_start(victim);
		raw_describe_good(victim);
		for (unsigned i = 0; i < QUEUE_SIZE; i++)
			raw.available.ring[i] = 0;
		raw.available.index = 8;
		virtio_write(&victim->device, VIRTIO_QUEUE_NOTIFY, victim->queue);
		virtio_reset(&victim->device);
		memset(scratch, 0x3c, SCRATCH_SIZE);
		memset(&raw, 0x3c, sizeof raw);
		raw_settle(victim, RESET_SETTLE_READS);
		for (unsigned i = 0; i < SCRATCH_SIZE / 8; i++)
			expect_equal("memory after a reset", ((const uint64_t *)scratch)[i], 0x3c3c3c3c3c3c3c3c);
		expect_equal("used ring after a reset", raw.used.index, 0x3c3c);
	}
}
