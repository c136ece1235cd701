/* What every guest does before and after its own part. */

#include "boot.h"
#include "console.h"
#include "pic.h"
#include "trap.h"

void guest_start(uint64_t boot_params);

void guest_start(uint64_t boot_params)
{
	boot_init(boot_params);
	console_init();
	trap_init();
	pic_init();
	guest_main();
	print("%s: ok\n", guest_name);
	guest_exit(EXIT_OK);
}
