/*
 * Every string instruction over a page boundary, forward and backward, with elements that straddle
 * it or not, and with the page behind it present or brought in by the page fault handler, which
 * checks how far the instruction says that it got.
 */

#include "boundary.h"

#include "console.h"
#include "cpu.h"
#include "ops.h"
#include "paging.h"
#include "string.h"
#include "trap.h"

/* An area is two pages; how far before the boundary between them a run begins differs by area. */
#define AREA_SIZE (2 * PAGE_SIZE)
#define SOURCE_WINDOW WINDOW
#define DESTINATION_WINDOW (WINDOW + 8 * PAGE_SIZE)
#define SOURCE_BEFORE 168
#define DESTINATION_BEFORE 112
#define SPAN 320
#define MARGIN 16

#define FILL 0x5a
#define STORED 0x8877665544332211ul
#define WRITE_FAULT 2
/* The element that ends a comparison comes this many before the end. */
#define STOP_BEFORE_END 3

static uint8_t source[AREA_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t destination[AREA_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t expected[AREA_SIZE];

/* An area as one run uses it: `offset` is where the run's lowest byte lies. */
struct area {
	uint64_t window;
	uint8_t *memory;
	unsigned offset;
	bool used, written, fault_due;
};

static struct {
	const struct string_op *op;
	unsigned count;
	bool backward;
	struct area source, destination;
} run;

static void set_page(const struct area *area, unsigned page, bool present)
{
	uint64_t entry = (uint64_t)area->memory + page * PAGE_SIZE;
	paging_set(area->window + page * PAGE_SIZE, present ? entry | PAGE_PRESENT | PAGE_WRITABLE : 0);
}

/* The page that a run reaches second. */
static unsigned far_page(void)
{
	return run.backward ? 0 : 1;
}

/* How many elements come before the first that touches the far page. */
static unsigned elements_before_fault(const struct area *area)
{
	unsigned before = (unsigned)PAGE_SIZE - area->offset;
	return run.backward ? run.count - 1 - (before - 1) / run.op->size : before / run.op->size;
}

/* The window's address of the element that is processed as the n-th. */
static uint64_t element_address(const struct area *area, unsigned n)
{
	unsigned index = run.backward ? run.count - 1 - n : n;
	return area->window + area->offset + index * run.op->size;
}

static uint64_t lowest_missing_byte(const struct area *area, unsigned n)
{
	uint64_t address = element_address(area, n), boundary = area->window + PAGE_SIZE;
	return !run.backward && address < boundary ? boundary : address;
}

static void on_page_fault(struct trap_frame *frame)
{
	uint64_t address = read_cr2();
	bool in_source = address - run.source.window < AREA_SIZE;
	struct area *area = in_source ? &run.source : &run.destination;
	if (!area->fault_due)
		fail("%s: a page fault at 0x%lx that is not due", run.op->name, address);
	area->fault_due = false;

	unsigned done = elements_before_fault(area);
	expect_equal("CR2", address, lowest_missing_byte(area, done));
	expect_equal("error code", frame->error, area->written ? WRITE_FAULT : 0);
	expect_equal("RIP at the fault", frame->rip, (uint64_t)run.op->instruction);
	expect_equal("RCX at the fault", frame->rcx, run.count - done);
	if (run.source.used)
		expect_equal("RSI at the fault", frame->rsi, element_address(&run.source, done));
	if (run.destination.used)
		expect_equal("RDI at the fault", frame->rdi, element_address(&run.destination, done));
	expect_equal("direction at the fault", (frame->rflags & FLAG_DIRECTION) != 0, run.backward);
	set_page(area, far_page(), true);
}

/* Memory such that comparisons end at one certain element, and not before. */
static void fill_destination(void)
{
	memset(destination + run.destination.offset - MARGIN, FILL, SPAN + 2 * MARGIN);
	if (!string_compares(run.op))
		return;
	unsigned stop = run.backward ? STOP_BEFORE_END : run.count - 1 - STOP_BEFORE_END;
	unsigned size = run.op->size;
	for (unsigned i = 0; i < run.count; i++) {
		uint64_t left = run.op->kind == SCAS ? STORED : string_element(&source[run.source.offset + i * size], size);
		bool equal = (i == stop) != run.op->while_equal;
		string_set_element(&destination[run.destination.offset + i * size], size, equal ? left : left + 1);
	}
}

static void check_registers(const struct string_registers *found, const struct string_registers *model)
{
	uint64_t flags = FLAG_DIRECTION | (string_compares(run.op) ? FLAG_ZERO | FLAG_CARRY : 0);
	expect_equal("RDI at the end", found->rdi, model->rdi);
	expect_equal("RSI at the end", found->rsi, model->rsi);
	expect_equal("RCX at the end", found->rcx, model->rcx);
	expect_equal("RAX at the end", found->rax, model->rax);
	expect_equal("flags at the end", found->rflags & flags, model->rflags & flags);
}

static void execute(void)
{
	unsigned first = run.backward ? (run.count - 1) * run.op->size : 0;
	struct string_registers registers = {
		.rdi = element_address(&run.destination, 0),
		.rsi = element_address(&run.source, 0),
		.rcx = run.count,
		.rax = STORED,
		.rflags = run.backward ? FLAG_DIRECTION : 0,
	};
	struct string_registers model = registers;
	unsigned low = run.destination.offset - MARGIN;
	memcpy(expected + low, destination + low, SPAN + 2 * MARGIN);
	string_model(run.op, &model, source + run.source.offset + first, expected + run.destination.offset + first);

	run.op->run(&registers);
	check_registers(&registers, &model);
	if (memcmp(expected + low, destination + low, SPAN + 2 * MARGIN) != 0)
		fail("%s: the destination is not what it should be", run.op->name);
	if (run.source.fault_due || run.destination.fault_due)
		fail("%s: a page fault did not come", run.op->name);
}

static struct area make_area(uint64_t window, uint8_t *memory, unsigned before, bool used, bool faults)
{
	return (struct area){
		.window = window,
		.memory = memory,
		.offset = (unsigned)PAGE_SIZE - before,
		.used = used,
		.fault_due = used && faults,
	};
}

static void prepare(const struct string_op *op, bool backward, bool straddles, bool faults)
{
	unsigned less = straddles ? 3 : 0;
	run.op = op;
	run.count = SPAN / op->size;
	run.backward = backward;
	run.source = make_area(SOURCE_WINDOW, source, SOURCE_BEFORE - less, string_reads_source(op), faults);
	run.destination =
		make_area(DESTINATION_WINDOW, destination, DESTINATION_BEFORE - less, string_uses_destination(op), faults);
	run.destination.written = !string_compares(op);
	fill_destination();
	for (unsigned page = 0; page < 2; page++) {
		set_page(&run.source, page, !(run.source.fault_due && page == far_page()));
		set_page(&run.destination, page, !(run.destination.fault_due && page == far_page()));
	}
}

void test_boundaries(void)
{
	for (unsigned i = 0; i < AREA_SIZE; i++)
		source[i] = (uint8_t)(i * 7 + (i >> 8));
	trap_handle(VECTOR_PAGE_FAULT, on_page_fault);
	for (unsigned i = 0; i < string_op_count; i++) {
		/* Bit by bit: backward, straddling, faulting. */
		for (unsigned variant = 0; variant < 8; variant++) {
			prepare(&string_ops[i], variant & 1, variant & 2, variant & 4);
			execute();
		}
		print("%s: across pages and page faults\n", string_ops[i].name);
	}
	trap_handle(VECTOR_PAGE_FAULT, 0);
}
