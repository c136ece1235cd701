/*
 * A driver that does everything wrong. The monitor must neither crash nor hang nor write where it was
 * not told to, and each device must work again once it is reset. The word case=a,b picks cases,
 * skip=a,b leaves some out, device=block or device=net picks what to torment.
 */

#include "block.h"
#include "boot.h"
#include "cases.h"
#include "console.h"
#include "cpu.h"
#include "string.h"

const char guest_name[] = "hostile";

static const struct {
	const char *name;
	queue_case *run;
} queue_cases[] = {
	{"ring-addresses", case_ring_addresses},
	{"ring-misaligned", case_ring_misaligned},
	{"rings-overlap", case_rings_overlap},
	{"queue-sizes", case_queue_sizes},
	{"index-jumps", case_index_jumps},
	{"heads", case_heads},
	{"next", case_next},
	{"loops", case_loops},
	{"indirect", case_indirect},
	{"buffer-addresses", case_buffer_addresses},
	{"lengths", case_lengths},
	{"directions", case_directions},
	{"short-requests", case_short_requests},
	{"strange-requests", case_strange_requests},
	{"strange-frames", case_strange_frames},
	{"reset-in-flight", case_reset_in_flight},
	{"early-notify", case_early_notify},
	{"absent-queue", case_absent_queue},
	{"features", case_features},
	{"status", case_status},
	{"config-widths", case_config_widths},
	{"register-widths", case_register_widths},
};

static const struct {
	const char *name;
	machine_case *run;
} machine_cases[] = {
	{"unknown-memory", case_unknown_memory},
	{"unknown-ports", case_unknown_ports},
	{"unknown-msrs", case_unknown_msrs},
	{"device-ports", case_device_ports},
	{"timer-modes", case_timer_modes},
};

#define VICTIMS_MAX 3
static struct victim victims[VICTIMS_MAX];
static unsigned victim_count;

static bool is_device_wanted(const char *name)
{
	size_t length;
	return boot_word("device", &length) == NULL || boot_list_has("device", name);
}

static void find_victims(void)
{
	struct victim block = {.name = "block", .id = VIRTIO_BLOCK};
	struct victim receive = {.name = "net receive", .id = VIRTIO_NET, .queue = 0};
	struct victim transmit = {.name = "net transmit", .id = VIRTIO_NET, .queue = 1};
	if (is_device_wanted("block") && virtio_find(VIRTIO_BLOCK, 0, &block.device))
		victims[victim_count++] = block;
	if (is_device_wanted("net") && virtio_find(VIRTIO_NET, 0, &receive.device)) {
		transmit.device = receive.device;
		victims[victim_count++] = receive;
		victims[victim_count++] = transmit;
	}
}

static void check_block_works(const struct victim *victim)
{
	static struct block block;
	static uint8_t sector[SECTOR_SIZE];
	block_open(&block, &victim->device);
	expect_equal("status of a read afterwards",
		     block_transfer(&block, BLOCK_READ, block.capacity - 1, sector, SECTOR_SIZE), BLOCK_OK);
}

/* Sends a frame to nobody, of the type that is reserved for experiments. */
static void check_net_works(const struct victim *victim)
{
	static struct virtqueue queue;
	static uint8_t frame[12 + 60] = {
		[12] = 2, [17] = 2, [18] = 2, [23] = 1, [24] = 0x88, [25] = 0xb5,
	};
	struct segment segment = {frame, sizeof frame, false};
	uint16_t head, taken;
	uint32_t length;
	virtio_negotiate(&victim->device, ~0ul);
	virtqueue_init(&queue, &victim->device, 1);
	virtio_enable_interrupt(&victim->device);
	virtio_driver_ok(&victim->device);
	head = virtqueue_submit(&queue, &segment, 1);
	virtqueue_notify(&queue);
	while (!virtqueue_take(&queue, &taken, &length))
		wait_for_interrupt();
	expect_equal("chain of a frame sent afterwards", taken, head);
}

static void check_works(const struct victim *victim)
{
	if (victim->id == VIRTIO_BLOCK)
		check_block_works(victim);
	else
		check_net_works(victim);
	virtio_reset(&victim->device);
}

static bool is_wanted(const char *name)
{
	size_t length;
	bool all = boot_word("case", &length) == NULL || boot_list_has("case", "all");
	return (all || boot_list_has("case", name)) && !boot_list_has("skip", name);
}

void guest_main(void)
{
	print("hostile: a driver that does everything wrong\n");
	find_victims();
	for (unsigned i = 0; i < sizeof queue_cases / sizeof queue_cases[0]; i++)
		for (unsigned v = 0; v < victim_count; v++)
			if (is_wanted(queue_cases[i].name)) {
				print("%s: %s\n", queue_cases[i].name, victims[v].name);
				queue_cases[i].run(&victims[v]);
				check_works(&victims[v]);
			}
	for (unsigned i = 0; i < sizeof machine_cases / sizeof machine_cases[0]; i++)
		if (is_wanted(machine_cases[i].name)) {
			print("%s\n", machine_cases[i].name);
			machine_cases[i].run();
		}
}
