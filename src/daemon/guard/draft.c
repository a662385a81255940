#include "daemon/guard/draft.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "daemon/profile/explain.h"
#include "daemon/profile/novelty.h"
#include "daemon/trace/calls.h"
#include "finding/evidence.h"

#define TERM_SAID  0.5 /* smaller terms explain nothing */
#define LIST_BYTES 512
#define SHOWN_CALL 3

#define KEY_BYTES   20
#define SET_BYTES   512
#define CALLS_STEP  2.0 /* of the logarithm: four times as many */
#define RATE_STEP   1.0 /* twice as many */
#define ERRORS_STEP 0.1
#define MOST_STEPS  24

static const char *const first_ids[KM_LANDMARK_KINDS] = {
    [KM_LANDMARK_EXEC] = KM_EVIDENCE_FIRST_EXEC,
    [KM_LANDMARK_OPEN] = KM_EVIDENCE_FIRST_OPEN,
    [KM_LANDMARK_CONNECT] = KM_EVIDENCE_FIRST_CONNECT,
    [KM_LANDMARK_BIND] = KM_EVIDENCE_FIRST_BIND,
    [KM_LANDMARK_LISTEN] = KM_EVIDENCE_FIRST_LISTEN,
    [KM_LANDMARK_ACCEPT] = KM_EVIDENCE_FIRST_ACCEPT,
    [KM_LANDMARK_IDENTITY] = KM_EVIDENCE_FIRST_IDENTITY,
    [KM_LANDMARK_CAPABILITY] = KM_EVIDENCE_FIRST_CAPABILITY,
    [KM_LANDMARK_NAMESPACE] = KM_EVIDENCE_FIRST_NAMESPACE,
    [KM_LANDMARK_EXEC_MEMORY] = KM_EVIDENCE_FIRST_MEMORY,
    [KM_LANDMARK_MEMFD] = KM_EVIDENCE_FIRST_MEMFD,
    [KM_LANDMARK_MEMFD_EXEC] = KM_EVIDENCE_FIRST_MEMFD_EXEC,
    [KM_LANDMARK_PTRACE] = KM_EVIDENCE_FIRST_PTRACE,
    [KM_LANDMARK_MODULE] = KM_EVIDENCE_FIRST_MODULE,
    [KM_LANDMARK_SETUID_BIT] = KM_EVIDENCE_FIRST_SETUID_BIT,
    [KM_LANDMARK_UNLINK] = KM_EVIDENCE_FIRST_UNLINK,
    [KM_LANDMARK_RENAME] = KM_EVIDENCE_FIRST_RENAME,
    [KM_LANDMARK_MOUNT] = KM_EVIDENCE_FIRST_MOUNT,
    [KM_LANDMARK_KILL] = KM_EVIDENCE_FIRST_KILL,
};

const char *km_draft_copy(struct km_draft *draft, const char *text, size_t length)
{
    if (length + 1 > sizeof draft->text - draft->used)
        return "";
    char *copy = draft->text + draft->used;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    draft->used += length + 1;
    return copy;
}

static const char *copy_text(struct km_draft *draft, const char *text)
{
    return km_draft_copy(draft, text, strlen(text));
}

void km_draft_begin(struct km_draft *draft, const char *daemon, const char *role, const struct km_process *process)
{
    memset(draft, 0, offsetof(struct km_draft, text));
    draft->finding = (struct km_finding){.kind = "daemon", .verdict = KM_VERDICT_SUSPICIOUS};
    draft->finding.subject.layer_index = -1;
    draft->finding.subject.uid = -1;
    draft->finding.subject.daemon = copy_text(draft, daemon);
    (void)snprintf(draft->role, sizeof draft->role, "%s", role);
    draft->finding.subject.role = draft->role;
    if (!process)
        return;
    char command[KM_PROCESS_TEXT_BYTES];
    km_process_command(process, command, sizeof command);
    draft->finding.subject.executable = copy_text(draft, process->image);
    draft->finding.subject.command = copy_text(draft, command);
    draft->finding.subject.pid = process->tgid;
    if (process->uid != KM_PROCESS_UNKNOWN_UID)
        draft->finding.subject.uid = process->uid;
}

struct km_evidence *km_draft_add(struct km_draft *draft, const char *id, double weight)
{
    size_t n = draft->finding.evidence_count;
    if (n == KM_DRAFT_EVIDENCE)
        return NULL;
    draft->evidence[n] = (struct km_evidence){.id = id, .weight = weight};
    draft->finding.evidence_count = n + 1;
    draft->finding.evidence = draft->evidence;
    return &draft->evidence[n];
}

/* ---- what is strange ---- */

static enum km_code add_window(void *context, uint64_t key, struct km_err *err)
{
    char name[KEY_BYTES];
    (void)err;
    (void)snprintf(name, sizeof name, "%014" PRIx64, key);
    km_strange_add(context, "window", name);
    return KM_OK;
}

static void add_set(struct km_draft *draft, const struct km_episode *episode)
{
    char name[SET_BYTES];
    size_t n = (size_t)snprintf(name, sizeof name, "%u", episode->totals.space);
    for (size_t i = 0; i < sizeof episode->totals.set / sizeof episode->totals.set[0] && n < sizeof name; i++)
        n += (size_t)snprintf(name + n, sizeof name - n, " %llx", episode->totals.set[i]);
    km_strange_add(&draft->strange, "set", name);
}

static unsigned steps_of(double value, double step)
{
    double steps = value > 0 ? floor(value / step) + 1 : 0;
    return steps < MOST_STEPS ? (unsigned)steps : MOST_STEPS;
}

/* What the calls are strange by, where that makes an alarm without any act, or there is none. Where each of its windows
 * is known, the episode is known again by which calls it has and by about how many. */
static void add_behaviour(struct km_draft *draft, const struct km_watch_result *result)
{
    const struct km_assessment *a = result->assessment;
    struct km_err failed = KM_ERR_INIT;
    size_t acts = draft->strange.count;
    if (acts > 0 && a->score - a->entity_term <= result->threshold)
        return;
    if (km_novelty_visit(result->profile, result->episode, &draft->strange, add_window, &failed) != KM_OK)
        draft->strange.failed = true;
    bool known = draft->strange.count == acts;
    if (known || a->term[KM_CHANNEL_SET] + a->term[KM_CHANNEL_MISSING] >= TERM_SAID)
        add_set(draft, result->episode);
    if (known)
        km_strange_add_steps(&draft->strange, "calls", steps_of(log2((double)a->measure.calls), CALLS_STEP));
    if (a->term[KM_CHANNEL_RATE] >= TERM_SAID)
        km_strange_add_steps(&draft->strange, "rate", steps_of(a->measure.value[KM_CHANNEL_RATE], RATE_STEP));
    if (a->term[KM_CHANNEL_ERRORS] >= TERM_SAID)
        km_strange_add_steps(&draft->strange, "errors", steps_of(a->measure.value[KM_CHANNEL_ERRORS], ERRORS_STEP));
}

/* ---- acts ---- */

/* What the first act is compared with, and how unusual that is; the others weigh what they weigh. */
static void compare_act(struct km_draft *draft, double weight, uint64_t episodes)
{
    if (draft->compared)
        return;
    draft->compared = true;
    struct km_evidence *evidence = km_draft_add(draft, KM_EVIDENCE_COMPARED_ACT, 0);
    if (!evidence)
        return;
    km_evidence_add_integer(evidence, "episodes", (int64_t)episodes);
    km_evidence_add_real(evidence, "one_in", round(exp(weight)));
}

void km_draft_landmark(struct km_draft *draft, const struct km_event_landmark *landmark, double weight,
                       uint64_t episodes)
{
    char line[KM_ENTITY_TEXT_BYTES];
    km_entity_format(landmark, line);
    km_strange_add(&draft->strange, "act", line);
    const char *id = landmark->kind < KM_LANDMARK_KINDS ? first_ids[landmark->kind] : NULL;
    struct km_evidence *evidence = id ? km_draft_add(draft, id, weight) : NULL;
    if (!evidence)
        return;
    const char *what = strchr(line, ' ');
    km_evidence_add_text(evidence, "what", copy_text(draft, what ? what + 1 : line));
    char text[KM_PROCESS_TEXT_BYTES];
    size_t length = landmark->path2.length < sizeof text ? landmark->path2.length : sizeof text - 1;
    bool arguments = landmark->kind == KM_LANDMARK_EXEC || landmark->kind == KM_LANDMARK_MEMFD_EXEC;
    for (size_t i = 0; i < length; i++)
        text[i] = landmark->path2.data[i] == '\0' ? ' ' : landmark->path2.data[i];
    while (length > 0 && text[length - 1] == ' ')
        length--;
    km_evidence_add_text(evidence, arguments ? "arguments" : "target", km_draft_copy(draft, text, length));
    length = landmark->path.length < sizeof text ? landmark->path.length : sizeof text - 1;
    km_evidence_add_text(evidence, "path", km_draft_copy(draft, landmark->path.data, length));
    km_evidence_add_integer(evidence, "episodes", (int64_t)episodes);
    compare_act(draft, weight, episodes);
    draft->act = fmax(draft->act, weight);
    draft->program |= km_entity_gravity(landmark) == KM_GRAVITY_PROGRAM;
    if (!draft->key[0])
        (void)snprintf(draft->key, sizeof draft->key, "%s", line);
}

/* The gravest first: it is the key, and what finds no room is slight. */
static void add_acts(struct km_draft *draft, const struct km_profile *profile, const struct km_episode *episode,
                     enum km_gravity gravity)
{
    char lines[KM_EPISODE_MAX_LANDMARKS][KM_ENTITY_TEXT_BYTES];
    const struct km_entity_set *known = km_profile_get_entities(profile);
    struct km_maturity maturity;
    km_profile_get_maturity(profile, &maturity);
    size_t n = 0;
    for (size_t i = 0; i < episode->landmark_count && n < KM_EPISODE_MAX_LANDMARKS; i++) {
        const struct km_event_landmark *landmark = &episode->landmarks[i];
        if (km_entity_gravity(landmark) != gravity)
            continue;
        km_entity_format(landmark, lines[n]);
        bool told = km_entity_find(known, lines[n]) != NULL;
        for (size_t j = 0; j < n && !told; j++)
            told = strcmp(lines[j], lines[n]) == 0;
        if (told)
            continue;
        n++;
        km_draft_landmark(draft, landmark, km_entity_surprise(known, landmark->kind, maturity.episodes),
                          maturity.episodes);
    }
}

/* ---- sequence ---- */

static void format_list(const uint16_t *numbers, size_t count, unsigned space, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "%s", count ? "" : "nothing");
    for (size_t i = 0; i < count && n < room; i++) {
        char name[KM_CALL_NAME_BYTES];
        km_call_format(space, numbers[i], name);
        n += (size_t)snprintf(out + n, room - n, "%s%s", i ? ", " : "", name);
    }
}

static void add_call(struct km_draft *draft, const struct km_explain_call *call)
{
    char name[KM_CALL_NAME_BYTES], text[LIST_BYTES];
    size_t n = 0;
    struct km_evidence *evidence = km_draft_add(draft, KM_EVIDENCE_CALL, 0);
    if (!evidence)
        return;
    km_call_format(call->space, (unsigned)call->window & (KM_CALL_NUMBERS - 1), name);
    km_evidence_add_text(evidence, "call", copy_text(draft, name));
    text[0] = '\0';
    for (int i = KM_WINDOW_CALLS - 1; i >= 1 && n < sizeof text; i--) {
        km_call_format(call->space, (unsigned)(call->window >> (i * KM_WINDOW_CALL_BITS)) & (KM_CALL_NUMBERS - 1),
                       name);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", name);
    }
    km_evidence_add_text(evidence, "after", copy_text(draft, text));
    n = (size_t)snprintf(text, sizeof text, "%s", call->next_count ? "" : "nothing that was ever seen");
    for (size_t i = 0; i < call->next_count && n < sizeof text; i++) {
        km_call_format(call->space, call->next[i].number, name);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s (%.2f)", i ? ", " : "", name, call->next[i].p);
    }
    km_evidence_add_text(evidence, "expected", copy_text(draft, text));
    km_evidence_add_real(evidence, "bits", round(call->bits * 10) / 10);
}

static void add_terms(struct km_draft *draft, const struct km_watch_result *result, uint64_t episodes)
{
    const struct km_assessment *a = result->assessment;
    static const enum km_channel sequence[] = {KM_CHANNEL_MEAN,   KM_CHANNEL_UPPER, KM_CHANNEL_PEAK,
                                               KM_CHANNEL_UNSEEN, KM_CHANNEL_ATTR,  KM_CHANNEL_VARIETY};
    double order = 0, set = a->term[KM_CHANNEL_SET] + a->term[KM_CHANNEL_MISSING];
    struct km_evidence *evidence;
    for (size_t i = 0; i < sizeof sequence / sizeof sequence[0]; i++)
        order += a->term[sequence[i]];
    /* Whatever is told has a reason, also where many small terms add up to it. */
    double others = set + a->term[KM_CHANNEL_RATE] + a->term[KM_CHANNEL_ERRORS];
    bool only = draft->finding.evidence_count == 0 && others < TERM_SAID;
    if ((order >= TERM_SAID || only) && (evidence = km_draft_add(draft, KM_EVIDENCE_SEQUENCE, order)) != NULL) {
        km_evidence_add_integer(evidence, "calls", a->measure.calls);
        km_evidence_add_integer(evidence, "unknown", a->measure.misses);
        km_evidence_add_integer(evidence, "episodes", (int64_t)episodes);
    }
    if (set >= TERM_SAID && (evidence = km_draft_add(draft, KM_EVIDENCE_CALL_SET, set)) != NULL)
        km_evidence_add_integer(evidence, "calls", a->measure.calls);
    if (a->term[KM_CHANNEL_RATE] >= TERM_SAID &&
        (evidence = km_draft_add(draft, KM_EVIDENCE_RATE, a->term[KM_CHANNEL_RATE])) != NULL)
        km_evidence_add_real(evidence, "per_second", round(exp2(a->measure.value[KM_CHANNEL_RATE])));
    if (a->term[KM_CHANNEL_ERRORS] >= TERM_SAID &&
        (evidence = km_draft_add(draft, KM_EVIDENCE_ERRORS, a->term[KM_CHANNEL_ERRORS])) != NULL)
        km_evidence_add_real(evidence, "percent", round(1000 * a->measure.value[KM_CHANNEL_ERRORS]) / 10);
}

/* How unusual the episode is, and why it is trusted little where nothing but the order of calls speaks. */
static void compare_score(struct km_draft *draft, const struct km_watch_result *result)
{
    struct km_evidence *evidence;
    if (result->assessment->score > result->threshold && result->rate > 0 &&
        (evidence = km_draft_add(draft, KM_EVIDENCE_COMPARED_SCORE, 0)) != NULL) {
        km_evidence_add_real(evidence, "score", round(10 * result->assessment->score) / 10);
        km_evidence_add_real(evidence, "threshold", round(10 * result->threshold) / 10);
        km_evidence_add_integer(evidence, "one_in", (int64_t)round(1 / result->rate));
    }
    if (result->alone && (evidence = km_draft_add(draft, KM_EVIDENCE_ALONE, 0)) != NULL) {
        km_evidence_add_integer(evidence, "unknown", result->windows);
        km_evidence_add_integer(evidence, "needed", km_profile_get_rule(result->profile)->escalate_misses);
    }
}

void km_draft_episode(struct km_draft *draft, const struct km_watch_result *result)
{
    struct km_maturity maturity;
    struct km_explanation why;
    char text[LIST_BYTES];
    km_profile_get_maturity(result->profile, &maturity);
    for (int gravity = KM_GRAVITY_PROGRAM; gravity >= KM_GRAVITY_SLIGHT; gravity--)
        add_acts(draft, result->profile, result->episode, (enum km_gravity)gravity);
    add_behaviour(draft, result);
    add_terms(draft, result, maturity.episodes);
    compare_score(draft, result);
    km_explain_episode(result->profile, result->episode, result->assessment, &why);
    for (size_t i = 0; i < why.call_count && i < SHOWN_CALL; i++)
        add_call(draft, &why.calls[i]);
    struct km_evidence *evidence = why.has_nearest ? km_draft_add(draft, KM_EVIDENCE_NEAREST, 0) : NULL;
    if (evidence) {
        km_evidence_add_integer(evidence, "episodes", why.nearest_episodes);
        format_list(why.extra, why.extra_count, why.space, text, sizeof text);
        km_evidence_add_text(evidence, "extra", copy_text(draft, text));
        format_list(why.missing, why.missing_count, why.space, text, sizeof text);
        km_evidence_add_text(evidence, "missing", copy_text(draft, text));
    }
    /* An act that was never seen is as unusual as it is, however ordinary the calls around it are. */
    draft->finding.score = 1 - fmin(result->assessment->p, exp(-draft->act));
    draft->finding.confidence = result->confidence;
}

void km_draft_pace(struct km_draft *draft, const struct km_watch_pace *pace)
{
    double times = pace->per_second / pace->learned;
    struct km_evidence *evidence = km_draft_add(draft, KM_EVIDENCE_PACE, log(times));
    km_strange_add_steps(&draft->strange, "pace", steps_of(log2(pace->per_second), RATE_STEP));
    draft->finding.score = 1 - 1 / times;
    draft->finding.confidence = pace->confidence;
    if (!evidence)
        return;
    km_evidence_add_real(evidence, "per_second", round(pace->per_second));
    km_evidence_add_real(evidence, "times", round(times));
    km_evidence_add_real(evidence, "learned", round(pace->learned));
}

void km_draft_doubts(struct km_draft *draft, const struct km_profile *profile, uint64_t lost)
{
    struct km_maturity maturity;
    struct km_evidence *evidence;
    if (profile) {
        km_profile_get_maturity(profile, &maturity);
        if (!maturity.mature && (evidence = km_draft_add(draft, KM_EVIDENCE_IMMATURE, 0)) != NULL) {
            km_evidence_add_integer(evidence, "episodes", (int64_t)maturity.episodes);
            km_evidence_add_real(evidence, "novelty", round(1000 * maturity.novelty) / 10);
        }
    }
    if (lost > 0 && (evidence = km_draft_add(draft, KM_EVIDENCE_LOST, 0)) != NULL)
        km_evidence_add_integer(evidence, "events", (int64_t)lost);
}

struct km_evidence *km_draft_hold(struct km_draft *draft, const char *reason)
{
    draft->held = true;
    if (!draft->key[0])
        (void)snprintf(draft->key, sizeof draft->key, "%s", reason);
    return km_draft_add(draft, reason, 0);
}

void km_draft_end(struct km_draft *draft)
{
    char strange[KM_STRANGE_TEXT_BYTES];
    km_strange_format(&draft->strange, strange);
    if (strange[0])
        draft->finding.subject.strange = copy_text(draft, strange);
    draft->surprise = 0;
    for (size_t i = 0; i < draft->finding.evidence_count; i++)
        draft->surprise += draft->evidence[i].weight;
    const struct km_evidence *best = km_evidence_first(&draft->finding);
    if (draft->key[0] || !best)
        return;
    (void)snprintf(draft->key, sizeof draft->key, "%s", best->id);
}
