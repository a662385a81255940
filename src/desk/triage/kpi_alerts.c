/* Alerts and what people said about them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "desk/triage/kpi_internal.h"
#include "desk/triage/stage_sql.h"

/* Incidents of the period, opened by what `origin` says. */
#define OPENED(origin)                                                                                                 \
    "FROM incident i WHERE i.origin=" origin " AND i.opened_ns>=?1 AND i.opened_ns<?2 AND " KM_SQL_INCIDENT_IN_SCOPE
#define ALERTS OPENED("0") " AND i.shown IN (1, 6)"

/* The newest decision that holds, made within the period. */
#define VERDICT                                                                                                        \
    "(SELECT d.kind FROM decision d WHERE d.incident_id=i.id AND d.undone_ns IS NULL AND d.at_ns<?2 ORDER BY d.id"     \
    " DESC LIMIT 1)"

/* ---- medians ---- */

struct values {
    double *items; /* ascending */
    size_t count, capacity;
};

static void values_done(struct values *values)
{
    free(values->items);
}

/* The first column of all rows, which come sorted; what is negative was made by a clock that was set. */
static enum km_code read_values(struct km_kpi_work *work, const char *sql, struct values *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_kpi_open(work, sql, err);
    bool row = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        double value = km_query_real(query, 0);
        void *items = out->items;
        if (value < 0) {
            work->report->clock_faults++;
            continue;
        }
        code = km_grow(&items, &out->capacity, out->count + 1, sizeof *out->items, KM_KPI_MAX_VALUES, err);
        out->items = items;
        if (code == KM_OK)
            out->items[out->count++] = value;
    }
    return code;
}

static double median(const struct values *values)
{
    if (values->count == 0)
        return NAN;
    return (values->items[(values->count - 1) / 2] + values->items[values->count / 2]) / 2;
}

/* Nearest rank: the smallest value that `percent` of all do not exceed. */
static double percentile(const struct values *values, size_t percent)
{
    return values->count == 0 ? NAN : values->items[(values->count * percent + 99) / 100 - 1];
}

static enum km_code add_times(struct km_kpi_work *work, struct km_err *err)
{
    struct values decided KM_CLEANUP(values_done) = {0}, spent KM_CLEANUP(values_done) = {0},
                          latency KM_CLEANUP(values_done) = {0};
    enum km_code code = read_values(work,
                                    "SELECT (i.first_decided_ns-i.opened_ns)/6e10 " ALERTS
                                    " AND i.first_decided_ns IS NOT NULL AND i.first_decided_ns<?2 ORDER BY 1",
                                    &decided, err);
    if (code == KM_OK)
        code = read_values(work,
                           "SELECT i.minutes " ALERTS " AND i.minutes>0 AND i.first_decided_ns IS NOT NULL AND"
                           " i.first_decided_ns<?2 ORDER BY 1",
                           &spent, err);
    if (code == KM_OK)
        code = read_values(work, "SELECT (i.opened_ns-i.first_ns)/1e9 " ALERTS " AND i.kind<>'file' ORDER BY 1",
                           &latency, err);
    if (code != KM_OK)
        return code;
    km_kpi_set(km_kpi_add(work, "minutes_to_decision", "minutes from alert to decision, median", "min"),
               median(&decided), (double)decided.count, "decided alerts");
    km_kpi_set(km_kpi_add(work, "minutes_per_alert", "minutes of work on an alert, median", "min"), median(&spent),
               (double)spent.count, "alerts with minutes");
    km_kpi_set(km_kpi_add(work, "latency_p50", "seconds from first event to alert, median", "s"), median(&latency),
               (double)latency.count, "alerts about daemons");
    km_kpi_set(km_kpi_add(work, "latency_p95", "seconds from first event to alert, 95 of 100", "s"),
               percentile(&latency, 95), (double)latency.count, "alerts about daemons");
    return KM_OK;
}

/* ---- right and false ---- */

static enum km_code add_verdicts(struct km_kpi_work *work, const struct km_kpi_exposure *exposure, struct km_err *err)
{
    enum { ALL, DECIDED, RIGHT, FALSE_DAEMON, FALSE_FILE, COUNT };
    double counts[COUNT];
    if (km_kpi_read_row(work,
                        "SELECT count(*), count(v), total(v>=3), total(v<3 AND NOT file), total(v<3 AND file) FROM"
                        " (SELECT i.kind='file' AS file, " VERDICT " AS v " ALERTS ")",
                        counts, COUNT, err) != KM_OK)
        return err->code;
    bool looked = exposure->host_days > 0 || counts[ALL] > 0;
    km_kpi_set(km_kpi_add(work, "alerts", "alerts", "count"), looked ? counts[ALL] : NAN, exposure->host_days,
               "host-days");
    km_kpi_set_rate(km_kpi_add(work, "alerts_per_host_day", "alerts per host and day", "1/day"), counts[ALL],
                    exposure->host_days, 1, "alerts");
    km_kpi_set_share(km_kpi_add(work, "alerts_decided", "alerts decided", "share"), counts[DECIDED], counts[ALL],
                     "alerts");
    km_kpi_set_share(km_kpi_add(work, "precision", "decided alerts that were right", "share"), counts[RIGHT],
                     counts[DECIDED], "decided alerts");
    struct km_kpi *rates[] = {
        km_kpi_add(work, "false_per_daemon_day", "false alerts per daemon and day", "1/day"),
        km_kpi_add(work, "false_per_100_images", "false alerts per 100 new images", "1/100 images"),
    };
    km_kpi_set_rate(rates[0], counts[FALSE_DAEMON], exposure->daemon_days, 1, "false alerts");
    km_kpi_set_rate(rates[1], counts[FALSE_FILE], exposure->new_images, 100, "false alerts");
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (rates[i]->known && counts[ALL] > counts[DECIDED]) {
            rates[i]->note = "at least: undecided alerts: {n}";
            rates[i]->note_number = counts[ALL] - counts[DECIDED];
        }
    return KM_OK;
}

enum km_code km_kpi_visit_days(struct km_desk *desk, const struct km_kpi_request *request, void *context,
                               enum km_code (*visit)(void *context, const struct km_kpi_day *day, struct km_err *err),
                               struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "SELECT day, count(*), sum(coalesce(v>=3, 0)), sum(coalesce(v<3, 0)) FROM"
        " (SELECT i.opened_ns/86400000000000 AS day, " VERDICT " AS v " ALERTS ") GROUP BY day ORDER BY day",
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, request->since_ns);
    km_query_bind_integer(query, 2, request->until_ns < request->now_ns ? request->until_ns : request->now_ns);
    km_query_bind_integer(query, 3, request->scope);
    bool row = false;
    enum km_code code;
    while ((code = km_query_step(query, &row, err)) == KM_OK && row) {
        const struct km_kpi_day day = {km_query_integer(query, 0), km_query_integer(query, 1),
                                       km_query_integer(query, 2), km_query_integer(query, 3)};
        if ((code = visit(context, &day, err)) != KM_OK)
            return code;
    }
    return code;
}

/* What was asked although nothing alarmed: the random sample says what is missed. */
static enum km_code add_asked(struct km_kpi_work *work, struct km_err *err)
{
    double band[2], sample[2], hidden;
    enum km_code code = km_kpi_read_row(
        work, "SELECT count(v), total(v>=3) FROM (SELECT " VERDICT " AS v " OPENED("1") ")", band, 2, err);
    if (code == KM_OK)
        code = km_kpi_read_row(work, "SELECT count(v), total(v>=3) FROM (SELECT " VERDICT " AS v " OPENED("2") ")",
                               sample, 2, err);
    if (code == KM_OK)
        code = km_kpi_read_row(work, "SELECT count(*) " OPENED("0") " AND i.shown=5", &hidden, 1, err);
    if (code != KM_OK)
        return code;
    km_kpi_set_share(km_kpi_add(work, "band_bad", "just under the threshold and bad", "share"), band[1], band[0],
                     "decided of the uncertain band");
    km_kpi_set_share(km_kpi_add(work, "sample_bad", "not alarmed about and bad (missed)", "share"), sample[1],
                     sample[0], "decided of the random sample");
    km_kpi_set(km_kpi_add(work, "incidents_hidden", "incidents that a suppression hides", "count"), hidden, NAN, "");
    return KM_OK;
}

enum km_code km_kpi_measure_alerts(struct km_kpi_work *work, const struct km_kpi_exposure *exposure, struct km_err *err)
{
    enum km_code code = add_verdicts(work, exposure, err);
    if (code == KM_OK)
        code = add_times(work, err);
    return code == KM_OK ? add_asked(work, err) : code;
}
