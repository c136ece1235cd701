/*
 * Each repeated string instruction as a function that takes all registers and flags from a struct
 * string_registers and leaves them there. A label marks the instruction itself, since faults and
 * interrupts in the middle must point at it.
 */

#include "asm.h"

.macro string_function name, instruction:vararg
function string_\name
	pushq %rbx
	movq %rdi, %rbx
	movq 8(%rbx), %rsi
	movq 16(%rbx), %rcx
	movq 24(%rbx), %rax
	pushq 32(%rbx)
	movq (%rbx), %rdi
	popfq
	.globl string_\name\()_instruction
string_\name\()_instruction:
	\instruction
	pushfq
	cld
	popq 32(%rbx)
	movq %rdi, (%rbx)
	movq %rsi, 8(%rbx)
	movq %rcx, 16(%rbx)
	movq %rax, 24(%rbx)
	popq %rbx
	ret
end_function string_\name
.endm

	.text
	string_function movsb, rep movsb
	string_function movsw, rep movsw
	string_function movsd, rep movsl
	string_function movsq, rep movsq
	string_function stosb, rep stosb
	string_function stosw, rep stosw
	string_function stosd, rep stosl
	string_function stosq, rep stosq
	string_function lodsb, rep lodsb
	string_function lodsw, rep lodsw
	string_function lodsd, rep lodsl
	string_function lodsq, rep lodsq
	string_function scasb_ne, repne scasb
	string_function scasw_ne, repne scasw
	string_function scasd_ne, repne scasl
	string_function scasq_ne, repne scasq
	string_function scasb_e, repe scasb
	string_function scasq_e, repe scasq
	string_function cmpsb_e, repe cmpsb
	string_function cmpsw_e, repe cmpsw
	string_function cmpsd_e, repe cmpsl
	string_function cmpsq_e, repe cmpsq
	string_function cmpsb_ne, repne cmpsb
	string_function cmpsq_ne, repne cmpsq
