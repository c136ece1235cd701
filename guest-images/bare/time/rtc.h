/* The real-time clock. */

#ifndef RTC_H
#define RTC_H

#include <stdint.h>

/* Seconds since 2000-01-01, read so that no update can tear it; fails on fields out of range. */
uint64_t rtc_seconds(void);

#endif
