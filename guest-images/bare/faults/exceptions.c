#include "console.h"
#include "cpu.h"
#include "layout.h"
#include "paging.h"
#include "tests.h"

/* The error code of a fault that concerns a gate of the IDT. */
#define IDT_ERROR(vector) ((vector) * 8ul + 2)

#define NON_CANONICAL 0x8000000000000000ul

/* Page fault error code. */
#define ON_PRESENT 0x01
#define ON_WRITE 0x02
#define ON_RESERVED_BIT 0x08
#define ON_FETCH 0x10

#define CR0_WRITE_PROTECT 0x10000ul
#define MSR_EFER 0xc0000080u
#define EFER_NO_EXECUTE_ENABLE 0x800ul
#define CPUID_EXTENDED 0x80000001u
#define CPUID_NO_EXECUTE (1u << 20)

#define TARGET (WINDOW + 5 * PAGE_SIZE)

/* The trap that is due, and where the guest goes on after it. */
static struct due {
	const char *name;
	unsigned vector;
	const void *rip;
	uint64_t error;
	const void *next;
} due;
static unsigned traps;
static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void on_trap(struct trap_frame *frame)
{
	if (frame->vector != due.vector)
		fail("%s: expected vector %u, found vector %lu, error code 0x%lx, rip 0x%lx", due.name, due.vector,
		     frame->vector, frame->error, frame->rip);
	if (frame->rip != (uint64_t)due.rip)
		fail("%s: expected RIP 0x%lx, found 0x%lx", due.name, (uint64_t)due.rip, frame->rip);
	if (frame->error != due.error)
		fail("%s: expected error code 0x%lx, found 0x%lx", due.name, due.error, frame->error);
	expect_equal("saved CS", frame->cs, CODE_SELECTOR);
	expect_equal("saved SS", frame->ss, DATA_SELECTOR);
	traps++;
	frame->rip = (uint64_t)due.next;
}

/* Calls a function of code.S, which must trap exactly as it is due. */
static void expect_trap(struct due expected, void (*function)(uint64_t argument), uint64_t argument)
{
	due = expected;
	traps = 0;
	trap_handle(due.vector, on_trap);
	function(argument);
	trap_handle(due.vector, 0);
	if (traps != 1)
		fail("%s: expected one trap, found %u", due.name, traps);
}

#define EXPECT_FAULT(name, vector, error, function, argument)                                                  \
	expect_trap((struct due){name, vector, function##_instruction, error, function##_next}, function, argument)

/* The saved RIP of a trap, unlike that of a fault, is behind the instruction. */
#define EXPECT_TRAP_BEHIND(name, vector, function)                                                             \
	expect_trap((struct due){name, vector, function##_next, 0, function##_next}, function, 0)

void test_divide(void)
{
	EXPECT_FAULT("#DE: division by zero", VECTOR_DIVIDE, 0, divide_by_zero, 0);
}

void test_invalid_opcode(void)
{
	EXPECT_FAULT("#UD: ud2", VECTOR_INVALID_OPCODE, 0, invalid_opcode, 0);
}

void test_breakpoint(void)
{
	EXPECT_TRAP_BEHIND("#BP: int3", VECTOR_BREAKPOINT, breakpoint);
}

void test_software_interrupt(void)
{
	EXPECT_TRAP_BEHIND("int 0x80", VECTOR_SOFTWARE, software_interrupt);
}

void test_absent_gate(void)
{
	trap_gate_present(VECTOR_ABSENT, 0);
	EXPECT_FAULT("#NP: int through an absent gate", VECTOR_NOT_PRESENT, IDT_ERROR(VECTOR_ABSENT), absent_interrupt, 0);
	trap_gate_present(VECTOR_ABSENT, 1);
}

void test_non_canonical(void)
{
	EXPECT_FAULT("#GP: read of a non-canonical address", VECTOR_PROTECTION, 0, read_memory, NON_CANONICAL);
	EXPECT_FAULT("#GP: write to a non-canonical address", VECTOR_PROTECTION, 0, write_memory, NON_CANONICAL);
}

void test_segments(void)
{
	EXPECT_FAULT("#NP: segment not present", VECTOR_NOT_PRESENT, ABSENT_SELECTOR, load_segment, ABSENT_SELECTOR);
	EXPECT_FAULT("#GP: system segment", VECTOR_PROTECTION, TSS_SELECTOR, load_segment, TSS_SELECTOR);
	EXPECT_FAULT("#GP: selector beyond the table", VECTOR_PROTECTION, 0x100, load_segment, 0x100);
}

static void expect_page_fault(const char *name, uint64_t error, bool writes)
{
	if (writes)
		EXPECT_FAULT(name, VECTOR_PAGE_FAULT, error, write_memory, TARGET + 8);
	else
		EXPECT_FAULT(name, VECTOR_PAGE_FAULT, error, read_memory, TARGET + 8);
	expect_equal("CR2", read_cr2(), TARGET + 8);
}

static void expect_fetch_fault(const char *name, uint64_t error)
{
	expect_trap((struct due){name, VECTOR_PAGE_FAULT, (void *)TARGET, error, jump_to_next}, jump_to, TARGET);
	expect_equal("CR2", read_cr2(), TARGET);
}

void test_page_faults(void)
{
	set_cr0(CR0_WRITE_PROTECT);
	paging_set(TARGET, 0);
	expect_page_fault("#PF: read of an absent page", 0, false);
	expect_page_fault("#PF: write to an absent page", ON_WRITE, true);
	paging_set(TARGET, (uint64_t)page | PAGE_PRESENT);
	expect_page_fault("#PF: write to a read-only page", ON_PRESENT | ON_WRITE, true);
}

/* Without NXE the bit that forbids execution is a reserved one. */
void test_reserved_bit(void)
{
	write_msr(MSR_EFER, read_msr(MSR_EFER) & ~EFER_NO_EXECUTE_ENABLE);
	paging_set(TARGET, (uint64_t)page | PAGE_PRESENT | PAGE_NO_EXECUTE);
	expect_page_fault("#PF: reserved bit", ON_PRESENT | ON_RESERVED_BIT, false);
}

/* Fetches are told from reads only with NXE. */
void test_no_execute(void)
{
	if ((cpuid_edx(CPUID_EXTENDED) & CPUID_NO_EXECUTE) == 0)
		return;
	uint64_t forbidden = (uint64_t)page | PAGE_PRESENT | PAGE_NO_EXECUTE;
	write_msr(MSR_EFER, read_msr(MSR_EFER) & ~EFER_NO_EXECUTE_ENABLE);
	paging_set(TARGET, 0);
	expect_fetch_fault("#PF: fetch from an absent page without NXE", 0);
	write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_NO_EXECUTE_ENABLE);
	paging_set(TARGET, 0);
	expect_fetch_fault("#PF: fetch from an absent page", ON_FETCH);
	paging_set(TARGET, forbidden);
	expect_fetch_fault("#PF: fetch from a page without code", ON_FETCH | ON_PRESENT);
}
