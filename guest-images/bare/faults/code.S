/*
 * Instructions that trap, each a function of its own with a label on the instruction and one behind
 * it, where the handler sends the guest on.
 */

#include "asm.h"
#include "layout.h"

.macro trapping name, instruction:vararg
function \name
	.globl \name\()_instruction, \name\()_next
\name\()_instruction:
	\instruction
\name\()_next:
	ret
end_function \name
.endm

	.text

/* The first argument is in RDI. */
	trapping divide_by_zero, divl %edi
	trapping invalid_opcode, ud2
	trapping breakpoint, int3
	trapping software_interrupt, int $0x80
	trapping absent_interrupt, int $0x81
	trapping read_memory, movq (%rdi), %rax
	trapping write_memory, movq %rdi, (%rdi)
	trapping load_segment, movl %edi, %es

/* Jumps to its argument; a fault there finds RIP = the argument. */
function jump_to
	.globl jump_to_next
	jmp *%rdi
jump_to_next:
	ret
end_function jump_to

/* PUSH with RSP = the argument; RDX keeps the good one. */
function push_at
	.globl push_at_instruction, push_at_next
	movq %rsp, %rdx
	movq %rdi, %rsp
push_at_instruction:
	pushq %rax
push_at_next:
	movq %rdx, %rsp
	ret
end_function push_at

/* A trap on the stack that the argument points to; returns the RSP that IRETQ gave back. */
function trap_at_stack
	.globl trap_at_stack_next
	movq %rsp, %rdx
	movq %rdi, %rsp
	ud2
trap_at_stack_next:
	movq %rsp, %rax
	movq %rdx, %rsp
	ret
end_function trap_at_stack

/* IRETQ with RFLAGS = RDI and RSP lower by RSI; returns the RFLAGS found, and how much lower in *RDX. */
function return_by_iretq
	movq %rsp, %rcx
	movq %rsp, %rax
	subq %rsi, %rax
	pushq $DATA_SELECTOR
	pushq %rax
	pushq %rdi
	pushq $CODE_SELECTOR
	pushq $1f
	iretq
	ud2
1:
	pushfq
	popq %r8
	cld
	movq %rcx, %rax
	subq %rsp, %rax
	movq %rax, (%rdx)
	movq %rcx, %rsp
	movq %r8, %rax
	ret
end_function return_by_iretq

/* Seven instructions with the trap flag on, the first and the last of which end at the labels. */
function single_steps
	.globl single_step_first, single_step_last
	pushfq
	orq $0x100, (%rsp)
	popfq
	nop
single_step_first:
	xorl %eax, %eax
	incl %eax
	movl %eax, %ecx
	pushfq
	andq $~0x100, (%rsp)
	popfq
single_step_last:
	nop
	ret
end_function single_steps

/* With an interrupt already pending: STI does not let it in before the next instruction is done. */
function sti_nop
	.globl sti_nop_shadow, sti_nop_after
	sti
sti_nop_shadow:
	nop
sti_nop_after:
	nop
	nop
	nop
	nop
	cli
	ret
end_function sti_nop

/* The CLI is in the shadow of the STI: no interrupt gets in at all. */
function sti_cli
	sti
	cli
	nop
	nop
	ret
end_function sti_cli

function sti_hlt
	.globl sti_hlt_after
	sti
	hlt
sti_hlt_after:
	cli
	ret
end_function sti_hlt
