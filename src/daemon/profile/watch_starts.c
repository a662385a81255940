#include <string.h>

#include "daemon/profile/watch_internal.h"

#define ENROLLED_NS UINT64_C(1000000000) /* in which what runs already is introduced */

static const struct km_watch_start *find_start(const struct km_watch *watch, uint32_t tgid, uint64_t now_ns)
{
    for (size_t i = 0; i < KM_WATCH_STARTS; i++)
        if (watch->starts[i].tgid == tgid && watch->starts[i].until_ns > now_ns)
            return &watch->starts[i];
    return NULL;
}

static void add_start(struct km_watch *watch, const struct km_watch_start *wanted)
{
    const struct km_watch_start *old = find_start(watch, wanted->tgid, 0);
    struct km_watch_start *start =
        &watch->starts[old ? (size_t)(old - watch->starts) : watch->next_start++ % KM_WATCH_STARTS];
    *start = *wanted;
}

static bool knows_act(const struct km_watched *role, const struct km_event_landmark *landmark)
{
    char line[KM_ENTITY_TEXT_BYTES];
    km_entity_format(landmark, line);
    return km_entity_find(km_profile_get_entities(role->profile), line) != NULL;
}

static void note_start_act(struct km_watch *watch, const struct km_event *event)
{
    const struct km_event_landmark *landmark = &event->landmark;
    const struct km_watched *role = km_watch_role_of(watch, event->role);
    bool judged = role && role->profile && !role->learning;
    const struct km_watch_start *start = find_start(watch, event->tgid, event->time_ns);
    if (km_entity_is_start(landmark) && (!start || start->forked))
        add_start(watch, &(struct km_watch_start){.tgid = event->tgid,
                                                  .until_ns = event->time_ns + KM_WATCH_START_NS,
                                                  .excused = !watch->learning &&
                                                             !(judged && km_profile_knows_start(role->profile))});
    /* A child that gives up its rights first thing. */
    else if (start && start->forked && landmark->kind == KM_LANDMARK_IDENTITY && landmark->value != 0 && judged)
        watch->starts[start - watch->starts].excused |= !knows_act(role, landmark);
}

/* A process that enters the daemon from outside: the service manager started it. */
static bool enters(const struct km_watch *watch, const struct km_event *event)
{
    const struct km_watched *role = km_watch_role_of(watch, event->role);
    return role && !strchr(role->identity.role, '+') && event->time_ns > watch->first_ns + ENROLLED_NS &&
           !find_start(watch, event->thread.parent_tid, event->time_ns);
}

void km_watch_note_start(struct km_watch *watch, const struct km_event *event)
{
    if (event->kind == KM_EVENT_LANDMARK) {
        note_start_act(watch, event);
    } else if (event->kind == KM_EVENT_THREAD && event->tid == event->tgid && event->thread.parent_tid != 0) {
        const struct km_watch_start *parent = find_start(watch, event->thread.parent_tid, event->time_ns);
        struct km_watch_start start = {
            .tgid = event->tgid, .until_ns = event->time_ns + KM_WATCH_FORK_NS, .forked = true};
        if (enters(watch, event)) {
            const struct km_watched *role = km_watch_role_of(watch, event->role);
            start.forked = false;
            start.until_ns = event->time_ns + KM_WATCH_START_NS;
            start.excused = !watch->learning && !(role->profile && km_profile_knows_start(role->profile));
        }
        if (parent && parent->excused && parent->until_ns > start.until_ns) {
            start.until_ns = parent->until_ns;
            start.excused = true;
        }
        if (!find_start(watch, event->tgid, event->time_ns))
            add_start(watch, &start);
    }
}

bool km_watch_excuses(const struct km_watch *watch, uint32_t tgid, uint64_t time_ns)
{
    const struct km_watch_start *start = find_start(watch, tgid, time_ns);
    return start && start->excused;
}
