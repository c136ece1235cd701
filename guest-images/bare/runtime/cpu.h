/* Single instructions that C cannot say. */

#ifndef CPU_H
#define CPU_H

#include <stdint.h>

#define PAGE_SIZE 4096ul

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;
	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;
	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

/* Device registers: always a plain MOV, which every interpreter of guest code knows. */
static inline uint32_t mmio_read32(uint64_t address)
{
	uint32_t value;
	asm volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void mmio_write32(uint64_t address, uint32_t value)
{
	asm volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void interrupts_on(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void interrupts_off(void)
{
	asm volatile("cli" : : : "memory");
}

/*
 * Sleeps until an interrupt. STI holds interrupts back for one instruction, so that one which is
 * already pending wakes the HLT instead of being taken before it. Call with interrupts off, after
 * having looked whether there is still something to wait for.
 */
static inline void wait_for_interrupt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/* Keeps the compiler from moving memory accesses; the CPU itself keeps stores in order. */
static inline void compiler_barrier(void)
{
	asm volatile("" : : : "memory");
}

/* Orders a store before a later load, which the CPU by itself does not; MFENCE would be SSE2. */
static inline void full_barrier(void)
{
	asm volatile("lock addl $0, (%%rsp)" : : : "memory", "cc");
}

/* CPUID is the serialising instruction that works at every privilege level. */
static inline void serialise(void)
{
	uint32_t eax = 0, ecx = 0;
	asm volatile("cpuid" : "+a"(eax), "+c"(ecx) : : "ebx", "edx", "memory");
}

static inline uint32_t cpuid_edx(uint32_t leaf)
{
	uint32_t eax = leaf, ecx = 0, edx;
	asm volatile("cpuid" : "+a"(eax), "+c"(ecx), "=d"(edx) : : "ebx");
	return edx;
}

static inline uint64_t read_cr2(void)
{
	uint64_t value;
	asm volatile("movq %%cr2, %0" : "=r"(value));
	return value;
}

static inline void set_cr0(uint64_t bits)
{
	uint64_t value;
	asm volatile("movq %%cr0, %0; orq %1, %0; movq %0, %%cr0" : "=&r"(value) : "r"(bits) : "memory");
}

static inline void write_cr3(uint64_t value)
{
	asm volatile("movq %0, %%cr3" : : "r"(value) : "memory");
}

static inline void invalidate_page(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline uint64_t read_msr(uint32_t msr)
{
	uint32_t low, high;
	/* It may fault, and the handler leave a trace: hence the memory clobber. */
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

#endif
