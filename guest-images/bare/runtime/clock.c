#include "clock.h"

#include "cpu.h"

#define PM_TIMER_PORT 0x608

/* A function of its own: the monitor replaces this RDTSC, and one place is enough. */
__attribute__((noinline)) uint64_t clock_tsc(void)
{
	uint32_t low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

uint32_t clock_pm_timer(void)
{
	return in32(PM_TIMER_PORT) & PM_TIMER_MASK;
}

void clock_spin(uint64_t microseconds)
{
	uint64_t wanted = microseconds * PM_TIMER_HZ / 1000000;
	uint64_t passed = 0;
	uint32_t before = clock_pm_timer();
	while (passed < wanted) {
		uint32_t now = clock_pm_timer();
		passed += (now - before) & PM_TIMER_MASK;
		before = now;
	}
}
