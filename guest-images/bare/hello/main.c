/* The smallest guest: the boot protocol, the serial port and the exit port work. */

#include "boot.h"
#include "console.h"

const char guest_name[] = "hello";

void guest_main(void)
{
	print("hello: hello from ring 0\n");
	print("command line: %s\n", boot_command_line());
	uint64_t ram = boot_ram_total();
	print("ram: %lu KiB\n", ram / 1024);
	if (ram == 0)
		fail("the memory map has no usable memory");
}
