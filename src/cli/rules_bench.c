#include "cli/rules_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "daemon/trace/calls.h"
#include "daemon/trace/trace_file.h"

#define RUNS             7
#define SYNTHETIC_EVENTS 20000
#define MAX_EVENTS       200000
#define MAX_TEXT_BYTES   ((size_t)256 << 20)
#define MAX_ROLES        256

struct sample {
    struct km_event event;
    struct km_rule_process process;
};

struct stream {
    struct km_arena *texts;
    struct sample *samples;
    size_t count, capacity;
    struct km_event_role roles[MAX_ROLES];
};

static struct sample *add_sample(struct stream *stream, struct km_err *err)
{
    void *array = stream->samples;
    if (km_grow(&array, &stream->capacity, stream->count + 1, sizeof *stream->samples, MAX_EVENTS, err) != KM_OK)
        return NULL;
    stream->samples = array;
    struct sample *sample = &stream->samples[stream->count++];
    *sample = (struct sample){.process = {.uid = KM_RULES_NO_UID}};
    return sample;
}

static enum km_code keep_bytes(struct stream *stream, struct km_bytes *bytes, struct km_err *err)
{
    char *copy = km_arena_strndup(stream->texts, bytes->length ? bytes->data : "", bytes->length, err);
    if (!copy)
        return err->code;
    bytes->data = copy;
    return KM_OK;
}

/* ---- a trace ---- */

/* What the guard reads of a process is not in a trace; what a role says of it is taken. */
static enum km_code take_event(struct stream *stream, const struct km_event *event, struct km_err *err)
{
    if (event->kind == KM_EVENT_ROLE && event->role < MAX_ROLES) {
        struct km_event_role *role = &stream->roles[event->role];
        *role = event->role_info;
        enum km_code code = keep_bytes(stream, &role->unit, err);
        if (code == KM_OK)
            code = keep_bytes(stream, &role->name, err);
        return code == KM_OK ? keep_bytes(stream, &role->exe, err) : code;
    }
    if (event->kind != KM_EVENT_LANDMARK || stream->count >= MAX_EVENTS)
        return KM_OK;
    struct sample *sample = add_sample(stream, err);
    if (!sample)
        return err->code;
    const struct km_event_role *role = event->role < MAX_ROLES ? &stream->roles[event->role] : NULL;
    bool starts = event->landmark.kind == KM_LANDMARK_EXEC;
    sample->event = *event;
    if (role) {
        sample->process.unit = role->unit;
        sample->process.role = role->name;
        *(starts ? &sample->process.parent_image : &sample->process.image) = role->exe;
    }
    enum km_code code = keep_bytes(stream, &sample->event.landmark.path, err);
    return code == KM_OK ? keep_bytes(stream, &sample->event.landmark.path2, err) : code;
}

static enum km_code read_trace(struct stream *stream, const char *path, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", path);
    struct km_trace_reader *reader KM_CLEANUP(km_trace_reader_cleanup) = km_trace_reader_new(fd, err);
    if (!reader)
        return km_err_wrap(err, "%s", path);
    struct km_event event;
    enum km_code code;
    while ((code = km_trace_reader_next(reader, &event, err)) == KM_OK)
        if (take_event(stream, &event, err) != KM_OK)
            return err->code;
    if (code != KM_NOTFOUND)
        return km_err_wrap(err, "%s", path);
    return stream->count > 0 ? KM_OK : km_fail(err, KM_NOTFOUND, "%s holds no landmarks", path);
}

/* ---- the built-in stream: a site's mixture of servers, kinds and paths, the same in every run ---- */

static struct km_bytes pick(const char *const *texts, size_t count, uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    const char *text = texts[(*state >> 16) % count];
    return (struct km_bytes){text, strlen(text)};
}

#define PICK(texts, state) pick((texts), sizeof(texts) / sizeof(texts)[0], (state))

static void describe(struct sample *sample, unsigned i, uint32_t *state)
{
    static const char *const servers[] = {"/usr/sbin/nginx", "/usr/lib/postgresql/15/bin/postgres",
                                          "/usr/bin/redis-server", "/usr/sbin/sshd", "/usr/sbin/cron"};
    static const char *const programs[] = {"/usr/bin/dash", "/usr/sbin/logrotate", "/usr/bin/gzip", "/usr/bin/date",
                                           "/usr/bin/python3.11"};
    static const char *const lines[] = {"/bin/sh -c test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily",
                                        "gzip -9 /var/log/nginx/access.log.1", "date +%s",
                                        "python3 /usr/share/unattended-upgrades/unattended-upgrade-shutdown"};
    static const char *const files[] = {"/var/log/nginx/access.log",
                                        "/var/lib/postgresql/15/main/base/5/2601",
                                        "/etc/nginx/sites-enabled/default",
                                        "/var/www/html/index.html",
                                        "/etc/ssl/openssl.cnf",
                                        "/run/nginx.pid",
                                        "/tmp/systemd-private-x/tmp/y"};
    static const enum km_landmark_kind kinds[] = {KM_LANDMARK_EXEC, KM_LANDMARK_OPEN,   KM_LANDMARK_CONNECT,
                                                  KM_LANDMARK_OPEN, KM_LANDMARK_ACCEPT, KM_LANDMARK_EXEC_MEMORY};
    struct km_event_landmark *landmark = &sample->event.landmark;
    sample->event.kind = KM_EVENT_LANDMARK;
    sample->event.tid = sample->event.tgid = 1000 + i % 64;
    landmark->kind = (uint16_t)kinds[i % (sizeof kinds / sizeof kinds[0])];
    landmark->outcome = KM_OUTCOME_OK;
    landmark->number = (uint16_t)km_call_find("openat");
    landmark->flags = i % 4 == 1 ? O_WRONLY | O_CREAT : O_RDONLY;
    landmark->path = PICK(files, state);
    landmark->address = (struct km_address){.family = 2, .port = 443, .length = 4, .bytes = {192, 0, 2, i & 0xff}};
    sample->process.image = PICK(servers, state);
    sample->process.user = (struct km_bytes){"www-data", 8};
    sample->process.uid = 33;
    if (landmark->kind == KM_LANDMARK_EXEC) {
        sample->process.parent_image = sample->process.image;
        sample->process.image = PICK(programs, state);
        sample->process.arguments = PICK(lines, state);
    }
}

static enum km_code make_stream(struct stream *stream, struct km_err *err)
{
    uint32_t state = 20261122;
    for (unsigned i = 0; i < SYNTHETIC_EVENTS; i++) {
        struct sample *sample = add_sample(stream, err);
        if (!sample)
            return err->code;
        describe(sample, i, &state);
    }
    return KM_OK;
}

/* ---- measuring ---- */

static enum km_code ignore_match(void *context, const struct km_rule_match *match, struct km_err *err)
{
    (void)match;
    (void)err;
    ++*(uint64_t *)context;
    return KM_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_line(const char *name, const double runs[RUNS], double factor, const char *unit)
{
    double low = runs[0] * factor, high = runs[RUNS - 1] * factor;
    printf("rules.%s %.6g %s %.6g %.6g %d\n", name, runs[RUNS / 2] * factor, unit, low, high, RUNS);
}

static enum km_code measure(struct km_rules *rules, const struct stream *stream, struct km_err *err)
{
    double per_event[RUNS], rate[RUNS];
    uint64_t matches = 0;
    struct km_rules_matcher matcher = {&matches, ignore_match};
    for (int run = 0; run < RUNS; run++) {
        matches = 0;
        int64_t begin = km_clock_monotonic_ns();
        for (size_t i = 0; i < stream->count; i++) {
            enum km_code code =
                km_rules_match(rules, &stream->samples[i].process, &stream->samples[i].event, &matcher, err);
            if (code != KM_OK)
                return code;
        }
        int64_t spent = km_clock_monotonic_ns() - begin;
        per_event[run] = (double)(spent > 0 ? spent : 1) / (double)stream->count;
        rate[run] = 1e9 / per_event[run];
    }
    qsort(per_event, RUNS, sizeof *per_event, by_value);
    qsort(rate, RUNS, sizeof *rate, by_value);
    struct km_rules_stats stats;
    km_rules_get_stats(rules, &stats);
    printf("rules.loaded %zu rules - - -\n", stats.loaded);
    printf("rules.events %zu events - - -\n", stream->count);
    printf("rules.fired %llu matches - - -\n", (unsigned long long)matches);
    print_line("time", per_event, 1, "ns/event");
    print_line("rate", rate, 1, "events/s");
    print_line("products", rate, (double)stats.loaded, "rules*events/s");
    return KM_OK;
}

enum km_code km_rules_bench(struct km_rules *rules, const char *trace_path, struct km_err *err)
{
    struct stream *stream = km_calloc(1, sizeof *stream, SIZE_MAX, err);
    if (!stream)
        return err->code;
    stream->texts = km_arena_new(MAX_TEXT_BYTES, err);
    enum km_code code = stream->texts ? KM_OK : err->code;
    if (code == KM_OK)
        code = trace_path ? read_trace(stream, trace_path, err) : make_stream(stream, err);
    if (code == KM_OK)
        code = measure(rules, stream, err);
    km_arena_free(stream->texts);
    free(stream->samples);
    free(stream);
    return code;
}
