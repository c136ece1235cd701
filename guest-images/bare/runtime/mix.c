#include "mix.h"

#define SEED 0x9e3779b97f4a7c15ul
#define MULTIPLIER 0xd1342543de82ef95ul
#define CRC_POLYNOMIAL 0xedb88320u

void mix_begin(struct mix *mix)
{
	mix->state = SEED;
	for (unsigned i = 0; i < MIX_WORDS; i++)
		mix->words[i] = i;
}

void mix_words(struct mix *mix, unsigned first, unsigned count)
{
	uint64_t state = mix->state;
	for (unsigned i = first; i < first + count; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		uint64_t word = (mix->words[i] ^ state) * MULTIPLIER;
		mix->words[i] = word << 23 | word >> 41;
		state += mix->words[i];
	}
	mix->state = state;
}

static void make_crc_table(uint32_t table[256])
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ CRC_POLYNOMIAL : crc >> 1;
		table[byte] = crc;
	}
}

uint32_t mix_checksum(const struct mix *mix)
{
	static uint32_t table[256];
	make_crc_table(table);
	uint32_t crc = ~0u;
	const uint8_t *bytes = (const uint8_t *)mix;
	for (unsigned i = 0; i < sizeof *mix; i++)
		crc = crc >> 8 ^ table[(uint8_t)(crc ^ bytes[i])];
	return ~crc;
}

/* The compiler turns a division by a known power of two into a shift: hide the divisor. */
static uint64_t opaque(uint64_t value)
{
	asm("" : "+r"(value));
	return value;
}

static uint64_t multiply_by_halves(uint64_t a, uint64_t b)
{
	uint64_t a_low = a & 0xffffffff, a_high = a / opaque(1ul << 32);
	uint64_t b_low = b & 0xffffffff, b_high = b / opaque(1ul << 32);
	uint64_t crossed = a_low * b_high + a_high * b_low;
	return a_low * b_low + crossed * opaque(1ul << 32);
}

static void mix_word_slowly(struct mix *mix, unsigned i)
{
	mix->state ^= mix->state * opaque(1ul << 13);
	mix->state ^= mix->state / opaque(1ul << 7);
	mix->state ^= mix->state * opaque(1ul << 17);
	uint64_t word = multiply_by_halves(mix->words[i] ^ mix->state, MULTIPLIER);
	mix->words[i] = word * opaque(1ul << 23) + word / opaque(1ul << 41);
	mix->state += mix->words[i];
}

static uint32_t crc_divide(uint32_t crc, unsigned bits)
{
	while (bits-- > 0)
		crc = crc >> 1 ^ (-(crc & 1) & CRC_POLYNOMIAL);
	return crc;
}

/* By half bytes, low half first: a remainder for each of 16, not of 256. */
static uint32_t crc_by_halves(const uint64_t *words, unsigned count)
{
	uint32_t remainders[16];
	for (uint32_t half = 0; half < 16; half++)
		remainders[half] = crc_divide(half, 4);
	uint32_t crc = ~0u;
	for (unsigned i = 0; i < count; i++)
		for (unsigned bit = 0; bit < 64; bit += 4)
			crc = crc >> 4 ^ remainders[(crc ^ words[i] >> bit) & 15];
	return ~crc;
}

uint32_t mix_checksum_slowly(uint64_t iterations)
{
	static struct mix mix;
	mix_begin(&mix);
	for (uint64_t iteration = 0; iteration < iterations; iteration++)
		for (unsigned i = 0; i < MIX_WORDS; i++)
			mix_word_slowly(&mix, i);
	return crc_by_halves((const uint64_t *)&mix, sizeof mix / sizeof(uint64_t));
}
