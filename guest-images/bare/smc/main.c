/*
 * Code that changes after it ran. Whoever caches decoded instructions must notice every way of
 * writing them: in place, just ahead, through another address, across pages, by mapping another page.
 */

#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "paging.h"
#include "string.h"

const char guest_name[] = "smc";

typedef uint64_t code(uint64_t argument);

/* These work on EAX; the copied ones have the type above. */
extern uint32_t add_in_loop(uint32_t rounds);
extern uint32_t add_rising(uint32_t rounds);
extern uint32_t patch_ahead_by_jump(uint32_t value);
extern uint32_t patch_ahead_by_cpuid(uint32_t value);
extern uint32_t choose(uint32_t a, uint32_t b);
extern uint8_t add_in_loop_immediate[], add_rising_immediate[], choose_jump[];
extern const uint8_t twice[], twice_end[], square[], square_end[];

#define JUMP_IF_EQUAL 0x74
#define JUMP_IF_NOT_EQUAL 0x75
#define RETURN 0xc3

static uint8_t pages[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void patch32(uint8_t *place, uint32_t value)
{
	*(volatile uint32_t *)place = value;
	serialise();
}

static void map(unsigned window_page, const uint8_t *page)
{
	paging_set(WINDOW + window_page * PAGE_SIZE, (uint64_t)page | PAGE_PRESENT | PAGE_WRITABLE);
}

static uint8_t *window(unsigned page)
{
	return (uint8_t *)(WINDOW + page * PAGE_SIZE);
}

static uint64_t call(const uint8_t *address, uint64_t argument)
{
	serialise();
	return ((code *)address)(argument);
}

static void test_loop(uint32_t rounds)
{
	for (uint32_t immediate = 1; immediate < 0x10000; immediate *= 3) {
		patch32(add_in_loop_immediate, immediate);
		expect_equal("sum of a patched immediate", add_in_loop(rounds), immediate * rounds);
	}
	print("immediate in a loop\n");
	patch32(add_rising_immediate, 0);
	expect_equal("sum of an immediate that rises", add_rising(rounds), rounds * (rounds + 1) / 2);
	print("immediate that the loop itself raises\n");
}

static void test_ahead(void)
{
	for (uint32_t value = 1; value < 100; value++) {
		expect_equal("value patched ahead of a jump", patch_ahead_by_jump(value), value);
		expect_equal("value patched ahead of CPUID", patch_ahead_by_cpuid(value), value);
	}
	print("instruction just ahead\n");
}

static void test_opcode(void)
{
	for (unsigned i = 0; i < 10; i++) {
		*(volatile uint8_t *)choose_jump = i % 2 ? JUMP_IF_NOT_EQUAL : JUMP_IF_EQUAL;
		serialise();
		expect_equal("a patched jump, equal", choose(5, 5), i % 2 ? 2 : 1);
		expect_equal("a patched jump, unequal", choose(5, 6), i % 2 ? 1 : 2);
	}
	print("opcode of a jump\n");
}

static void copy_code(uint8_t *to, const uint8_t *from, const uint8_t *end)
{
	memcpy(to, from, (size_t)(end - from));
}

/* Fresh code on a page, then other code of other lengths in its place. */
static void test_copies(void)
{
	map(0, pages[0]);
	for (uint64_t i = 1; i < 20; i++) {
		copy_code(window(0), twice, twice_end);
		expect_equal("copied function: twice", call(window(0), i), 2 * i);
		copy_code(window(0), square, square_end);
		expect_equal("copied function: square", call(window(0), i), i * i);
	}
	print("function copied over another\n");
}

/* Run at one address, written at another of the same page. */
static void test_alias(void)
{
	map(0, pages[0]);
	map(1, pages[0]);
	copy_code(pages[0], twice, twice_end);
	expect_equal("before a write through an alias", call(window(0), 7), 14);
	copy_code(window(1), square, square_end);
	expect_equal("after a write through an alias", call(window(0), 7), 49);
	copy_code(pages[0], twice, twice_end);
	expect_equal("after a write through the identity map", call(window(0), 7), 14);
	expect_equal("the alias itself", call(window(1), 7), 14);
	print("through an alias of the page\n");
}

/* Nothing is written: the address gets another page. */
static void test_remap(void)
{
	copy_code(pages[0], twice, twice_end);
	copy_code(pages[1], square, square_end);
	for (unsigned i = 0; i < 10; i++) {
		map(0, pages[i % 2]);
		expect_equal("after mapping another page", call(window(0), 9), i % 2 ? 81 : 18);
	}
	print("another page mapped\n");
}

/* movabs $value, %rax; ret - from `offset` on, written byte by byte through the window. */
static void write_movabs(unsigned offset, uint64_t value)
{
	volatile uint8_t *place = window(0) + offset;
	place[0] = 0x48;
	place[1] = 0xb8;
	for (unsigned i = 0; i < 8; i++)
		place[2 + i] = (uint8_t)(value >> 8 * i);
	place[10] = RETURN;
}

/*
 * An instruction that lies on two pages, which are not neighbours in memory. Each byte of the
 * immediate changes alone, first those on the far page, then those on the near one.
 */
static void test_crossing(void)
{
	map(0, pages[1]);
	map(1, pages[0]);
	for (unsigned near_bytes = 1; near_bytes < 10; near_bytes++) {
		unsigned offset = (unsigned)PAGE_SIZE - near_bytes;
		uint64_t value = 0x1122334455667788;
		write_movabs(offset, value);
		expect_equal("an instruction on two pages", call(window(0) + offset, 0), value);
		for (unsigned i = 8; i > 0; i--) {
			unsigned shift = 8 * (i - 1);
			value ^= 0xfful << shift;
			*(volatile uint8_t *)(window(0) + offset + 1 + i) = (uint8_t)(value >> shift);
			expect_equal("an instruction on two pages, patched", call(window(0) + offset, 0), value);
		}
	}
	print("instruction on two pages\n");
}

void guest_main(void)
{
	print("smc: code that changes\n");
	paging_init();
	test_loop((uint32_t)boot_number("rounds", 1000));
	test_ahead();
	test_opcode();
	test_copies();
	test_alias();
	test_remap();
	test_crossing();
}
