#include "paging.h"

#include "cpu.h"

#define ENTRIES 512
#define LARGE_PAGE (2ul << 20)
#define GIBIBYTES 4

static uint64_t level4[ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static uint64_t level3[ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static uint64_t identity[GIBIBYTES][ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static uint64_t window_directory[ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static uint64_t window_table[WINDOW_PAGES] __attribute__((aligned(PAGE_SIZE)));

static uint64_t table_entry(const uint64_t *table)
{
	return (uint64_t)table | PAGE_PRESENT | PAGE_WRITABLE;
}

void paging_init(void)
{
	level4[0] = table_entry(level3);
	for (unsigned gibibyte = 0; gibibyte < GIBIBYTES; gibibyte++) {
		level3[gibibyte] = table_entry(identity[gibibyte]);
		for (unsigned i = 0; i < ENTRIES; i++)
			identity[gibibyte][i] = ((uint64_t)gibibyte * ENTRIES + i) * LARGE_PAGE | PAGE_LARGE |
						PAGE_PRESENT | PAGE_WRITABLE;
	}
	level3[WINDOW >> 30 & (ENTRIES - 1)] = table_entry(window_directory);
	window_directory[0] = table_entry(window_table);
	write_cr3((uint64_t)level4);
}

void paging_set(uint64_t address, uint64_t entry)
{
	window_table[(address - WINDOW) / PAGE_SIZE] = entry;
	invalidate_page(address);
}
