/* A hash table of fixed size. */

#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>

#define TABLE_ENTRIES 4096
#define KEY_MAX 64
#define VALUE_MAX 512

/* Pieces of text with a length, not ended by NUL. */
struct text {
	const char *bytes;
	unsigned length;
};

/* All keys are of 1 to KEY_MAX bytes, all values of up to VALUE_MAX. */
void table_init(void);
/* Returns false if the table is full. */
bool table_set(struct text key, struct text value);
bool table_get(struct text key, struct text *value);
bool table_delete(struct text key);
unsigned table_count(void);

#endif
