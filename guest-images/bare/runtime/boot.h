/* What the monitor tells a guest: the command line and the memory map. */

#ifndef BOOT_H
#define BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void boot_init(uint64_t boot_params);

/* The whole command line. */
const char *boot_command_line(void);

/* The value of the word `name=value`, or null; it ends at a blank or the end of the line. */
const char *boot_word(const char *name, size_t *length);

/* The number (decimal, or hexadecimal with 0x) of the word `name=number`. */
uint64_t boot_number(const char *name, uint64_t otherwise);

/* Whether the word `list=a,b,c` has that item. */
bool boot_list_has(const char *list, const char *item);

/* Reads a number at `*text` and moves it on; fails the guest where there is none. */
uint64_t boot_parse_number(const char **text);

/* Sum of the usable ranges of the e820 map, and the end of the highest one below 4 GiB. */
uint64_t boot_ram_total(void);
uint64_t boot_ram_end(void);

#endif
