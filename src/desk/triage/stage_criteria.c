#include "desk/triage/stage_criteria.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const stage_names[KM_STAGE_COUNT] = {"record", "shadow", "top", "all"};

/* Proposals for a pilot, not from a study; precision and false alerts in two steps. */
static const struct km_criterion criteria[] = {
    {"days", "days", true, true, true, NULL, {7, 14, 30}},
    {"daemon_hours_watched", "share", true, true, false, NULL, {0.95, 0.95, 0.95}},
    {"daemon_hours_mature", "share", true, true, false, NULL, {NAN, 0.95, 0.95}},
    {"bytes_examined", "share", true, false, true, NULL, {0.95, 0.95, 0.95}},
    {"loss", "share", false, true, false, NULL, {0.001, 0.001, 0.001}},
    {"cpu_share", "share", false, true, false, NULL, {0.02, 0.02, 0.02}},
    {"alerts_per_host_day", "1/day", false, true, true, NULL, {NAN, 10, 10}},
    {"alerts_decided", "share", true, true, true, "alerts", {NAN, 0.8, 0.9}},
    {"precision", "share", true, true, true, "alerts", {NAN, 0.3, 0.6}},
    {"false_per_daemon_day", "1/day", false, true, false, NULL, {NAN, 1, 0.2}},
    {"false_per_100_images", "1/100 images", false, false, true, NULL, {NAN, 5, 1}},
    {"minutes_to_decision", "min", false, true, true, "alerts", {NAN, NAN, 15}},
    {"minutes_per_alert", "min", false, true, true, "alerts", {NAN, 3, 3}},
    {"latency_p50", "s", false, true, false, "alerts", {NAN, 2, 2}},
    {"latency_p95", "s", false, true, false, "alerts", {NAN, 10, 10}},
    {"decisions_reversed", "share", false, true, true, "decisions", {NAN, 0.05, 0.05}},
    {"suppressions_reviewed", "share", true, true, true, "suppressions_returned", {NAN, 1, 1}},
    {"staged", "share", true, true, true, NULL, {NAN, NAN, 0.8}},
};
#define COUNT (sizeof criteria / sizeof criteria[0])
_Static_assert(COUNT <= KM_STAGE_MAX_CRITERIA, "a check has room for every criterion");

const char *km_stage_to_string(enum km_stage stage)
{
    return (unsigned)stage < KM_STAGE_COUNT ? stage_names[stage] : "unknown";
}

enum km_code km_stage_from_string(const char *text, enum km_stage *out, struct km_err *err)
{
    for (int i = 0; i < KM_STAGE_COUNT; i++)
        if (strcmp(stage_names[i], text) == 0) {
            *out = (enum km_stage)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is none of record, shadow, top, all", text);
}

const char *km_criterion_result_to_string(enum km_criterion_result result)
{
    switch (result) {
    case KM_CRITERION_MET:
        return "met";
    case KM_CRITERION_FAILED:
        return "not met";
    case KM_CRITERION_NO_DATA:
        return "no data";
    case KM_CRITERION_IDLE:
        return "nothing to judge";
    }
    return "unknown";
}

/* NaN: not asked. A limit of null was taken off. */
static double wanted_of(const struct km_criterion *criterion, const struct km_stage_facts *facts)
{
    const struct km_json *own = facts->limits ? km_json_member(facts->limits, criterion->id) : NULL;
    if (!own)
        return criterion->usual[facts->stage];
    return km_json_type(own) == KM_JSON_NULL ? NAN : km_json_real(facts->limits, criterion->id, NAN);
}

static bool nothing_happened(const struct km_criterion *criterion, const struct km_kpi_report *figures)
{
    const struct km_kpi *idle = criterion->idle && figures ? km_kpi_find(figures, criterion->idle) : NULL;
    return idle && idle->known && idle->value == 0;
}

static void read_value(const struct km_stage_facts *facts, struct km_criterion_check *check)
{
    const char *id = check->criterion->id;
    const struct km_kpi *figure = facts->figures ? km_kpi_find(facts->figures, id) : NULL;
    if (strcmp(id, "days") == 0 && facts->now_ns >= facts->since_ns) {
        check->value = (double)(facts->now_ns - facts->since_ns) / 8.64e13;
    } else if (strcmp(id, "staged") == 0 && facts->staged_total > 0) {
        check->value = (double)facts->staged_found / (double)facts->staged_total;
        check->n = facts->staged_total;
    } else if (figure && figure->known) {
        check->value = figure->value;
        check->n = figure->n;
    }
}

static enum km_criterion_result judge(const struct km_stage_facts *facts, const struct km_criterion_check *check)
{
    if (isnan(check->value))
        return nothing_happened(check->criterion, facts->figures) ? KM_CRITERION_IDLE : KM_CRITERION_NO_DATA;
    bool met = check->criterion->at_least ? check->value >= check->wanted : check->value <= check->wanted;
    return met ? KM_CRITERION_MET : KM_CRITERION_FAILED;
}

void km_criterion_judge(const struct km_stage_facts *facts, struct km_stage_check *out)
{
    KM_ASSERT(facts->stage < KM_STAGE_ALL);
    *out = (struct km_stage_check){
        .stage = facts->stage, .since_ns = facts->since_ns, .until_ns = facts->now_ns, .met = true};
    for (size_t i = 0; i < COUNT; i++) {
        struct km_criterion_check check = {.criterion = &criteria[i], .value = NAN};
        bool applies = (criteria[i].of_daemons && facts->of_daemons) || (criteria[i].of_images && facts->of_images);
        check.wanted = wanted_of(&criteria[i], facts);
        if (!applies || isnan(check.wanted))
            continue;
        read_value(facts, &check);
        check.result = judge(facts, &check);
        out->met = out->met && (check.result == KM_CRITERION_MET || check.result == KM_CRITERION_IDLE);
        out->checks[out->count++] = check;
    }
}

static bool is_known_limit(const char *id)
{
    bool known = strcmp(id, "top_band") == 0;
    for (size_t i = 0; i < COUNT; i++)
        known = known || strcmp(criteria[i].id, id) == 0;
    return known;
}

enum km_code km_criterion_parse(const char *text, struct km_json *limits, struct km_err *err)
{
    char id[64];
    size_t length = strcspn(text, "=");
    if (text[length] != '=' || length >= sizeof id)
        return km_fail(err, KM_FORMAT, "'%s': a criterion is NAME=NUMBER or NAME=off", text);
    memcpy(id, text, length);
    id[length] = '\0';
    if (!is_known_limit(id))
        return km_fail(err, KM_FORMAT, "there is no criterion '%s'", id);
    const char *number = text + length + 1;
    bool top_band = strcmp(id, "top_band") == 0;
    if (strcmp(number, "off") == 0 && !top_band) {
        km_json_set(limits, id, km_json_new_null());
        return KM_OK;
    }
    char *end = NULL;
    double value = strtod(number, &end);
    if (end == number || *end != '\0' || !(value >= 0 && value <= (top_band ? 1 : 1e9)))
        return km_fail(err, KM_FORMAT, "%s is a number from 0 to %s%s, not '%s'", id, top_band ? "1" : "1e9",
                       top_band ? "" : ", or off", number);
    km_json_set_real(limits, id, value);
    return KM_OK;
}

double km_criterion_top_band(const struct km_json *limits)
{
    double own = limits ? km_json_real(limits, "top_band", KM_STAGE_USUAL_TOP_BAND) : KM_STAGE_USUAL_TOP_BAND;
    return own >= 0 && own <= 1 ? own : KM_STAGE_USUAL_TOP_BAND;
}
