/*
 * Records all that daemons do: one trace file a daemon, while a driver runs them (tests/integration/daemons).
 *
 *     trace_record UNIT CGROUP FILE [UNIT CGROUP FILE]...
 *
 * CGROUP is a path below the cgroup v2 root; in the trace the daemon is called UNIT. Prints "ready" when everything is
 * attached, ends at the end of its standard input, and then prints "events N lost N".
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/probe/probe.h"
#include "daemon/trace/trace_file.h"

#define MAX_DAEMONS 8
#define POLL_MS     100

struct recorded {
    const char *unit;
    unsigned daemon;
    int fd;
    struct km_trace_writer *writer;
};

struct recorder {
    struct km_probe *probe;
    struct recorded daemons[MAX_DAEMONS];
    size_t count;
    uint64_t events;
    uint64_t lost;
};

static enum km_code take(void *context, const struct km_event *event, struct km_err *err)
{
    struct recorder *recorder = context;
    unsigned daemon = km_probe_role_daemon(recorder->probe, event->role);

    recorder->events++;
    if (event->kind == KM_EVENT_LOSS)
        recorder->lost += event->loss.events;
    for (size_t i = 0; i < recorder->count; i++) {
        struct recorded *r = &recorder->daemons[i];
        if (r->daemon != daemon)
            continue;
        struct km_event named = *event;
        if (named.kind == KM_EVENT_ROLE)
            named.role_info.unit = (struct km_bytes){r->unit, strlen(r->unit)};
        return km_trace_writer_event(r->writer, &named, err);
    }
    return KM_OK;
}

static bool input_ended(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static enum km_code add_daemon(struct recorder *recorder, char **names, struct km_err *err)
{
    struct recorded *r = &recorder->daemons[recorder->count];

    r->unit = names[0];
    r->fd = open(names[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (r->fd < 0)
        return km_fail(err, KM_IO, "cannot write %s", names[2]);
    r->writer = km_trace_writer_new(r->fd, km_clock_wall_ns(), km_clock_monotonic_ns(), err);
    if (!r->writer)
        return err->code;
    recorder->count++;
    return km_probe_guard(recorder->probe, KM_PROBE_SCOPE_CGROUP, names[1], KM_PROBE_LEARN, &r->daemon, err);
}

static enum km_code record(struct recorder *recorder, struct km_err *err)
{
    const struct km_event_sink sink = {recorder, take};
    enum km_code code = KM_OK;
    int64_t flushed_ns = km_clock_monotonic_ns();

    while (code == KM_OK && !input_ended()) {
        code = km_probe_poll(recorder->probe, POLL_MS, &sink, err);
        if (code != KM_OK || km_clock_monotonic_ns() - flushed_ns < KM_NS_PER_S)
            continue;
        flushed_ns = km_clock_monotonic_ns();
        for (size_t i = 0; code == KM_OK && i < recorder->count; i++)
            code = km_trace_writer_flush(recorder->daemons[i].writer, err);
    }
    if (code == KM_OK)
        code = km_probe_poll(recorder->probe, 0, &sink, err);
    for (size_t i = 0; code == KM_OK && i < recorder->count; i++)
        code = km_trace_writer_flush(recorder->daemons[i].writer, err);
    return code;
}

int main(int argc, char **argv)
{
    struct km_err err = KM_ERR_INIT;
    struct recorder recorder = {0};
    enum km_code code = KM_OK;

    if (argc < 4 || (argc - 1) % 3 != 0 || (argc - 1) / 3 > MAX_DAEMONS) {
        fprintf(stderr, "usage: trace_record UNIT CGROUP FILE [UNIT CGROUP FILE]...\n");
        return 1;
    }
    recorder.probe = km_probe_open(NULL, &err);
    if (!recorder.probe) {
        fprintf(stderr, "trace_record: %s\n", err.text);
        return err.code == KM_DENIED || err.code == KM_UNSUPPORTED ? 77 : 1;
    }
    for (int i = 1; code == KM_OK && i < argc; i += 3)
        code = add_daemon(&recorder, argv + i, &err);
    if (code == KM_OK) {
        puts("ready");
        (void)fflush(stdout);
        code = record(&recorder, &err);
    }
    if (code != KM_OK)
        fprintf(stderr, "trace_record: %s\n", err.text);
    else
        printf("events %llu lost %llu\n", (unsigned long long)recorder.events, (unsigned long long)recorder.lost);
    for (size_t i = 0; i < recorder.count; i++) {
        km_trace_writer_free(recorder.daemons[i].writer);
        close(recorder.daemons[i].fd);
    }
    km_probe_close(recorder.probe);
    return code == KM_OK ? 0 : 1;
}
