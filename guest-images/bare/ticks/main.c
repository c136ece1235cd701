/*
 * The interval timer's channel 0 as a source of interrupts: periodic, one-shot in both modes that
 * have one, and its counter read between ticks. Every wait is STI; HLT.
 */

#include "boot.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "pic.h"
#include "pit.h"

const char guest_name[] = "ticks";

#define TICK_HZ 100
#define TICK_COUNT (PIT_HZ / TICK_HZ)
#define READINGS 8
#define ATTEMPTS 20

static volatile uint64_t ticks;

static void on_tick(struct trap_frame *frame)
{
	(void)frame;
	ticks++;
}

static void wait_for_ticks(uint64_t wanted)
{
	while (ticks < wanted)
		wait_for_interrupt();
}

static void test_periodic(uint64_t wanted)
{
	pit_start(0, PIT_RATE, TICK_COUNT);
	expect_equal("mode in the status of channel 0", PIT_STATUS_MODE(pit_status(0)), PIT_RATE);
	ticks = 0;
	wait_for_ticks(wanted);
	print("periodic: %lu ticks\n", wanted);
}

/* True if all readings were taken within one period, so that they may only fall. */
static bool counter_falls(void)
{
	uint16_t first = pit_counter(0);
	uint16_t before = first;
	for (unsigned i = 0; i < READINGS; i++) {
		clock_spin(10);
		uint16_t now = pit_counter(0);
		if (now > before)
			return false;
		before = now;
	}
	if (before == first)
		fail("the counter of channel 0 stood still at %u", first);
	return true;
}

/*
 * Right after a tick a whole period lies ahead, here the longest that there is, 55 ms. If the host was
 * away for that long the counter started over; the next tick gives another chance.
 */
static void test_counter(void)
{
	pit_start(0, PIT_RATE, 0);
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		wait_for_ticks(ticks + 1);
		if (counter_falls()) {
			print("counter: falls between ticks\n");
			return;
		}
	}
	fail("the counter of channel 0 rose between ticks in each of %u periods", ATTEMPTS);
}

/* Exactly one interrupt per start: it comes, and for twice the time no other follows. */
static void test_one_shot(const char *name, enum pit_mode mode)
{
	static const uint16_t counts[] = {1000, 5000, 12000};
	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		/* The controllers forget what the timer did before, and what changing its mode did. */
		pit_start(0, mode, 0);
		pic_init();
		irq_handle(PIT_IRQ, on_tick);
		ticks = 0;
		pit_start(0, mode, counts[i]);
		wait_for_ticks(1);
		interrupts_on();
		clock_spin(2ul * counts[i] * 1000000 / PIT_HZ);
		interrupts_off();
		expect_equal("interrupts of a one-shot", ticks, 1);
		print("%s: count %u, one interrupt\n", name, counts[i]);
	}
}

void guest_main(void)
{
	print("ticks: interval timer\n");
	irq_handle(PIT_IRQ, on_tick);
	test_periodic(boot_number("ticks", 20));
	test_counter();
	test_one_shot("mode 0", PIT_ONE_SHOT);
	test_one_shot("mode 4", PIT_STROBE);
}
