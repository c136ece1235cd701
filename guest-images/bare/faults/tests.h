#ifndef TESTS_H
#define TESTS_H

#include <stdint.h>

#include "trap.h"

/* exceptions.c */
void test_divide(void);
void test_invalid_opcode(void);
void test_breakpoint(void);
void test_software_interrupt(void);
void test_absent_gate(void);
void test_non_canonical(void);
void test_segments(void);
void test_page_faults(void);
void test_reserved_bit(void);
void test_no_execute(void);

/* stacks.c */
void test_alignment(void);
void test_interrupt_stack(void);
void test_stack_fault(void);
void test_double_fault(void);
void test_nested(void);
void test_iretq(void);
void test_single_step(void);

/* sti.c */
void test_sti_shadow(void);
void test_cli_in_shadow(void);
void test_sti_hlt(void);

/* The functions of code.S, and the labels on and behind their instructions. */
typedef void trapping_function(uint64_t argument);
extern trapping_function divide_by_zero, invalid_opcode, breakpoint, software_interrupt, absent_interrupt, read_memory,
	write_memory, load_segment, jump_to, push_at;
extern const uint8_t divide_by_zero_instruction[], divide_by_zero_next[], invalid_opcode_instruction[],
	invalid_opcode_next[], breakpoint_next[], software_interrupt_next[], absent_interrupt_instruction[],
	absent_interrupt_next[], read_memory_instruction[], read_memory_next[], write_memory_instruction[],
	write_memory_next[], load_segment_instruction[], load_segment_next[], jump_to_next[], push_at_instruction[],
	push_at_next[];

#define VECTOR_SOFTWARE 0x80
#define VECTOR_ABSENT 0x81

#endif
