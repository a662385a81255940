#include "base/clock.h"
#include "base/json.h"
#include "desk/report/html.h"
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
    static const char *const names[] = {"scans", "containers",     "bytes",   "bytes_examined", "bytes_opaque",
                                        "files", "files_examined", "daemons", "episodes"};
    const int64_t counts[] = {pilot->targets,        pilot->images,       pilot->bytes_total,
                              pilot->bytes_examined, pilot->bytes_opaque, pilot->files_total,
                              pilot->files_examined, pilot->daemons,      pilot->episodes};
    struct km_json *object = counts_of(names, counts, sizeof names / sizeof names[0]);
    km_json_set_real(object, "daemon_hours", pilot->daemon_hours);
    km_json_set_real(object, "mature_hours", pilot->mature_hours);
    return object;
}

static struct km_json *found(const struct km_pilot *pilot)
{
    static const char *const names[] = {"findings", "incidents", "alerts", "alerts_benign", "alerts_real", "undecided"};
    const int64_t counts[] = {pilot->findings,      pilot->incidents,   pilot->alerts,
                              pilot->alerts_benign, pilot->alerts_real, pilot->undecided};
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
    static const char *const names[] = {"gaps",          "scans_with_gaps", "scans_failed",    "findings_omitted",
                                        "over_budget",   "uncertain",       "sample",          "suppressed",
                                        "checked_below", "suppressions",    "hidden_findings", "checked_below_real"};
    const int64_t counts[] = {
        pilot->gaps,          pilot->targets_with_gaps, pilot->target_errors,   pilot->findings_omitted,
        pilot->digest,        pilot->uncertain,         pilot->sample,          pilot->suppressed,
        pilot->checked_below, pilot->suppressions,      pilot->hidden_findings, pilot->checked_below_real};
    struct km_json *object = counts_of(names, counts, sizeof names / sizeof names[0]);
    struct km_json *losses = km_json_new_array();
    for (size_t i = 0; i < pilot->loss_count; i++) {
        struct km_json *loss = km_json_new_object();
        km_json_set_escaped(loss, "what", pilot->losses[i].what);
        km_json_set_integer(loss, "lost", pilot->losses[i].lost);
        km_json_set_count(loss, "seen", pilot->losses[i].seen < 0 ? UINT64_MAX : (uint64_t)pilot->losses[i].seen);
        km_json_append(losses, loss);
    }
    km_json_set(object, "losses", losses);
    return object;
}

static struct km_json *cost(const struct km_pilot *pilot)
{
    static const char *const names[] = {"incidents_with_minutes", "runs", "cpu_ms", "memory_peak_bytes"};
    const int64_t counts[] = {pilot->minutes_known, pilot->runs, pilot->cpu_ms, pilot->memory_peak_bytes};
    struct km_json *object = counts_of(names, counts, sizeof names / sizeof names[0]);
    km_json_set(object, "minutes", pilot->minutes_known > 0 ? km_json_new_real(pilot->minutes) : km_json_new_null());
    km_json_set(object, "median_decision_minutes",
                pilot->median_decision_minutes >= 0 ? km_json_new_real(pilot->median_decision_minutes)
                                                    : km_json_new_null());
    return object;
}

enum km_code km_report_json_pilot(const struct km_pilot *pilot, int64_t now_wall_ns, struct km_buf *out,
                                  struct km_err *err)
{
    char at[KM_CLOCK_UTC_BYTES];
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(document, "schema", "komainu.report/1");
    km_clock_format_utc(pilot->since_ns, at);
    km_json_set_string(document, "since", at);
    km_clock_format_utc(pilot->until_ns, at);
    km_json_set_string(document, "until", at);
    km_clock_format_utc(now_wall_ns, at);
    km_json_set_string(document, "made", at);
    km_json_set(document, "watched", watched(pilot));
    km_json_set(document, "found", found(pilot));
    km_json_set(document, "missed", missed(pilot));
    km_json_set(document, "cost", cost(pilot));
    struct km_json *days = km_json_new_array();
    for (size_t i = 0; i < pilot->day_count; i++) {
        struct km_json *day = km_json_new_object();
        km_clock_format_utc((pilot->first_day + (int64_t)i) * KM_TRIAGE_DAY_NS, at);
        at[sizeof "2026-11-22" - 1] = '\0';
        km_json_set_string(day, "day", at);
        km_json_set_integer(day, "alerts", pilot->days[i].shown);
        km_json_set_integer(day, "benign", pilot->days[i].benign);
        km_json_set_integer(day, "real", pilot->days[i].real);
        km_json_append(days, day);
    }
    km_json_set(document, "days", days);
    return km_json_format(document, 2, out, err);
}
