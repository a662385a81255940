/*
 * Holds a probe on a process while bench_guard measures it.
 *
 *     bench_guard_core MODE PID [RING_BYTES]
 *     bench_guard_core ns                      prints the nanoseconds of one call in each state
 *
 *     bench_guard_core flood RATE              prints what is delivered of so many events a second
 *
 * MODE: filter (windows and landmarks become known as they come), learn, bare (programs that do nothing; no PID).
 * Prints "ready" when attached. A line on its standard input ends the guarding, the next one begins it again; each is
 * answered with a line when it is done. Ends at the end of its standard input with one line of counts.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bare_probe.h"
#include "base/clock.h"
#include "daemon/probe/probe.h"
#include "guard_flood.h"

struct holder {
    struct km_probe *probe;
    uint64_t events;
    uint64_t calls;
    uint64_t windows;
    uint64_t landmarks;
};

static enum km_code take(void *context, const struct km_event *event, struct km_err *err)
{
    struct holder *holder = context;
    uint64_t key = 0;

    holder->events++;
    if (event->kind == KM_EVENT_CALL) {
        holder->calls++;
    } else if (event->kind == KM_EVENT_WINDOW) {
        holder->windows++;
        key = km_window_key(event->state.window, event->state.space, event->role);
    } else if (event->kind == KM_EVENT_LANDMARK) {
        holder->landmarks++;
        key = km_probe_landmark_key(event->role, &event->landmark);
    }
    return key ? km_probe_add_known(holder->probe, &key, 1, err) : KM_OK;
}

static int fail_bare(void)
{
    perror("bench_guard_core: attaching programs that do nothing");
    return 1;
}

static int fail(const struct km_err *err)
{
    fprintf(stderr, "bench_guard_core: %s\n", err->text);
    return 1;
}

/* Takes a line of the standard input if there is one. Returns false at its end. */
static bool take_line(bool *told)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[16];

    *told = false;
    if (poll(&in, 1, 0) <= 0)
        return true;
    *told = true;
    return read(STDIN_FILENO, line, sizeof line) > 0;
}

/* ---- nanoseconds of one call, which a busy machine disturbs least: the best of many short runs of CPU time ---- */

#define NS_RUNS   40
#define NS_CALLS  20000
#define NS_SETTLE 20 /* rounds at most until the first windows are told and the exits of all calls are let go */

static double best_ns(void)
{
    double best = 1e9;
    for (int run = 0; run < NS_RUNS; run++) {
        struct timespec begin;
        struct timespec end;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        for (int i = 0; i < NS_CALLS; i++)
            (void)syscall(SYS_getppid);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double ns = ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / NS_CALLS;
        best = ns < best ? ns : best;
    }
    return best;
}

/* A child measures itself when told, in a number on its pipe. */
static double ask_child(int tell, int hear)
{
    double ns = 0;
    if (write(tell, "", 1) != 1 || read(hear, &ns, sizeof ns) != (ssize_t)sizeof ns)
        exit(1);
    return ns;
}

static int print_ns(void)
{
    struct km_err err = KM_ERR_INIT;
    struct holder holder = {0};
    const struct km_event_sink sink = {&holder, take};
    int down[2];
    int up[2];
    char pid[24];
    unsigned daemon;
    unsigned other;

    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(down[1]);
        while (read(down[0], &byte, 1) == 1) {
            double ns = best_ns();
            if (write(up[1], &ns, sizeof ns) < 0)
                break;
        }
        _exit(0);
    }
    double base = ask_child(down[1], up[0]);
    struct bare_probe nothing;
    if (!bare_probe_attach(&nothing))
        return fail_bare();
    double bare = ask_child(down[1], up[0]);
    bare_probe_detach(&nothing);
    holder.probe = km_probe_open(NULL, &err);
    if (!holder.probe)
        return fail(&err);
    pid_t bystander = fork();
    if (bystander == 0) {
        close(down[1]);
        (void)pause();
        _exit(0);
    }
    (void)snprintf(pid, sizeof pid, "%d", (int)bystander);
    if (km_probe_guard(holder.probe, KM_PROBE_SCOPE_PID, pid, KM_PROBE_GUARD, &other, &err) != KM_OK)
        return fail(&err);
    double beside = ask_child(down[1], up[0]);
    (void)snprintf(pid, sizeof pid, "%d", (int)child);
    if (km_probe_guard(holder.probe, KM_PROBE_SCOPE_PID, pid, KM_PROBE_GUARD, &daemon, &err) != KM_OK)
        return fail(&err);
    struct km_probe_status status = {.exit_attached = true};
    for (int i = 0; i < NS_SETTLE && (i < 5 || status.exit_attached); i++) {
        (void)ask_child(down[1], up[0]);
        if (km_probe_poll(holder.probe, 0, &sink, &err) != KM_OK)
            return fail(&err);
        km_probe_get_status(holder.probe, &status);
    }
    double filter = ask_child(down[1], up[0]);
    if (km_probe_set_mode(holder.probe, daemon, KM_PROBE_LEARN, &err) != KM_OK)
        return fail(&err);
    double learn = ask_child(down[1], up[0]);
    printf("guard.ns.detached %.0f ns/call - - %d\n", base, NS_RUNS);
    printf("guard.ns.bare %.0f ns/call - - %d\n", bare, NS_RUNS);
    printf("guard.ns.beside %.0f ns/call - - %d\n", beside, NS_RUNS);
    printf("guard.ns.filter %.0f ns/call - - %d\n", filter, NS_RUNS);
    printf("guard.ns.learn %.0f ns/call - - %d\n", learn, NS_RUNS);
    close(down[1]);
    (void)kill(bystander, SIGTERM);
    (void)waitpid(bystander, NULL, 0);
    (void)waitpid(child, NULL, 0);
    km_probe_close(holder.probe);
    return 0;
}

/* Attached, and detached at each line, until the input ends. */
static int hold_bare(void)
{
    struct bare_probe bare;
    bool attached = false;

    for (bool told = true, more = true; more; more = take_line(&told)) {
        if (!told) {
            (void)poll(NULL, 0, 10);
            continue;
        }
        if (attached)
            bare_probe_detach(&bare);
        else if (!bare_probe_attach(&bare))
            return fail_bare();
        attached = !attached;
        printf("ready\n");
        (void)fflush(stdout);
    }
    if (attached)
        bare_probe_detach(&bare);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "ns") == 0)
        return print_ns();
    if (argc == 3 && strcmp(argv[1], "flood") == 0)
        return flood_print(strtol(argv[2], NULL, 10));
    if (argc > 1 && strcmp(argv[1], "bare") == 0)
        return hold_bare();
    struct km_err err = KM_ERR_INIT;
    struct holder holder = {0};
    const struct km_event_sink sink = {&holder, take};
    struct km_probe_options options = {0};
    unsigned daemon = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_guard_core filter|learn PID [RING_BYTES] | flood RATE | ns\n");
        return 1;
    }
    if (argc > 3)
        options.ring_bytes = strtoul(argv[3], NULL, 10);
    holder.probe = km_probe_open(&options, &err);
    if (!holder.probe)
        return fail(&err);
    enum km_probe_mode mode = strcmp(argv[1], "filter") == 0 ? KM_PROBE_GUARD : KM_PROBE_LEARN;
    if (km_probe_guard(holder.probe, KM_PROBE_SCOPE_PID, argv[2], mode, &daemon, &err) != KM_OK)
        return fail(&err);
    printf("ready\n");
    (void)fflush(stdout);
    int64_t begin_ns = km_clock_monotonic_ns();
    bool guarded = true;
    for (bool told; take_line(&told);) {
        if (told) {
            guarded = !guarded;
            enum km_code code = guarded ? km_probe_guard(holder.probe, KM_PROBE_SCOPE_PID, argv[2], mode, &daemon, &err)
                                        : km_probe_unguard(holder.probe, daemon, &err);
            if (code != KM_OK)
                return fail(&err);
            printf("done\n");
            (void)fflush(stdout);
        }
        if (km_probe_poll(holder.probe, 10, &sink, &err) != KM_OK)
            return fail(&err);
    }
    double seconds = (double)(km_clock_monotonic_ns() - begin_ns) / 1e9;
    if (km_probe_poll(holder.probe, 0, &sink, &err) != KM_OK)
        return fail(&err);
    struct km_probe_counters counters;
    if (km_probe_read_counters(holder.probe, daemon, -1, &counters, &err) != KM_OK)
        return fail(&err);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("seconds %.3f calls %llu windows %llu landmarks %llu lost %llu repeated %llu withheld %llu cpu %.3f\n",
           seconds, (unsigned long long)holder.calls, (unsigned long long)holder.windows,
           (unsigned long long)holder.landmarks, (unsigned long long)(counters.lost_calls + counters.lost_records),
           (unsigned long long)counters.repeated, (unsigned long long)counters.withheld, cpu);
    (void)fflush(stdout);
    km_probe_close(holder.probe);
    return 0;
}
