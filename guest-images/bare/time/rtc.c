#include "rtc.h"

#include <stdbool.h>

#include "console.h"
#include "cpu.h"
#include "string.h"

#define INDEX 0x70
#define DATA 0x71

#define REGISTER_A 0x0a
#define UPDATE_IN_PROGRESS 0x80
#define REGISTER_B 0x0b
#define HOURS_24 0x02
#define BINARY 0x04

struct rtc_time {
	uint8_t second, minute, hour, day, month, year;
};

static uint8_t read_register(uint8_t index)
{
	out8(INDEX, index);
	return in8(DATA);
}

static uint8_t decode(uint8_t value)
{
	if (read_register(REGISTER_B) & BINARY)
		return value;
	return (uint8_t)((value >> 4) * 10 + (value & 0x0f));
}

static void wait_until_stable(void)
{
	while (read_register(REGISTER_A) & UPDATE_IN_PROGRESS)
		;
}

static struct rtc_time read_fields(void)
{
	wait_until_stable();
	return (struct rtc_time){
		.second = decode(read_register(0)),
		.minute = decode(read_register(2)),
		.hour = decode(read_register(4)),
		.day = decode(read_register(7)),
		.month = decode(read_register(8)),
		.year = decode(read_register(9)),
	};
}

static void check_range(const char *what, unsigned value, unsigned low, unsigned high)
{
	if (value < low || value > high)
		fail("the clock's %s: expected %u to %u, found %u", what, low, high, value);
}

static void check_fields(const struct rtc_time *time)
{
	check_range("second", time->second, 0, 59);
	check_range("minute", time->minute, 0, 59);
	check_range("hour", time->hour, 0, 23);
	check_range("day", time->day, 1, 31);
	check_range("month", time->month, 1, 12);
	check_range("year", time->year, 0, 99);
}

/* Days since 2000-01-01, which began a leap year; the next century's rule is out of range. */
static uint64_t days_since_2000(const struct rtc_time *time)
{
	static const uint16_t days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	uint64_t days = time->year * 365ul + (time->year + 3) / 4;
	bool after_leap_day = time->year % 4 == 0 && time->month > 2;
	return days + days_before[time->month - 1] + after_leap_day + time->day - 1;
}

uint64_t rtc_seconds(void)
{
	if ((read_register(REGISTER_B) & HOURS_24) == 0)
		fail("the clock counts 12 hours, expected 24");
	struct rtc_time time = read_fields(), again;
	/* An update may begin between two fields; two equal readings cannot both be torn. */
	while (again = read_fields(), memcmp(&time, &again, sizeof time) != 0)
		time = again;
	check_fields(&time);
	return ((days_since_2000(&time) * 24 + time.hour) * 60 + time.minute) * 60 + time.second;
}
