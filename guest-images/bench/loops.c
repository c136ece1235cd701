// Fixed amounts of work for a processor: /bench/loops NAME. No library and no choice by CPUID, so that
// every machine executes the same instructions.

typedef unsigned long word;

enum { BUFFER = 256 * 1024 };

static unsigned char source[BUFFER] __attribute__((aligned(64)));
static unsigned char target[BUFFER] __attribute__((aligned(64)));

static word system_call(word number, word first)
{
    word result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first)
                     : "rcx", "r11", "memory");
    return result;
}

// A pseudo-random walk: shifts, additions, a multiplication and a branch that cannot be foreseen.
static word integer(void)
{
    word state = 88172645463325252, sum = 0;
    for (long i = 0; i < 30 * 1000 * 1000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if (state & 1)
            sum += state * 0x2545f4914f6cdd1d;
        else
            sum ^= state;
    }
    return sum;
}

// What C libraries do for memcpy on an x86-64 without extensions.
static word copy(void)
{
    for (long round = 0; round < 3000; round++) {
        unsigned char *to = target;
        const unsigned char *from = source;
        for (long left = BUFFER / 64; left; left--, from += 64, to += 64)
            __asm__ volatile("movups (%0), %%xmm0\n\t"
                             "movups 16(%0), %%xmm1\n\t"
                             "movups 32(%0), %%xmm2\n\t"
                             "movups 48(%0), %%xmm3\n\t"
                             "movups %%xmm0, (%1)\n\t"
                             "movups %%xmm1, 16(%1)\n\t"
                             "movups %%xmm2, 32(%1)\n\t"
                             "movups %%xmm3, 48(%1)"
                             :
                             : "r"(from), "r"(to)
                             : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
    }
    return target[0];
}

// What kernels do to copy and clear pages.
static word string(void)
{
    for (long round = 0; round < 3000; round++) {
        void *to = target;
        const void *from = source;
        word count = BUFFER / 8;
        __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    }
    return target[0];
}

// The shortest way into the kernel and back: getppid.
static word syscall(void)
{
    word sum = 0;
    for (long i = 0; i < 1000 * 1000; i++)
        sum += system_call(110, 0);
    return sum;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static const struct {
    const char *name;
    word (*work)(void);
} loops[] = {
    { "integer", integer },
    { "copy", copy },
    { "string", string },
    { "syscall", syscall },
};

// The stack of a new process: the number of arguments, then the arguments.
__attribute__((used, noreturn)) void begin(const word *stack)
{
    word status = 2;
    for (word i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (stack[0] == 2 && same((const char *)stack[2], loops[i].name)) {
            volatile word result = loops[i].work();
            (void)result;
            status = 0;
        }
    }
    for (;;)
        system_call(60, status);
}

__asm__(".globl _start\n"
        "_start:\n\t"
        "xor %ebp, %ebp\n\t"
        "mov %rsp, %rdi\n\t"
        "and $-16, %rsp\n\t"
        "call begin");
