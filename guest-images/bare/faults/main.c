/*
 * Exceptions and interrupts, exactly: which vector, with which error code, where the saved RIP points
 * to, on which stack, and what IRETQ restores.
 */

#include "boot.h"
#include "console.h"
#include "paging.h"
#include "string.h"
#include "tests.h"

const char guest_name[] = "faults";

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"divide", test_divide},
	{"ud", test_invalid_opcode},
	{"int3", test_breakpoint},
	{"int", test_software_interrupt},
	{"gate", test_absent_gate},
	{"canonical", test_non_canonical},
	{"segment", test_segments},
	{"page", test_page_faults},
	{"reserved", test_reserved_bit},
	{"nx", test_no_execute},
	{"align", test_alignment},
	{"ist", test_interrupt_stack},
	{"stack", test_stack_fault},
	{"double", test_double_fault},
	{"nested", test_nested},
	{"iretq", test_iretq},
	{"step", test_single_step},
	{"sti", test_sti_shadow},
	{"cli", test_cli_in_shadow},
	{"hlt", test_sti_hlt},
};

/* Single steps are only on demand: poor hosts do not have them. */
static bool is_wanted(const char *name)
{
	if (strcmp(name, "step") == 0)
		return boot_number("step", 0) != 0;
	return !boot_list_has("skip", name);
}

void guest_main(void)
{
	print("faults: exceptions and interrupts\n");
	paging_init();
	for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		if (is_wanted(tests[i].name)) {
			tests[i].run();
			print("%s: passed\n", tests[i].name);
		}
	}
}
