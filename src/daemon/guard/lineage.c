/*
 * Threads that no profile knows: a child that was just forked, a shell that it became, what that starts. Each is told
 * with the act of a known thread that it comes from, so that all of it is one incident.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/guard/guard_internal.h"
#include "finding/evidence.h"

#define ANCESTORS  16
#define PENDING_NS UINT64_C(300000000) /* a forked child starts its program within it */
#define HELD_TRUST 0.01

bool km_guarded_origin(struct km_guarded *daemon, uint32_t tgid, struct km_watch_role *out)
{
    for (int i = 0; i < ANCESTORS && tgid != 0; i++) {
        const struct km_process *process = km_proctable_find(daemon->guard->processes, tgid);
        struct km_watch_role role;
        if (process->role != KM_PROCESS_UNKNOWN_ROLE && km_watch_find_role(daemon->watch, process->role, &role) &&
            role.profile) {
            *out = role;
            return true;
        }
        tgid = process->parent == tgid ? 0 : process->parent;
    }
    return false;
}

/* How seldom a daemon with so many learned episodes brings another kind of thread. */
static double weight_of_role(const struct km_guarded *daemon)
{
    double roles = daemon->learned_roles;
    return log(((double)daemon->learned_episodes + roles + 2) / (roles + 1));
}

static void add_role(struct km_guarded *daemon, const struct km_watch_role *role)
{
    struct km_draft *draft = &daemon->guard->draft;
    km_strange_add(&draft->strange, "role", role->identity->role);
    struct km_evidence *evidence = km_draft_add(draft, KM_EVIDENCE_NEW_ROLE, weight_of_role(daemon));
    if (!evidence)
        return;
    km_evidence_add_text(evidence, "role", role->identity->role);
    km_evidence_add_text(evidence, "program", role->identity->exe);
    km_evidence_add_integer(evidence, "episodes", (int64_t)daemon->learned_episodes);
}

/* Begins the draft in the name of the known thread that the process comes from. */
static void begin(struct km_guarded *daemon, const struct km_watch_role *role, uint32_t tgid)
{
    struct km_guard *guard = daemon->guard;
    const struct km_process *process = tgid ? km_proctable_find(guard->processes, tgid) : NULL;
    struct km_watch_role cause = *role;
    bool has_cause = process && process->cause[0];
    if (has_cause)
        (void)km_watch_find_role(daemon->watch, process->cause_role, &cause);
    km_draft_begin(&guard->draft, daemon->name, cause.identity->role, process);
    guard->draft.finding.package = role->identity->package[0] ? role->identity->package : NULL;
    guard->draft.finding.confidence = daemon->confidence;
    if (!has_cause)
        return;
    (void)snprintf(guard->draft.key, sizeof guard->draft.key, "%s", process->cause);
    km_strange_add(&guard->draft.strange, "from", process->cause);
}

static enum km_code finish(struct km_guarded *daemon, uint64_t time_ns, bool held, struct km_err *err)
{
    struct km_draft *draft = &daemon->guard->draft;
    double weight = 0;
    for (size_t i = 0; i < draft->finding.evidence_count; i++)
        weight += draft->evidence[i].weight;
    draft->finding.score = 1 - exp(-weight);
    km_draft_doubts(draft, NULL, daemon->lost);
    if (held) {
        draft->finding.confidence *= HELD_TRUST;
        (void)km_draft_hold(draft, KM_EVIDENCE_STARTING);
    }
    return km_guard_raise(daemon->guard, daemon, time_ns, err);
}

static enum km_code raise_role(struct km_guarded *daemon, const struct km_pending_role *new_role, bool held,
                               struct km_err *err)
{
    struct km_watch_role role;
    if (!km_watch_find_role(daemon->watch, new_role->role, &role))
        return KM_OK;
    begin(daemon, &role, new_role->tgid);
    add_role(daemon, &role);
    char *key = daemon->guard->draft.key;
    if (!key[0])
        (void)snprintf(key, KM_DRAFT_KEY_BYTES, "%s %s", KM_EVIDENCE_NEW_ROLE, role.identity->role);
    return finish(daemon, new_role->time_ns, held, err);
}

/* A program whose start the profile of its origin knows: it was accepted, or learned and not seen at work. */
static bool is_accepted_program(struct km_guarded *daemon, uint32_t tgid)
{
    char line[KM_ENTITY_TEXT_BYTES], image[KM_PROCESS_TEXT_BYTES];
    struct km_watch_role origin;
    const struct km_process *process = tgid ? km_proctable_find(daemon->guard->processes, tgid) : NULL;
    if (!process || !process->image[0] || process->cause[0])
        return false;
    (void)snprintf(image, sizeof image, "%s", process->image);
    const struct km_event_landmark start = {.kind = KM_LANDMARK_EXEC, .path = {image, strlen(image)}};
    km_entity_format(&start, line);
    return km_guarded_origin(daemon, tgid, &origin) &&
           km_entity_find(km_profile_get_entities(origin.profile), line) != NULL;
}

enum km_code km_guarded_new_role(struct km_guarded *daemon, uint16_t role, uint32_t tgid, struct km_err *err)
{
    uint64_t now_ns = daemon->guard->now_ns;
    if (is_accepted_program(daemon, tgid))
        return KM_OK;
    const struct km_process *process = tgid ? km_proctable_find(daemon->guard->processes, tgid) : NULL;
    if (process && process->start_ns != 0 && process->start_ns < daemon->guard->first_ns) {
        struct km_watch_role silent;
        if (km_watch_find_role(daemon->watch, role, &silent))
            km_guard_say(daemon->guard, "%s (%s): did nothing while it was learned, so its grave acts alone are told",
                         daemon->name, silent.identity->role);
        return KM_OK;
    }
    const struct km_pending_role pending = {tgid, role, now_ns};
    if (process && process->cause[0])
        return raise_role(daemon, &pending, false, err);
    for (size_t i = 0; i < KM_GUARD_PENDING && tgid != 0; i++)
        if (daemon->pending[i].tgid == 0) {
            daemon->pending[i] = pending;
            return KM_OK;
        }
    return raise_role(daemon, &pending, false, err);
}

static enum km_code raise_pending(struct km_guarded *daemon, uint64_t now_ns, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < KM_GUARD_PENDING && code == KM_OK; i++) {
        struct km_pending_role pending = daemon->pending[i];
        if (pending.tgid == 0 || now_ns < pending.time_ns + PENDING_NS)
            continue;
        daemon->pending[i].tgid = 0;
        bool held = km_watch_excuses(daemon->watch, pending.tgid, pending.time_ns) &&
                    !km_proctable_find(daemon->guard->processes, pending.tgid)->cause[0];
        code = raise_role(daemon, &pending, held, err);
    }
    return code;
}

static bool take_pending(struct km_guarded *daemon, uint32_t tgid, struct km_watch_role *out)
{
    for (size_t i = 0; i < KM_GUARD_PENDING; i++)
        if (daemon->pending[i].tgid == tgid) {
            daemon->pending[i].tgid = 0;
            return km_watch_find_role(daemon->watch, daemon->pending[i].role, out);
        }
    return false;
}

/* A grave act of a thread without profile; its place in the profile of the thread that it comes from says how rare. */
static enum km_code take_act(struct km_guarded *daemon, const struct km_watch_role *role, const struct km_event *event,
                             struct km_err *err)
{
    struct km_guard *guard = daemon->guard;
    enum km_gravity gravity = km_entity_gravity(&event->landmark);
    struct km_watch_role origin, forked;
    char line[KM_ENTITY_TEXT_BYTES];
    if (gravity == KM_GRAVITY_SLIGHT || !km_guarded_origin(daemon, event->tgid, &origin))
        return KM_OK;
    km_entity_format(&event->landmark, line);
    const struct km_entity_set *known = km_profile_get_entities(origin.profile);
    if (km_entity_find(known, line)) {
        (void)take_pending(daemon, event->tgid, &forked); /* it was forked for this */
        return KM_OK;
    }
    const struct km_process *process = km_proctable_find(guard->processes, event->tgid);
    bool held = !process->cause[0] && !km_entity_is_inexcusable(&event->landmark) &&
                km_watch_excuses(daemon->watch, event->tgid, event->time_ns);
    if (!process->cause[0] && gravity == KM_GRAVITY_PROGRAM)
        km_proctable_set_cause(guard->processes, event->tgid, line, origin.index);
    bool was_forked = take_pending(daemon, event->tgid, &forked);
    struct km_maturity maturity;
    km_profile_get_maturity(origin.profile, &maturity);
    begin(daemon, role, event->tgid);
    guard->draft.finding.subject.tid = event->tid;
    km_draft_landmark(&guard->draft, &event->landmark,
                      km_entity_surprise(known, event->landmark.kind, maturity.episodes), maturity.episodes);
    if (was_forked)
        add_role(daemon, &forked);
    km_guarded_keep_act(daemon, origin.profile, event);
    return finish(daemon, event->time_ns, held, err);
}

enum km_code km_guarded_lineage(struct km_guarded *daemon, const struct km_event *event, struct km_err *err)
{
    struct km_watch_role role;
    char line[KM_ENTITY_TEXT_BYTES];
    if (event->kind == KM_EVENT_RATE)
        return raise_pending(daemon, event->time_ns, err);
    if (event->kind != KM_EVENT_LANDMARK || !daemon->profiled ||
        !km_watch_find_role(daemon->watch, event->role, &role) || role.learning)
        return KM_OK;
    if (!role.profile)
        return take_act(daemon, &role, event, err);
    /* Its episode tells it; what its process is from now on comes from here. */
    km_entity_format(&event->landmark, line);
    if (km_entity_gravity(&event->landmark) == KM_GRAVITY_PROGRAM &&
        !km_entity_find(km_profile_get_entities(role.profile), line))
        km_proctable_set_cause(daemon->guard->processes, event->tgid, line, event->role);
    return KM_OK;
}
