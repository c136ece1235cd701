/* Printing on the serial port, and the ways in which a guest ends. */

#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

/* What the debug exit port is given; 0 is success. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_CHECK_FAILED = 1,
	EXIT_UNEXPECTED_TRAP = 2,
	EXIT_NO_DEVICE = 3,
};

/* The guest's own name, as it stands in its first and last line. */
extern const char guest_name[];
/* What the guest does, once the runtime is up; returning means success. */
void guest_main(void);

void console_init(void);

/* Knows %s %c %d %u %x, the l forms of the last three, and a width with leading zeros. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

void guest_exit(enum exit_code code) __attribute__((noreturn));

/* Prints what went wrong and ends the guest. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void fail_with(enum exit_code code, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* Ends the guest unless the two are equal. */
void expect_equal(const char *what, uint64_t found, uint64_t expected);

#endif
