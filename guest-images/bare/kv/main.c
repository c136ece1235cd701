/*
 * A key-value server on a network, for clients that watch what becomes of it. It only ever acts on an
 * interrupt; between them it sleeps. service.h describes the protocol.
 */

#include "boot.h"
#include "console.h"
#include "net.h"
#include "packet.h"
#include "service.h"
#include "table.h"

const char guest_name[] = "kv";

static void read_address(uint8_t address[4])
{
	size_t length;
	const char *text = boot_word("address", &length);
	if (text == NULL)
		text = "10.0.2.15";
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0 && *text++ != '.')
			fail("address=: expected four numbers with dots in between");
		uint64_t number = boot_parse_number(&text);
		if (number > 255)
			fail("address=: expected numbers up to 255, found %lu", number);
		address[i] = (uint8_t)number;
	}
}

static void serve(const struct host *host)
{
	while (!service_stopped()) {
		uint32_t length;
		const uint8_t *frame = net_receive(&length);
		if (frame != NULL)
			packet_handle(host, frame, length);
		else
			net_wait();
	}
	/* The guest must not end before its last words are out. */
	net_drain();
}

void guest_main(void)
{
	struct host host = {.port = SERVICE_PORT, .answer = service_answer};
	print("kv: key-value server\n");
	read_address(host.address);
	table_init();
	net_open(host.mac);
	print("mac %02x:%02x:%02x:%02x:%02x:%02x, address %u.%u.%u.%u, port %u\n", host.mac[0], host.mac[1],
	      host.mac[2], host.mac[3], host.mac[4], host.mac[5], host.address[0], host.address[1], host.address[2],
	      host.address[3], host.port);
	print("kv: ready\n");
	serve(&host);
}
