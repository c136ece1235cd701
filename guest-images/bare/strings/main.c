/* Repeated string instructions: over page faults, with no count, and under interrupts. */

#include "boot.h"
#include "boundary.h"
#include "console.h"
#include "cpu.h"
#include "ops.h"
#include "paging.h"
#include "pic.h"
#include "pit.h"
#include "string.h"

const char guest_name[] = "strings";

#define NOWHERE (WINDOW + 100 * PAGE_SIZE)
#define LONG_COUNT 32768u
#define TICK_HZ 2000

static uint8_t source[LONG_COUNT] __attribute__((aligned(PAGE_SIZE)));
static uint8_t destination[LONG_COUNT] __attribute__((aligned(PAGE_SIZE)));

/* With a count of zero nothing happens: no access, no register and no flag changes. */
static void test_zero_counts(void)
{
	for (unsigned i = 0; i < string_op_count; i++) {
		struct string_registers registers = {
			.rdi = NOWHERE,
			.rsi = NOWHERE,
			.rax = 0x123456789abcdef0,
			.rflags = 2 | (i % 2 ? FLAG_CARRY | FLAG_DIRECTION : FLAG_ZERO),
		};
		struct string_registers before = registers;
		string_ops[i].run(&registers);
		if (memcmp(&before, &registers, sizeof before) != 0)
			fail("%s: a count of zero changed a register", string_ops[i].name);
	}
	print("zero counts: no effect\n");
}

/* Copying onto the next byte repeats the first one: the order of the elements is visible. */
static void test_overlap(void)
{
	struct string_registers registers = {
		.rdi = (uint64_t)destination + 1,
		.rsi = (uint64_t)destination,
		.rcx = 1000,
	};
	memset(destination, 0, 1002);
	destination[0] = 0x77;
	string_op_named("rep movsb")->run(&registers);
	for (unsigned i = 0; i < 1001; i++)
		expect_equal("a byte of an overlapping copy", destination[i], 0x77);
	expect_equal("the byte behind an overlapping copy", destination[1001], 0);
	print("overlap: byte by byte\n");
}

static struct {
	const struct string_op *op;
	struct string_registers start;
	volatile uint64_t ticks, inside;
} interrupted;

static uint64_t moved(uint64_t address, uint64_t elements)
{
	uint64_t bytes = elements * interrupted.op->size;
	return interrupted.start.rflags & FLAG_DIRECTION ? address - bytes : address + bytes;
}

/* An interrupt inside the instruction finds registers that belong together. */
static void on_tick(struct trap_frame *frame)
{
	interrupted.ticks++;
	if (interrupted.op == NULL || frame->rip != (uint64_t)interrupted.op->instruction)
		return;
	interrupted.inside++;
	uint64_t done = interrupted.start.rcx - frame->rcx;
	if (string_reads_source(interrupted.op))
		expect_equal("RSI at an interrupt", frame->rsi, moved(interrupted.start.rsi, done));
	if (string_uses_destination(interrupted.op))
		expect_equal("RDI at an interrupt", frame->rdi, moved(interrupted.start.rdi, done));
}

static void run_interrupted(const char *name, bool backward)
{
	const struct string_op *op = string_op_named(name);
	uint64_t first = backward ? LONG_COUNT - op->size : 0;
	struct string_registers registers = {
		.rdi = (uint64_t)destination + first,
		.rsi = (uint64_t)source + first,
		.rcx = LONG_COUNT / op->size,
		.rax = 0x0101010101010101,
		.rflags = FLAG_INTERRUPTS | (backward ? FLAG_DIRECTION : 0),
	};
	interrupted.start = registers;
	interrupted.op = op;
	op->run(&registers);
	interrupts_off();
	interrupted.op = NULL;
	expect_equal("RCX after an interrupted instruction", registers.rcx, 0);
}

/* What STOS stored everywhere, or a copy; by words, which is quicker for an interpreter. */
static void check_destination(const char *what, const uint8_t *contents)
{
	const uint64_t *found = (const uint64_t *)destination;
	for (unsigned i = 0; i < LONG_COUNT / 8; i++) {
		uint64_t wanted = contents != NULL ? ((const uint64_t *)contents)[i] : 0x0101010101010101;
		if (found[i] != wanted)
			fail("%s: word %u: expected 0x%lx, found 0x%lx", what, i, wanted, found[i]);
	}
}

static void test_interrupts(uint64_t rounds)
{
	for (unsigned i = 0; i < LONG_COUNT / 8; i++)
		((uint64_t *)source)[i] = i * 0x9e3779b97f4a7c15;
	irq_handle(PIT_IRQ, on_tick);
	pit_start(0, PIT_RATE, PIT_HZ / TICK_HZ);
	for (uint64_t round = 0; round < rounds; round++) {
		for (unsigned backward = 0; backward < 2; backward++) {
			run_interrupted("rep stosb", backward);
			check_destination("rep stosb", NULL);
			run_interrupted("repe scasb", backward);
			run_interrupted("rep movsb", backward);
			check_destination("rep movsb", source);
			run_interrupted("repe cmpsb", backward);
			run_interrupted("rep lodsq", backward);
		}
	}
	while (interrupted.ticks == 0)
		wait_for_interrupt();
	irq_mask(PIT_IRQ);
	print("interrupts: in and between long instructions\n");
	if (boot_number("ticks", 0) != 0)
		print("ticks %lu, inside an instruction %lu\n", interrupted.ticks, interrupted.inside);
}

void guest_main(void)
{
	print("strings: repeated string instructions\n");
	paging_init();
	test_boundaries();
	test_zero_counts();
	test_overlap();
	test_interrupts(boot_number("rounds", 1));
}
