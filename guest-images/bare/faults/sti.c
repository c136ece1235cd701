/*
 * STI lets interrupts in only after the next instruction. Kernels rely on it: an interrupt between
 * STI and HLT would be lost to the HLT, and the sleeper would never wake.
 */

#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "pic.h"
#include "pit.h"
#include "tests.h"

extern void sti_nop(void), sti_cli(void), sti_hlt(void);
extern const uint8_t sti_nop_shadow[], sti_nop_after[], sti_hlt_after[];

#define SHORT_COUNT 100

static volatile unsigned ticks;
static uint64_t tick_rip;

static void on_tick(struct trap_frame *frame)
{
	tick_rip = frame->rip;
	ticks++;
}

/* An interrupt that is requested but cannot be taken yet. */
static void make_pending(void)
{
	/* The controllers forget what the timer did before. */
	pit_start(0, PIT_ONE_SHOT, 0);
	pic_init();
	irq_handle(PIT_IRQ, on_tick);
	ticks = 0;
	pit_start(0, PIT_ONE_SHOT, SHORT_COUNT);
	while (!irq_pending(PIT_IRQ))
		;
	expect_equal("interrupts with IF off", ticks, 0);
}

/*
 * With shadow=1 the interrupt must also come right after the shadow. Not every host manages; one may
 * be so late that CLI comes first, but none may be early.
 */
void test_sti_shadow(void)
{
	make_pending();
	sti_nop();
	if (boot_number("shadow", 0) != 0)
		expect_equal("RIP of the interrupt after STI", tick_rip, (uint64_t)sti_nop_after);
	if (ticks == 0)
		wait_for_interrupt();
	expect_equal("interrupts after STI", ticks, 1);
	if (tick_rip == (uint64_t)sti_nop_shadow)
		fail("an interrupt came between STI and the next instruction");
}

void test_cli_in_shadow(void)
{
	make_pending();
	sti_cli();
	expect_equal("interrupts between STI and CLI", ticks, 0);
	wait_for_interrupt();
	expect_equal("interrupts after STI; CLI", ticks, 1);
}

void test_sti_hlt(void)
{
	uint64_t waits = boot_number("waits", 200);
	make_pending();
	sti_hlt();
	expect_equal("interrupts at STI; HLT", ticks, 1);
	expect_equal("RIP of the interrupt at STI; HLT", tick_rip, (uint64_t)sti_hlt_after);
	/* The timer runs out before, at, or after the STI; the guest hangs if that is ever too early. */
	for (uint64_t i = 0; i < waits; i++) {
		ticks = 0;
		pit_start(0, PIT_ONE_SHOT, (uint16_t)(1 + i));
		sti_hlt();
		expect_equal("interrupts of a race with HLT", ticks, 1);
		expect_equal("RIP of the interrupt that ended HLT", tick_rip, (uint64_t)sti_hlt_after);
	}
}
