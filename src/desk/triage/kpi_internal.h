/*
 * What the files of the key figures share: one measurement under way, and how rows are added to it.
 */
#ifndef KM_DESK_TRIAGE_KPI_INTERNAL_H
#define KM_DESK_TRIAGE_KPI_INTERNAL_H

#include "desk/store/query.h"
#include "desk/triage/kpi.h"

#define KM_KPI_CONFIDENCE 0.95
#define KM_KPI_DAY_NS     8.64e13

struct km_kpi_work {
    struct km_desk *desk;
    const struct km_kpi_request *request;
    struct km_kpi_report *report;
};

/* A statement with since, until and scope bound as ?1, ?2, ?3; it must use ?3. */
struct km_query *km_kpi_open(const struct km_kpi_work *work, const char *sql, struct km_err *err) KM_MUST_USE;
/* The numbers of its first row; NULL is NaN. */
enum km_code km_kpi_read_row(const struct km_kpi_work *work, const char *sql, double *out, int count,
                             struct km_err *err) KM_MUST_USE;

/* A new row, not known yet; never NULL (beyond the last place the report is cut, and a spare row is given). title and
 * unit have static storage; tests/unit/finding/catalogue.py looks for the titles, notes and n_of in these calls. */
struct km_kpi *km_kpi_add(struct km_kpi_work *work, const char *id, const char *title, const char *unit);
/* Which of several it is; escaped. */
void km_kpi_set_about(struct km_kpi *row, const char *about);
void km_kpi_set(struct km_kpi *row, double value, double n, const char *n_of);
/* hits of n, with Wilson's interval; not known when n is 0. */
void km_kpi_set_share(struct km_kpi *row, double hits, double n, const char *n_of);
/* events per exposure, times scale, with Garwood's interval; not known without exposure. */
void km_kpi_set_rate(struct km_kpi *row, double events, double exposure, double scale, const char *n_of);

/* ---- parts of a report, each a file's ---- */

/* What was watched, and when: exposures that rates are divided by. */
struct km_kpi_exposure {
    double host_days, daemon_days, new_images;
};
enum km_code km_kpi_measure_coverage(struct km_kpi_work *work, struct km_kpi_exposure *out,
                                     struct km_err *err) KM_MUST_USE;
enum km_code km_kpi_measure_alerts(struct km_kpi_work *work, const struct km_kpi_exposure *exposure,
                                   struct km_err *err) KM_MUST_USE;
enum km_code km_kpi_measure_upkeep(struct km_kpi_work *work, struct km_err *err) KM_MUST_USE;

#endif
