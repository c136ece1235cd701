#include "boot.h"

#include "console.h"
#include "string.h"

/* Offsets in boot_params: Documentation/arch/x86/zero-page.rst of Linux. */
#define E820_COUNT 0x1e8
#define COMMAND_LINE_POINTER 0x228
#define E820_TABLE 0x2d0

#define E820_RAM 1

struct e820_entry {
	uint64_t address;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));

static uint64_t boot_params;
static const char *command_line = "";

void boot_init(uint64_t params)
{
	boot_params = params;
	uint32_t pointer = *(const uint32_t *)(params + COMMAND_LINE_POINTER);
	if (pointer != 0)
		command_line = (const char *)(uint64_t)pointer;
}

const char *boot_command_line(void)
{
	return command_line;
}

const char *boot_word(const char *name, size_t *length)
{
	size_t name_length = strlen(name);
	const char *word = command_line;
	while (*word != 0) {
		size_t size = 0;
		while (word[size] != 0 && word[size] != ' ')
			size++;
		if (size > name_length && memcmp(word, name, name_length) == 0 && word[name_length] == '=') {
			*length = size - name_length - 1;
			return word + name_length + 1;
		}
		word += size;
		while (*word == ' ')
			word++;
	}
	return NULL;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

uint64_t boot_parse_number(const char **text)
{
	const char *cursor = *text;
	int base = 10;
	if (cursor[0] == '0' && cursor[1] == 'x') {
		base = 16;
		cursor += 2;
	}
	const char *first = cursor;
	uint64_t value = 0;
	for (; digit_value(*cursor) < base; cursor++)
		value = value * base + digit_value(*cursor);
	if (cursor == first)
		fail("the command line has no number at \"%s\"", *text);
	*text = cursor;
	return value;
}

uint64_t boot_number(const char *name, uint64_t otherwise)
{
	size_t length;
	const char *text = boot_word(name, &length);
	if (text == NULL)
		return otherwise;
	return boot_parse_number(&text);
}

bool boot_list_has(const char *list, const char *item)
{
	size_t length, item_length = strlen(item);
	const char *text = boot_word(list, &length);
	if (text == NULL)
		return false;
	for (size_t first = 0; first <= length;) {
		size_t last = first;
		while (last < length && text[last] != ',')
			last++;
		if (last - first == item_length && memcmp(text + first, item, item_length) == 0)
			return true;
		first = last + 1;
	}
	return false;
}

static const struct e820_entry *e820_table(unsigned *count)
{
	*count = *(const uint8_t *)(boot_params + E820_COUNT);
	return (const struct e820_entry *)(boot_params + E820_TABLE);
}

uint64_t boot_ram_total(void)
{
	unsigned count;
	const struct e820_entry *entry = e820_table(&count);
	uint64_t total = 0;
	for (; count > 0; count--, entry++)
		if (entry->type == E820_RAM)
			total += entry->size;
	return total;
}

uint64_t boot_ram_end(void)
{
	unsigned count;
	const struct e820_entry *entry = e820_table(&count);
	uint64_t end = 0;
	for (; count > 0; count--, entry++) {
		uint64_t entry_end = entry->address + entry->size;
		if (entry->type == E820_RAM && entry_end <= 1ul << 32 && entry_end > end)
			end = entry_end;
	}
	return end;
}
