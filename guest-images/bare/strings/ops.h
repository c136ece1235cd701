/* The string instructions under test, and a model of what each must do. */

#ifndef OPS_H
#define OPS_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets are known to ops.S. */
struct string_registers {
	uint64_t rdi, rsi, rcx, rax, rflags;
};

enum string_kind { MOVS, STOS, LODS, SCAS, CMPS };

struct string_op {
	const char *name;
	void (*run)(struct string_registers *registers);
	const uint8_t *instruction;
	enum string_kind kind;
	unsigned size;
	bool while_equal; /* of SCAS and CMPS: REPE, else REPNE */
};

extern const struct string_op string_ops[];
extern const unsigned string_op_count;

const struct string_op *string_op_named(const char *name);

bool string_reads_source(const struct string_op *op);
bool string_uses_destination(const struct string_op *op);
bool string_compares(const struct string_op *op);

/* The value of an element of `size` bytes. */
uint64_t string_element(const uint8_t *address, unsigned size);
void string_set_element(uint8_t *address, unsigned size, uint64_t value);

/*
 * What the instruction must leave in the registers, and in destination memory. The pointers in
 * `registers` are the guest's; `source` and `destination` are where the first elements really are.
 */
void string_model(const struct string_op *op, struct string_registers *registers, const uint8_t *source,
		  uint8_t *destination);

#endif
