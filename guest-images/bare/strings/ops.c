#include "ops.h"

#include "console.h"
#include "string.h"
#include "trap.h"

#define OP(name, text, kind, size, while_equal)                                                                \
	extern void string_##name(struct string_registers *registers);                                         \
	extern const uint8_t string_##name##_instruction[];
#include "ops.def"
#undef OP

#define OP(name, text, kind, size, while_equal)                                                                \
	{text, string_##name, string_##name##_instruction, kind, size, while_equal},
const struct string_op string_ops[] = {
#include "ops.def"
};
#undef OP

const unsigned string_op_count = sizeof string_ops / sizeof string_ops[0];

const struct string_op *string_op_named(const char *name)
{
	for (unsigned i = 0; i < string_op_count; i++)
		if (strcmp(name, string_ops[i].name) == 0)
			return &string_ops[i];
	fail("there is no string instruction %s", name);
}

bool string_reads_source(const struct string_op *op)
{
	return op->kind == MOVS || op->kind == LODS || op->kind == CMPS;
}

bool string_uses_destination(const struct string_op *op)
{
	return op->kind != LODS;
}

bool string_compares(const struct string_op *op)
{
	return op->kind == SCAS || op->kind == CMPS;
}

uint64_t string_element(const uint8_t *address, unsigned size)
{
	uint64_t value = 0;
	for (unsigned i = size; i > 0; i--)
		value = value << 8 | address[i - 1];
	return value;
}

void string_set_element(uint8_t *address, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		address[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t low_bytes(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & ((1ul << 8 * size) - 1);
}

/* A load of 32 bits clears the upper half of RAX, a shorter one keeps what it does not cover. */
static uint64_t loaded(uint64_t rax, uint64_t value, unsigned size)
{
	return size >= 4 ? value : rax - low_bytes(rax, size) + value;
}

static void set_flags(struct string_registers *registers, uint64_t left, uint64_t right)
{
	registers->rflags &= ~(FLAG_ZERO | FLAG_CARRY);
	if (left == right)
		registers->rflags |= FLAG_ZERO;
	if (left < right)
		registers->rflags |= FLAG_CARRY;
}

/* One element; returns false if the instruction ends with it. */
static bool model_element(const struct string_op *op, struct string_registers *registers, const uint8_t *source,
			  uint8_t *destination)
{
	uint64_t left = low_bytes(registers->rax, op->size);
	switch (op->kind) {
	case MOVS:
		string_set_element(destination, op->size, string_element(source, op->size));
		return true;
	case STOS:
		string_set_element(destination, op->size, left);
		return true;
	case LODS:
		registers->rax = loaded(registers->rax, string_element(source, op->size), op->size);
		return true;
	case CMPS:
		left = string_element(source, op->size);
		break;
	case SCAS:
		break;
	}
	uint64_t right = string_element(destination, op->size);
	set_flags(registers, left, right);
	return (left == right) == op->while_equal;
}

void string_model(const struct string_op *op, struct string_registers *registers, const uint8_t *source,
		  uint8_t *destination)
{
	int64_t step = registers->rflags & FLAG_DIRECTION ? -(int64_t)op->size : (int64_t)op->size;
	bool goes_on = true;
	while (goes_on && registers->rcx != 0) {
		goes_on = model_element(op, registers, source, destination);
		source += step;
		destination += step;
		registers->rcx--;
		if (string_reads_source(op))
			registers->rsi += (uint64_t)step;
		if (string_uses_destination(op))
			registers->rdi += (uint64_t)step;
	}
}
