#include "table.h"

#include <stdint.h>

#include "string.h"

#define BUCKETS 4096
#define NONE 0xffff

struct entry {
	uint16_t next; /* in its bucket, or in the list of free entries */
	uint16_t key_length, value_length;
	char key[KEY_MAX];
	char value[VALUE_MAX];
};

static struct entry entries[TABLE_ENTRIES];
static uint16_t buckets[BUCKETS];
static uint16_t first_free;
static unsigned count;

void table_init(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		buckets[i] = NONE;
	for (unsigned i = 0; i < TABLE_ENTRIES; i++)
		entries[i].next = (uint16_t)(i + 1 < TABLE_ENTRIES ? i + 1 : NONE);
	first_free = 0;
	count = 0;
}

/* FNV-1a. */
static uint16_t *bucket_of(struct text key)
{
	uint32_t hash = 0x811c9dc5;
	for (unsigned i = 0; i < key.length; i++)
		hash = (hash ^ (uint8_t)key.bytes[i]) * 0x01000193;
	return &buckets[(hash ^ hash >> 16) % BUCKETS];
}

/* The link that points to the key's entry, or the end of its bucket. */
static uint16_t *find_link(struct text key)
{
	uint16_t *link = bucket_of(key);
	for (; *link != NONE; link = &entries[*link].next) {
		const struct entry *entry = &entries[*link];
		if (entry->key_length == key.length && memcmp(entry->key, key.bytes, key.length) == 0)
			break;
	}
	return link;
}

static struct entry *add_entry(uint16_t *link, struct text key)
{
	if (first_free == NONE)
		return NULL;
	struct entry *entry = &entries[first_free];
	*link = first_free;
	first_free = entry->next;
	entry->next = NONE;
	entry->key_length = (uint16_t)key.length;
	memcpy(entry->key, key.bytes, key.length);
	count++;
	return entry;
}

bool table_set(struct text key, struct text value)
{
	uint16_t *link = find_link(key);
	struct entry *entry = *link != NONE ? &entries[*link] : add_entry(link, key);
	if (entry == NULL)
		return false;
	entry->value_length = (uint16_t)value.length;
	memcpy(entry->value, value.bytes, value.length);
	return true;
}

bool table_get(struct text key, struct text *value)
{
	uint16_t index = *find_link(key);
	if (index == NONE)
		return false;
	*value = (struct text){entries[index].value, entries[index].value_length};
	return true;
}

bool table_delete(struct text key)
{
	uint16_t *link = find_link(key), index = *link;
	if (index == NONE)
		return false;
	*link = entries[index].next;
	entries[index].next = first_free;
	first_free = index;
	count--;
	return true;
}

unsigned table_count(void)
{
	return count;
}
