#include "daemon/guard/guard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/guard/guard_internal.h"

#define LINE_BYTES 1024

void km_guard_say(struct km_guard *guard, const char *format, ...)
{
    char line[LINE_BYTES], escaped[LINE_BYTES];
    if (!guard->config.say)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    km_text_escape(line, strlen(line), escaped, sizeof escaped);
    guard->config.say(guard->config.say_context, escaped);
}

struct km_guard *km_guard_new(const struct km_guard_config *config, struct km_err *err)
{
    struct km_guard *guard KM_CLEANUP(km_guard_cleanup) = km_calloc(1, sizeof *guard, SIZE_MAX, err);
    if (!guard)
        return NULL;
    struct km_incident_config incidents = config->incidents;
    if (incidents.least_strength == 0)
        incidents.least_strength = KM_GUARD_LEAST_STRENGTH;
    guard->config = *config;
    guard->least_strength = incidents.least_strength;
    km_episode_rule_default(&guard->rule);
    guard->processes = km_proctable_new(config->proc_root, err);
    guard->users = guard->processes ? km_users_new(err) : NULL;
    if (guard->users)
        guard->incidents = km_incidents_new(&incidents, err);
    return guard->incidents ? km_steal(guard) : NULL;
}

void km_guard_free(struct km_guard *guard)
{
    if (!guard)
        return;
    for (size_t i = 0; i < guard->count; i++)
        km_watch_free(guard->daemons[i].watch);
    km_proctable_free(guard->processes);
    km_users_free(guard->users);
    km_incidents_free(guard->incidents);
    km_seen_done(&guard->told_keys);
    free(guard);
}

void km_guard_set_clock(struct km_guard *guard, int64_t wall_ns, uint64_t monotonic_ns)
{
    guard->wall_offset_ns = wall_ns - (int64_t)monotonic_ns;
}

static struct km_guarded *find_daemon(struct km_guard *guard, const char *name)
{
    for (size_t i = 0; i < guard->count; i++)
        if (strcmp(guard->daemons[i].name, name) == 0)
            return &guard->daemons[i];
    return NULL;
}

static enum km_code add(struct km_guard *guard, const char *name, size_t length, struct km_guarded **out,
                        struct km_err *err)
{
    char escaped[KM_EVENT_MAX_NAME_BYTES];
    km_text_escape(name, length, escaped, sizeof escaped);
    struct km_guarded *daemon = find_daemon(guard, escaped);
    if (!daemon) {
        if (guard->count == KM_GUARD_MAX_DAEMONS)
            return km_fail(err, KM_LIMIT, "%d daemons are guarded, and that is the most", KM_GUARD_MAX_DAEMONS);
        daemon = &guard->daemons[guard->count];
        *daemon = (struct km_guarded){.guard = guard};
        memcpy(daemon->name, escaped, sizeof daemon->name);
        enum km_code code = km_guarded_open(daemon, err);
        if (code != KM_OK)
            return code;
        guard->count++;
    }
    *out = daemon;
    return KM_OK;
}

enum km_code km_guard_add(struct km_guard *guard, const char *name, bool *out_learns, struct km_err *err)
{
    struct km_guarded *daemon = NULL;
    enum km_code code = add(guard, name, strlen(name), &daemon, err);
    if (daemon)
        *out_learns = daemon->learning;
    return code;
}

static bool is_tick(const struct km_event *event)
{
    return event->kind == KM_EVENT_RATE && event->role == 0 && event->rate.calls == 0;
}

/* What the kernel was told while the last event was handled becomes an event of its own, so that a recording says when.
 */
static enum km_code mark_roles(struct km_guard *guard, struct km_err *err)
{
    const struct km_guard_kernel *kernel = &guard->config.kernel;
    enum km_code code = KM_OK;
    for (uint16_t role = 0; role < KM_WINDOW_MAX_ROLES && code == KM_OK; role++) {
        if (!guard->mark[role])
            continue;
        guard->mark[role] = false;
        struct km_event event = {.kind = KM_EVENT_RATE, .role = role, .time_ns = guard->now_ns};
        if (kernel->now)
            event.time_ns = kernel->now(kernel->context);
        if (kernel->record)
            code = kernel->record(kernel->context, &event, err);
        if (code == KM_OK)
            code = km_guarded_event(guard->by_role[role], &event, err);
    }
    return code;
}

enum km_code km_guard_event(void *context, const struct km_event *event, struct km_err *err)
{
    struct km_guard *guard = context;
    enum km_code code = KM_OK;
    if (guard->first_ns == 0)
        guard->first_ns = event->time_ns;
    if (event->time_ns > guard->now_ns)
        guard->now_ns = event->time_ns;
    if (event->role >= KM_WINDOW_MAX_ROLES)
        return KM_OK;
    if (event->kind == KM_EVENT_ROLE) {
        struct km_guarded *daemon = NULL;
        code = add(guard, event->role_info.unit.length ? event->role_info.unit.data : "", event->role_info.unit.length,
                   &daemon, err);
        if (code == KM_LIMIT)
            return KM_OK;
        if (code != KM_OK)
            return code;
        guard->by_role[event->role] = daemon;
    }
    km_proctable_event(guard->processes, event);
    if (is_tick(event)) {
        for (size_t i = 0; i < guard->count && code == KM_OK; i++)
            code = km_guarded_event(&guard->daemons[i], event, err);
    } else if (guard->by_role[event->role]) {
        code = km_guarded_event(guard->by_role[event->role], event, err);
    }
    return code == KM_OK ? mark_roles(guard, err) : code;
}

enum km_code km_guard_renew(struct km_guard *guard, const char *daemon, const char *role, struct km_err *err)
{
    struct km_guarded *found = find_daemon(guard, daemon);
    if (!found || found->learning)
        return KM_OK;
    enum km_code code = km_watch_renew(found->watch, role, err);
    if (code == KM_OK)
        code = km_guard_tell_all(guard, err);
    km_incidents_close(guard->incidents, daemon, role);
    return code;
}

enum km_code km_guard_finish(struct km_guard *guard, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < guard->count && code == KM_OK; i++)
        code = km_guarded_finish(&guard->daemons[i], err);
    return code;
}

bool km_guard_get_status(const struct km_guard *guard, size_t i, struct km_guard_status *out)
{
    if (i >= guard->count)
        return false;
    const struct km_guarded *daemon = &guard->daemons[i];
    struct km_watch_stats stats;
    km_watch_get_stats(daemon->watch, &stats);
    *out = (struct km_guard_status){.name = daemon->name,
                                    .learning = daemon->learning,
                                    .profiled = daemon->profiled,
                                    .mature = daemon->mature,
                                    .confidence = daemon->confidence,
                                    .events = daemon->events,
                                    .episodes = stats.episodes,
                                    .tapped = stats.tapped,
                                    .alarms = daemon->alarms,
                                    .alerts = daemon->alerts,
                                    .suppressed = daemon->suppressed,
                                    .held = daemon->held,
                                    .lost = daemon->lost,
                                    .rules_fired = daemon->rules_fired,
                                    .rules_learned = daemon->rules_learned};
    if (daemon->learning && daemon->first_ns > 0 && guard->config.learn_ns > 0) {
        double share = (double)(guard->now_ns - daemon->first_ns) / (double)guard->config.learn_ns;
        out->learned_share = share < 1 ? share : 1;
    }
    return true;
}

struct km_incidents *km_guard_incidents(struct km_guard *guard)
{
    return guard->incidents;
}
