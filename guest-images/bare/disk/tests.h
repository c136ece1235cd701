#ifndef TESTS_H
#define TESTS_H

#include "block.h"

/* Writes patterns and reads them back. The round makes them differ from what the disk held before. */
void test_transfers(struct block *block, uint64_t round);

#endif
