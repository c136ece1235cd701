/* Code that gets patched. The labels name the bytes that change. */

#include "asm.h"

.macro patched label
	.globl \label
\label:
.endm

	.text

/* Adds an immediate as often as the argument says. */
function add_in_loop
	xorl %eax, %eax
1:
	.byte 0x05 /* addl $immediate, %eax */
patched add_in_loop_immediate
	.long 0
	decl %edi
	jnz 1b
	ret
end_function add_in_loop

/* The same, but each round first raises the immediate that it is about to add. */
function add_rising
	xorl %eax, %eax
1:
	incl add_rising_immediate
	jmp 2f
2:
	.byte 0x05
patched add_rising_immediate
	.long 0
	decl %edi
	jnz 1b
	ret
end_function add_rising

/* Returns its argument, by writing it into the instruction ahead; a jump lets the write take effect. */
function patch_ahead_by_jump
	movl %edi, 1f + 1
	jmp 1f
1:
	movl $0, %eax
	ret
end_function patch_ahead_by_jump

/* The same with a serialising instruction in between. */
function patch_ahead_by_cpuid
	pushq %rbx
	movl %edi, 1f + 1
	xorl %eax, %eax
	cpuid
1:
	movl $0, %eax
	popq %rbx
	ret
end_function patch_ahead_by_cpuid

/* Compares its arguments; which way the jump goes depends on its opcode. */
function choose
	movl $1, %eax
	cmpl %edi, %esi
patched choose_jump
	je 1f
	movl $2, %eax
1:
	ret
end_function choose

/* To be copied elsewhere, hence without references to anywhere. */
function twice
	leaq (%rdi, %rdi), %rax
	ret
end_function twice
patched twice_end

function square
	movq %rdi, %rax
	imulq %rdi, %rax
	ret
end_function square
patched square_end
