/*
 * The computation of the guest `compute`, cut by exits every few words and by timer interrupts at
 * any place. The checksum must not notice, and equals that of `compute`.
 */

#include "boot.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "mix.h"
#include "pic.h"
#include "pit.h"
#include "virtio.h"

const char guest_name[] = "exits";

#define DELAY_PORT 0x80
#define TICK_HZ 1000

static struct mix mix;
static volatile uint64_t ticks;

static void on_tick(struct trap_frame *frame)
{
	(void)frame;
	ticks++;
}

/* One of three kinds of exits in turn. What they read is not part of the result. */
static void make_exit(uint64_t number)
{
	static uint64_t slot;
	static uint32_t magic;
	if (slot == 0) {
		slot = virtio_slot_base(0);
		magic = mmio_read32(slot);
	}
	switch (number % 3) {
	case 0:
		in8(DELAY_PORT);
		break;
	case 1:
		clock_pm_timer();
		break;
	case 2:
		expect_equal("the first register of slot 0, read again", mmio_read32(slot), magic);
		break;
	}
}

static uint64_t compute(uint64_t iterations, unsigned every)
{
	uint64_t exits = 0;
	for (uint64_t i = 0; i < iterations; i++)
		for (unsigned first = 0; first < MIX_WORDS; first += every) {
			unsigned left = MIX_WORDS - first;
			mix_words(&mix, first, left < every ? left : every);
			make_exit(exits++);
		}
	return exits;
}

void guest_main(void)
{
	print("exits: computation with exits and interrupts\n");
	uint64_t iterations = boot_number("iterations", 4);
	uint64_t every = boot_number("every", 64);
	if (every == 0 || every > MIX_WORDS)
		fail("every=%lu: expected 1 to %u words", every, MIX_WORDS);

	mix_begin(&mix);
	irq_handle(PIT_IRQ, on_tick);
	pit_start(0, PIT_RATE, PIT_HZ / TICK_HZ);
	interrupts_on();
	uint64_t exits = compute(iterations, (unsigned)every);
	interrupts_off();
	/* A fast host may be done before the first tick. */
	while (ticks == 0)
		wait_for_interrupt();
	irq_mask(PIT_IRQ);

	uint32_t checksum = mix_checksum(&mix);
	print("iterations %lu, exits %lu: checksum 0x%08x\n", iterations, exits, checksum);
	if (boot_number("ticks", 0) != 0)
		print("ticks %lu\n", ticks);
	if (boot_number("verify", 1) != 0)
		expect_equal("checksum", checksum, mix_checksum_slowly(iterations));
}
