#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/guard/guard_internal.h"
#include "finding/evidence.h"

#define TOLD_RULES 4 /* of those that fire on one act */

/* What fired on one act, collected for one finding. */
struct firing {
    struct km_guarded *daemon;
    struct km_draft *draft;
    bool learned; /* the profile knows the act */
    size_t told;
    double score;
    bool critical;
};

/* Nats: how much a rule of this level says, beside what the profile says. */
static double weight_of(enum km_rule_level level)
{
    switch (level) {
    case KM_RULE_INFORMATIONAL:
        return 1;
    case KM_RULE_LOW:
        return 2;
    case KM_RULE_MEDIUM:
        return 4;
    case KM_RULE_HIGH:
        return 7;
    case KM_RULE_CRITICAL:
        return 10;
    }
    return 0;
}

static enum km_code take_match(void *context, const struct km_rule_match *match, struct km_err *err)
{
    struct firing *firing = context;
    const struct km_rule *rule = match->rule;
    (void)err;
    firing->daemon->rules_fired++;
    if (firing->learned && rule->level != KM_RULE_CRITICAL) {
        firing->daemon->rules_learned++;
        return KM_OK;
    }
    if (firing->told == TOLD_RULES)
        return KM_OK;
    double weight = weight_of(rule->level);
    struct km_evidence *evidence = km_draft_add(firing->draft, KM_EVIDENCE_RULE, weight);
    if (!evidence)
        return KM_OK;
    firing->told++;
    km_strange_add(&firing->draft->strange, "rule", rule->id);
    km_evidence_add_text(evidence, "rule", rule->id);
    km_evidence_add_text(evidence, "title", rule->title);
    km_evidence_add_text(evidence, "level", km_rule_level_to_string(rule->level));
    if (match->hit_count > 0) {
        const struct km_rule_hit *hit = &match->hits[0];
        km_evidence_add_text(evidence, "field", km_draft_copy(firing->draft, hit->field, strlen(hit->field)));
        km_evidence_add_text(evidence, "pattern", km_draft_copy(firing->draft, hit->pattern, strlen(hit->pattern)));
        km_evidence_add_text(evidence, "value", km_draft_copy(firing->draft, hit->value.data, hit->value.length));
    }
    if (rule->reference_count > 0)
        evidence->reference = rule->references[0];
    firing->score = fmax(firing->score, 1 - exp(-weight));
    firing->critical |= rule->level == KM_RULE_CRITICAL;
    return KM_OK;
}

static struct km_bytes bytes_of(const char *text)
{
    return (struct km_bytes){text, strlen(text)};
}

/* Who acts; for a program that starts, who started it. */
static void describe(struct km_guarded *daemon, const struct km_event *event, const struct km_process *process,
                     const struct km_process *parent, char *directory, struct km_rule_process *out)
{
    bool is_identity = event->landmark.kind == KM_LANDMARK_IDENTITY;
    bool starts = event->landmark.kind == KM_LANDMARK_EXEC || event->landmark.kind == KM_LANDMARK_MEMFD_EXEC;
    *out = (struct km_rule_process){.image = bytes_of(process->image),
                                    .arguments = {process->arguments, process->argument_bytes},
                                    .comm = bytes_of(process->comm),
                                    .unit = bytes_of(daemon->name),
                                    .pid = process->tgid,
                                    .parent_pid = process->parent,
                                    .uid = is_identity ? process->uid_before : process->uid};
    if (starts && process->before[0]) {
        out->parent_image = bytes_of(process->before);
        out->parent_arguments = (struct km_bytes){process->before_arguments, process->before_bytes};
    } else if (parent) {
        out->parent_image = bytes_of(parent->image);
        out->parent_arguments = (struct km_bytes){parent->arguments, parent->argument_bytes};
    }
    out->user = bytes_of(km_users_name(daemon->guard->users, out->uid));
    if (event->landmark.path.length > 0 && event->landmark.path.data[0] != '/') {
        km_proctable_directory(daemon->guard->processes, process->tgid, directory);
        out->directory = bytes_of(directory);
    }
}

/* By its own role, or by the one that a thread without profile comes from. */
static bool is_learned(struct km_guarded *daemon, const struct km_event *event, const char *line)
{
    struct km_watch_role role;
    bool own = km_watch_find_role(daemon->watch, event->role, &role) && role.profile;
    return (own || km_guarded_origin(daemon, event->tgid, &role)) && !role.learning &&
           km_entity_find(km_profile_get_entities(role.profile), line) != NULL;
}

static enum km_code raise_rules(struct km_guarded *daemon, const struct km_event *event, const struct firing *firing,
                                struct km_err *err)
{
    struct km_draft *draft = firing->draft;
    struct km_watch_role origin;
    bool known = km_guarded_origin(daemon, event->tgid, &origin) && !origin.learning;
    draft->finding.subject.tid = event->tid;
    draft->finding.score = firing->score;
    draft->finding.confidence = 1;
    if (firing->critical)
        draft->finding.verdict = KM_VERDICT_MALICIOUS;
    if (known && !firing->learned) {
        const struct km_entity_set *entities = km_profile_get_entities(origin.profile);
        struct km_maturity maturity;
        km_profile_get_maturity(origin.profile, &maturity);
        km_draft_landmark(draft, &event->landmark,
                          km_entity_surprise(entities, event->landmark.kind, maturity.episodes), maturity.episodes);
        km_guarded_keep_act(daemon, origin.profile, event);
    }
    km_draft_doubts(draft, NULL, daemon->lost);
    return km_guard_raise(daemon->guard, daemon, event->time_ns, err);
}

enum km_code km_guarded_rules(struct km_guarded *daemon, const struct km_event *event, struct km_err *err)
{
    struct km_guard *guard = daemon->guard;
    char line[KM_ENTITY_TEXT_BYTES], directory[KM_PROCESS_TEXT_BYTES];
    struct km_rule_process process;
    struct km_watch_role role, named;
    if (!guard->config.rules || !km_rules_wants(guard->config.rules, event) ||
        !km_watch_find_role(daemon->watch, event->role, &role))
        return KM_OK;
    km_entity_format(&event->landmark, line);
    struct km_process actor = *km_proctable_find(guard->processes, event->tgid);
    const struct km_process *parent = actor.parent ? km_proctable_find(guard->processes, actor.parent) : NULL;
    describe(daemon, event, &actor, parent, directory, &process);
    process.role = bytes_of(role.identity->role);
    named = role;
    if (actor.cause[0])
        (void)km_watch_find_role(daemon->watch, actor.cause_role, &named);
    else
        (void)km_guarded_origin(daemon, event->tgid, &named);
    km_draft_begin(&guard->draft, daemon->name, named.identity->role, &actor);
    struct firing firing = {.daemon = daemon, .draft = &guard->draft, .learned = is_learned(daemon, event, line)};
    (void)snprintf(guard->draft.key, sizeof guard->draft.key, "%s", actor.cause[0] ? actor.cause : line);
    km_strange_add(&guard->draft.strange, "act", line);
    if (actor.cause[0])
        km_strange_add(&guard->draft.strange, "from", actor.cause);
    guard->draft.finding.package = role.identity->package[0] ? role.identity->package : NULL;
    struct km_rules_matcher matcher = {&firing, take_match};
    enum km_code code = km_rules_match(guard->config.rules, &process, event, &matcher, err);
    return code == KM_OK && firing.told > 0 ? raise_rules(daemon, event, &firing, err) : code;
}
