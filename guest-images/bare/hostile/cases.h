/*
 * The bad driver's tools. A case does something no driver should; afterwards the device is reset and
 * must do honest work again. What a device does in between (refuse, stop, ask for a reset) is its own
 * business, so that no case looks.
 */

#ifndef CASES_H
#define CASES_H

#include "virtio.h"

/* One queue of one device, as the object of a case. */
struct victim {
	const char *name;
	enum virtio_id id;
	unsigned queue;
	struct virtio_device device;
};

typedef void queue_case(const struct victim *victim);
typedef void machine_case(void);

/* Rings that cases fill as they like: `raw` is shared with the device, without a driver's order. */
extern struct virtqueue raw;
/* Memory that a device may overwrite. */
#define SCRATCH_SIZE 8192
extern uint8_t scratch[SCRATCH_SIZE];

/* Resets the device and agrees on features; the raw rings are empty then. */
void raw_begin(const struct victim *victim);
/* Tells the device where the rings are and how large, however wrong that may be. */
void raw_place(const struct victim *victim, uint64_t descriptors, uint64_t available, uint64_t used, uint32_t size);
/* Both of these, with right values and DRIVER_OK. */
void raw_start(const struct victim *victim);
/* Sets a descriptor. */
void raw_describe(unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next);
/* Makes a chain available, and notifies. */
void raw_offer(const struct victim *victim, uint16_t head);
/* Lets the device do something meanwhile, for so many reads of its status. */
void raw_settle(const struct victim *victim, unsigned reads);
/* Notifies, and lets the device react. */
void raw_notify(const struct victim *victim);

/* A chain that would be right for the queue: a block read, or a frame. */
void raw_describe_good(const struct victim *victim);

/* Addresses at which nothing, or not enough, lies. */
extern const unsigned bad_address_count;
uint64_t bad_address(const struct victim *victim, unsigned n);

/* Accesses of 1, 2, 4 or 8 bytes at any alignment. */
uint64_t read_sized(uint64_t address, unsigned size);
void write_sized(uint64_t address, unsigned size, uint64_t value);

/* rings.c */
queue_case case_ring_addresses, case_ring_misaligned, case_rings_overlap, case_queue_sizes, case_index_jumps,
	case_heads, case_next, case_loops, case_indirect;
/* buffers.c */
queue_case case_buffer_addresses, case_lengths, case_directions, case_short_requests, case_strange_requests,
	case_strange_frames, case_reset_in_flight;
/* registers.c */
queue_case case_early_notify, case_absent_queue, case_features, case_status, case_config_widths, case_register_widths;
/* machine.c */
machine_case case_unknown_memory, case_unknown_ports, case_unknown_msrs, case_device_ports, case_timer_modes;

#endif
