#include "console.h"

#include <stdarg.h>

#include "cpu.h"

#define SERIAL 0x3f8
#define SERIAL_INTERRUPT_ENABLE (SERIAL + 1)
#define SERIAL_FIFO_CONTROL (SERIAL + 2)
#define SERIAL_LINE_CONTROL (SERIAL + 3)
#define SERIAL_MODEM_CONTROL (SERIAL + 4)
#define SERIAL_LINE_STATUS (SERIAL + 5)
#define DIVISOR_ACCESS 0x80
#define EIGHT_BITS 0x03
#define TRANSMITTER_EMPTY 0x20

#define DEBUG_EXIT 0xf4

void console_init(void)
{
	out8(SERIAL_INTERRUPT_ENABLE, 0);
	out8(SERIAL_LINE_CONTROL, DIVISOR_ACCESS | EIGHT_BITS);
	out8(SERIAL, 1);
	out8(SERIAL + 1, 0);
	out8(SERIAL_LINE_CONTROL, EIGHT_BITS);
	out8(SERIAL_FIFO_CONTROL, 0x07);
	out8(SERIAL_MODEM_CONTROL, 0x03);
}

static void put_char(char c)
{
	while ((in8(SERIAL_LINE_STATUS) & TRANSMITTER_EMPTY) == 0)
		;
	out8(SERIAL, (uint8_t)c);
}

static void put_text(const char *text)
{
	for (; *text != 0; text++)
		put_char(*text);
}

static void put_number(uint64_t value, unsigned base, int width, char padding)
{
	char digits[20];
	int count = 0;
	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	for (int i = count; i < width; i++)
		put_char(padding);
	while (count > 0)
		put_char(digits[--count]);
}

static void put_signed(int64_t value, int width, char padding)
{
	if (value < 0)
		put_char('-');
	put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, padding);
}

/* One conversion, from behind its '%'; returns the last character of it. */
static const char *put_conversion(const char *format, va_list *arguments)
{
	char padding = ' ';
	int width = 0;
	bool is_long = false;
	if (*format == '0')
		padding = *format++;
	for (; *format >= '0' && *format <= '9'; format++)
		width = width * 10 + (*format - '0');
	if (*format == 'l') {
		is_long = true;
		format++;
	}
	switch (*format) {
	case 's':
		put_text(va_arg(*arguments, const char *));
		break;
	case 'c':
		put_char((char)va_arg(*arguments, int));
		break;
	case 'd':
		put_signed(is_long ? va_arg(*arguments, int64_t) : va_arg(*arguments, int), width, padding);
		break;
	case 'u':
	case 'x':
		put_number(is_long ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned),
			   *format == 'u' ? 10 : 16, width, padding);
		break;
	default:
		put_char(*format);
		break;
	}
	return format;
}

static void print_list(const char *format, va_list *arguments)
{
	for (; *format != 0; format++) {
		if (*format == '%')
			format = put_conversion(format + 1, arguments);
		else
			put_char(*format);
	}
}

void print(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	print_list(format, &arguments);
	va_end(arguments);
}

void guest_exit(enum exit_code code)
{
	out8(DEBUG_EXIT, (uint8_t)code);
	for (;;)
		asm volatile("cli; hlt");
}

static void fail_list(enum exit_code code, const char *format, va_list *arguments)
{
	interrupts_off();
	print("%s: FAILED: ", guest_name);
	print_list(format, arguments);
	put_char('\n');
	guest_exit(code);
}

void fail(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fail_list(EXIT_CHECK_FAILED, format, &arguments);
	__builtin_unreachable();
}

void fail_with(enum exit_code code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fail_list(code, format, &arguments);
	__builtin_unreachable();
}

void expect_equal(const char *what, uint64_t found, uint64_t expected)
{
	if (found != expected)
		fail("%s: expected 0x%lx, found 0x%lx", what, expected, found);
}
