/* A driver for one virtio network device, without any offload. */

#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stdint.h>

#define MAC_SIZE 6
#define FRAME_MIN 60
#define FRAME_MAX 1514

/* Opens the first network device; ends the guest if there is none. */
void net_open(uint8_t mac[MAC_SIZE]);

/* The next frame that came in, or null. It is valid until the next call. */
const uint8_t *net_receive(uint32_t *length);

/* A buffer of FRAME_MAX bytes for a frame to send; sleeps while all are on their way. */
uint8_t *net_buffer(void);

/* Sends the frame in the buffer that was given last; pads it to the least length of a frame. */
void net_send(uint32_t length);

/* Sleeps until something came in. Call with interrupts off, when net_receive had nothing. */
void net_wait(void);

/* Sleeps until the device has taken all frames. */
void net_drain(void);

#endif
