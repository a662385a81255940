#include "pilot_guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/guard_desk.h"
#include "daemon/trace/trace_file.h"
#include "daemon_data.h"
#include "pilot_clock.h"
#include "played_kernel.h"

#define MAX_OPEN  16
#define TICK_NS   (INT64_C(600) * 1000000000) /* of the guard's loop; it is quicker in life */
#define REST_NS   (INT64_C(8) * 1000000000)   /* longer than the desk is waited for */
#define TID_STEP  ((uint32_t)1 << 22)         /* more than any recorded number */
#define TID_PLAYS 1000U

struct stream {
    struct km_trace_reader *reader; /* NULL: free */
    int fd;
    struct km_event event; /* the next */
    uint64_t begin_ns, at_ns;
    uint32_t tid_base;
};

struct pilot_guard {
    struct km_guard *guard;
    struct played_kernel *kernel;
    struct km_store *store;
    struct km_rules *rules;
    struct km_guard_desk *desk;
    struct stream streams[MAX_OPEN];
    uint32_t plays;
    int64_t tick_ns;
    bool verbose;
};

/* What guard_desk.c asks of live.c: here the guard itself stands for it. */
struct km_guard *km_live_guard(struct km_live *live)
{
    return (struct km_guard *)(void *)live;
}

bool km_live_runs(const struct km_live *live, const char *name)
{
    (void)live;
    (void)name;
    return true;
}

static struct km_live *live_of(const struct pilot_guard *guard)
{
    return (struct km_live *)(void *)guard->guard;
}

static void say(void *context, const char *line)
{
    const struct pilot_guard *guard = context;
    if (guard->verbose)
        fprintf(stderr, "# day %.2f: %s\n", (double)(pilot_clock_now() - PILOT_BEGIN_NS) / (double)PILOT_DAY_NS, line);
}

struct pilot_guard *pilot_guard_open(const struct pilot_guard_options *options)
{
    struct km_err err = KM_ERR_INIT;
    struct pilot_guard *guard = calloc(1, sizeof *guard);
    if (!guard)
        bench_die("out of memory");
    guard->verbose = options->verbose;
    guard->kernel = played_kernel_new();
    guard->store = km_store_open(options->profiles, &err);
    guard->rules = guard->store ? km_rules_new(&err) : NULL;
    if (!guard->rules || km_rules_load_path(guard->rules, options->rules, NULL, &err) != KM_OK)
        bench_die("%s", err.text);
    const struct km_guard_desk_config desk = {
        .named = options->desk, .store = guard->store, .say_context = guard, .say = say};
    guard->desk = km_guard_desk_open(&desk, &err);
    if (!guard->desk)
        bench_die("%s", err.text);
    const struct km_guard_config config = {.kernel = played_kernel_calls(guard->kernel),
                                           .alerts = km_guard_desk_alerts(guard->desk, NULL),
                                           .decisions = km_guard_desk_decisions(guard->desk, NULL),
                                           .say_context = guard,
                                           .say = say,
                                           .store = guard->store,
                                           .rules = guard->rules,
                                           .learn_ns = options->learn_ns};
    guard->guard = km_guard_new(&config, &err);
    if (!guard->guard)
        bench_die("%s", err.text);
    played_kernel_attach(guard->kernel, guard->guard, false);
    km_guard_set_clock(guard->guard, PILOT_BEGIN_NS, pilot_clock_monotonic(PILOT_BEGIN_NS));
    return guard;
}

void pilot_guard_close(struct pilot_guard *guard)
{
    struct km_err err = KM_ERR_INIT;
    if (played_kernel_finish(guard->kernel, &err) != KM_OK || km_guard_finish(guard->guard, &err) != KM_OK)
        bench_die("%s", err.text);
    km_guard_desk_close(guard->desk, live_of(guard));
    km_guard_free(guard->guard);
    played_kernel_free(guard->kernel);
    km_rules_free(guard->rules);
    km_store_close(guard->store);
    free(guard);
}

/* ---- lives ---- */

static void move_number(uint32_t *number, uint32_t base)
{
    if (*number != 0)
        *number += base;
}

/* The next event, at its time of the day and with numbers of processes that no other life has. */
static void advance(struct stream *stream)
{
    struct km_err err = KM_ERR_INIT;
    struct km_event *event = &stream->event;
    enum km_code code = km_trace_reader_next(stream->reader, event, &err);
    if (code == KM_NOTFOUND) {
        km_trace_reader_free(stream->reader);
        (void)close(stream->fd);
        stream->reader = NULL;
        return;
    }
    if (code != KM_OK)
        bench_die("%s", err.text);
    event->time_ns = stream->at_ns + (event->time_ns - stream->begin_ns);
    move_number(&event->tid, stream->tid_base);
    move_number(&event->tgid, stream->tid_base);
    if (event->kind == KM_EVENT_THREAD)
        move_number(&event->thread.parent_tid, stream->tid_base);
    if (event->kind == KM_EVENT_LANDMARK)
        move_number(&event->landmark.peer_tid, stream->tid_base);
}

static void begin(struct pilot_guard *guard, const struct pilot_slot *slot)
{
    struct km_err err = KM_ERR_INIT;
    size_t i = 0;
    while (i < MAX_OPEN && guard->streams[i].reader)
        i++;
    if (i == MAX_OPEN)
        bench_die("too many daemons run at once");
    struct stream *stream = &guard->streams[i];
    *stream = (struct stream){.fd = open(slot->life->path, O_RDONLY | O_CLOEXEC),
                              .begin_ns = slot->life->begin_ns,
                              .at_ns = pilot_clock_monotonic(slot->at_ns),
                              .tid_base = guard->plays++ % TID_PLAYS * TID_STEP};
    stream->reader = stream->fd < 0 ? NULL : km_trace_reader_new(stream->fd, &err);
    if (!stream->reader)
        bench_die("cannot read %s", slot->life->path);
    advance(stream);
}

static struct stream *next_stream(struct pilot_guard *guard)
{
    struct stream *next = NULL;
    for (size_t i = 0; i < MAX_OPEN; i++) {
        struct stream *stream = &guard->streams[i];
        if (stream->reader && (!next || stream->event.time_ns < next->event.time_ns))
            next = stream;
    }
    return next;
}

static void tick(struct pilot_guard *guard)
{
    struct km_err err = KM_ERR_INIT;
    guard->tick_ns = pilot_clock_now();
    if (km_guard_desk_tick(guard->desk, live_of(guard), &err) != KM_OK)
        bench_die("%s", err.text);
}

void pilot_guard_play(struct pilot_guard *guard, const struct pilot_slot *slots, size_t count)
{
    struct km_err err = KM_ERR_INIT;
    struct stream *stream;
    size_t i = 0;
    while ((stream = next_stream(guard)) || i < count) {
        if (i < count && (!stream || pilot_clock_monotonic(slots[i].at_ns) <= stream->event.time_ns)) {
            begin(guard, &slots[i++]);
            continue;
        }
        pilot_clock_set(PILOT_BEGIN_NS + (int64_t)(stream->event.time_ns - pilot_clock_monotonic(PILOT_BEGIN_NS)));
        if (played_kernel_event(guard->kernel, &stream->event, &err) != KM_OK)
            bench_die("%s", err.text);
        advance(stream);
        if (pilot_clock_now() - guard->tick_ns >= TICK_NS)
            tick(guard);
    }
}

void pilot_guard_rest(struct pilot_guard *guard)
{
    for (int i = 0; i < 3; i++) {
        pilot_clock_set(pilot_clock_now() + REST_NS);
        tick(guard);
    }
}
