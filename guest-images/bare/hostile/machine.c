/* The machine around the devices: what does not exist, and what exists at the wrong width. */

#include "boot.h"
#include "cases.h"
#include "console.h"
#include "cpu.h"
#include "pic.h"
#include "pit.h"

static uint64_t all_ones(unsigned size)
{
	return size == 8 ? -1ul : (1ul << 8 * size) - 1;
}

/* Guest-physical addresses without memory or device read as all ones, and swallow writes. */
void case_unknown_memory(void)
{
	const uint64_t addresses[] = {
		virtio_slot_base(VIRTIO_SLOTS), virtio_slot_base(VIRTIO_SLOTS) + 0x1ffd, 0xc8000000, 0xe0000000, 0xe0000ffd,
		0xfe000000, boot_ram_end() + 0x1000000,
	};
	for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			expect_equal("memory that does not exist", read_sized(addresses[i], size), all_ones(size));
			write_sized(addresses[i], size, 0);
			expect_equal("memory that does not exist, written", read_sized(addresses[i], size), all_ones(size));
		}
}

static uint32_t read_port(uint16_t port, unsigned size)
{
	return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

static void write_port(uint16_t port, unsigned size, uint32_t value)
{
	if (size == 1)
		out8(port, (uint8_t)value);
	else if (size == 2)
		out16(port, (uint16_t)value);
	else
		out32(port, value);
}

void case_unknown_ports(void)
{
	static const uint16_t ports[] = {0x0100, 0x01f0, 0x02e8, 0x02f8, 0x0400, 0x0cf8, 0x0cfc, 0x1234, 0xfff8};
	for (unsigned i = 0; i < sizeof ports / sizeof ports[0]; i++)
		for (unsigned size = 1; size <= 4; size *= 2) {
			expect_equal("a port that does not exist", read_port(ports[i], size), all_ones(size));
			write_port(ports[i], size, 0);
			expect_equal("a port that does not exist, written", read_port(ports[i], size), all_ones(size));
		}
}

static unsigned protection_faults;

/* RDMSR and WRMSR have two bytes. */
static void on_protection_fault(struct trap_frame *frame)
{
	expect_equal("error code of a refused MSR", frame->error, 0);
	protection_faults++;
	frame->rip += 2;
}

void case_unknown_msrs(void)
{
	static const uint32_t msrs[] = {0x00000005, 0x00001234, 0x40000000, 0x80000000, 0xc0010fff, 0xffffffff};
	trap_handle(VECTOR_PROTECTION, on_protection_fault);
	for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++) {
		protection_faults = 0;
		read_msr(msrs[i]);
		if (protection_faults != 1)
			fail("a read of MSR 0x%x did not fault", msrs[i]);
		write_msr(msrs[i], 0);
		if (protection_faults != 2)
			fail("a write of MSR 0x%x did not fault", msrs[i]);
	}
	trap_handle(VECTOR_PROTECTION, 0);
}

#define SERIAL_MODEM_CONTROL 0x3fc
#define SERIAL_LOOPBACK 0x10

/* The ports of each device, without those whose writing ends the machine or resets it. */
static const uint16_t device_ports[] = {
	0x20,  0x21,  0xa0,  0xa1,  0x40,  0x41,  0x42,  0x43,	0x61,  0x70,  0x71,  0x80,  0x87,
	0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fd, 0x3fe, 0x3ff, 0x608, 0x609, 0x60b,
};

/* Every width at every port, in loopback so that the serial port says nothing meanwhile. */
void case_device_ports(void)
{
	static const uint32_t values[] = {0, 0xffffffff, 0x12345678};
	for (unsigned v = 0; v < sizeof values / sizeof values[0]; v++)
		for (unsigned size = 1; size <= 4; size *= 2)
			for (unsigned i = 0; i < sizeof device_ports / sizeof device_ports[0]; i++) {
				out8(SERIAL_MODEM_CONTROL, SERIAL_LOOPBACK);
				read_port(device_ports[i], size);
				write_port(device_ports[i], size, values[v]);
				read_port(device_ports[i], size);
			}
	for (unsigned size = 1; size <= 4; size *= 2) {
		read_port(0x60, size);
		read_port(0x64, size);
		read_port(0xf4, size);
	}
	pic_init();
	console_init();
}

/* Every control word, with counts down to nothing: the fastest timers that can be asked for. */
void case_timer_modes(void)
{
	static const uint16_t counts[] = {1, 2, 0, 0xffff};
	for (unsigned control = 0; control < 256; control++) {
		out8(0x43, (uint8_t)control);
		for (uint16_t channel = 0; channel < 3; channel++) {
			out8(0x40 + channel, (uint8_t)counts[control % 4]);
			out8(0x40 + channel, (uint8_t)(counts[control % 4] >> 8));
			in8(0x40 + channel);
		}
	}
	for (enum pit_mode mode = 0; mode < 6; mode++) {
		pit_start(0, mode, 2);
		for (unsigned i = 0; i < 50; i++)
			pit_counter(0);
	}
	pit_start(0, PIT_ONE_SHOT, 0);
}
