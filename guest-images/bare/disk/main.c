/*
 * Block devices: what is written can be read back, in whatever pieces; what cannot be done is
 * refused with the right status. All waiting is HLT.
 */

#include "block.h"
#include "boot.h"
#include "console.h"
#include "string.h"
#include "tests.h"

const char guest_name[] = "disk";

#define LAST_SECTOR 0xfffffffffffffffful
#define UNKNOWN_TYPE 0x7ffful
#define ID_SIZE 20

static struct block block;
static uint8_t sectors[2 * SECTOR_SIZE];
static uint8_t before[SECTOR_SIZE];

static void expect_status(const char *what, enum block_status found, enum block_status expected)
{
	if (found != expected)
		fail("%s: expected status %u, found %u", what, expected, found);
}

static void test_id(void)
{
	char id[ID_SIZE + 1] = {0};
	expect_status("GET_ID", block_transfer(&block, BLOCK_GET_ID, 0, id, ID_SIZE), BLOCK_OK);
	print("id: %s\n", id);
}

static void test_refusals(void)
{
	uint64_t end = block.capacity;
	expect_status("read behind the end", block_transfer(&block, BLOCK_READ, end, sectors, SECTOR_SIZE), BLOCK_ERROR);
	expect_status("read across the end", block_transfer(&block, BLOCK_READ, end - 1, sectors, 2 * SECTOR_SIZE),
		      BLOCK_ERROR);
	expect_status("read of the last sector that a number can name",
		      block_transfer(&block, BLOCK_READ, LAST_SECTOR, sectors, SECTOR_SIZE), BLOCK_ERROR);
	expect_status("write behind the end", block_transfer(&block, BLOCK_WRITE, end, sectors, SECTOR_SIZE), BLOCK_ERROR);
	expect_status("unknown request", block_execute(&block, UNKNOWN_TYPE, 0, NULL, 0), BLOCK_UNSUPPORTED);
	expect_status("read after refusals", block_transfer(&block, BLOCK_READ, end - 1, sectors, SECTOR_SIZE), BLOCK_OK);
	print("refusals: behind the end, unknown type\n");
}

static void test_read_only(void)
{
	expect_status("read", block_transfer(&block, BLOCK_READ, 0, before, SECTOR_SIZE), BLOCK_OK);
	for (unsigned i = 0; i < SECTOR_SIZE; i++)
		sectors[i] = (uint8_t)~before[i];
	expect_status("write to a read-only disk", block_transfer(&block, BLOCK_WRITE, 0, sectors, SECTOR_SIZE),
		      BLOCK_ERROR);
	expect_status("read", block_transfer(&block, BLOCK_READ, 0, sectors, SECTOR_SIZE), BLOCK_OK);
	if (memcmp(before, sectors, SECTOR_SIZE) != 0)
		fail("a refused write changed a read-only disk");
	print("read-only: write refused\n");
}

static void test_flush(void)
{
	if (block.features & BLOCK_F_FLUSH) {
		expect_status("flush", block_execute(&block, BLOCK_FLUSH, 0, NULL, 0), BLOCK_OK);
		print("flush\n");
	}
}

static void test_disk(unsigned n, const struct virtio_device *device)
{
	block_open(&block, device);
	bool read_only = (block.features & BLOCK_F_READ_ONLY) != 0;
	print("disk %u: %lu sectors, %s\n", n, block.capacity, read_only ? "read-only" : "writable");
	test_id();
	if (read_only) {
		test_read_only();
	} else {
		for (uint64_t round = 0; round < boot_number("rounds", 1); round++)
			test_transfers(&block, round);
		print("written and read back: whole, in pieces, in flight together\n");
		test_flush();
	}
	test_refusals();
	virtio_reset(device);
}

void guest_main(void)
{
	struct virtio_device device;
	unsigned n = 0;
	print("disk: block devices\n");
	for (; virtio_find(VIRTIO_BLOCK, n, &device); n++)
		test_disk(n, &device);
	if (n == 0)
		fail_with(EXIT_NO_DEVICE, "no block device");
}
