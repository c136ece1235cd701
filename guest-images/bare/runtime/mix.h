/*
 * A computation whose result depends on every step of it: each word of a buffer is mixed into a
 * state, and the state into the word. A wrong bit anywhere changes the checksum.
 */

#ifndef MIX_H
#define MIX_H

#include <stdint.h>

#define MIX_WORDS 8192 /* 64 KiB */

struct mix {
	uint64_t state;
	uint64_t words[MIX_WORDS];
};

void mix_begin(struct mix *mix);

/* Mixes the words from `first` on, `count` of them, once. */
void mix_words(struct mix *mix, unsigned first, unsigned count);

/* The checksum of state and words. */
uint32_t mix_checksum(const struct mix *mix);

/*
 * The checksum after that many iterations over all words, found by other instructions: divisions for
 * shifts, long multiplication, a CRC by half bytes.
 */
uint32_t mix_checksum_slowly(uint64_t iterations);

#endif
