// deny-rdtsc COMMAND [ARGUMENT...] executes COMMAND so that RDTSC is a segmentation fault in it and in every
// process that it starts: the kernel sets CR4.TSD for them. Where the hardware executes a guest, nothing but this
// keeps a program from reading the host's time-stamp counter, which no replay could repeat. The first process is
// started by it; if it fails, so does the boot.

enum { WRITE = 1, EXECVE = 59, EXIT = 60, PRCTL = 157 };
enum { PR_SET_TSC = 26, PR_TSC_SIGSEGV = 2 };

static long system_call(long number, long first, long second, long third)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((noreturn)) static void fail(const char *message, long length)
{
    system_call(WRITE, 2, (long)message, length);
    for (;;)
        system_call(EXIT, 127, 0, 0);
}

#define FAIL(message) fail("deny-rdtsc: " message "\n", sizeof "deny-rdtsc: " message)

// The stack of a new process: the number of arguments, the arguments and a null pointer, the environment.
__attribute__((used, noreturn)) void begin(const long *stack)
{
    long count = stack[0];
    const long *arguments = stack + 1, *environment = arguments + count + 1;
    if (count < 2)
        FAIL("no command given");
    if (system_call(PRCTL, PR_SET_TSC, PR_TSC_SIGSEGV, 0) != 0)
        FAIL("the kernel cannot deny RDTSC");
    system_call(EXECVE, arguments[1], (long)(arguments + 1), (long)environment);
    FAIL("the command cannot be executed");
}

__asm__(".globl _start\n"
        "_start:\n\t"
        "xor %ebp, %ebp\n\t"
        "mov %rsp, %rdi\n\t"
        "and $-16, %rsp\n\t"
        "call begin");
