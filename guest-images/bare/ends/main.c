/* The ways in which a guest can end its machine, one per run. */

#include "boot.h"
#include "console.h"
#include "cpu.h"

const char guest_name[] = "ends";

#define KEYBOARD_COMMAND 0x64
#define PULSE_RESET 0xfe

/* An exception that cannot be delivered, nor the one that follows from that: a triple fault. */
static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_table = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(no_table));
}

void guest_main(void)
{
	print("ends: how the machine ends\n");
	if (boot_list_has("how", "halt"))
		asm volatile("cli; hlt");
	else if (boot_list_has("how", "reset"))
		out8(KEYBOARD_COMMAND, PULSE_RESET);
	else if (boot_list_has("how", "triple"))
		triple_fault();
	else if (boot_list_has("how", "failure"))
		fail("as it was told to");
}
