/* Rings in wrong places, of wrong sizes, with wrong contents. */

#include "cases.h"

static void place_and_offer(const struct victim *victim, uint64_t descriptors, uint64_t available, uint64_t used)
{
	raw_begin(victim);
	raw_describe_good(victim);
	raw_place(victim, descriptors, available, used, QUEUE_SIZE);
	raw_offer(victim, 0);
}

/* Each of the three parts in turn lies where there is no memory, or not enough. */
void case_ring_addresses(const struct victim *victim)
{
	uint64_t descriptors = (uint64_t)raw.descriptors, available = (uint64_t)&raw.available, used = (uint64_t)&raw.used;
	for (unsigned n = 0; n < bad_address_count; n++) {
		uint64_t bad = bad_address(victim, n);
		place_and_offer(victim, bad, available, used);
		place_and_offer(victim, descriptors, bad, used);
		place_and_offer(victim, descriptors, available, bad);
		place_and_offer(victim, bad, bad, bad);
	}
}

/* In memory, but not aligned as 2.6 demands. */
void case_ring_misaligned(const struct victim *victim)
{
	uint64_t odd = (uint64_t)scratch + 1;
	place_and_offer(victim, odd, odd + 4096, odd + 6144);
	place_and_offer(victim, (uint64_t)raw.descriptors + 4, (uint64_t)&raw.available + 1, (uint64_t)&raw.used + 2);
}

/* What the device writes as used is at the same time descriptors, or available. */
void case_rings_overlap(const struct victim *victim)
{
	uint64_t descriptors = (uint64_t)raw.descriptors, available = (uint64_t)&raw.available;
	place_and_offer(victim, available, available, available);
	place_and_offer(victim, descriptors, available, available);
	place_and_offer(victim, descriptors, available, descriptors);
}

void case_queue_sizes(const struct victim *victim)
{
	static const uint32_t sizes[] = {0, 3, 100, 255, 4096, 0x8000, 0xffff, 0x10000, 0x80000000, 0xffffffff};
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		raw_begin(victim);
		raw_describe_good(victim);
		raw_place(victim, (uint64_t)raw.descriptors, (uint64_t)&raw.available, (uint64_t)&raw.used, sizes[i]);
		raw_offer(victim, 0);
	}
}

/* More chains become available at once than the ring has places, and then fewer than were. */
void case_index_jumps(const struct victim *victim)
{
	static const uint16_t indices[] = {QUEUE_SIZE + 1, 1000, 0x8000, 0xffff};
	for (unsigned i = 0; i < sizeof indices / sizeof indices[0]; i++) {
		raw_start(victim);
		raw_describe_good(victim);
		raw.available.index = indices[i];
		raw_notify(victim);
	}
	raw_start(victim);
	raw_describe_good(victim);
	raw_offer(victim, 0);
	raw.available.index = 0;
	raw_notify(victim);
}

/* Chains that begin at descriptors which the table does not have. */
void case_heads(const struct victim *victim)
{
	static const uint16_t heads[] = {QUEUE_SIZE, QUEUE_SIZE + 1, 0x7fff, 0xffff};
	for (unsigned i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		raw_start(victim);
		raw_describe_good(victim);
		raw_offer(victim, heads[i]);
	}
}

/* Chains that go on at descriptors which the table does not have. */
void case_next(const struct victim *victim)
{
	static const uint16_t nexts[] = {QUEUE_SIZE, 0x7fff, 0xffff};
	for (unsigned i = 0; i < sizeof nexts / sizeof nexts[0]; i++) {
		raw_start(victim);
		raw_describe_good(victim);
		raw.descriptors[0].flags |= DESCRIPTOR_NEXT;
		raw.descriptors[0].next = nexts[i];
		raw_offer(victim, 0);
	}
}

/* A chain that bites its tail: at once, after two, and after the whole table. */
void case_loops(const struct victim *victim)
{
	static const unsigned lengths[] = {1, 2, QUEUE_SIZE};
	for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		raw_start(victim);
		raw_describe_good(victim);
		uint16_t flags = raw.descriptors[0].flags | DESCRIPTOR_NEXT;
		for (unsigned n = 0; n < lengths[i]; n++)
			raw_describe(n, (uint64_t)scratch, 16, flags, (uint16_t)((n + 1) % lengths[i]));
		raw_offer(victim, 0);
	}
}

/* Indirect tables were not agreed on; this one points to itself, and is of no whole number. */
void case_indirect(const struct victim *victim)
{
	static const uint32_t lengths[] = {0, 15, 16, 0xfffffff0};
	for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		raw_start(victim);
		raw_describe(0, (uint64_t)raw.descriptors, lengths[i], DESCRIPTOR_INDIRECT, 0);
		raw_offer(victim, 0);
		raw_describe(0, (uint64_t)raw.descriptors, lengths[i], DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, 0);
		raw_offer(victim, 0);
	}
}
