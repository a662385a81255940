#include "daemon_alerts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/guard.h"
#include "daemon/trace/trace_file.h"
#include "daemon_data.h"
#include "played_kernel.h"

#define WALL_NS  INT64_C(1767225600000000000) /* a midnight: the recordings are shorter than the day */
#define NS_PER_H 3600e9

struct kernel {
    const struct alerts_run *run;
    struct alerts_seen *seen;
    struct km_guard *guard;
    struct played_kernel *played;
    uint64_t first_ns, last_ns;
};

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
        kernel->first_ns = event->time_ns;
        km_guard_set_clock(kernel->guard, WALL_NS, event->time_ns);
    }
    kernel->last_ns = event->time_ns > kernel->last_ns ? event->time_ns : kernel->last_ns;
    return played_kernel_event(kernel->played, event, err);
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
        code = played_kernel_finish(kernel->played, &err);
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
    struct kernel kernel = {.run = run, .seen = out, .played = played_kernel_new()};
    struct km_guard_config config = {.kernel = played_kernel_calls(kernel.played),
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
    if (!kernel.guard)
        bench_die("%s", err.text);
    played_kernel_attach(kernel.played, kernel.guard, run->learn_ns == 0);
    feed_all(&kernel);
    count_incidents(&kernel);
    uint64_t begin_ns = played_kernel_begun(kernel.played);
    out->hours = begin_ns ? (double)(kernel.last_ns - begin_ns) / NS_PER_H : 0;
    played_kernel_free(kernel.played);
    km_guard_free(kernel.guard);
}
