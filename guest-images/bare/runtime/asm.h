/* Function symbols with type and size: the monitor reads code by the symbol table. */

#ifndef ASM_H
#define ASM_H

/* clang-format off */
.macro function name
	.globl \name
	.type \name, @function
	\name:
.endm

.macro end_function name
	.size \name, . - \name
.endm
/* clang-format on */

#endif
