#include "desk/report/pilot_figures.h"

#include <stdio.h>
#include <stdlib.h>

#include "desk/store/query.h"
#include "desk/triage/triage.h"
#include "finding/decision.h"

#define HOUR_NS 3.6e12

/* Runs one statement of the period ("?1" since, "?2" until) and hands each row over. */
static enum km_code each_row(struct km_desk *desk, struct km_pilot *pilot, const char *static_sql,
                             void (*take)(struct km_pilot *pilot, struct km_query *query), struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, static_sql, err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, pilot->since_ns);
    km_query_bind_integer(query, 2, pilot->until_ns);
    bool row = false;
    enum km_code code;
    while ((code = km_query_step(query, &row, err)) == KM_OK && row)
        take(pilot, query);
    return code;
}

static void take_targets(struct km_pilot *pilot, struct km_query *query)
{
    pilot->targets = km_query_integer(query, 0);
    pilot->images = km_query_integer(query, 1);
    pilot->target_errors = km_query_integer(query, 2);
    pilot->targets_with_gaps = km_query_integer(query, 3);
    pilot->bytes_total = km_query_integer(query, 4);
    pilot->bytes_examined = km_query_integer(query, 5);
    pilot->bytes_opaque = km_query_integer(query, 6);
    pilot->files_total = km_query_integer(query, 7);
    pilot->files_examined = km_query_integer(query, 8);
    pilot->gaps = km_query_integer(query, 9);
    pilot->findings_omitted = km_query_integer(query, 10);
}

static void take_watches(struct km_pilot *pilot, struct km_query *query)
{
    pilot->daemons = km_query_integer(query, 0);
    pilot->episodes = km_query_integer(query, 1);
    pilot->daemon_hours = km_query_real(query, 2) / HOUR_NS;
    pilot->mature_hours = km_query_real(query, 3) / HOUR_NS;
}

static void take_findings(struct km_pilot *pilot, struct km_query *query)
{
    pilot->findings = km_query_integer(query, 0);
}

static bool is_benign(int64_t kind)
{
    return km_decision_is_benign((enum km_decision_kind)kind) != 0;
}

static void count_alert(struct km_pilot *pilot, bool decided, int64_t decision, int64_t day, int64_t count)
{
    bool real = decided && !is_benign(decision);
    bool benign = decided && !real;
    pilot->alerts += count;
    pilot->alerts_benign += benign ? count : 0;
    pilot->alerts_real += real ? count : 0;
    if (day < pilot->first_day || day >= pilot->first_day + (int64_t)pilot->day_count)
        return;
    struct km_pilot_day *at = &pilot->days[day - pilot->first_day];
    at->shown += count;
    at->benign += benign ? count : 0;
    at->real += real ? count : 0;
}

/* Rows: state, shown, decision (-1 none), day, count. */
static void take_incidents(struct km_pilot *pilot, struct km_query *query)
{
    int64_t state = km_query_integer(query, 0);
    int64_t shown = km_query_integer(query, 1);
    int64_t decision = km_query_integer(query, 2);
    int64_t count = km_query_integer(query, 4);
    bool decided = decision >= 0 && decision < KM_PILOT_DECISIONS;
    pilot->incidents += count;
    if (state >= 0 && state < KM_PILOT_STATES)
        pilot->states[state] += count;
    if (decided)
        pilot->decisions[decision] += count;
    else
        pilot->undecided += count;
    if (shown == KM_TRIAGE_ALERT)
        count_alert(pilot, decided, decision, km_query_integer(query, 3), count);
    else if (shown == KM_TRIAGE_DIGEST)
        pilot->digest += count;
    else if (shown == KM_TRIAGE_UNCERTAIN)
        pilot->uncertain += count;
    else if (shown == KM_TRIAGE_SAMPLE)
        pilot->sample += count;
    else if (shown == KM_TRIAGE_SUPPRESSED)
        pilot->suppressed += count;
    else
        pilot->other += count;
    if (decided && (shown == KM_TRIAGE_UNCERTAIN || shown == KM_TRIAGE_SAMPLE)) {
        pilot->checked_below += count;
        pilot->checked_below_real += is_benign(decision) ? 0 : count;
    }
}

static void take_loss(struct km_pilot *pilot, struct km_query *query)
{
    if (pilot->loss_count == KM_PILOT_MAX_LOSSES)
        return;
    struct km_pilot_loss *loss = &pilot->losses[pilot->loss_count++];
    (void)snprintf(loss->what, sizeof loss->what, "%s", km_query_text(query, 0));
    loss->lost = km_query_integer(query, 1);
    loss->seen = km_query_is_null(query, 2) ? -1 : km_query_integer(query, 2);
}

static void take_suppressions(struct km_pilot *pilot, struct km_query *query)
{
    pilot->suppressions = km_query_integer(query, 0);
    pilot->hidden_findings = km_query_integer(query, 1);
}

static void take_people(struct km_pilot *pilot, struct km_query *query)
{
    pilot->minutes = km_query_real(query, 0);
    pilot->minutes_known = km_query_integer(query, 1);
}

static void take_median(struct km_pilot *pilot, struct km_query *query)
{
    pilot->median_decision_minutes = km_query_is_null(query, 0) ? -1 : km_query_real(query, 0) / 6e10;
}

static void take_runs(struct km_pilot *pilot, struct km_query *query)
{
    pilot->runs = km_query_integer(query, 0);
    pilot->cpu_ms = km_query_integer(query, 1);
    pilot->memory_peak_bytes = km_query_integer(query, 2);
}

static const struct {
    const char *sql;
    void (*take)(struct km_pilot *pilot, struct km_query *query);
} questions[] = {
    {"SELECT count(*), count(DISTINCT name), count(error), coalesce(sum(gaps>0), 0), coalesce(sum(bytes_total), 0),"
     " coalesce(sum(bytes_examined), 0), coalesce(sum(bytes_opaque), 0), coalesce(sum(files_total), 0),"
     " coalesce(sum(files_examined), 0), coalesce(sum(gaps), 0), coalesce(sum(findings_omitted), 0) FROM target"
     " WHERE began_ns>=?1 AND began_ns<?2",
     take_targets},
    {"SELECT count(DISTINCT unit), coalesce(sum(episodes), 0), coalesce(sum(ns), 0), coalesce(sum(mature_ns), 0) FROM"
     " (SELECT unit, sum(episodes) AS episodes, max(ns) AS ns, max(ns*(mature>0)) AS mature_ns FROM"
     " (SELECT run_id, unit, from_ns, episodes, mature, min(to_ns, ?2)-max(from_ns, ?1) AS ns FROM watch"
     " WHERE to_ns>?1 AND from_ns<?2 AND to_ns>from_ns) GROUP BY run_id, unit, from_ns)",
     take_watches},
    {"SELECT count(*) FROM finding WHERE at_ns>=?1 AND at_ns<?2", take_findings},
    {"SELECT state, shown, coalesce(decision_kind, -1), opened_ns/86400000000000 AS day, count(*) FROM incident"
     " WHERE opened_ns>=?1 AND opened_ns<?2 GROUP BY 1, 2, 3, 4",
     take_incidents},
    {"SELECT what, sum(lost), CASE WHEN count(seen)=count(*) THEN sum(seen) END FROM loss"
     " WHERE at_ns>=?1 AND at_ns<?2 GROUP BY what ORDER BY sum(lost) DESC, what",
     take_loss},
    {"SELECT count(*), coalesce(sum(hidden), 0) FROM suppression WHERE created_ns<?2 AND"
     " coalesce(ended_ns, expires_ns)>=?1",
     take_suppressions},
    {"SELECT coalesce(sum(minutes), 0), coalesce(sum(minutes>0), 0) FROM incident WHERE opened_ns>=?1 AND"
     " opened_ns<?2",
     take_people},
    {"SELECT avg(ns) FROM (SELECT first_decided_ns-shown_ns AS ns, row_number() OVER (ORDER BY"
     " first_decided_ns-shown_ns) AS place, count(*) OVER () AS n FROM incident WHERE opened_ns>=?1 AND opened_ns<?2"
     " AND first_decided_ns>=shown_ns) WHERE place IN ((n+1)/2, (n+2)/2)",
     take_median},
    {"SELECT count(*), coalesce(sum(cpu_ms), 0), coalesce(max(memory_peak_bytes), 0) FROM run WHERE began_ns>=?1 AND"
     " began_ns<?2",
     take_runs},
};

static enum km_code load(struct km_desk *desk, struct km_pilot *pilot, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < sizeof questions / sizeof questions[0]; i++)
        code = each_row(desk, pilot, questions[i].sql, questions[i].take, err);
    return code;
}

struct km_pilot *km_pilot_load(struct km_desk *desk, int64_t since_ns, int64_t until_ns, struct km_err *err)
{
    if (since_ns < 0 || until_ns <= since_ns) {
        (void)km_fail(err, KM_FORMAT, "the period ends before it begins");
        return NULL;
    }
    struct km_pilot *pilot = calloc(1, sizeof *pilot);
    if (!pilot) {
        (void)km_fail(err, KM_NOMEM, "no memory for the figures of a pilot");
        return NULL;
    }
    pilot->since_ns = since_ns;
    pilot->until_ns = until_ns;
    pilot->median_decision_minutes = -1;
    int64_t last_day = (until_ns - 1) / KM_TRIAGE_DAY_NS;
    pilot->first_day = since_ns / KM_TRIAGE_DAY_NS;
    if (last_day - pilot->first_day >= KM_PILOT_MAX_DAYS)
        pilot->first_day = last_day - KM_PILOT_MAX_DAYS + 1;
    pilot->day_count = (size_t)(last_day - pilot->first_day + 1);
    /* An immediate transaction: a writer in between would make the sums disagree. */
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = load(desk, pilot, err);
    km_desk_rollback(desk);
    if (code != KM_OK) {
        km_pilot_free(pilot);
        return NULL;
    }
    return pilot;
}

void km_pilot_free(struct km_pilot *pilot)
{
    free(pilot);
}
