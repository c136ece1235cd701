/* The clocks that can be read at any moment. */

#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* The time stamp counter: guest nanoseconds since boot. */
uint64_t clock_tsc(void);

/* The PM timer: 24 bits at 3.579545 MHz. */
#define PM_TIMER_HZ 3579545ul
#define PM_TIMER_MASK 0xfffffful
uint32_t clock_pm_timer(void);

/* Spins for a while, by the PM timer; interrupts are taken meanwhile if they are on. */
void clock_spin(uint64_t microseconds);

#endif
