#include "desk/triage/kpi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "desk/triage/kpi_internal.h"
#include "stats/interval.h"

struct km_query *km_kpi_open(const struct km_kpi_work *work, const char *sql, struct km_err *err)
{
    struct km_query *query = km_query_open_once(work->desk, sql, err);
    if (!query)
        return NULL;
    km_query_bind_integer(query, 1, work->report->since_ns);
    km_query_bind_integer(query, 2, work->report->until_ns);
    km_query_bind_integer(query, 3, work->request->scope);
    return query;
}

enum km_code km_kpi_read_row(const struct km_kpi_work *work, const char *sql, double *out, int count,
                             struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_kpi_open(work, sql, err);
    bool row = false;
    if (!query || km_query_step(query, &row, err) != KM_OK)
        return err->code;
    for (int i = 0; i < count; i++)
        out[i] = row && !km_query_is_null(query, i) ? km_query_real(query, i) : NAN;
    return KM_OK;
}

/* Names come from the store: they are escaped. */
struct km_kpi *km_kpi_add(struct km_kpi_work *work, const char *id, const char *title, const char *unit)
{
    struct km_kpi_report *report = work->report;
    bool room = report->count < KM_KPI_MAX_ROWS - 1; /* the last one is the spare */
    struct km_kpi *row = &report->rows[room ? report->count++ : KM_KPI_MAX_ROWS - 1];
    report->cut = report->cut || !room;
    *row = (struct km_kpi){.title = title, .unit = unit, .n_of = "", .note = ""};
    (void)km_text_escape(id, strlen(id), row->id, sizeof row->id);
    return row;
}

void km_kpi_set_about(struct km_kpi *row, const char *about)
{
    (void)km_text_escape(about, strlen(about), row->about, sizeof row->about);
}

void km_kpi_set(struct km_kpi *row, double value, double n, const char *n_of)
{
    row->known = isfinite(value);
    row->value = row->known ? value : 0;
    row->n = isfinite(n) ? (int64_t)n : 0;
    row->n_of = n_of;
}

void km_kpi_set_share(struct km_kpi *row, double hits, double n, const char *n_of)
{
    km_kpi_set(row, n > 0 ? hits / n : NAN, n, n_of);
    if (!row->known || hits < 0 || hits > n)
        return;
    struct km_interval interval = km_interval_wilson(hits, n, KM_KPI_CONFIDENCE);
    row->bounded = true;
    row->low = interval.low;
    row->high = interval.high;
}

void km_kpi_set_rate(struct km_kpi *row, double events, double exposure, double scale, const char *n_of)
{
    km_kpi_set(row, exposure > 0 && events >= 0 ? scale * events / exposure : NAN, events, n_of);
    if (!row->known)
        return;
    struct km_interval interval = km_interval_poisson((uint64_t)events, KM_KPI_CONFIDENCE);
    row->bounded = true;
    row->low = scale * interval.low / exposure;
    row->high = scale * interval.high / exposure;
}

static enum km_code measure(struct km_kpi_work *work, struct km_err *err)
{
    struct km_kpi_exposure exposure = {0};
    enum km_code code = km_kpi_measure_coverage(work, &exposure, err);
    if (code == KM_OK)
        code = km_kpi_measure_alerts(work, &exposure, err);
    return code == KM_OK ? km_kpi_measure_upkeep(work, err) : code;
}

struct km_kpi_report *km_kpi_measure(struct km_desk *desk, const struct km_kpi_request *request, struct km_err *err)
{
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = km_calloc(1, sizeof *report, SIZE_MAX, err);
    if (!report)
        return NULL;
    struct km_kpi_work work = {desk, request, report};
    report->since_ns = request->since_ns;
    report->until_ns = request->until_ns < request->now_ns ? request->until_ns : request->now_ns;
    if (report->since_ns >= report->until_ns) {
        (void)km_fail(err, KM_FORMAT, "the period is empty: it ends before it begins, or begins in the future");
        return NULL;
    }
    bool own = !km_desk_in_transaction(desk); /* reading only: one moment for all figures */
    enum km_code code = own ? km_query_execute(desk, "BEGIN", err) : KM_OK;
    if (code == KM_OK)
        code = measure(&work, err);
    if (own)
        km_desk_rollback(desk);
    return code == KM_OK ? km_steal(report) : NULL;
}

void km_kpi_free(struct km_kpi_report *report)
{
    free(report);
}

const struct km_kpi *km_kpi_find(const struct km_kpi_report *report, const char *id)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->rows[i].id, id) == 0)
            return &report->rows[i];
    return NULL;
}
