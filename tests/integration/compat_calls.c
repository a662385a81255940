/*
 * A 32-bit program without a C library, for the kernel test: a few calls by their i386 numbers, then its end. Its own
 * process name tells the probe which calls are whose.
 */
#define NR_EXIT   1
#define NR_OPEN   5
#define NR_CHDIR  12
#define NR_GETPID 20

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void _start(void);
void _start(void)
{
    for (int i = 0; i < 7; i++)
        (void)call(NR_GETPID, 0, 0, 0);
    (void)call(NR_OPEN, (long)"/etc/shadow", 0, 0);
    (void)call(NR_CHDIR, (long)"/etc", 0, 0);
    (void)call(NR_OPEN, (long)"komainu-nonexistent", 1, 0);
    (void)call(NR_EXIT, 0, 0, 0);
    for (;;)
        ;
}
