#include "daemon_alerts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/guard.h"
#include "daemon/profile/entity.h"
#include "daemon/trace/deploy.h"
#include "daemon/trace/trace_file.h"
#include "daemon_data.h"

#define TICK_NS  UINT64_C(250000000)
#define WALL_NS  INT64_C(1767225600000000000) /* a midnight: the recordings are shorter than the day */
#define NS_PER_H 3600e9

/* The kernel's part: the exact key set, and the filter that is off while the daemon is learned. */
struct kernel {
    const struct alerts_run *run;
    struct alerts_seen *seen;
    struct km_guard *guard;
    struct km_deploy *deploy;
    uint64_t *keys; /* a hash set; 0: free */
    size_t used, slots;
    bool filters;
    uint64_t first_ns, last_ns, begin_ns, tick_ns;
};

static size_t slot_of(const uint64_t *keys, size_t slots, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 32) & (slots - 1);
    while (keys[i] != 0 && keys[i] != key)
        i = (i + 1) & (slots - 1);
    return i;
}

static bool has_key(const struct kernel *kernel, uint64_t key)
{
    return kernel->slots > 0 && kernel->keys[slot_of(kernel->keys, kernel->slots, key + 1)] != 0;
}

static void add_key(struct kernel *kernel, uint64_t key)
{
    if (2 * (kernel->used + 1) > kernel->slots) {
        size_t slots = kernel->slots ? 2 * kernel->slots : 1024;
        uint64_t *keys = calloc(slots, sizeof *keys);
        if (!keys)
            bench_die("out of memory");
        for (size_t i = 0; i < kernel->slots; i++)
            if (kernel->keys[i] != 0)
                keys[slot_of(keys, slots, kernel->keys[i])] = kernel->keys[i];
        free(kernel->keys);
        kernel->keys = keys;
        kernel->slots = slots;
    }
    size_t at = slot_of(kernel->keys, kernel->slots, key + 1);
    kernel->used += kernel->keys[at] == 0;
    kernel->keys[at] = key + 1;
}

static enum km_code add_known(void *context, const uint64_t *keys, size_t count, struct km_err *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++)
        add_key(context, keys[i]);
    return KM_OK;
}

/* The raw act, as the probe hashes it: not the line that the profile makes of it. */
static uint64_t landmark_key(void *context, unsigned role, const struct km_event_landmark *landmark)
{
    (void)context;
    uint64_t h = 0xcbf29ce484222325ULL ^ role;
    const struct km_address *address = &landmark->address;
    const uint64_t head[] = {landmark->kind, landmark->value, landmark->flags, landmark->outcome, landmark->zone};
    const struct km_bytes texts[] = {landmark->path, landmark->path2, {(const char *)address, sizeof *address}};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        h = (h ^ head[i]) * 0x100000001b3ULL;
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (size_t i = 0; i < texts[t].length; i++)
            h = (h ^ (uint8_t)texts[t].data[i]) * 0x100000001b3ULL;
    return h | 1;
}

static bool knows_window(void *context, uint16_t role, unsigned long long window, unsigned space)
{
    return has_key(context, km_window_key(window, space, role));
}

static bool knows_landmark(void *context, uint16_t role, const struct km_event_landmark *landmark)
{
    return has_key(context, landmark_key(context, role, landmark));
}

static enum km_code set_rule(void *context, unsigned role, const struct km_episode_rule *rule, struct km_err *err)
{
    struct kernel *kernel = context;
    (void)err;
    km_deploy_set_rule(kernel->deploy, (uint16_t)role, rule);
    return KM_OK;
}

static enum km_code learned(void *context, const char *daemon, struct km_err *err)
{
    struct kernel *kernel = context;
    (void)daemon;
    (void)err;
    kernel->filters = true;
    return KM_OK;
}

static enum km_code take_alert(void *context, const struct km_alert *alert, struct km_err *err)
{
    struct kernel *kernel = context;
    const struct alerts_run *run = kernel->run;
    (void)err;
    uint64_t time_ns = (uint64_t)(alert->finding->time_wall_ns - WALL_NS) + kernel->first_ns;
    kernel->seen->alerts += !alert->update;
    kernel->seen->during += run->from_ns > 0 && time_ns >= run->from_ns && time_ns <= run->until_ns;
    if (run->verbose)
        printf("# %s %s: %s, %s, strength %.1f at %.1f s\n", run->name, alert->update ? "grows" : "alert",
               alert->incident->role, alert->incident->key, alert->incident->strongest,
               (double)(time_ns - kernel->first_ns) / 1e9);
    return KM_OK;
}

static void say(void *context, const char *line)
{
    const struct kernel *kernel = context;
    if (kernel->run->verbose)
        printf("# %s says: %s\n", kernel->run->name, line);
}

static enum km_code feed(struct kernel *kernel, const struct km_event *event, struct km_err *err)
{
    if (kernel->first_ns == 0) {
        kernel->first_ns = kernel->tick_ns = event->time_ns;
        km_guard_set_clock(kernel->guard, WALL_NS, event->time_ns);
    }
    for (; kernel->tick_ns + TICK_NS <= event->time_ns; kernel->tick_ns += TICK_NS) {
        struct km_event tick = {.kind = KM_EVENT_RATE, .time_ns = kernel->tick_ns + TICK_NS};
        enum km_code code = km_guard_event(kernel->guard, &tick, err);
        if (code != KM_OK)
            return code;
    }
    if (kernel->filters && kernel->begin_ns == 0)
        kernel->begin_ns = event->time_ns;
    kernel->last_ns = event->time_ns > kernel->last_ns ? event->time_ns : kernel->last_ns;
    return kernel->filters ? km_deploy_event(kernel->deploy, event, err) : km_guard_event(kernel->guard, event, err);
}

static void feed_all(struct kernel *kernel)
{
    struct km_err err = KM_ERR_INIT;
    struct km_trace_reader *reader = km_trace_reader_new(fileno(kernel->run->trace), &err);
    struct km_event event;
    enum km_code code = reader ? KM_OK : err.code;
    while (code == KM_OK && (code = km_trace_reader_next(reader, &event, &err)) == KM_OK)
        code = feed(kernel, &event, &err);
    if (code == KM_NOTFOUND)
        code = km_deploy_finish(kernel->deploy, &err);
    if (code == KM_OK)
        code = km_guard_finish(kernel->guard, &err);
    if (code != KM_OK)
        bench_die("%s: %s", kernel->run->name, err.text);
    km_trace_reader_free(reader);
}

static void count_incidents(const struct kernel *kernel)
{
    const struct alerts_run *run = kernel->run;
    const struct km_incidents *incidents = km_guard_incidents(kernel->guard);
    for (size_t i = 0; i < km_incidents_count(incidents); i++) {
        const struct km_incident *item = km_incidents_get(incidents, i);
        uint64_t first = (uint64_t)(item->first_ns - WALL_NS) + kernel->first_ns;
        uint64_t last = (uint64_t)(item->last_ns - WALL_NS) + kernel->first_ns;
        kernel->seen->findings += (unsigned)item->count;
        if (item->shown)
            continue;
        kernel->seen->digest++;
        kernel->seen->undecided += run->from_ns > 0 && last >= run->from_ns && first <= run->until_ns;
        if (run->verbose)
            printf("# %s digest: %s, %s, strength %.1f at %.1f s, %llu findings\n", run->name, item->role, item->key,
                   item->strongest, (double)(first - kernel->first_ns) / 1e9, (unsigned long long)item->count);
    }
}

void alerts_run(const struct alerts_run *run, struct alerts_seen *out)
{
    struct km_err err = KM_ERR_INIT;
    struct kernel kernel = {.run = run, .seen = out, .filters = run->learn_ns == 0};
    struct km_guard_config config = {.kernel = {.context = &kernel,
                                                .add_known = add_known,
                                                .landmark_key = landmark_key,
                                                .set_rule = set_rule,
                                                .learned = learned},
                                     .alerts = {&kernel, take_alert},
                                     .say_context = &kernel,
                                     .say = say,
                                     .store = run->store,
                                     .rules = run->rules,
                                     .learn_ns = run->learn_ns};
    if (run->unlimited)
        config.incidents.per_daemon = config.incidents.per_host = UINT_MAX;
    *out = (struct alerts_seen){0};
    kernel.guard = km_guard_new(&config, &err);
    struct km_deploy_config filter = {
        .context = &kernel, .knows_window = knows_window, .knows_landmark = knows_landmark, .told_once = true};
    struct km_event_sink sink = {kernel.guard, km_guard_event};
    kernel.deploy = kernel.guard ? km_deploy_new(&filter, &sink, &err) : NULL;
    if (!kernel.deploy)
        bench_die("%s", err.text);
    struct km_episode_rule rule;
    km_episode_rule_default(&rule);
    for (unsigned role = 0; role < KM_WINDOW_MAX_ROLES; role++)
        km_deploy_set_rule(kernel.deploy, (uint16_t)role, &rule);
    feed_all(&kernel);
    count_incidents(&kernel);
    out->hours = kernel.begin_ns ? (double)(kernel.last_ns - kernel.begin_ns) / NS_PER_H : 0;
    km_deploy_free(kernel.deploy);
    km_guard_free(kernel.guard);
    free(kernel.keys);
}
