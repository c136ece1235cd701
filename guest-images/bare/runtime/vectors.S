/*
 * One stub per vector. A stub makes all frames alike (a zero stands in where the CPU pushes no error
 * code), then trap_common saves the registers in the order of struct trap_frame.
 */

#include "asm.h"
#include "layout.h"

	.text
	.balign STUB_SIZE
function trap_stubs
	.set .Lvector, 0
	.rept 256
	.balign STUB_SIZE
	.if !(.Lvector == 8 || (.Lvector >= 10 && .Lvector <= 14) || .Lvector == 17)
	pushq $0
	.endif
	pushq $.Lvector
	jmp trap_common
	.set .Lvector, .Lvector + 1
	.endr
	.balign STUB_SIZE
end_function trap_stubs

function trap_common
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15

	/* The interrupted code may have been running backward strings. */
	cld
	movq %rsp, %rdi
	call trap_dispatch

	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq
end_function trap_common
