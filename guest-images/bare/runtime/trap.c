#include "trap.h"

#include "console.h"
#include "cpu.h"
#include "layout.h"

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

struct task_state {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
} __attribute__((packed));

struct table_pointer {
	uint16_t limit;
	uint64_t address;
} __attribute__((packed));

#define GATE_PRESENT 0x80
#define INTERRUPT_GATE 0x0e
#define TSS_PRESENT_AVAILABLE 0x89ul

extern const uint8_t trap_stubs[];
void trap_dispatch(struct trap_frame *frame);

/* Accessed bits are set already, so that the CPU has no cause to write them. */
uint64_t gdt[GDT_ENTRIES] = {
	[CODE_SELECTOR / 8] = 0x00af9b000000ffff,
	[DATA_SELECTOR / 8] = 0x00cf93000000ffff,
	[ABSENT_SELECTOR / 8] = 0x00cf13000000ffff,
};

static struct gate idt[256] __attribute__((aligned(16)));
static struct task_state tss;
static trap_handler *handlers[256];
static uint8_t ist_stack[4096] __attribute__((aligned(16)));

static void load_tss(void)
{
	uint64_t base = (uint64_t)&tss;
	uint64_t limit = sizeof tss - 1;
	tss.io_map = sizeof tss;
	tss.ist[0] = (uint64_t)ist_stack + sizeof ist_stack;
	gdt[TSS_SELECTOR / 8] = limit | (base & 0xffffff) << 16 | TSS_PRESENT_AVAILABLE << 40 |
				(base >> 24 & 0xff) << 56;
	gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
	asm volatile("ltr %w0" : : "r"(TSS_SELECTOR) : "memory");
}

static void load_idt(void)
{
	for (unsigned vector = 0; vector < 256; vector++) {
		uint64_t stub = (uint64_t)trap_stubs + vector * STUB_SIZE;
		idt[vector] = (struct gate){
			.offset_low = (uint16_t)stub,
			.selector = CODE_SELECTOR,
			.type = GATE_PRESENT | INTERRUPT_GATE,
			.offset_middle = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
	struct table_pointer pointer = {sizeof idt - 1, (uint64_t)idt};
	asm volatile("lidt %0" : : "m"(pointer) : "memory");
}

void trap_init(void)
{
	load_tss();
	load_idt();
	/* A double fault is often a bad stack: report it on a good one. */
	trap_use_stack(VECTOR_DOUBLE_FAULT, 1);
}

void trap_handle(unsigned vector, trap_handler *handler)
{
	handlers[vector] = handler;
}

void trap_use_stack(unsigned vector, unsigned ist)
{
	idt[vector].ist = (uint8_t)ist;
}

void trap_stack_range(uint64_t *low, uint64_t *high)
{
	*low = (uint64_t)ist_stack;
	*high = tss.ist[0];
}

void trap_gate_present(unsigned vector, int present)
{
	idt[vector].type = present ? GATE_PRESENT | INTERRUPT_GATE : INTERRUPT_GATE;
}

void trap_dispatch(struct trap_frame *frame)
{
	trap_handler *handler = handlers[frame->vector];
	if (handler == 0)
		fail_with(EXIT_UNEXPECTED_TRAP,
			  "unexpected vector %lu, error code 0x%lx, rip 0x%lx, rsp 0x%lx, cr2 0x%lx", frame->vector,
			  frame->error, frame->rip, frame->rsp, read_cr2());
	handler(frame);
}
