#include "base/clock.h"
#include "base/json.h"
#include "desk/report/html.h"
#include "desk/triage/kpi_text.h"
#include "desk/triage/triage.h"
#include "finding/decision.h"

static struct km_json *counts_of(const char *const *names, const int64_t *counts, size_t count)
{
    struct km_json *object = km_json_new_object();
    for (size_t i = 0; i < count; i++)
        km_json_set_integer(object, names[i], counts[i]);
    return object;
}

static struct km_json *watched(const struct km_pilot *pilot)
{
    static const char *const names[] = {"scans", "containers", "files", "files_examined", "daemons", "episodes"};
    const int64_t counts[] = {pilot->targets,        pilot->images,  pilot->files_total,
                              pilot->files_examined, pilot->daemons, pilot->episodes};
    return counts_of(names, counts, sizeof names / sizeof names[0]);
}

static struct km_json *found(const struct km_pilot *pilot)
{
    static const char *const names[] = {"findings", "incidents", "undecided"};
    const int64_t counts[] = {pilot->findings, pilot->incidents, pilot->undecided};
    struct km_json *object = counts_of(names, counts, sizeof names / sizeof names[0]);
    struct km_json *states = km_json_new_object();
    struct km_json *decisions = km_json_new_object();
    for (int i = 0; i < KM_PILOT_STATES; i++)
        km_json_set_integer(states, km_triage_state_to_string((enum km_triage_state)i), pilot->states[i]);
    for (int i = 0; i < KM_PILOT_DECISIONS; i++)
        km_json_set_integer(decisions, km_decision_kind_to_string((enum km_decision_kind)i), pilot->decisions[i]);
    km_json_set(object, "states", states);
    km_json_set(object, "decisions", decisions);
    return object;
}

static struct km_json *missed(const struct km_pilot *pilot)
{
    static const char *const names[] = {"gaps",         "scans_with_gaps", "scans_failed", "findings_omitted",
                                        "digest",       "uncertain",       "sample",       "recorded",
                                        "suppressions", "hidden_findings"};
    const int64_t counts[] = {
        pilot->gaps,         pilot->targets_with_gaps, pilot->target_errors, pilot->findings_omitted,
        pilot->digest,       pilot->uncertain,         pilot->sample,        pilot->recorded,
        pilot->suppressions, pilot->hidden_findings};
    return counts_of(names, counts, sizeof names / sizeof names[0]);
}

static struct km_json *cost(const struct km_pilot *pilot)
{
    static const char *const names[] = {"incidents_with_minutes", "runs"};
    const int64_t counts[] = {pilot->minutes_known, pilot->runs};
    struct km_json *object = counts_of(names, counts, sizeof names / sizeof names[0]);
    km_json_set(object, "minutes", pilot->minutes_known > 0 ? km_json_new_real(pilot->minutes) : km_json_new_null());
    return object;
}

static struct km_json *days(const struct km_pilot *pilot)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < pilot->day_count; i++) {
        const struct km_kpi_day *of = &pilot->days[i];
        char at[KM_CLOCK_UTC_BYTES];
        struct km_json *day = km_json_new_object();
        km_clock_format_utc(of->day * KM_TRIAGE_DAY_NS, at);
        at[sizeof "2026-11-22" - 1] = '\0';
        km_json_set_string(day, "day", at);
        km_json_set_integer(day, "alerts", of->alerts);
        km_json_set_integer(day, "right", of->right);
        km_json_set_integer(day, "false", of->wrong);
        km_json_append(list, day);
    }
    return list;
}

enum km_code km_report_json_pilot(const struct km_pilot *pilot, int64_t now_wall_ns, struct km_buf *out,
                                  struct km_err *err)
{
    char at[KM_CLOCK_UTC_BYTES];
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *figures = km_json_new_array();
    km_json_set_string(document, "schema", "komainu.report/1");
    km_clock_format_utc(pilot->figures->since_ns, at);
    km_json_set_string(document, "since", at);
    km_clock_format_utc(pilot->figures->until_ns, at);
    km_json_set_string(document, "until", at);
    km_clock_format_utc(now_wall_ns, at);
    km_json_set_string(document, "made", at);
    for (size_t i = 0; i < pilot->figures->count; i++)
        km_json_append(figures, km_kpi_describe(&pilot->figures->rows[i]));
    km_json_set(document, "figures", figures);
    km_json_set_bool(document, "figures_cut", pilot->figures->cut);
    km_json_set_integer(document, "clock_faults", pilot->figures->clock_faults);
    km_json_set(document, "watched", watched(pilot));
    km_json_set(document, "found", found(pilot));
    km_json_set(document, "missed", missed(pilot));
    km_json_set(document, "cost", cost(pilot));
    km_json_set(document, "days", days(pilot));
    return km_json_format(document, 2, out, err);
}
