/* The two interrupt controllers: IRQ n arrives at vector 0x20 + n. */

#ifndef PIC_H
#define PIC_H

#include <stdbool.h>

#include "trap.h"

void pic_init(void);

/* Routes an IRQ to a handler and unmasks it; the end of interrupt is sent after the handler. */
void irq_handle(unsigned irq, trap_handler *handler);

void irq_mask(unsigned irq);

/* Whether the IRQ is requested but not yet taken. */
bool irq_pending(unsigned irq);

#endif
