/*
 * The key-value protocol: text in UDP datagrams, one request and one reply each.
 *
 *     request                 reply
 *     SET key value           OK
 *     GET key                 VALUE value, or NONE
 *     DEL key                 OK, or NONE
 *     COUNT                   COUNT number of keys
 *     PING                    PONG
 *     TIME                    TIME guest nanoseconds since boot
 *     STOP                    BYE, and the guest ends
 *
 * A request may begin with "#id ", an id of up to 32 characters; the reply then begins with the same.
 * A client that hears nothing repeats its request with the same id and drops replies with other ids:
 * SET and GET may be repeated, and a repeated DEL may find NONE.
 *
 * A key has 1 to 64 bytes and no blank. A value has up to 512 bytes and goes on to the end of the
 * datagram. Line ends at the end of a datagram are dropped. What cannot be done is answered with
 * "ERROR" and a reason.
 */

#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>

#define SERVICE_PORT 7379

/* Answers one datagram; the reply has at most DATAGRAM_MAX bytes. */
unsigned service_answer(const char *request, unsigned length, char *reply);

/* Whether a client asked for the end. */
bool service_stopped(void);

#endif
