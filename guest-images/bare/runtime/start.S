/*
 * The entry point, in the state of the Linux 64-bit boot protocol: long mode, identity map, flat
 * segments, interrupts off, RSI -> boot_params. The monitor's GDT and the stack it left are not
 * ours to rely on, so both are replaced before the first C function runs.
 */

#include "asm.h"
#include "layout.h"

	.section .text.start, "ax"
function _start
	cld
	movl $boot_stack_top, %esp
	movq %rsi, %rdi

	lgdt gdt_pointer
	movl $DATA_SELECTOR, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	lldt %ax

	/* A far return is the way to load CS in long mode. */
	pushq $CODE_SELECTOR
	pushq $1f
	lretq
1:
	xorl %ebp, %ebp
	call guest_start
	ud2
end_function _start

	.data
	.balign 8
gdt_pointer:
	.word GDT_ENTRIES * 8 - 1
	.quad gdt

	.bss
	.balign 4096
boot_stack:
	.skip 16384
boot_stack_top:
