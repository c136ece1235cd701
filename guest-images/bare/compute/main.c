/* A long stretch of instructions without an exit; the result is known by another way. */

#include "boot.h"
#include "console.h"
#include "mix.h"

const char guest_name[] = "compute";

static struct mix mix;

void guest_main(void)
{
	print("compute: instructions without exits\n");
	uint64_t iterations = boot_number("iterations", 4);
	mix_begin(&mix);
	for (uint64_t i = 0; i < iterations; i++)
		mix_words(&mix, 0, MIX_WORDS);
	uint32_t checksum = mix_checksum(&mix);
	print("iterations %lu: checksum 0x%08x\n", iterations, checksum);
	if (boot_number("verify", 1) != 0)
		expect_equal("checksum", checksum, mix_checksum_slowly(iterations));
}
