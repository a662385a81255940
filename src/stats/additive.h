/*
 * The additive model: log-odds = bias + one term for each named value; each term is its own explanation. A term is a
 * weight times the value, or a step function of it. Fitted by L2-regularised logistic regression.
 *
 * A calibration goes with a model: a threshold on the log-odds, and how many of the negatives of a calibration set were
 * at or above it, from which the expected rate of false alarms follows with its interval.
 *
 * Lifecycle: a km_additive is made by km_additive_new, _parse or _fit, changed by its maker, then immutable and shared
 * by threads. Values are given in the order of the terms; NaN is unknown and contributes the term's `missing`.
 * docs/formats/additive.md has the file format.
 */
#ifndef KM_STATS_ADDITIVE_H
#define KM_STATS_ADDITIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "stats/interval.h"

#define KM_ADDITIVE_MAX_TERMS  64
#define KM_ADDITIVE_MAX_STEPS  32
#define KM_ADDITIVE_NAME_BYTES 64
#define KM_ADDITIVE_MAX_BYTES  ((size_t)64 << 10)
#define KM_ADDITIVE_CONFIDENCE 0.95

/* step_count 0: weight * clamp(value, low, high). Else: steps[i].weight for the last step whose `from` is at most the
 * value, steps[0].weight below all; `from` ascends strictly, weights are log-odds. */
struct km_additive_step {
    double from, weight;
};
struct km_additive_term {
    char name[KM_ADDITIVE_NAME_BYTES];
    double weight;
    double low, high; /* -INFINITY and INFINITY: not clamped */
    double missing;   /* contribution of an unknown value */
    size_t step_count;
    struct km_additive_step steps[KM_ADDITIVE_MAX_STEPS];
};

struct km_calibration {
    double threshold;   /* on the log-odds; at or above is an alarm */
    uint64_t negatives; /* 0: not calibrated */
    uint64_t above;     /* negatives at or above the threshold */
    double wanted;      /* the rate that was asked for */
    char set[128];      /* what the negatives were, in words */
};

struct km_additive;

struct km_additive *km_additive_new(struct km_err *err) KM_MUST_USE;
void km_additive_free(struct km_additive *model);
KM_DEFINE_CLEANUP(struct km_additive, km_additive_cleanup, km_additive_free);
struct km_additive *km_additive_copy(const struct km_additive *model, struct km_err *err) KM_MUST_USE;

/* Adds a term or replaces the one of that name. KM_FORMAT: a name that is empty or not printable ASCII, a number that
 * is not finite (low and high may be infinite), steps that do not ascend. KM_LIMIT. */
enum km_code km_additive_set_term(struct km_additive *model, const struct km_additive_term *term,
                                  struct km_err *err) KM_MUST_USE;
void km_additive_set_bias(struct km_additive *model, double bias);
void km_additive_set_calibration(struct km_additive *model, const struct km_calibration *calibration);

double km_additive_bias(const struct km_additive *model);
size_t km_additive_term_count(const struct km_additive *model);
const struct km_additive_term *km_additive_term(const struct km_additive *model, size_t i);
/* The term's number, or -1. */
int km_additive_find(const struct km_additive *model, const char *name);
const struct km_calibration *km_additive_calibration(const struct km_additive *model);

/* What one term gives for a value. */
double km_additive_contribution(const struct km_additive_term *term, double value);
/* The log-odds. values[i] belongs to term i; contributions (may be NULL) gets each term's. */
double km_additive_score(const struct km_additive *model, const double *values, double *contributions);

/* ---- Fitting ---- */

struct km_additive_sample {
    const double *values; /* one for each name */
    double weight;        /* > 0 */
    bool positive;
};
struct km_additive_fit {
    const char *const *names;
    size_t name_count;
    const struct km_additive_sample *samples;
    size_t sample_count;
    double penalty;     /* L2 on the weights of the standardised values, > 0; the bias is free */
    const bool *rising; /* for each name: its weight is not allowed below 0; NULL: none */
};
/* Weights of linear terms, given for the values as they are; an unknown value counts as its name's mean, which becomes
 * `missing`. KM_FORMAT: no positive or no negative sample, a value that is infinite, a name that is bad. KM_LIMIT,
 * KM_NOMEM. */
struct km_additive *km_additive_fit(const struct km_additive_fit *fit, struct km_err *err) KM_MUST_USE;

/* ---- Calibration ---- */

/* The lowest threshold at which at most `wanted` of the negatives' scores are at or above it: just above one of them.
 * scores (finite) are sorted in place. Zero negatives above is the strictest possible; what rate that can promise is
 * said by the interval alone. negatives 0: the threshold is 0. */
void km_calibration_choose(double *scores, size_t count, double wanted, struct km_calibration *out);

/* The expected rate of false alarms with its 95 % interval (Clopper-Pearson; none above: 0 with the one-sided upper
 * bound, nearly 3/n). */
struct km_estimate km_calibration_rate(const struct km_calibration *calibration);
/* Whether so few negatives can show the wanted rate at all: 3 / n <= wanted. */
bool km_calibration_is_enough(const struct km_calibration *calibration);

/* ---- File ---- */

/* KM_FORMAT (names the member), KM_LIMIT, KM_UNSUPPORTED (version), KM_NOMEM. Hostile input. */
struct km_additive *km_additive_parse(const char *text, size_t length, struct km_err *err) KM_MUST_USE;
/* Appends the document. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_additive_format(const struct km_additive *model, struct km_buf *out, struct km_err *err) KM_MUST_USE;

#endif
