/* Selectors of our GDT, shared by C and assembly. */

#ifndef LAYOUT_H
#define LAYOUT_H

#define CODE_SELECTOR 0x10
#define DATA_SELECTOR 0x18
#define TSS_SELECTOR 0x20
/* A data segment that is not present, for guests that test segment faults. */
#define ABSENT_SELECTOR 0x30

#define GDT_ENTRIES 7

/* Every vector's stub has the same size, so that its address needs no table. */
#define STUB_SIZE 16

#endif
