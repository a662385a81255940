/*
 * What the store says about a period, for the report of a pilot: plain counts and sums, no estimates.
 *
 * An incident belongs to the period in which it was opened, a target, run, loss or stretch of watching to the one in
 * which it began or was noted; a stretch that reaches over an end counts for the part within. The period is half open.
 */
#ifndef KM_REPORT_PILOT_FIGURES_H
#define KM_REPORT_PILOT_FIGURES_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "desk/store/store.h"

#define KM_PILOT_MAX_DAYS   366
#define KM_PILOT_MAX_LOSSES 8
#define KM_PILOT_STATES     5 /* enum km_triage_state */
#define KM_PILOT_DECISIONS  5 /* enum km_decision_kind */

struct km_pilot_loss {
    char what[32];
    int64_t lost, seen; /* seen -1: not known */
};

struct km_pilot_day {
    int64_t shown, benign, real; /* opened that day and shown; of them decided benign; suspicious or attack */
};

struct km_pilot {
    int64_t since_ns, until_ns;
    /* watched */
    int64_t targets, images, target_errors, targets_with_gaps;
    int64_t bytes_total, bytes_examined, bytes_opaque, files_total, files_examined;
    int64_t daemons, episodes;
    double daemon_hours, mature_hours;
    /* found */
    int64_t findings, incidents;
    int64_t states[KM_PILOT_STATES];
    int64_t alerts, digest, uncertain, sample, suppressed, other; /* why they are or are not shown */
    int64_t decisions[KM_PILOT_DECISIONS], undecided;             /* of all incidents, shown or not */
    int64_t alerts_benign, alerts_real;                           /* of `alerts` */
    /* missed as far as known */
    int64_t gaps, findings_omitted, hidden_findings, suppressions;
    size_t loss_count;
    struct km_pilot_loss losses[KM_PILOT_MAX_LOSSES];
    int64_t checked_below, checked_below_real; /* drawn below the threshold and decided; of them not benign */
    /* cost */
    double minutes;        /* entered by people */
    int64_t minutes_known; /* incidents with minutes */
    int64_t runs, cpu_ms, memory_peak_bytes;
    double median_decision_minutes; /* from shown to decided; negative: none was decided */
    /* by day */
    size_t day_count;  /* the last KM_PILOT_MAX_DAYS of the period */
    int64_t first_day; /* since 1970 */
    struct km_pilot_day days[KM_PILOT_MAX_DAYS];
};

/* NULL with *err set: KM_FORMAT (until is not after since), codes of the store. Freed by the caller. All figures are of
 * one moment of the store. */
struct km_pilot *km_pilot_load(struct km_desk *desk, int64_t since_ns, int64_t until_ns,
                               struct km_err *err) KM_MUST_USE;
void km_pilot_free(struct km_pilot *pilot);
KM_DEFINE_CLEANUP(struct km_pilot, km_pilot_cleanup, km_pilot_free);

#endif
