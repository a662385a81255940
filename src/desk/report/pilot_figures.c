#include "desk/report/pilot_figures.h"

#include <stdlib.h>

#include "desk/store/query.h"
#include "desk/triage/triage.h"

/* Runs one statement of the period ("?1" since, "?2" until) and hands each row over. */
static enum km_code each_row(struct km_desk *desk, struct km_pilot *pilot, const char *static_sql,
                             void (*take)(struct km_pilot *pilot, struct km_query *query), struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, static_sql, err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, pilot->figures->since_ns);
    km_query_bind_integer(query, 2, pilot->figures->until_ns);
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
    pilot->files_total = km_query_integer(query, 4);
    pilot->files_examined = km_query_integer(query, 5);
    pilot->gaps = km_query_integer(query, 6);
    pilot->findings_omitted = km_query_integer(query, 7);
}

static void take_watches(struct km_pilot *pilot, struct km_query *query)
{
    pilot->daemons = km_query_integer(query, 0);
    pilot->episodes = km_query_integer(query, 1);
}

static void take_findings(struct km_pilot *pilot, struct km_query *query)
{
    pilot->findings = km_query_integer(query, 0);
}

/* Rows: state, shown, decision (-1 none), count. */
static void take_incidents(struct km_pilot *pilot, struct km_query *query)
{
    int64_t state = km_query_integer(query, 0);
    int64_t shown = km_query_integer(query, 1);
    int64_t decision = km_query_integer(query, 2);
    int64_t count = km_query_integer(query, 3);
    pilot->incidents += count;
    if (state >= 0 && state < KM_PILOT_STATES)
        pilot->states[state] += count;
    if (decision >= 0 && decision < KM_PILOT_DECISIONS)
        pilot->decisions[decision] += count;
    else
        pilot->undecided += count;
    if (shown == KM_TRIAGE_DIGEST)
        pilot->digest += count;
    else if (shown == KM_TRIAGE_UNCERTAIN)
        pilot->uncertain += count;
    else if (shown == KM_TRIAGE_SAMPLE)
        pilot->sample += count;
    else if (shown == KM_TRIAGE_RECORDED)
        pilot->recorded += count;
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

static void take_runs(struct km_pilot *pilot, struct km_query *query)
{
    pilot->runs = km_query_integer(query, 0);
}

static const struct {
    const char *sql;
    void (*take)(struct km_pilot *pilot, struct km_query *query);
} questions[] = {
    {"SELECT count(*), count(DISTINCT name), count(error), coalesce(sum(gaps>0), 0), coalesce(sum(files_total), 0),"
     " coalesce(sum(files_examined), 0), coalesce(sum(gaps), 0), coalesce(sum(findings_omitted), 0) FROM target"
     " WHERE began_ns>=?1 AND began_ns<?2",
     take_targets},
    {"SELECT count(DISTINCT unit), coalesce(sum(episodes), 0) FROM watch WHERE to_ns>?1 AND from_ns<?2 AND"
     " to_ns>from_ns",
     take_watches},
    {"SELECT count(*) FROM finding WHERE at_ns>=?1 AND at_ns<?2", take_findings},
    {"SELECT state, shown, coalesce(decision_kind, -1), count(*) FROM incident WHERE opened_ns>=?1 AND opened_ns<?2"
     " GROUP BY 1, 2, 3",
     take_incidents},
    {"SELECT count(*), coalesce(sum(hidden), 0) FROM suppression WHERE created_ns<?2 AND"
     " coalesce(ended_ns, expires_ns)>=?1",
     take_suppressions},
    {"SELECT coalesce(sum(minutes), 0), coalesce(sum(minutes>0), 0) FROM incident WHERE opened_ns>=?1 AND"
     " opened_ns<?2",
     take_people},
    {"SELECT count(*) FROM run WHERE began_ns>=?1 AND began_ns<?2", take_runs},
};

static enum km_code take_day(void *context, const struct km_kpi_day *day, struct km_err *err)
{
    struct km_pilot *pilot = context;
    (void)err;
    if (day->day >= pilot->first_day && day->day < pilot->first_day + (int64_t)pilot->day_count)
        pilot->days[day->day - pilot->first_day] = *day;
    return KM_OK;
}

/* The period of the figures, which ends now at the latest, by days. */
static void lay_out_days(struct km_pilot *pilot)
{
    int64_t last_day = (pilot->figures->until_ns - 1) / KM_TRIAGE_DAY_NS;
    pilot->first_day = pilot->figures->since_ns / KM_TRIAGE_DAY_NS;
    if (last_day - pilot->first_day >= KM_PILOT_MAX_DAYS)
        pilot->first_day = last_day - KM_PILOT_MAX_DAYS + 1;
    pilot->day_count = (size_t)(last_day - pilot->first_day + 1);
    for (size_t i = 0; i < pilot->day_count; i++)
        pilot->days[i].day = pilot->first_day + (int64_t)i;
}

static enum km_code load(struct km_desk *desk, const struct km_kpi_request *request, struct km_pilot *pilot,
                         struct km_err *err)
{
    pilot->figures = km_kpi_measure(desk, request, err);
    if (!pilot->figures)
        return err->code;
    lay_out_days(pilot);
    enum km_code code = km_kpi_visit_days(desk, request, pilot, take_day, err);
    for (size_t i = 0; code == KM_OK && i < sizeof questions / sizeof questions[0]; i++)
        code = each_row(desk, pilot, questions[i].sql, questions[i].take, err);
    return code;
}

struct km_pilot *km_pilot_load(struct km_desk *desk, const struct km_kpi_request *request, struct km_err *err)
{
    KM_ASSERT(request->scope == 0);
    if (request->since_ns < 0) {
        (void)km_fail(err, KM_FORMAT, "the period begins before 1970");
        return NULL;
    }
    struct km_pilot *pilot KM_CLEANUP(km_pilot_cleanup) = km_calloc(1, sizeof *pilot, SIZE_MAX, err);
    if (!pilot)
        return NULL;
    /* Reading only: one moment for all figures. */
    enum km_code code = km_query_execute(desk, "BEGIN", err);
    if (code == KM_OK)
        code = load(desk, request, pilot, err);
    km_desk_rollback(desk);
    return code == KM_OK ? km_steal(pilot) : NULL;
}

void km_pilot_free(struct km_pilot *pilot)
{
    if (!pilot)
        return;
    km_kpi_free(pilot->figures);
    free(pilot);
}
