/*
 * Our own page tables: the identity map of the first 4 GiB, and a window of 2 MiB of 4 KiB pages
 * far above it, where a guest maps what it likes.
 */

#ifndef PAGING_H
#define PAGING_H

#include <stdint.h>

#define WINDOW 0x4000000000ul
#define WINDOW_PAGES 512

#define PAGE_PRESENT 0x001ul
#define PAGE_WRITABLE 0x002ul
#define PAGE_LARGE 0x080ul
#define PAGE_NO_EXECUTE (1ul << 63)

void paging_init(void);

/* Sets the page table entry of a page of the window (0 takes the page away) and drops its TLB entry. */
void paging_set(uint64_t address, uint64_t entry);

#endif
