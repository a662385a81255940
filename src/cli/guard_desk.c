#include "cli/guard_desk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "cli/desk_link.h"
#include "cli/in_force.h"
#include "daemon/profile/entity.h"
#include "desk/store/audit_chain.h"
#include "desk/triage/decide.h"
#include "desk/triage/triage.h"

#define DECIDE_NS   KM_NS_PER_S
#define REPORT_NS   (60 * KM_NS_PER_S)
#define NEAR_NS     (10 * KM_NS_PER_S) /* an episode ends so long after the act that was told */
#define PATIENCE_NS (5 * KM_NS_PER_S)  /* a fresh decision may come before its episode is over */
#define MAX_PENDING 64                 /* a round; the others wait for the next */
#define MAX_LEARNED 64                 /* alarms of one decision */
#define WEAK_SCORE  (KM_TRIAGE_WEAK_SCORE / 2)
#define TEXT_BYTES  512
#define LINE_BYTES  1024

struct pending {
    int64_t decision, at_ns, until_ns, first_ns, last_ns;
    enum km_decision_kind kind;
    bool undo;
    char daemon[TEXT_BYTES], role[TEXT_BYTES], path[2 * TEXT_BYTES], alarm[KM_STORE_ID_BYTES];
};

/* What was reported of a daemon. */
struct reported {
    uint64_t episodes, tapped, lost, events, held;
    bool learning;
};

struct km_guard_desk {
    struct km_guard_desk_config config;
    struct km_desk_link *link;
    char host[KM_DESK_LINK_NAME_BYTES];
    int64_t decide_ns, report_ns, report_wall_ns;
    bool trouble;
    struct reported reported[KM_GUARD_MAX_DAEMONS];
    struct pending pending[MAX_PENDING];
    size_t pending_count;
};

/* Once, until it works again. */
static void note(struct km_guard_desk *desk, const struct km_err *err)
{
    char line[LINE_BYTES];
    bool failed = err->code != KM_OK;
    if (failed == desk->trouble)
        return;
    desk->trouble = failed;
    (void)snprintf(line, sizeof line, "the desk's store: %s%s", failed ? err->text : "works again",
                   failed ? "; decisions and reports wait" : "");
    desk->config.say(desk->config.say_context, line);
}

struct km_guard_desk *km_guard_desk_open(const struct km_guard_desk_config *config, struct km_err *err)
{
    struct km_guard_desk *desk = km_calloc(1, sizeof *desk, SIZE_MAX, err);
    if (!desk)
        return NULL;
    desk->config = *config;
    const struct km_desk_link_options options = {
        .command = "guard", .store = config->named, .versions = config->versions};
    desk->link = km_desk_link_open(&options, err);
    if (!desk->link) {
        free(desk);
        return NULL;
    }
    if (config->rules)
        km_in_force_rules(desk->link, config->rules, config->versions.rules);
    km_desk_link_host(desk->host);
    desk->report_ns = km_clock_monotonic_ns();
    desk->report_wall_ns = km_clock_wall_ns();
    return desk;
}

struct km_alert_sink km_guard_desk_alerts(struct km_guard_desk *desk, const struct km_alert_sink *first)
{
    return km_desk_link_alerts(desk->link, first);
}

/* The desk has a budget of its own and ranks by score: what too little speaks for must not take an alert's place. */
static enum km_code take_kept_back(void *context, const struct km_alert *alert, struct km_err *err)
{
    struct km_guard_desk *desk = context;
    const struct km_sink sink = km_recorder_sink(km_desk_link_recorder(desk->link));
    struct km_finding finding = *alert->finding;
    if (alert->weak)
        finding.score = fmin(finding.score * finding.confidence, WEAK_SCORE);
    return sink.finding(sink.context, &finding, err);
}

struct km_alert_sink km_guard_desk_kept_back(struct km_guard_desk *desk)
{
    return (struct km_alert_sink){desk, take_kept_back};
}

struct km_decisions km_guard_desk_decisions(struct km_guard_desk *desk, const struct km_decisions *first)
{
    return km_desk_link_decisions(desk->link, first);
}

/* ---- decisions ---- */

static enum km_code collect(void *context, const struct km_pending *given, struct km_err *err)
{
    struct km_guard_desk *desk = context;
    (void)err;
    if (desk->pending_count == MAX_PENDING)
        return KM_OK;
    struct pending *pending = &desk->pending[desk->pending_count++];
    *pending = (struct pending){.decision = given->decision,
                                .at_ns = given->at_ns,
                                .until_ns = given->until_ns == INT64_MAX ? 0 : given->until_ns,
                                .first_ns = given->first_ns,
                                .last_ns = given->last_ns,
                                .kind = given->kind,
                                .undo = given->undo};
    (void)snprintf(pending->daemon, sizeof pending->daemon, "%s", given->daemon ? given->daemon : "");
    (void)snprintf(pending->role, sizeof pending->role, "%s", given->role ? given->role : "");
    (void)snprintf(pending->path, sizeof pending->path, "%s", given->path ? given->path : "");
    (void)snprintf(pending->alarm, sizeof pending->alarm, "%s", given->alarm ? given->alarm : "");
    return KM_OK;
}

/* The act that the finding is about, as profiles write it: "DAEMON/ROLE/ACT". "" when the store keeps no paths. */
static const char *act_of(const struct pending *pending)
{
    size_t daemon = strlen(pending->daemon), role = strlen(pending->role);
    const char *path = pending->path;
    if (strncmp(path, pending->daemon, daemon) != 0 || path[daemon] != '/')
        return "";
    path += daemon + 1;
    return strncmp(path, pending->role, role) == 0 && path[role] == '/' ? path + role + 1 : "";
}

static bool has_act(const struct km_json *entry, const char *act)
{
    const struct km_json *entities = km_json_find(entry, "entities");
    for (size_t i = 0; i < km_json_size(entities); i++)
        if (strcmp(km_json_string(km_json_at(entities, i), "text", ""), act) == 0)
            return true;
    return false;
}

/* The alarm itself, and those that hold the act that was decided about: of what waits, in the incident's time alone. */
static bool is_about(const struct pending *pending, const struct km_json *entry, bool waits)
{
    if (strcmp(km_json_string(entry, "id", ""), pending->alarm) == 0)
        return true;
    const char *act = act_of(pending);
    bool near = km_json_integer(entry, "last_ns", 0) >= pending->first_ns - NEAR_NS &&
                km_json_integer(entry, "first_ns", 0) <= pending->last_ns + NEAR_NS;
    return act[0] && (near || !waits) && has_act(entry, act);
}

/* Alarms that a decision taught the profile, and those that the profile had learned before: it holds them now, too. */
struct taught {
    size_t learned, held;
};

static enum km_code accept(struct km_guard_desk *desk, const struct pending *pending, const char *id,
                           struct taught *out, struct km_err *err)
{
    const struct km_store_acceptance given = {.id = id, .until_ns = pending->until_ns, .decision = pending->decision};
    bool learned = false;
    enum km_code code = km_store_accept(desk->config.store, pending->daemon, pending->role, &given, &learned, err);
    out->learned += code == KM_OK && learned;
    out->held += code == KM_OK && !learned;
    return code;
}

static enum km_code learn(struct km_guard_desk *desk, const struct pending *pending, struct taught *out,
                          struct km_err *err)
{
    struct km_store *store = desk->config.store;
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) =
        km_store_accepted(store, pending->daemon, pending->role, err);
    struct km_json *waiting KM_CLEANUP(km_json_cleanup) =
        accepted ? km_store_waiting(store, pending->daemon, pending->role, err) : NULL;
    enum km_code code = waiting ? KM_OK : err->code;
    for (size_t i = 0; i < km_json_size(waiting) && code == KM_OK && out->learned < MAX_LEARNED; i++)
        if (is_about(pending, km_json_at(waiting, i), true))
            code = accept(desk, pending, km_json_string(km_json_at(waiting, i), "id", ""), out, err);
    for (size_t i = 0; i < km_json_size(accepted) && code == KM_OK && out->held < MAX_LEARNED; i++)
        if (is_about(pending, km_json_at(accepted, i), false))
            code = accept(desk, pending, km_json_string(km_json_at(accepted, i), "id", ""), out, err);
    return code;
}

static enum km_code audit(struct km_guard_desk *desk, const char *action, const char *object,
                          const struct km_json *detail, struct km_err *err)
{
    struct km_desk *store = km_desk_link_desk(desk->link);
    if (km_desk_begin(store, err) != KM_OK)
        return err->code;
    enum km_code code = km_audit_add(store, "guard", action, object, detail, err);
    if (code == KM_OK)
        code = km_desk_commit(store, err);
    km_desk_rollback(store);
    return code;
}

static enum km_code audit_decision(struct km_guard_desk *desk, const struct pending *pending, size_t count,
                                   struct km_err *err)
{
    char object[2 * TEXT_BYTES + 16];
    (void)snprintf(object, sizeof object, "profile %s/%s", pending->daemon, pending->role);
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_integer(detail, "decision", pending->decision);
    km_json_set_integer(detail, "alarms", (int64_t)count);
    return audit(desk, pending->undo ? "profile.withdraw" : "profile.accept", object, detail, err);
}

/* Profiles that came into force since the last look. */
static enum km_code audit_learned(struct km_guard_desk *desk, const struct km_guard *guard, struct km_err *err)
{
    struct km_guard_status status;
    for (size_t i = 0; km_guard_get_status(guard, i, &status); i++) {
        bool learned = desk->reported[i].learning && !status.learning && status.profiled;
        if (learned) {
            char object[TEXT_BYTES + 16];
            (void)snprintf(object, sizeof object, "profile %.*s", TEXT_BYTES - 1, status.name);
            struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
            km_json_set_bool(detail, "mature", status.mature);
            km_json_set_integer(detail, "episodes", (int64_t)status.episodes);
            enum km_code code = audit(desk, "profile.learn", object, detail, err);
            if (code != KM_OK)
                return code;
        }
        desk->reported[i].learning = status.learning;
    }
    return KM_OK;
}

/* *out_problem: why the profile is as it was; static. */
static enum km_code change_profile(struct km_guard_desk *desk, const struct pending *pending, struct taught *out,
                                   const char **out_problem, struct km_err *err)
{
    enum km_code code;
    if (pending->undo) {
        code = km_store_withdraw(desk->config.store, pending->daemon, pending->role, pending->decision, err);
        out->learned = code == KM_OK;
        return code == KM_NOTFOUND ? KM_OK : code;
    }
    code = learn(desk, pending, out, err);
    if (code == KM_NOTFOUND)
        *out_problem = "the daemon's role has no profile that could learn it; the decision alone answers it";
    else if (code == KM_OK && out->learned + out->held == 0)
        *out_problem = pending->alarm[0]
                           ? "its alarm no longer waits in the profile's quarantine; the decision alone answers it"
                           : "no profile learns a rule's word, a program's file or a pace; the decision alone "
                             "answers it";
    return code == KM_NOTFOUND ? KM_OK : code;
}

static enum km_code apply(struct km_guard_desk *desk, const struct pending *pending, struct km_live *live,
                          struct km_err *err)
{
    struct km_guard *guard = km_live_guard(live);
    const char *problem = NULL;
    struct taught taught = {0};
    bool learns = pending->kind == KM_DECISION_BENIGN_LEARN;
    enum km_code code = learns ? change_profile(desk, pending, &taught, &problem, err) : KM_OK;
    if (code != KM_OK)
        return code;
    if (problem && km_clock_wall_ns() - pending->at_ns < PATIENCE_NS)
        return KM_OK;
    if (taught.learned > 0)
        code = audit_decision(desk, pending, taught.learned, err);
    if (code == KM_OK && (taught.learned > 0 || pending->undo))
        code = km_guard_renew(guard, pending->daemon, pending->role, err);
    const struct km_acknowledgement given = {
        .decision = pending->decision, .undo = pending->undo, .by = "guard", .problem = problem};
    if (code == KM_OK)
        code = km_decide_acknowledge(km_desk_link_desk(desk->link), &given, km_clock_wall_ns(), err);
    if (code == KM_NOTFOUND)
        return KM_OK;
    char line[LINE_BYTES];
    const char *more = problem                                  ? problem
                       : taught.learned == 0 && taught.held > 0 ? "the profile had learned it before"
                                                                : "";
    (void)snprintf(line, sizeof line, "%.200s (%.200s): decision %lld %s%s%s", pending->daemon, pending->role,
                   (long long)pending->decision, pending->undo ? "is undone" : "is applied", *more ? ": " : "", more);
    if (code == KM_OK)
        desk->config.say(desk->config.say_context, line);
    return code;
}

static enum km_code apply_decisions(struct km_guard_desk *desk, struct km_live *live, struct km_err *err)
{
    desk->pending_count = 0;
    enum km_code code = km_decide_visit_pending(km_desk_link_desk(desk->link), "guard", desk->host, desk, collect, err);
    for (size_t i = 0; i < desk->pending_count && code == KM_OK; i++)
        code = apply(desk, &desk->pending[i], live, err);
    return code;
}

/* ---- reports ---- */

static enum km_code report_daemon(struct km_guard_desk *desk, const struct km_guard_status *status,
                                  struct reported *before, int64_t now_wall_ns, struct km_err *err)
{
    struct km_recorder *recorder = km_desk_link_recorder(desk->link);
    const struct km_watch watch = {.unit = status->name,
                                   .role = "",
                                   .from_ns = desk->report_wall_ns,
                                   .to_ns = now_wall_ns,
                                   .mature = status->mature,
                                   .confidence = status->confidence,
                                   .episodes = status->episodes - before->episodes,
                                   .tapped = status->tapped - before->tapped};
    enum km_code code = km_recorder_add_watch(recorder, &watch, err);
    uint64_t lost = status->lost - before->lost;
    if (code == KM_OK && lost > 0)
        code = km_recorder_add_loss(recorder, "event", status->name, lost, lost + status->events - before->events, err);
    uint64_t held = status->held - before->held;
    if (code == KM_OK && held > 0)
        code = km_recorder_add_health(recorder, "held_findings", (double)held, status->name, err);
    if (code == KM_OK)
        *before = (struct reported){status->episodes, status->tapped, status->lost,
                                    status->events,   status->held,   before->learning};
    return code;
}

static enum km_code report_health(struct km_guard_desk *desk, int64_t passed_ns, struct km_err *err)
{
    struct km_recorder *recorder = km_desk_link_recorder(desk->link);
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0 || passed_ns <= 0)
        return KM_OK;
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    enum km_code code = km_recorder_add_health(recorder, "cpu_seconds", cpu, NULL, err);
    if (code == KM_OK)
        code = km_recorder_add_health(recorder, "resident_peak_kib", (double)usage.ru_maxrss, NULL, err);
    return code;
}

static enum km_code report(struct km_guard_desk *desk, struct km_live *live, int64_t now_ns, struct km_err *err)
{
    const struct km_guard *guard = km_live_guard(live);
    int64_t now_wall_ns = km_clock_wall_ns();
    struct km_guard_status status;
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && km_guard_get_status(guard, i, &status); i++)
        if (km_live_runs(live, status.name))
            code = report_daemon(desk, &status, &desk->reported[i], now_wall_ns, err);
    if (code == KM_OK)
        code = report_health(desk, now_ns - desk->report_ns, err);
    desk->report_ns = now_ns;
    desk->report_wall_ns = now_wall_ns;
    return code;
}

enum km_code km_guard_desk_tick(struct km_guard_desk *desk, struct km_live *live, struct km_err *err)
{
    int64_t now_ns = km_clock_monotonic_ns();
    struct km_err failed = KM_ERR_INIT;
    enum km_code code = KM_OK;
    km_recorder_tick(km_desk_link_recorder(desk->link));
    if (now_ns - desk->decide_ns < DECIDE_NS)
        return KM_OK;
    desk->decide_ns = now_ns;
    code = audit_learned(desk, km_live_guard(live), &failed);
    if (code == KM_OK)
        code = apply_decisions(desk, live, &failed);
    if (code == KM_OK && now_ns - desk->report_ns >= REPORT_NS)
        code = report(desk, live, now_ns, &failed);
    if (code == KM_NOMEM) {
        *err = failed;
        return code;
    }
    note(desk, &failed);
    return KM_OK;
}

void km_guard_desk_close(struct km_guard_desk *desk, struct km_live *live)
{
    struct km_err failed = KM_ERR_INIT;
    if (!desk)
        return;
    if (live && report(desk, live, km_clock_monotonic_ns(), &failed) != KM_OK)
        note(desk, &failed);
    (void)km_desk_link_finish(desk->link);
    free(desk);
}
