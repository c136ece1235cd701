/*
 * All clocks show the same time. Each comparison brackets one clock's reading between two of the
 * time stamp counter, so that it holds however slowly the guest executes: the slower the guest, the
 * wider the bracket.
 */

#include "boot.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "pic.h"
#include "pit.h"
#include "rtc.h"

const char guest_name[] = "time";

/* Beyond the bracket: 0.1 %, and a few counts of the coarser clock. */
#define TOLERANCE_DIVISOR 1000
#define TOLERANCE_NS 5000

#define RTC_POLL_HZ 100
/* Longer is more than the PIT can count. */
#define MILLISECONDS_MAX 54

/* When something happened: not before, and not after, these time stamps. */
struct bracket {
	uint64_t low, high;
};

static void check_elapsed(const char *clock, struct bracket from, struct bracket to, uint64_t elapsed)
{
	uint64_t tolerance = elapsed / TOLERANCE_DIVISOR + TOLERANCE_NS;
	uint64_t least = to.low - from.high, most = to.high - from.low;
	if (elapsed + tolerance < least || elapsed > most + tolerance)
		fail("%s: %lu ns passed, but %lu to %lu ns of TSC", clock, elapsed, least, most);
}

static uint32_t read_pm_timer(struct bracket *bracket)
{
	bracket->low = clock_tsc();
	uint32_t value = clock_pm_timer();
	bracket->high = clock_tsc();
	return value;
}

static void test_monotonic(void)
{
	uint64_t before = clock_tsc();
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = clock_tsc();
		if (now < before)
			fail("the TSC went back from %lu to %lu", before, now);
		before = now;
	}
	print("TSC: monotonic\n");
}

/* The timer has 24 bits, so a step back shows as a step ahead of more than half its range. */
static void test_pm_timer_monotonic(void)
{
	uint32_t before = clock_pm_timer();
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t now = clock_pm_timer();
		if (((now - before) & PM_TIMER_MASK) > PM_TIMER_MASK / 2)
			fail("the PM timer went back from %u to %u", before, now);
		before = now;
	}
	print("PM timer: monotonic\n");
}

static void test_pm_timer(uint64_t milliseconds)
{
	struct bracket from, to;
	uint32_t first = read_pm_timer(&from);
	clock_spin(milliseconds * 1000);
	uint32_t last = read_pm_timer(&to);
	uint64_t counts = (last - first) & PM_TIMER_MASK;
	check_elapsed("PM timer", from, to, counts * 1000000000 / PM_TIMER_HZ);
	print("PM timer: agrees with the TSC\n");
}

static void start_channel_2(struct bracket *bracket, uint16_t count)
{
	pit_gate(false);
	pit_start(2, PIT_ONE_SHOT, count);
	bracket->low = clock_tsc();
	pit_gate(true);
	bracket->high = clock_tsc();
}

static uint64_t pit_nanoseconds(uint64_t counts)
{
	return counts * 1000000000 / PIT_HZ;
}

/* The counter read back half-way, then the moment when the output rises. */
static void test_pit(uint64_t milliseconds)
{
	uint16_t count = (uint16_t)(milliseconds * PIT_HZ / 1000);
	struct bracket from, middle, to;
	start_channel_2(&from, count);

	clock_spin(milliseconds * 1000 / 2);
	middle.low = clock_tsc();
	uint16_t left = pit_counter(2);
	middle.high = clock_tsc();
	/* Past its end the counter starts over from 65535: that is where a slow host finds it. */
	if (middle.high - from.low < pit_nanoseconds(count))
		check_elapsed("PIT counter", from, middle, pit_nanoseconds((uint64_t)(count - left)));

	to.low = from.high;
	for (;;) {
		uint64_t now = clock_tsc();
		if (pit_output())
			break;
		to.low = now;
	}
	to.high = clock_tsc();
	check_elapsed("PIT output", from, to, pit_nanoseconds(count));
	print("PIT: counter and output agree with the TSC\n");
	pit_gate(false);
}

static void on_tick(struct trap_frame *frame)
{
	(void)frame;
}

/* Looks at the clock at every tick: reading it without pause would be some 100,000 exits. */
static uint64_t wait_for_new_second(struct bracket *bracket)
{
	uint64_t began = clock_tsc();
	uint64_t before = rtc_seconds(), after = before;
	while (after == before) {
		wait_for_interrupt();
		bracket->low = began;
		began = clock_tsc();
		after = rtc_seconds();
	}
	bracket->high = clock_tsc();
	return after;
}

static void test_rtc(uint64_t seconds)
{
	struct bracket from, to;
	pit_start(0, PIT_RATE, PIT_HZ / RTC_POLL_HZ);
	irq_handle(PIT_IRQ, on_tick);
	uint64_t first = wait_for_new_second(&from), last;
	do {
		last = wait_for_new_second(&to);
		if (last < first)
			fail("RTC: went back from %lu s to %lu s", first, last);
	} while (last < first + seconds);
	irq_mask(PIT_IRQ);
	check_elapsed("RTC", from, to, (last - first) * 1000000000);
	print("RTC: agrees with the TSC\n");
}

void guest_main(void)
{
	print("time: one guest clock\n");
	uint64_t milliseconds = boot_number("milliseconds", 10);
	if (milliseconds == 0 || milliseconds > MILLISECONDS_MAX)
		fail("milliseconds=%lu: expected 1 to %u", milliseconds, MILLISECONDS_MAX);
	test_monotonic();
	test_pm_timer_monotonic();
	test_pm_timer(milliseconds);
	test_pit(milliseconds);
	uint64_t seconds = boot_number("seconds", 1);
	if (seconds > 0)
		test_rtc(seconds);
	if (boot_number("print", 0) != 0)
		print("now: TSC %lu ns, PM timer %u, RTC %lu s since 2000\n", clock_tsc(), clock_pm_timer(),
		      rtc_seconds());
}
