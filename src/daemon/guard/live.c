#include "daemon/guard/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "daemon/guard/identity.h"
#include "daemon/trace/trace_file.h"

#define TICK_NS      (250 * KM_NS_PER_MS)
#define PRESENCE_NS  KM_NS_PER_S
#define LOSS_SAID_NS (30 * KM_NS_PER_S)
#define TAP_PERIOD   10000 /* ms */
#define TAP_WINDOW   1000
#define TAP_SHARE    6554 /* a tenth of 65536 */
#define TAP_EPISODES 50
#define LINE_BYTES   512
#define PATH_BYTES   4096

struct target {
    unsigned daemon; /* the probe's */
    char name[KM_EVENT_MAX_NAME_BYTES];
    bool there, said;
    uint64_t lost; /* as the kernel counted */
    uint64_t lost_said;
};

struct km_live {
    struct km_probe *probe;
    struct km_guard *guard;
    struct km_identity *identity;
    struct km_trace_writer *writer; /* NULL: nothing is recorded */
    struct km_guard_config config;
    struct target targets[KM_GUARD_MAX_DAEMONS];
    size_t count;
    int64_t tick_ns, presence_ns, loss_ns, flushed_ns;
    uint64_t events;
};

static void say(const struct km_live *live, const char *format, const char *name, const char *more)
{
    char line[LINE_BYTES], escaped[LINE_BYTES];
    if (!live->config.say)
        return;
    (void)snprintf(line, sizeof line, "%s: %s%s", name, format, more);
    km_text_escape(line, strlen(line), escaped, sizeof escaped);
    live->config.say(live->config.say_context, escaped);
}

/* ---- what the guard asks ---- */

static enum km_code add_known(void *context, const uint64_t *keys, size_t count, struct km_err *err)
{
    struct km_live *live = context;
    return km_probe_add_known(live->probe, keys, count, err);
}

/* What finds no room is told, and judged here. */
static enum km_code replace_known(void *context, const uint64_t *keys, size_t count, struct km_err *err)
{
    struct km_live *live = context;
    return km_probe_replace_known(live->probe, keys, count < KM_PROBE_MAX_KEYS ? count : KM_PROBE_MAX_KEYS, err);
}

static uint64_t landmark_key(void *context, unsigned role, const struct km_event_landmark *landmark)
{
    (void)context;
    return km_probe_landmark_key(role, landmark);
}

static enum km_code set_rule(void *context, unsigned role, const struct km_episode_rule *rule, struct km_err *err)
{
    struct km_live *live = context;
    return role ? km_probe_set_rule(live->probe, role, rule, err) : KM_OK;
}

static enum km_code learned(void *context, const char *daemon, struct km_err *err)
{
    struct km_live *live = context;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < live->count && code == KM_OK; i++)
        if (strcmp(live->targets[i].name, daemon) == 0)
            code = km_probe_set_mode(live->probe, live->targets[i].daemon, KM_PROBE_GUARD, err);
    return code;
}

static uint64_t now(void *context)
{
    (void)context;
    return (uint64_t)km_clock_monotonic_ns();
}

static enum km_code record(void *context, const struct km_event *event, struct km_err *err)
{
    struct km_live *live = context;
    (void)err;
    struct km_err failed = KM_ERR_INIT;
    if (!live->writer || km_trace_writer_event(live->writer, event, &failed) == KM_OK)
        return KM_OK;
    say(live, "the recording ends here: ", "record", failed.text);
    km_trace_writer_free(km_steal(live->writer));
    return KM_OK;
}

/* ---- events ---- */

static enum km_code handle(struct km_live *live, const struct km_event *event, struct km_err *err)
{
    enum km_code code = record(live, event, err);
    return code == KM_OK ? km_guard_event(live->guard, event, err) : code;
}

static const struct target *target_of(const struct km_live *live, unsigned daemon)
{
    for (size_t i = 0; i < live->count; i++)
        if (live->targets[i].daemon == daemon)
            return &live->targets[i];
    return NULL;
}

static enum km_code take_event(void *context, const struct km_event *event, struct km_err *err)
{
    struct km_live *live = context;
    live->events++;
    if (event->kind != KM_EVENT_ROLE)
        return handle(live, event, err);
    struct km_event named = *event;
    const struct target *target = target_of(live, km_probe_role_daemon(live->probe, event->role));
    if (target)
        named.role_info.unit = (struct km_bytes){target->name, strlen(target->name)};
    km_identity_complete(live->identity, event->tgid, &named.role_info);
    return handle(live, &named, err);
}

static enum km_code tick(struct km_live *live, int64_t now_ns, struct km_err *err)
{
    struct km_event event = {.kind = KM_EVENT_RATE, .time_ns = (uint64_t)now_ns};
    live->tick_ns = now_ns;
    km_guard_set_clock(live->guard, km_clock_wall_ns(), (uint64_t)now_ns);
    enum km_code code = handle(live, &event, err);
    if (code == KM_OK && live->writer && now_ns - live->flushed_ns >= KM_NS_PER_S) {
        struct km_err failed = KM_ERR_INIT;
        live->flushed_ns = now_ns;
        if (km_trace_writer_flush(live->writer, &failed) != KM_OK) {
            say(live, "the recording ends here: ", "record", failed.text);
            km_trace_writer_free(km_steal(live->writer));
        }
    }
    return code;
}

/* A daemon that stops, comes back or is not there yet is said once. */
static void look_for_daemons(struct km_live *live, int64_t now_ns)
{
    live->presence_ns = now_ns;
    km_identity_rest(live->identity);
    for (size_t i = 0; i < live->count; i++) {
        struct target *target = &live->targets[i];
        bool there = km_probe_threads(live->probe, target->daemon) > 0;
        if (there == target->there && target->said)
            continue;
        if (!target->said)
            say(live, there ? "guarded" : "does not run; waiting for it", target->name, "");
        else
            say(live, there ? "runs again" : "stopped", target->name, "");
        target->said = true;
        target->there = there;
    }
}

static void count_losses(struct km_live *live, int64_t now_ns)
{
    bool due = now_ns - live->loss_ns >= LOSS_SAID_NS;
    for (size_t i = 0; i < live->count; i++) {
        struct target *target = &live->targets[i];
        struct km_probe_counters counters;
        struct km_err err = KM_ERR_INIT;
        if (km_probe_read_counters(live->probe, target->daemon, -1, &counters, &err) != KM_OK)
            continue;
        target->lost = counters.lost_records + counters.lost_calls + counters.storage_failed + counters.roles_full;
        if (!due || target->lost == target->lost_said)
            continue;
        char text[LINE_BYTES];
        (void)snprintf(text, sizeof text, "%llu events lost (%llu in all): what is said of it is less sure",
                       (unsigned long long)(target->lost - target->lost_said), (unsigned long long)target->lost);
        say(live, text, target->name, "");
        target->lost_said = target->lost;
    }
    if (due)
        live->loss_ns = now_ns;
}

enum km_code km_live_poll(struct km_live *live, int timeout_ms, struct km_err *err)
{
    const struct km_event_sink sink = {live, take_event};
    enum km_code code = km_probe_poll(live->probe, timeout_ms, &sink, err);
    int64_t now_ns = km_clock_monotonic_ns();
    if (code == KM_OK && now_ns - live->tick_ns >= TICK_NS)
        code = tick(live, now_ns, err);
    if (now_ns - live->presence_ns >= PRESENCE_NS) {
        look_for_daemons(live, now_ns);
        count_losses(live, now_ns);
    }
    return code;
}

enum km_code km_live_finish(struct km_live *live, struct km_err *err)
{
    const struct km_event_sink sink = {live, take_event};
    enum km_code code = km_probe_poll(live->probe, 0, &sink, err);
    if (code == KM_OK)
        code = km_guard_finish(live->guard, err);
    live->loss_ns = 0;
    count_losses(live, km_clock_monotonic_ns());
    if (live->writer) {
        enum km_code written = km_trace_writer_flush(live->writer, err);
        code = code == KM_OK ? written : code;
    }
    return code;
}

/* ---- life ---- */

/* The unit in a cgroup path: its last part that ends as a unit does. */
static bool unit_in(const char *cgroup, char *out)
{
    static const char *const ends[] = {".service", ".scope"};
    bool found = false;
    for (const char *part = cgroup; *part;) {
        size_t length = strcspn(part, "/\n");
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            size_t end = strlen(ends[i]);
            if (length > end && length < KM_EVENT_MAX_NAME_BYTES && memcmp(part + length - end, ends[i], end) == 0) {
                memcpy(out, part, length);
                out[length] = '\0';
                found = true;
            }
        }
        part += length;
        part += *part != '\0';
    }
    return found;
}

/* A process is better known by its unit or program than by its number, which it has once. */
void km_live_name(const struct km_live_target *target, const char *proc_root, char *out)
{
    char path[PATH_BYTES], text[PATH_BYTES];
    (void)snprintf(out, KM_EVENT_MAX_NAME_BYTES, "%s", target->text);
    if (target->scope != KM_PROBE_SCOPE_PID)
        return;
    (void)snprintf(path, sizeof path, "%s/%s/cgroup", proc_root, target->text);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        (void)fclose(file);
    text[n] = '\0';
    if (unit_in(text, out))
        return;
    (void)snprintf(path, sizeof path, "%s/%s/exe", proc_root, target->text);
    ssize_t length = readlink(path, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    const char *base = strrchr(text, '/');
    /* What it was started as: one program may have several names (Debian's redis-server is redis-check-rdb). */
    char command[KM_PROBE_COMMAND_BYTES];
    km_probe_read_command(proc_root, target->text, command);
    if (base && base[1] && strncmp(base + 1, command, strlen(command)) == 0)
        (void)snprintf(out, KM_EVENT_MAX_NAME_BYTES, "%.*s", KM_EVENT_MAX_NAME_BYTES - 1, base + 1);
    else if (command[0])
        (void)snprintf(out, KM_EVENT_MAX_NAME_BYTES, "%s", command);
}

static enum km_code open_target(struct km_live *live, const struct km_live_target *wanted, struct km_err *err)
{
    bool learns = false;
    if (live->count == KM_GUARD_MAX_DAEMONS)
        return km_fail(err, KM_LIMIT, "%d daemons are guarded, and that is the most", KM_GUARD_MAX_DAEMONS);
    struct target *target = &live->targets[live->count];
    km_live_name(wanted, live->config.proc_root, target->name);
    enum km_code code = km_guard_add(live->guard, target->name, &learns, err);
    if (code == KM_OK)
        code = km_probe_guard(live->probe, wanted->scope, wanted->text, learns ? KM_PROBE_LEARN : KM_PROBE_GUARD,
                              &target->daemon, err);
    live->count += code == KM_OK;
    return code;
}

struct km_live *km_live_open(const struct km_live_config *config, struct km_err *err)
{
    struct km_live *live KM_CLEANUP(km_live_cleanup) = km_calloc(1, sizeof *live, SIZE_MAX, err);
    if (!live)
        return NULL;
    live->config = config->guard;
    if (!live->config.proc_root)
        live->config.proc_root = "/proc";
    live->config.kernel =
        (struct km_guard_kernel){live, add_known, replace_known, landmark_key, set_rule, learned, now, record};
    struct km_episode_rule rule;
    km_episode_rule_default(&rule);
    struct km_probe_options options = config->probe;
    options.rule = &rule;
    options.tap_period_ms = TAP_PERIOD;
    options.tap_window_ms = TAP_WINDOW;
    options.tap_share = TAP_SHARE;
    options.tap_episodes = TAP_EPISODES;
    live->guard = km_guard_new(&live->config, err);
    live->identity = live->guard ? km_identity_new(live->config.proc_root, err) : NULL;
    live->probe = live->identity ? km_probe_open(&options, err) : NULL;
    if (!live->probe)
        return NULL;
    int64_t now_ns = km_clock_monotonic_ns();
    km_guard_set_clock(live->guard, km_clock_wall_ns(), (uint64_t)now_ns);
    if (config->record_fd >= 0) {
        live->writer = km_trace_writer_new(config->record_fd, km_clock_wall_ns(), now_ns, err);
        if (!live->writer)
            return NULL;
    }
    for (size_t i = 0; i < config->target_count; i++)
        if (open_target(live, &config->targets[i], err) != KM_OK)
            return NULL;
    live->loss_ns = now_ns;
    look_for_daemons(live, now_ns);
    return km_steal(live);
}

void km_live_close(struct km_live *live)
{
    if (!live)
        return;
    km_probe_close(live->probe);
    km_trace_writer_free(live->writer);
    km_guard_free(live->guard);
    km_identity_free(live->identity);
    free(live);
}

struct km_guard *km_live_guard(struct km_live *live)
{
    return live->guard;
}

bool km_live_runs(const struct km_live *live, const char *name)
{
    for (size_t i = 0; i < live->count; i++)
        if (strcmp(live->targets[i].name, name) == 0)
            return km_probe_threads(live->probe, live->targets[i].daemon) > 0;
    return false;
}

void km_live_get_status(const struct km_live *live, struct km_live_status *out)
{
    *out = (struct km_live_status){.daemons = (unsigned)live->count, .events = live->events};
    for (size_t i = 0; i < live->count; i++) {
        unsigned threads = km_probe_threads(live->probe, live->targets[i].daemon);
        out->running += threads > 0;
        out->threads += threads;
        out->lost += live->targets[i].lost;
    }
}
