#include "packet.h"

#include "string.h"

/* Offsets in an Ethernet frame, then in the headers that follow it. */
#define ETHERNET_DESTINATION 0
#define ETHERNET_SOURCE 6
#define ETHERNET_TYPE 12
#define ETHERNET_SIZE 14
#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806

#define ARP_OPERATION 6
#define ARP_SENDER_MAC 8
#define ARP_SENDER_ADDRESS 14
#define ARP_TARGET_MAC 18
#define ARP_TARGET_ADDRESS 24
#define ARP_SIZE 28
#define ARP_REQUEST 1
#define ARP_REPLY 2

#define IP_LENGTH 2
#define IP_IDENTIFICATION 4
#define IP_FRAGMENT 6
#define IP_TIME_TO_LIVE 8
#define IP_PROTOCOL 9
#define IP_CHECKSUM 10
#define IP_SOURCE 12
#define IP_DESTINATION 16
#define IP_SIZE 20
#define IP_MORE_AND_OFFSET 0x3fff
#define IP_DO_NOT_FRAGMENT 0x4000
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17

#define ICMP_CHECKSUM 2
#define ICMP_SIZE 8
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8

#define UDP_SOURCE 0
#define UDP_DESTINATION 2
#define UDP_LENGTH 4
#define UDP_CHECKSUM 6
#define UDP_SIZE 8

/* The payload of an IPv4 packet, and the frame that it came in. */
struct packet {
	const uint8_t *frame, *ip, *payload;
	unsigned length;
};

static uint16_t get16(const uint8_t *place)
{
	return (uint16_t)(place[0] << 8 | place[1]);
}

static void put16(uint8_t *place, unsigned value)
{
	place[0] = (uint8_t)(value >> 8);
	place[1] = (uint8_t)value;
}

/* RFC 1071: the sum of 16-bit words; a last odd byte counts as a high half. */
static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, unsigned length)
{
	for (; length >= 2; length -= 2, bytes += 2)
		sum += get16(bytes);
	if (length > 0)
		sum += (uint32_t)bytes[0] << 8;
	return sum;
}

/* The checksum of a sum. Over data that holds its own correct checksum it is 0. */
static uint16_t fold(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The sum that UDP's checksum begins with: addresses, protocol, length. */
static uint32_t pseudo_header(const uint8_t *ip, unsigned length)
{
	return sum_words(PROTOCOL_UDP + length, ip + IP_SOURCE, 8);
}

static void answer_ethernet(const struct host *host, const uint8_t *frame, uint8_t *reply)
{
	memcpy(reply + ETHERNET_DESTINATION, frame + ETHERNET_SOURCE, MAC_SIZE);
	memcpy(reply + ETHERNET_SOURCE, host->mac, MAC_SIZE);
	memcpy(reply + ETHERNET_TYPE, frame + ETHERNET_TYPE, 2);
}

static void handle_arp(const struct host *host, const uint8_t *frame, uint32_t length)
{
	/* Ethernet and IPv4, with addresses of 6 and 4 bytes, and a request. */
	static const uint8_t request[] = {0, 1, 8, 0, 6, 4, 0, ARP_REQUEST};
	const uint8_t *arp = frame + ETHERNET_SIZE;
	if (length < ETHERNET_SIZE + ARP_SIZE || memcmp(arp, request, sizeof request) != 0 ||
	    memcmp(arp + ARP_TARGET_ADDRESS, host->address, 4) != 0)
		return;
	uint8_t *reply = net_buffer();
	answer_ethernet(host, frame, reply);
	uint8_t *answer = reply + ETHERNET_SIZE;
	memcpy(answer, request, sizeof request);
	put16(answer + ARP_OPERATION, ARP_REPLY);
	memcpy(answer + ARP_SENDER_MAC, host->mac, MAC_SIZE);
	memcpy(answer + ARP_SENDER_ADDRESS, host->address, 4);
	memcpy(answer + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC_SIZE);
	memcpy(answer + ARP_TARGET_ADDRESS, arp + ARP_SENDER_ADDRESS, 4);
	net_send(ETHERNET_SIZE + ARP_SIZE);
}

/* Completes and sends an IPv4 packet whose payload is in place already. */
static void send_ip(const struct host *host, const struct packet *packet, uint8_t *reply, unsigned length)
{
	static uint16_t identification;
	uint8_t *ip = reply + ETHERNET_SIZE;
	answer_ethernet(host, packet->frame, reply);
	memset(ip, 0, IP_SIZE);
	ip[0] = 0x45;
	put16(ip + IP_LENGTH, IP_SIZE + length);
	put16(ip + IP_IDENTIFICATION, identification++);
	put16(ip + IP_FRAGMENT, IP_DO_NOT_FRAGMENT);
	ip[IP_TIME_TO_LIVE] = 64;
	ip[IP_PROTOCOL] = packet->ip[IP_PROTOCOL];
	memcpy(ip + IP_SOURCE, host->address, 4);
	memcpy(ip + IP_DESTINATION, packet->ip + IP_SOURCE, 4);
	put16(ip + IP_CHECKSUM, fold(sum_words(0, ip, IP_SIZE)));
	if (ip[IP_PROTOCOL] == PROTOCOL_UDP) {
		uint8_t *udp = ip + IP_SIZE;
		uint16_t checksum = fold(sum_words(pseudo_header(ip, length), udp, length));
		/* RFC 768: zero means that there is no checksum. */
		put16(udp + UDP_CHECKSUM, checksum != 0 ? checksum : 0xffff);
	}
	net_send(ETHERNET_SIZE + IP_SIZE + length);
}

static void handle_icmp(const struct host *host, const struct packet *packet)
{
	if (packet->length < ICMP_SIZE || packet->payload[0] != ICMP_ECHO_REQUEST || packet->payload[1] != 0 ||
	    fold(sum_words(0, packet->payload, packet->length)) != 0)
		return;
	/* Our header has no options, so that the reply is never longer than the request. */
	uint8_t *reply = net_buffer();
	uint8_t *icmp = reply + ETHERNET_SIZE + IP_SIZE;
	memcpy(icmp, packet->payload, packet->length);
	icmp[0] = ICMP_ECHO_REPLY;
	put16(icmp + ICMP_CHECKSUM, 0);
	put16(icmp + ICMP_CHECKSUM, fold(sum_words(0, icmp, packet->length)));
	send_ip(host, packet, reply, packet->length);
}

static void handle_udp(const struct host *host, const struct packet *packet)
{
	const uint8_t *udp = packet->payload;
	if (packet->length < UDP_SIZE)
		return;
	unsigned length = get16(udp + UDP_LENGTH);
	if (length < UDP_SIZE || length > packet->length || get16(udp + UDP_DESTINATION) != host->port)
		return;
	if (get16(udp + UDP_CHECKSUM) != 0 && fold(sum_words(pseudo_header(packet->ip, length), udp, length)) != 0)
		return;
	uint8_t *reply = net_buffer();
	uint8_t *answer = reply + ETHERNET_SIZE + IP_SIZE;
	unsigned size =
		UDP_SIZE + host->answer((const char *)udp + UDP_SIZE, length - UDP_SIZE, (char *)answer + UDP_SIZE);
	put16(answer + UDP_SOURCE, host->port);
	memcpy(answer + UDP_DESTINATION, udp + UDP_SOURCE, 2);
	put16(answer + UDP_LENGTH, size);
	put16(answer + UDP_CHECKSUM, 0);
	send_ip(host, packet, reply, size);
}

static void handle_ip(const struct host *host, const uint8_t *frame, uint32_t frame_length)
{
	const uint8_t *ip = frame + ETHERNET_SIZE;
	unsigned available = frame_length - ETHERNET_SIZE;
	if (available < IP_SIZE || ip[0] >> 4 != 4)
		return;
	unsigned header = (ip[0] & 15) * 4u, length = get16(ip + IP_LENGTH);
	/* A frame may be longer than its packet, by padding. */
	if (header < IP_SIZE || length < header || length > available || fold(sum_words(0, ip, header)) != 0)
		return;
	if ((get16(ip + IP_FRAGMENT) & IP_MORE_AND_OFFSET) != 0 || memcmp(ip + IP_DESTINATION, host->address, 4) != 0)
		return;
	struct packet packet = {frame, ip, ip + header, length - header};
	if (ip[IP_PROTOCOL] == PROTOCOL_ICMP)
		handle_icmp(host, &packet);
	else if (ip[IP_PROTOCOL] == PROTOCOL_UDP)
		handle_udp(host, &packet);
}

void packet_handle(const struct host *host, const uint8_t *frame, uint32_t length)
{
	static const uint8_t broadcast[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	if (length < ETHERNET_SIZE || length > FRAME_MAX)
		return;
	if (memcmp(frame + ETHERNET_DESTINATION, host->mac, MAC_SIZE) != 0 &&
	    memcmp(frame + ETHERNET_DESTINATION, broadcast, MAC_SIZE) != 0)
		return;
	if (get16(frame + ETHERNET_TYPE) == TYPE_ARP)
		handle_arp(host, frame, length);
	else if (get16(frame + ETHERNET_TYPE) == TYPE_IPV4)
		handle_ip(host, frame, length);
}
