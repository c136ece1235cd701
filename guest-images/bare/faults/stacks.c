/* Where trap frames go, and what comes back from them. */

#include "console.h"
#include "cpu.h"
#include "paging.h"
#include "tests.h"

#define NON_CANONICAL 0x8000000000000000ul
#define NESTED_PAGE (WINDOW + 6 * PAGE_SIZE)
#define LOWERED 256

extern uint64_t trap_at_stack(uint64_t stack);
extern const uint8_t trap_at_stack_next[];
extern uint64_t return_by_iretq(uint64_t flags, uint64_t lower, uint64_t *lowered);
extern void single_steps(void);
extern const uint8_t single_step_first[], single_step_last[];
#define SINGLE_STEPS 7

static uint8_t stack[4096] __attribute__((aligned(16)));
static uint64_t page[PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
static struct trap_frame seen;
static uint64_t seen_at;
static unsigned traps;

static void on_any(struct trap_frame *frame)
{
	seen = *frame;
	seen_at = (uint64_t)frame;
	traps++;
}

static void on_trap_at_stack(struct trap_frame *frame)
{
	on_any(frame);
	frame->rip = (uint64_t)trap_at_stack_next;
}

/* The frame is pushed below RSP, after aligning it to 16 bytes; IRETQ brings the old RSP back. */
void test_alignment(void)
{
	uint64_t top = (uint64_t)stack + sizeof stack;
	trap_handle(VECTOR_INVALID_OPCODE, on_trap_at_stack);
	for (uint64_t off = 0; off < 16; off++) {
		expect_equal("RSP that IRETQ restored", trap_at_stack(top - off), top - off);
		expect_equal("RSP in the frame", seen.rsp, top - off);
		expect_equal("end of the frame", seen_at + sizeof seen, (top - off) & ~15ul);
	}
	trap_handle(VECTOR_INVALID_OPCODE, 0);
}

void test_interrupt_stack(void)
{
	uint64_t low, high, top = (uint64_t)stack + sizeof stack;
	trap_stack_range(&low, &high);
	trap_handle(VECTOR_INVALID_OPCODE, on_trap_at_stack);
	trap_use_stack(VECTOR_INVALID_OPCODE, 1);
	expect_equal("RSP that IRETQ restored", trap_at_stack(top), top);
	expect_equal("end of the frame on the interrupt stack", seen_at + sizeof seen, high);
	trap_use_stack(VECTOR_INVALID_OPCODE, 0);
	trap_handle(VECTOR_INVALID_OPCODE, 0);
}

static void on_bad_stack(struct trap_frame *frame)
{
	on_any(frame);
	frame->rsp = frame->rdx;
	frame->rip = (uint64_t)push_at_next;
}

void test_stack_fault(void)
{
	trap_use_stack(VECTOR_STACK, 1);
	trap_handle(VECTOR_STACK, on_bad_stack);
	traps = 0;
	push_at(NON_CANONICAL);
	expect_equal("stack faults", traps, 1);
	expect_equal("RIP of a stack fault", seen.rip, (uint64_t)push_at_instruction);
	expect_equal("RSP of a stack fault", seen.rsp, NON_CANONICAL);
	expect_equal("error code of a stack fault", seen.error, 0);
	trap_handle(VECTOR_STACK, 0);
	trap_use_stack(VECTOR_STACK, 0);
}

static void on_double_fault(struct trap_frame *frame)
{
	on_any(frame);
	frame->rip = (uint64_t)read_memory_next;
}

/* The gate of #GP is absent, which is a second fault. The saved RIP of a double fault is not defined. */
void test_double_fault(void)
{
	uint64_t low, high;
	trap_stack_range(&low, &high);
	trap_handle(VECTOR_DOUBLE_FAULT, on_double_fault);
	trap_gate_present(VECTOR_PROTECTION, 0);
	traps = 0;
	read_memory(NON_CANONICAL);
	expect_equal("double faults", traps, 1);
	expect_equal("error code of a double fault", seen.error, 0);
	expect_equal("end of the frame of a double fault", seen_at + sizeof seen, high);
	trap_gate_present(VECTOR_PROTECTION, 1);
	trap_handle(VECTOR_DOUBLE_FAULT, 0);
}

static void on_nested_page_fault(struct trap_frame *frame)
{
	on_any(frame);
	expect_equal("CR2 of the inner fault", read_cr2(), NESTED_PAGE);
	paging_set(NESTED_PAGE, (uint64_t)page | PAGE_PRESENT | PAGE_WRITABLE);
}

static void on_outer(struct trap_frame *frame)
{
	struct trap_frame before = *frame;
	expect_equal("what the inner fault's instruction read", *(volatile uint64_t *)NESTED_PAGE, page[0]);
	expect_equal("inner faults", traps, 1);
	expect_equal("RIP of the outer frame", frame->rip, before.rip);
	if (seen_at >= (uint64_t)frame)
		fail("the inner frame at 0x%lx is not below the outer one at 0x%lx", seen_at, (uint64_t)frame);
	frame->rip = (uint64_t)invalid_opcode_next;
}

void test_nested(void)
{
	page[0] = 0x0123456789abcdef;
	paging_set(NESTED_PAGE, 0);
	trap_handle(VECTOR_INVALID_OPCODE, on_outer);
	trap_handle(VECTOR_PAGE_FAULT, on_nested_page_fault);
	traps = 0;
	invalid_opcode(0);
	expect_equal("nested faults", traps, 1);
	trap_handle(VECTOR_INVALID_OPCODE, 0);
	trap_handle(VECTOR_PAGE_FAULT, 0);
}

void test_iretq(void)
{
	static const uint64_t flags[] = {0, FLAG_CARRY, FLAG_ZERO, FLAG_DIRECTION, FLAG_CARRY | FLAG_ZERO | FLAG_DIRECTION};
	uint64_t mask = FLAG_CARRY | FLAG_ZERO | FLAG_DIRECTION | FLAG_INTERRUPTS;
	for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		uint64_t lowered;
		uint64_t found = return_by_iretq(flags[i] | 2, LOWERED, &lowered);
		expect_equal("RFLAGS after IRETQ", found & mask, flags[i]);
		expect_equal("how much IRETQ lowered RSP", lowered, LOWERED);
	}
}

static uint64_t first_step;

static void on_step(struct trap_frame *frame)
{
	if (traps == 0)
		first_step = frame->rip;
	on_any(frame);
}

void test_single_step(void)
{
	trap_handle(VECTOR_DEBUG, on_step);
	traps = 0;
	single_steps();
	trap_handle(VECTOR_DEBUG, 0);
	expect_equal("RIP of the first step", first_step, (uint64_t)single_step_first);
	expect_equal("RIP of the last step", seen.rip, (uint64_t)single_step_last);
	expect_equal("single steps", traps, SINGLE_STEPS);
}
