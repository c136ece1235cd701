/* The interval timer: channel 0 raises IRQ 0, channel 2 is read through port 0x61. */

#ifndef PIT_H
#define PIT_H

#include <stdbool.h>
#include <stdint.h>

#define PIT_HZ 1193182ul
#define PIT_IRQ 0

enum pit_mode {
	PIT_ONE_SHOT = 0,
	PIT_RATE = 2,
	PIT_STROBE = 4,
};

/* Sets the mode and the count (0 means 65536) of a channel. */
void pit_start(unsigned channel, enum pit_mode mode, uint16_t count);

/* Latches and reads a channel's counter. */
uint16_t pit_counter(unsigned channel);

/* The channel's status by the read-back command. */
uint8_t pit_status(unsigned channel);
#define PIT_STATUS_MODE(status) ((status) >> 1 & 7)

/* Opens or closes the gate of channel 2, with the speaker off. */
void pit_gate(bool open);

/* The output of channel 2. */
bool pit_output(void);

#endif
