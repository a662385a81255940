#include "guard_flood.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/probe/probe.h"

#define THREADS    4
#define RUNS       3
#define RUN_MS     2000
#define POLL_MS    10
#define WAIT_NS    (20 * KM_NS_PER_S)
#define STOPPED_MS 1500

struct shared {
    atomic_long calls;  /* made by all threads that are done, sleeping included */
    atomic_int waiting; /* threads that wait to begin, or are done */
    atomic_llong done_ns;
    long rate;
    long milliseconds;
    bool landmarks;
};

struct flood {
    struct shared *shared;
    pid_t child;
    int go; /* written to once for each thread */
};

struct figures {
    double seconds, reader;
    unsigned long long made, delivered, lost;
};

static struct shared *shared_of_child;
static int go_of_child;

static void wait_for_byte(void)
{
    char byte;
    (void)!read(go_of_child, &byte, 1);
}

/* Its share of the rate in bursts of a millisecond. From the first byte on it makes no call that it does not count,
 * but for the last one, in which it is ended. */
static void *make_calls(void *none)
{
    struct shared *shared = shared_of_child;
    struct timespec next;
    long calls = 0, burst = shared->rate / 1000 / THREADS;
    uid_t uid = getuid();

    atomic_fetch_add(&shared->waiting, 1);
    wait_for_byte();
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long ms = 0; ms < shared->milliseconds; ms++) {
        for (long i = 0; i < burst; i++)
            (void)syscall(shared->landmarks ? SYS_setfsuid : SYS_getppid, uid); /* a landmark that is told always */
        next.tv_nsec += 1000000;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        calls += burst + !shared->landmarks;
    }
    atomic_fetch_add(&shared->calls, calls + !shared->landmarks);
    atomic_store(&shared->done_ns, km_clock_monotonic_ns());
    atomic_fetch_add(&shared->waiting, 1);
    wait_for_byte();
    return none;
}

static void child_main(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, make_calls, NULL) != 0)
            _exit(1);
    for (;;)
        (void)pause();
}

static bool flood_start(struct flood *out, long rate, long milliseconds, bool landmarks)
{
    int ends[2];
    out->shared = mmap(NULL, sizeof *out->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (out->shared == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0)
        return false;
    out->shared->rate = rate;
    out->shared->milliseconds = milliseconds;
    out->shared->landmarks = landmarks;
    shared_of_child = out->shared;
    go_of_child = ends[0];
    out->go = ends[1];
    out->child = fork();
    if (out->child == 0)
        child_main();
    (void)close(ends[0]);
    const struct timespec tick = {.tv_nsec = 1000000};
    while (atomic_load(&out->shared->waiting) < THREADS)
        (void)nanosleep(&tick, NULL);
    return out->child > 0;
}

static void flood_end(struct flood *flood)
{
    (void)kill(flood->child, SIGKILL);
    (void)waitpid(flood->child, NULL, 0);
    (void)close(flood->go);
}

static enum km_code count_event(void *context, const struct km_event *event, struct km_err *err)
{
    unsigned long long *counts = context;
    (void)err;
    counts[event->kind]++;
    return KM_OK;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Reads while the child works, or only afterwards. */
static enum km_code drain(struct km_probe *probe, struct flood *flood, bool stopped, const struct km_event_sink *sink,
                          struct km_err *err)
{
    int64_t begin = km_clock_monotonic_ns();
    enum km_code code = KM_OK;

    while (code == KM_OK && atomic_load(&flood->shared->waiting) < 2 * THREADS) {
        const struct timespec tick = {.tv_nsec = (long)POLL_MS * 1000000};
        if (km_clock_monotonic_ns() - begin > WAIT_NS)
            return km_fail(err, KM_IO, "the flood does not end");
        if (stopped)
            (void)nanosleep(&tick, NULL);
        else
            code = km_probe_poll(probe, POLL_MS, sink, err);
    }
    flood_end(flood);
    return code == KM_OK ? km_probe_poll(probe, 0, sink, err) : code;
}

static enum km_code run_once(long rate, bool landmarks, bool stopped, struct figures *out, struct km_err *err)
{
    struct km_probe_options options = {.ring_bytes = stopped ? 65536 : 0};
    unsigned long long counts[16] = {0};
    const struct km_event_sink sink = {counts, count_event};
    struct km_probe_counters counters;
    struct flood flood;
    unsigned daemon = 0;
    char pid[24];

    if (!flood_start(&flood, rate, stopped ? STOPPED_MS : RUN_MS, landmarks))
        return km_fail(err, KM_IO, "the flood does not start");
    (void)snprintf(pid, sizeof pid, "%d", (int)flood.child);
    struct km_probe *probe = km_probe_open(&options, err);
    enum km_code code = probe ? km_probe_guard(probe, KM_PROBE_SCOPE_PID, pid,
                                               landmarks ? KM_PROBE_GUARD : KM_PROBE_LEARN, &daemon, err)
                              : err->code;
    int64_t begin = km_clock_monotonic_ns();
    double cpu = cpu_seconds();
    if (code == KM_OK && write(flood.go, "gogogogo", THREADS) != THREADS)
        code = km_fail(err, KM_IO, "the flood does not begin");
    if (code == KM_OK)
        code = drain(probe, &flood, stopped, &sink, err);
    else
        flood_end(&flood);
    if (code == KM_OK)
        code = km_probe_read_counters(probe, daemon, -1, &counters, err);
    if (code == KM_OK) {
        out->seconds = (double)(atomic_load(&flood.shared->done_ns) - begin) / 1e9;
        out->reader = cpu_seconds() - cpu;
        out->made = (unsigned long long)atomic_load(&flood.shared->calls);
        out->delivered = counts[landmarks ? KM_EVENT_LANDMARK : KM_EVENT_CALL];
        out->lost = landmarks ? counters.lost_records : counters.lost_calls;
    }
    km_probe_close(probe);
    return code;
}

static int compare(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void print(const char *name, double *values, const char *unit)
{
    qsort(values, RUNS, sizeof *values, compare);
    printf("guard.events.%s %.0f %s %.0f %.0f %d\n", name, values[RUNS / 2], unit, values[0], values[RUNS - 1], RUNS);
}

static enum km_code print_kind(long rate, bool landmarks, struct km_err *err)
{
    double delivered[RUNS], lost[RUNS], missing[RUNS], reader[RUNS];
    for (int run = 0; run < RUNS; run++) {
        struct figures f = {0};
        enum km_code code = run_once(rate, landmarks, false, &f, err);
        if (code != KM_OK)
            return code;
        delivered[run] = (double)f.delivered / f.seconds;
        lost[run] = (double)f.lost;
        missing[run] = (double)f.made - (double)(f.delivered + f.lost);
        reader[run] = f.reader / (double)f.delivered * 1e9;
    }
    print(landmarks ? "landmarks.delivered_per_s" : "delivered_per_s", delivered, "events/s");
    print(landmarks ? "landmarks.lost" : "lost", lost, "events");
    print(landmarks ? "landmarks.unaccounted" : "unaccounted", missing, "events");
    print(landmarks ? "landmarks.reader" : "reader", reader, "ns/event");
    return KM_OK;
}

int flood_print(long rate)
{
    struct km_err err = KM_ERR_INIT;
    double lost[RUNS], missing[RUNS];
    enum km_code code = print_kind(rate, false, &err);

    if (code == KM_OK)
        code = print_kind(rate, true, &err);
    for (int run = 0; run < RUNS && code == KM_OK; run++) {
        struct figures f = {0};
        code = run_once(rate, false, true, &f, &err);
        if (code == KM_OK) {
            lost[run] = (double)f.lost;
            missing[run] = (double)f.made - (double)(f.delivered + f.lost);
        }
    }
    if (code != KM_OK) {
        fprintf(stderr, "bench_guard_core: %s\n", err.text);
        return 1;
    }
    print("stopped.lost", lost, "events");
    print("stopped.unaccounted", missing, "events");
    return 0;
}
