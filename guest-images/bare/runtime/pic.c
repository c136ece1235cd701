#include "pic.h"

#include <stdint.h>

#include "cpu.h"

#define MASTER 0x20
#define SLAVE 0xa0
#define MASK 1 /* offset of the mask register */

#define START_WITH_ICW4 0x11
#define MODE_8086 0x01
#define CASCADE_IRQ 2
#define READ_REQUESTS 0x0a
#define READ_IN_SERVICE 0x0b
#define END_OF_INTERRUPT 0x20

static trap_handler *irq_handlers[16];

static void start_controller(uint16_t port, uint8_t vector, uint8_t cascade)
{
	out8(port, START_WITH_ICW4);
	out8(port + MASK, vector);
	out8(port + MASK, cascade);
	out8(port + MASK, MODE_8086);
	out8(port + MASK, 0xff);
}

static uint16_t controller_of(unsigned irq)
{
	return irq < 8 ? MASTER : SLAVE;
}

static uint8_t read_status(unsigned irq, uint8_t which)
{
	out8(controller_of(irq), which);
	return in8(controller_of(irq));
}

/* A line that dropped before it was taken shows as IRQ 7 or 15 with nothing in service. */
static bool is_spurious(unsigned irq)
{
	return irq % 8 == 7 && (read_status(irq, READ_IN_SERVICE) & 0x80) == 0;
}

static void irq_dispatch(struct trap_frame *frame)
{
	unsigned irq = (unsigned)frame->vector - VECTOR_IRQ_BASE;
	bool spurious = is_spurious(irq);
	if (!spurious && irq_handlers[irq] != 0)
		irq_handlers[irq](frame);
	if (!spurious)
		out8(controller_of(irq), END_OF_INTERRUPT);
	/* The master saw its cascade line even where the slave had nothing to say. */
	if (irq >= 8)
		out8(MASTER, END_OF_INTERRUPT);
}

void pic_init(void)
{
	start_controller(MASTER, VECTOR_IRQ_BASE, 1 << CASCADE_IRQ);
	start_controller(SLAVE, VECTOR_IRQ_BASE + 8, CASCADE_IRQ);
	out8(MASTER + MASK, (uint8_t) ~(1 << CASCADE_IRQ));
	for (unsigned irq = 0; irq < 16; irq++)
		trap_handle(VECTOR_IRQ_BASE + irq, irq_dispatch);
}

void irq_handle(unsigned irq, trap_handler *handler)
{
	uint16_t port = controller_of(irq) + MASK;
	irq_handlers[irq] = handler;
	out8(port, (uint8_t)(in8(port) & ~(1 << irq % 8)));
}

void irq_mask(unsigned irq)
{
	uint16_t port = controller_of(irq) + MASK;
	out8(port, (uint8_t)(in8(port) | 1 << irq % 8));
}

bool irq_pending(unsigned irq)
{
	return (read_status(irq, READ_REQUESTS) >> irq % 8 & 1) != 0;
}
