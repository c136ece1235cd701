/* Ethernet, ARP, IPv4, ICMP and UDP, as far as a server with one address needs them. */

#ifndef PACKET_H
#define PACKET_H

#include <stdint.h>

#include "net.h"

#define DATAGRAM_MAX (FRAME_MAX - 42)

struct host {
	uint8_t mac[MAC_SIZE];
	uint8_t address[4];
	uint16_t port;
	/* Answers a datagram: writes up to DATAGRAM_MAX bytes and returns how many. */
	unsigned (*answer)(const char *request, unsigned length, char *reply);
};

/* Answers a frame, if it asks for an answer. What is malformed or for others is dropped. */
void packet_handle(const struct host *host, const uint8_t *frame, uint32_t length);

#endif
