/*
 * What the store says about a period, for the report of a pilot: the key figures of triage/kpi.h, which have intervals
 * and one definition of an alert, and beside them plain counts that are no figures of merit. Nothing is counted in
 * both.
 *
 * An incident belongs to the period in which it was opened, a target or run to the one in which it began. The period is
 * half open, and what lies behind now is not in it.
 */
#ifndef KM_REPORT_PILOT_FIGURES_H
#define KM_REPORT_PILOT_FIGURES_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "desk/store/store.h"
#include "desk/triage/kpi.h"

#define KM_PILOT_MAX_DAYS  366
#define KM_PILOT_STATES    5 /* enum km_triage_state */
#define KM_PILOT_DECISIONS 5 /* enum km_decision_kind */

struct km_pilot {
    struct km_kpi_report *figures; /* with the period */
    /* watched */
    int64_t targets, images, target_errors, targets_with_gaps;
    int64_t files_total, files_examined;
    int64_t daemons, episodes;
    /* found */
    int64_t findings, incidents;
    int64_t states[KM_PILOT_STATES];
    int64_t decisions[KM_PILOT_DECISIONS], undecided; /* of all incidents, shown or not */
    int64_t digest, uncertain, sample, recorded;      /* why they are or are not shown */
    /* missed as far as known */
    int64_t gaps, findings_omitted, hidden_findings, suppressions;
    /* cost */
    double minutes;        /* entered by people */
    int64_t minutes_known; /* incidents with minutes */
    int64_t runs;
    /* by day */
    size_t day_count;  /* the last KM_PILOT_MAX_DAYS of the period */
    int64_t first_day; /* since 1970 */
    struct km_kpi_day days[KM_PILOT_MAX_DAYS];
};

/* NULL with *err set: KM_FORMAT (the period has no past), codes of the store. Freed by the caller. All figures are of
 * one moment of the store. request->scope must be 0. */
struct km_pilot *km_pilot_load(struct km_desk *desk, const struct km_kpi_request *request,
                               struct km_err *err) KM_MUST_USE;
void km_pilot_free(struct km_pilot *pilot);
KM_DEFINE_CLEANUP(struct km_pilot, km_pilot_cleanup, km_pilot_free);

#endif
