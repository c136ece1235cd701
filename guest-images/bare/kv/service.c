#include "service.h"

#include <stdint.h>

#include "clock.h"
#include "string.h"
#include "table.h"

#define ID_MAX 32

/* A reply under construction: the longest is an id, a word and a value, far below a datagram. */
struct reply {
	char *bytes;
	unsigned length;
};

static bool stopped;

static void add_text(struct reply *reply, struct text text)
{
	memcpy(reply->bytes + reply->length, text.bytes, text.length);
	reply->length += text.length;
}

static void add_string(struct reply *reply, const char *string)
{
	add_text(reply, (struct text){string, (unsigned)strlen(string)});
}

static void add_number(struct reply *reply, uint64_t number)
{
	char digits[20];
	unsigned first = sizeof digits;
	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	add_text(reply, (struct text){digits + first, (unsigned)sizeof digits - first});
}

/* Takes the word up to the next blank off the text, and the blank. */
static struct text take_word(struct text *text)
{
	struct text word = {text->bytes, 0};
	while (word.length < text->length && text->bytes[word.length] != ' ')
		word.length++;
	unsigned taken = word.length < text->length ? word.length + 1 : word.length;
	text->bytes += taken;
	text->length -= taken;
	return word;
}

static bool is_word(struct text word, const char *string)
{
	return word.length == strlen(string) && memcmp(word.bytes, string, word.length) == 0;
}

static const char *key_error(struct text key)
{
	if (key.length == 0)
		return "ERROR no key";
	return key.length > KEY_MAX ? "ERROR key too long" : NULL;
}

static const char *set(struct text key, struct text value)
{
	if (value.length > VALUE_MAX)
		return "ERROR value too long";
	return table_set(key, value) ? "OK" : "ERROR full";
}

static void get(struct reply *reply, struct text key)
{
	struct text value;
	if (!table_get(key, &value)) {
		add_string(reply, "NONE");
		return;
	}
	add_string(reply, "VALUE ");
	add_text(reply, value);
}

/* SET, GET and DEL; returns false if it is none of them. */
static bool answer_with_key(struct reply *reply, struct text command, struct text rest)
{
	bool is_set = is_word(command, "SET"), is_get = is_word(command, "GET");
	if (!is_set && !is_get && !is_word(command, "DEL"))
		return false;
	struct text key = take_word(&rest);
	const char *error = key_error(key);
	if (error == NULL && !is_set && rest.length > 0)
		error = "ERROR more than a key";
	if (error != NULL)
		add_string(reply, error);
	else if (is_set)
		add_string(reply, set(key, rest));
	else if (is_get)
		get(reply, key);
	else
		add_string(reply, table_delete(key) ? "OK" : "NONE");
	return true;
}

static void answer_alone(struct reply *reply, struct text command)
{
	if (is_word(command, "PING")) {
		add_string(reply, "PONG");
	} else if (is_word(command, "COUNT")) {
		add_string(reply, "COUNT ");
		add_number(reply, table_count());
	} else if (is_word(command, "TIME")) {
		add_string(reply, "TIME ");
		add_number(reply, clock_tsc());
	} else if (is_word(command, "STOP")) {
		add_string(reply, "BYE");
		stopped = true;
	} else {
		add_string(reply, "ERROR unknown command");
	}
}

static struct text without_line_end(struct text text)
{
	while (text.length > 0 && (text.bytes[text.length - 1] == '\n' || text.bytes[text.length - 1] == '\r'))
		text.length--;
	return text;
}

unsigned service_answer(const char *request, unsigned length, char *bytes)
{
	struct reply reply = {bytes, 0};
	struct text rest = without_line_end((struct text){request, length});
	struct text command = take_word(&rest);
	if (command.length > 0 && command.bytes[0] == '#') {
		if (command.length > 1 + ID_MAX) {
			add_string(&reply, "ERROR id too long");
			return reply.length;
		}
		add_text(&reply, command);
		add_string(&reply, " ");
		command = take_word(&rest);
	}
	if (!answer_with_key(&reply, command, rest))
		answer_alone(&reply, command);
	return reply.length;
}

bool service_stopped(void)
{
	return stopped;
}
