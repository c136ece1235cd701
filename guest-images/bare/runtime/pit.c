#include "pit.h"

#include "cpu.h"

#define DATA 0x40
#define CONTROL 0x43
#define LOW_THEN_HIGH 0x30
#define READ_BACK_STATUS 0xe0

#define PORT_B 0x61
#define GATE 0x01
#define SPEAKER 0x02
#define OUTPUT 0x20

void pit_start(unsigned channel, enum pit_mode mode, uint16_t count)
{
	out8(CONTROL, (uint8_t)(channel << 6 | LOW_THEN_HIGH | mode << 1));
	out8((uint16_t)(DATA + channel), (uint8_t)count);
	out8((uint16_t)(DATA + channel), (uint8_t)(count >> 8));
}

uint16_t pit_counter(unsigned channel)
{
	out8(CONTROL, (uint8_t)(channel << 6));
	uint8_t low = in8((uint16_t)(DATA + channel));
	uint8_t high = in8((uint16_t)(DATA + channel));
	return (uint16_t)(high << 8 | low);
}

uint8_t pit_status(unsigned channel)
{
	out8(CONTROL, (uint8_t)(READ_BACK_STATUS | 2 << channel));
	return in8((uint16_t)(DATA + channel));
}

void pit_gate(bool open)
{
	uint8_t rest = (uint8_t)(in8(PORT_B) & ~(GATE | SPEAKER));
	out8(PORT_B, open ? rest | GATE : rest);
}

bool pit_output(void)
{
	return (in8(PORT_B) & OUTPUT) != 0;
}
