/*
 * String instructions rather than loops: the compiler would recognise a copying loop and turn it into
 * a call of the very function that it is in.
 */

#include "string.h"

void *memcpy(void *to, const void *from, size_t size)
{
	void *cursor = to;
	asm volatile("rep movsb" : "+D"(cursor), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	if ((char *)to <= (const char *)from || (char *)to >= (const char *)from + size)
		return memcpy(to, from, size);
	char *last_to = (char *)to + size - 1;
	const char *last_from = (const char *)from + size - 1;
	asm volatile("std; rep movsb; cld" : "+D"(last_to), "+S"(last_from), "+c"(size) : : "memory");
	return to;
}

void *memset(void *to, int value, size_t size)
{
	void *cursor = to;
	asm volatile("rep stosb" : "+D"(cursor), "+c"(size) : "a"(value) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;
	for (size_t i = 0; i < size; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

size_t strlen(const char *text)
{
	size_t length = 0;
	while (text[length] != 0)
		length++;
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a != 0 && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}
