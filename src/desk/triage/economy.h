/*
 * What a year with komainu costs and saves, from numbers that the user enters. Never one number: each input has a low,
 * a middle and a high value, and the result is a table: the middle, each input alone at its ends, all at their worst
 * and all at their best. Nothing is invented: an input that was neither entered nor measured is missing.
 *
 *   work     = alerts a day x 365 x minutes an alert / 60 x wage
 *   cost     = work + hardware
 *   saved    = incidents a year x cost of one x share of it that an alert saves
 *   net      = saved - cost
 */
#ifndef KM_DESK_TRIAGE_ECONOMY_H
#define KM_DESK_TRIAGE_ECONOMY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"
#include "desk/triage/kpi.h"

/* Values are stored by name. */
enum km_economy_input {
    KM_ECONOMY_WAGE = 0,          /* money an hour */
    KM_ECONOMY_HARDWARE = 1,      /* money a year */
    KM_ECONOMY_INCIDENT_COST = 2, /* money */
    KM_ECONOMY_BASE_RATE = 3,     /* incidents a year without komainu */
    KM_ECONOMY_EFFECT = 4,        /* share of an incident's cost that an alert saves, 0..1 */
    KM_ECONOMY_ALERTS = 5,        /* a day, all hosts; measured unless entered */
    KM_ECONOMY_MINUTES = 6,       /* of work on an alert; measured unless entered */
};
#define KM_ECONOMY_INPUTS 7

struct km_range3 {
    double low, mid, high;
};

enum km_economy_source {
    KM_ECONOMY_MISSING = 0,
    KM_ECONOMY_ENTERED = 1,
    KM_ECONOMY_STORED = 2,
    KM_ECONOMY_MEASURED = 3,
};

struct km_economy {
    enum km_economy_source sources[KM_ECONOMY_INPUTS];
    bool spread[KM_ECONOMY_INPUTS]; /* the ends were made from one number */
    struct km_range3 inputs[KM_ECONOMY_INPUTS];
};

/* "wage", "hardware", "incident-cost", "base-rate", "effect", "alerts-per-day", "minutes-per-alert"; its unit; what it
 * is, as a question. Static storage. */
const char *km_economy_name(enum km_economy_input input);
const char *km_economy_unit(enum km_economy_input input);
const char *km_economy_question(enum km_economy_input input);

/* "40" or "30:40:60" into economy. One number gets ends `spread` (a share) below and above it; effect stays within
 * 0..1. KM_FORMAT: no number, not ascending, negative, an effect above 1. */
enum km_code km_economy_enter(struct km_economy *economy, enum km_economy_input input, const char *text, double spread,
                              struct km_err *err) KM_MUST_USE;

/* Fills what is missing from numbers that were kept earlier; keeps those that were entered (audited). */
enum km_code km_economy_load(struct km_desk *desk, struct km_economy *economy, struct km_err *err) KM_MUST_USE;
enum km_code km_economy_save(struct km_desk *desk, const struct km_economy *economy, const char *who, int64_t now_ns,
                             struct km_err *err) KM_MUST_USE;

/* Fills alerts and minutes, when they are missing, from measured figures: alerts with their interval over the report's
 * period; the median of minutes, with ends `spread` away. What has no data stays missing. */
void km_economy_measure(struct km_economy *economy, const struct km_kpi_report *figures, double spread);

struct km_economy_result {
    double work, cost, saved, net;
};
struct km_economy_table {
    struct km_economy_result mid, worst, best;
    struct km_economy_result at_low[KM_ECONOMY_INPUTS], at_high[KM_ECONOMY_INPUTS]; /* the others at their middle */
    struct km_range3 break_even; /* incidents a year at which net is 0, best to worst corner; infinite: at none */
};

/* Every input must be there (KM_ASSERT). Pure. */
void km_economy_compute(const struct km_economy *economy, struct km_economy_table *out);

#endif
