/* Exceptions and interrupts: IDT, TSS, handlers. */

#ifndef TRAP_H
#define TRAP_H

#include <stdint.h>

enum vector {
	VECTOR_DIVIDE = 0,
	VECTOR_DEBUG = 1,
	VECTOR_BREAKPOINT = 3,
	VECTOR_INVALID_OPCODE = 6,
	VECTOR_DOUBLE_FAULT = 8,
	VECTOR_NOT_PRESENT = 11,
	VECTOR_STACK = 12,
	VECTOR_PROTECTION = 13,
	VECTOR_PAGE_FAULT = 14,
	VECTOR_IRQ_BASE = 0x20,
};

#define FLAG_CARRY 0x001ul
#define FLAG_ZERO 0x040ul
#define FLAG_TRAP 0x100ul
#define FLAG_INTERRUPTS 0x200ul
#define FLAG_DIRECTION 0x400ul

/* What trap_common leaves on the stack. A handler may change it: IRETQ takes the new values. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector;
	uint64_t error;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void trap_handler(struct trap_frame *frame);

void trap_init(void);

/* Installs the handler of a vector, or with null makes the vector unexpected again. */
void trap_handle(unsigned vector, trap_handler *handler);

/* Makes a vector use a stack of the interrupt stack table (1 to 7), or with 0 the current one. */
void trap_use_stack(unsigned vector, unsigned ist);
/* The range of stack 1, which only the double fault uses unless a guest says otherwise. */
void trap_stack_range(uint64_t *low, uint64_t *high);

/* Marks a vector's gate as present or not. */
void trap_gate_present(unsigned vector, int present);

#endif
