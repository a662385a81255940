#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/guard_internal.h"
#include "finding/evidence.h"

#define MAX_LANDMARK_KEYS 8192 /* told to the kernel */
#define MANY_SETTLING     10   /* a hundredth of a release window: the profile describes another version */
#define SAID_AGAIN_NS     UINT64_C(60000000000)
#define CHANGED_WEIGHT    6.9 /* ln 1000: a program changes without a package once in a thousand starts */

/* ---- what the kernel is told ---- */

struct keys {
    uint64_t *list;
    size_t count, capacity;
    uint16_t role;
};

static enum km_code collect_key(void *context, unsigned long long window, unsigned space, struct km_err *err)
{
    struct keys *keys = context;
    enum km_code code =
        km_grow((void **)&keys->list, &keys->capacity, keys->count + 1, sizeof *keys->list, (size_t)1 << 20, err);
    if (code == KM_OK)
        keys->list[keys->count++] = km_window_key(window, space, keys->role);
    return code;
}

/* A full set is no failure: what the kernel does not know it tells, and the profile knows it. */
static enum km_code tell_kernel(struct km_guarded *daemon, const struct km_watch_role *role, struct km_err *err)
{
    struct km_guard *guard = daemon->guard;
    const struct km_guard_kernel *kernel = &guard->config.kernel;
    struct keys keys = {.role = role->index};
    enum km_code code = KM_OK;
    if (kernel->set_rule)
        code = kernel->set_rule(kernel->context, role->index, km_profile_get_rule(role->profile), err);
    if (code == KM_OK && kernel->add_known)
        code = km_ngram_visit_windows(km_profile_get_ngram(role->profile), &keys, collect_key, err);
    if (code == KM_OK && kernel->add_known)
        code = kernel->add_known(kernel->context, keys.list, keys.count, err);
    free(keys.list);
    if (code == KM_LIMIT && !daemon->limit_said) {
        daemon->limit_said = true;
        km_guard_say(guard,
                     "%s: the kernel's set of known behaviour is full; more of it is judged here, which costs "
                     "more",
                     daemon->name);
    }
    if (code == KM_LIMIT)
        code = KM_OK;
    guard->mark[role->index] = true;
    return code;
}

static enum km_code collect_role(struct keys *keys, const struct km_guarded *daemon, uint16_t index, struct km_err *err)
{
    struct km_watch_role role;
    if (!daemon || !km_watch_find_role(daemon->watch, index, &role) || !role.profile || role.learning)
        return KM_OK;
    keys->role = index;
    return km_ngram_visit_windows(km_profile_get_ngram(role.profile), keys, collect_key, err);
}

enum km_code km_guard_tell_all(struct km_guard *guard, struct km_err *err)
{
    const struct km_guard_kernel *kernel = &guard->config.kernel;
    struct keys keys = {0};
    enum km_code code = KM_OK;
    if (!kernel->replace_known)
        return KM_OK;
    for (uint16_t i = 0; i < KM_WINDOW_MAX_ROLES && code == KM_OK; i++) {
        code = collect_role(&keys, guard->by_role[i], i, err);
        guard->mark[i] |= guard->by_role[i] != NULL;
    }
    if (code == KM_OK)
        code = kernel->replace_known(kernel->context, keys.list, keys.count, err);
    free(keys.list);
    km_seen_clear(&guard->told_keys); /* landmarks are told once more each, and then known again */
    return code;
}

/* What the profile knows and the kernel told all the same need not be told again. */
static enum km_code tell_landmark(struct km_guarded *daemon, const struct km_event *event, struct km_err *err)
{
    struct km_guard *guard = daemon->guard;
    const struct km_guard_kernel *kernel = &guard->config.kernel;
    struct km_watch_role role;
    if (!kernel->add_known || !kernel->landmark_key || guard->told_keys.used >= MAX_LANDMARK_KEYS)
        return KM_OK;
    if (!km_watch_find_role(daemon->watch, event->role, &role) || !role.profile || role.learning ||
        !km_profile_knows_landmark(role.profile, &event->landmark))
        return KM_OK;
    uint64_t key = kernel->landmark_key(kernel->context, event->role, &event->landmark);
    bool is_new = false;
    enum km_code code = key ? km_seen_add(&guard->told_keys, key, &is_new, err) : KM_OK;
    if (code == KM_OK && is_new)
        code = kernel->add_known(kernel->context, &key, 1, err);
    return code == KM_LIMIT ? KM_OK : code;
}

/* ---- roles ---- */

static void note_profile(struct km_guarded *daemon, const struct km_profile *profile)
{
    struct km_maturity maturity;
    km_profile_get_maturity(profile, &maturity);
    daemon->profiled = true;
    daemon->mature |= maturity.mature;
    daemon->learned_episodes += maturity.episodes;
    daemon->learned_roles++;
    if (maturity.confidence > daemon->confidence)
        daemon->confidence = maturity.confidence;
}

static enum km_code raise_changed(struct km_guarded *daemon, const struct km_watch_role *role, struct km_err *err)
{
    struct km_guard *guard = daemon->guard;
    struct km_draft *draft = &guard->draft;
    const struct km_profile_identity *learned = km_profile_get_identity(role->profile);
    km_draft_begin(draft, daemon->name, role->identity->role,
                   guard->role_tgid ? km_proctable_find(guard->processes, guard->role_tgid) : NULL);
    struct km_evidence *evidence = km_draft_add(draft, KM_EVIDENCE_PROGRAM_CHANGED, CHANGED_WEIGHT);
    if (evidence) {
        km_evidence_add_text(evidence, "program", role->identity->exe);
        km_evidence_add_text(evidence, "learned", learned->build_id);
        km_evidence_add_text(evidence, "running", role->identity->build_id);
        km_evidence_add_text(evidence, "package", role->identity->package);
    }
    (void)snprintf(draft->key, sizeof draft->key, "%s %.400s", KM_EVIDENCE_PROGRAM_CHANGED, role->identity->exe);
    km_strange_add(&draft->strange, "program", role->identity->exe);
    km_strange_add(&draft->strange, "build", role->identity->build_id);
    draft->role[0] = '\0'; /* one program, many roles: one incident */
    draft->finding.package = role->identity->package[0] ? role->identity->package : NULL;
    draft->finding.confidence = 1;
    draft->finding.score = 1 - exp(-CHANGED_WEIGHT);
    return km_guard_raise(guard, daemon, guard->now_ns, err);
}

static enum km_code appeared(void *context, const struct km_watch_role *role, struct km_err *err)
{
    struct km_guarded *daemon = context;
    if (role->learning)
        return KM_OK;
    if (!role->profile) {
        if (daemon->profiled || daemon->stored_mature)
            return km_guarded_new_role(daemon, role->index, daemon->guard->role_tgid, err);
        if (!daemon->unprofiled_said)
            km_guard_say(daemon->guard, "%s: nothing is known of it; learn it with --learn", daemon->name);
        daemon->unprofiled_said = true;
        return KM_OK;
    }
    if (!daemon->guard->role_again)
        note_profile(daemon, role->profile);
    enum km_code code = daemon->guard->role_again ? KM_OK : tell_kernel(daemon, role, err);
    if (code == KM_OK && role->release == KM_RELEASE_UPGRADE)
        km_guard_say(daemon->guard,
                     "%s (%s): upgraded to %s since it was learned; what is only somewhat strange waits in the digest "
                     "for %d episodes",
                     daemon->name, role->identity->role, role->identity->package, KM_WATCH_RELEASE_EPISODES);
    if (code == KM_OK && role->release == KM_RELEASE_UNEXPLAINED)
        code = raise_changed(daemon, role, err);
    return code;
}

static struct km_profile *find(void *context, const struct km_profile_identity *identity)
{
    struct km_guarded *daemon = context;
    struct km_store_loaded loaded = {0};
    struct km_err err = KM_ERR_INIT;
    if (!daemon->guard->config.store)
        return NULL;
    struct km_profile *profile =
        km_store_load(daemon->guard->config.store, identity->unit, identity->role, 0, &loaded, &err);
    if (loaded.damage.code != KM_OK)
        km_guard_say(daemon->guard, "%s%s", loaded.damage.text, profile ? "; the last good version is used" : "");
    else if (!profile && err.code != KM_NOTFOUND)
        km_guard_say(daemon->guard, "%s: %s", daemon->name, err.text);
    return profile;
}

/* ---- episodes ---- */

static void hold_settling(struct km_draft *draft, const struct km_watch_result *result)
{
    struct km_evidence *evidence = km_draft_hold(draft, KM_EVIDENCE_UPGRADED);
    if (!evidence)
        return;
    km_evidence_add_text(evidence, "package", result->identity->package);
    km_evidence_add_integer(evidence, "left", (int64_t)result->settles);
}

static enum km_code paced(void *context, const struct km_watch_pace *pace, struct km_err *err)
{
    struct km_guarded *daemon = context;
    struct km_draft *draft = &daemon->guard->draft;
    km_draft_begin(draft, daemon->name, pace->identity->role, NULL);
    draft->finding.package = pace->identity->package[0] ? pace->identity->package : NULL;
    km_draft_pace(draft, pace);
    km_draft_doubts(draft, pace->profile, daemon->lost);
    return km_guard_raise(daemon->guard, daemon, pace->time_ns, err);
}

/* The end of a release window: whether the new version's ways have settled. */
static enum km_code settled(void *context, const struct km_watch_settled *settled, struct km_err *err)
{
    struct km_guarded *daemon = context;
    unsigned all = settled->first_half + settled->second_half;
    (void)err;
    if (all == 0)
        km_guard_say(daemon->guard,
                     "%s (%s): since the upgrade to %s nothing was strange in %d episodes; alerts are as before",
                     daemon->name, settled->identity->role, settled->identity->package, KM_WATCH_RELEASE_EPISODES);
    else
        km_guard_say(
            daemon->guard,
            "%s (%s): since the upgrade to %s %u of %d episodes were strange, %u of them in the second half; they "
            "are in the digest, and what comes again is an alert from now on%s",
            daemon->name, settled->identity->role, settled->identity->package, all, KM_WATCH_RELEASE_EPISODES,
            settled->second_half,
            settled->second_half > MANY_SETTLING ? ": if the new version is trusted, learn it with --relearn --learn"
                                                 : "");
    return KM_OK;
}

static enum km_code judged(void *context, const struct km_watch_result *result, struct km_err *err)
{
    struct km_guarded *daemon = context;
    struct km_guard *guard = daemon->guard;
    if (result->excused && (daemon->excused_ns == 0 || result->episode->end_ns > daemon->excused_ns + SAID_AGAIN_NS)) {
        daemon->excused_ns = result->episode->end_ns;
        km_guard_say(
            guard,
            "%s: it starts or ends, which was never learned: only what no start explains (foreign programs, secrets, "
            "system places, public addresses) is an alert meanwhile, the rest waits in the digest",
            daemon->name);
    }
    if (!result->alarm && !result->excused && !result->settling)
        return KM_OK;
    if (guard->config.store) {
        struct km_err failed = KM_ERR_INIT;
        if (km_store_quarantine(guard->config.store, result->profile, result->episode, result->assessment,
                                (int64_t)result->episode->end_ns + guard->wall_offset_ns, &failed) != KM_OK &&
            !daemon->quarantine_said) {
            daemon->quarantine_said = true;
            km_guard_say(guard, "%s: what is new cannot be kept for 'komainu profile accept': %s", daemon->name,
                         failed.text);
        }
    }
    struct km_draft *draft = &guard->draft;
    km_draft_begin(draft, daemon->name, result->identity->role,
                   km_proctable_find(guard->processes, result->episode->tgid));
    draft->finding.subject.tid = result->episode->tid;
    draft->finding.package = result->identity->package[0] ? result->identity->package : NULL;
    km_draft_episode(draft, result);
    km_guarded_name_alarm(daemon);
    km_draft_doubts(draft, result->profile, daemon->lost);
    if (result->excused)
        (void)km_draft_hold(draft, KM_EVIDENCE_STARTING);
    if (result->settling)
        hold_settling(draft, result);
    return km_guard_raise(guard, daemon, result->episode->end_ns, err);
}

/* ---- learning ---- */

/* Called before calibration: the filter starts at once, so that the ring does not fill meanwhile. */
static enum km_code learned(void *context, struct km_watch *watch, struct km_err *err)
{
    struct km_guarded *daemon = context;
    const struct km_guard_kernel *kernel = &daemon->guard->config.kernel;
    enum km_code code = KM_OK;
    for (uint16_t i = 0; i < KM_WINDOW_MAX_ROLES && code == KM_OK; i++) {
        struct km_watch_role role;
        if (km_watch_find_role(watch, i, &role) && role.profile)
            code = tell_kernel(daemon, &role, err);
    }
    if (code == KM_OK && kernel->learned)
        code = kernel->learned(kernel->context, daemon->name, err);
    return code;
}

/* A profile that cannot be stored is used all the same. */
static void save_learned(struct km_guarded *daemon)
{
    struct km_guard *guard = daemon->guard;
    const struct km_profile *profile;
    for (size_t i = 0; (profile = km_watch_profile(daemon->watch, i)) != NULL; i++) {
        struct km_maturity maturity;
        struct km_err err = KM_ERR_INIT;
        km_profile_get_maturity(profile, &maturity);
        note_profile(daemon, profile);
        km_guard_say(guard, "%s (%s): learned from %llu episode%s, %s", daemon->name,
                     km_profile_get_identity(profile)->role, (unsigned long long)maturity.episodes,
                     maturity.episodes == 1 ? "" : "s",
                     maturity.mature ? "mature" : "not mature yet: alerts carry little confidence");
        if (guard->config.store && km_store_save(guard->config.store, profile, "learned", &err) != KM_OK)
            km_guard_say(guard, "%s: the profile is used and not stored: %s", daemon->name, err.text);
    }
}

/* ---- the daemon ---- */

struct stored {
    struct km_guarded *daemon;
    struct km_store *store;
};

static enum km_code look_at_stored(void *context, const struct km_store_entry *entry, struct km_err *err)
{
    struct stored *stored = context;
    struct km_store_loaded loaded;
    struct km_err ignored = KM_ERR_INIT;
    (void)err;
    if (strcmp(entry->unit, stored->daemon->name) != 0 || entry->version == 0)
        return KM_OK;
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) =
        km_store_load(stored->store, entry->unit, entry->role, 0, &loaded, &ignored);
    struct km_maturity maturity = {0};
    if (profile)
        km_profile_get_maturity(profile, &maturity);
    stored->daemon->stored_mature |= maturity.mature;
    stored->daemon->stored |= profile != NULL;
    return KM_OK;
}

enum km_code km_guarded_open(struct km_guarded *daemon, struct km_err *err)
{
    const struct km_guard_config *config = &daemon->guard->config;
    struct stored stored = {daemon, config->store};
    enum km_code code = config->store ? km_store_list(config->store, &stored, look_at_stored, err) : KM_OK;
    if (code != KM_OK)
        return code;
    daemon->learning = config->learn_ns > 0 && (config->relearn || !daemon->stored_mature);
    struct km_watch_config watch = {.context = daemon,
                                    .find = find,
                                    .judged = judged,
                                    .appeared = appeared,
                                    .paced = paced,
                                    .settled = settled,
                                    .learned = learned,
                                    .budget_per_day = config->budget_per_role,
                                    .learn = daemon->learning,
                                    .learn_ns = config->learn_ns,
                                    .rule = &daemon->guard->rule};
    daemon->watch = km_watch_new(&watch, err);
    return daemon->watch ? KM_OK : err->code;
}

enum km_code km_guarded_event(struct km_guarded *daemon, const struct km_event *event, struct km_err *err)
{
    struct km_guard *guard = daemon->guard;
    enum km_code code = KM_OK;
    bool tick = event->kind == KM_EVENT_RATE && event->role == 0;
    if (!tick) {
        daemon->events++;
        if (daemon->first_ns == 0)
            daemon->first_ns = event->time_ns;
    }
    if (event->kind == KM_EVENT_LOSS)
        daemon->lost += event->loss.events;
    if (event->kind == KM_EVENT_ROLE) {
        struct km_watch_role before;
        guard->role_tgid = event->tgid;
        guard->role_again = km_watch_find_role(daemon->watch, event->role, &before);
    }
    if (event->kind == KM_EVENT_LANDMARK)
        code = tell_landmark(daemon, event, err);
    if (code == KM_OK && event->kind == KM_EVENT_LANDMARK)
        code = km_guarded_rules(daemon, event, err);
    if (code == KM_OK)
        code = km_guarded_lineage(daemon, event, err);
    if (code == KM_OK)
        code = tick ? km_watch_time(daemon->watch, event->time_ns, err) : km_watch_event(daemon->watch, event, err);
    if (daemon->learning && !km_watch_is_learning(daemon->watch)) {
        daemon->learning = false;
        if (code == KM_OK)
            save_learned(daemon);
    }
    return code;
}

enum km_code km_guarded_finish(struct km_guarded *daemon, struct km_err *err)
{
    if (daemon->learning) {
        km_guard_say(daemon->guard, "%s: stopped before it was learned; nothing of it is kept", daemon->name);
        return KM_OK;
    }
    return km_watch_finish(daemon->watch, err);
}
