/*
 * Key figures of a period, from what the store holds: how many alerts were right, how long people needed, what was
 * watched, what was lost, what it cost. What has no data is not known, never 0.
 *
 * An alert is an incident that a guardian raised by itself and that was shown, in the shadow stage, too (shown "alert",
 * "shadow"); it belongs to the period in which it was opened. A period is half open; what lies behind now_ns is not
 * counted as time, so that a period that goes on has the rates of its past. Right: the newest decision that holds and
 * was made within the period says suspicious or attack; false: it says benign. Undecided alerts are in no rate, but
 * alerts_decided says how many there are. Minutes that nobody entered (0) are not known. Times that run backwards (a
 * clock was set) are left out and counted in clock_faults.
 *
 * Shares have Wilson's interval and counts Garwood's (stats/interval.h), at 95 %. A median has none: n is shown. The
 * figures of one call are of one moment of the store.
 */
#ifndef KM_DESK_TRIAGE_KPI_H
#define KM_DESK_TRIAGE_KPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "desk/store/store.h"

#define KM_KPI_MAX_ROWS        128
#define KM_KPI_MAX_VALUES      1000000 /* that a median is taken of; beyond it KM_LIMIT */
#define KM_KPI_USUAL_MODEL_AGE 180     /* days */
#define KM_KPI_USUAL_RULES_AGE 30

struct km_kpi_request {
    int64_t since_ns, until_ns, now_ns;
    int64_t scope;                         /* id of a scope (stage.h); 0: everything */
    double model_age_days, rules_age_days; /* warned about beyond; 0: the usual ones */
};

struct km_kpi {
    char id[96];       /* "precision", "loss.event", "age.model.shipped"; printable */
    const char *title; /* a phrase for people, in English; static storage */
    char about[128];   /* which of several ("event", "shadow: worth it"), printable; "" */
    const char *unit;  /* "share", "count", "1/day", "min", "s", "bytes", "days", … */
    bool known;        /* false: no data; value and interval mean nothing */
    double value;
    bool bounded; /* low and high are an interval of 95 %, or for a rate made of a count */
    double low, high;
    int64_t n;        /* how many of n_of the value is made of */
    const char *n_of; /* "reviewed alerts" */
    bool warned;
    const char *note; /* what to know besides, in English, with {n} for note_number; "" */
    double note_number;
};

struct km_kpi_report {
    int64_t since_ns, until_ns; /* as counted: until is at most now */
    int64_t clock_faults;
    bool cut; /* there was more to list than KM_KPI_MAX_ROWS */
    size_t count;
    struct km_kpi rows[KM_KPI_MAX_ROWS];
};

/* The caller frees it. NULL with *err set: KM_FORMAT (the period has no past), KM_LIMIT, codes of the store. */
struct km_kpi_report *km_kpi_measure(struct km_desk *desk, const struct km_kpi_request *request,
                                     struct km_err *err) KM_MUST_USE;
void km_kpi_free(struct km_kpi_report *report);
KM_DEFINE_CLEANUP(struct km_kpi_report, km_kpi_cleanup, km_kpi_free);

/* Alerts opened on one day (UTC) of the period, and what was said of them within it: the parts of "alerts", "precision"
 * and the false alerts. */
struct km_kpi_day {
    int64_t day; /* since 1970 */
    int64_t alerts, right, wrong;
};
/* Visits the days that have any, in order. Codes of the store and of visit. */
enum km_code km_kpi_visit_days(struct km_desk *desk, const struct km_kpi_request *request, void *context,
                               enum km_code (*visit)(void *context, const struct km_kpi_day *day, struct km_err *err),
                               struct km_err *err) KM_MUST_USE;

/* By id, or NULL. Borrowed. */
const struct km_kpi *km_kpi_find(const struct km_kpi_report *report, const char *id);

#endif
