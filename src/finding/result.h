/*
 * Results kept for output: a sink that copies what it is given, and the list it makes.
 *
 * Lifecycle: km_results_new, hand km_results_sink() to guardians, read with km_results_count/get, km_results_free.
 * Borrowed pointers live as long as the results.
 */
#ifndef KM_FINDING_RESULT_H
#define KM_FINDING_RESULT_H

#include <stdbool.h>

#include "base/err.h"
#include "finding/finding.h"
#include "finding/sink.h"

/* Listed gaps and findings of one target; coverage counts all of them. */
#define KM_RESULT_MAX_GAPS     1000
#define KM_RESULT_MAX_FINDINGS 20000

struct km_result {
    struct km_target target;
    struct km_outcome outcome; /* outcome.error points into this result, or is NULL */
    struct km_err error;
    struct km_integrity integrity;
    struct km_expectation expectation;
    size_t finding_count;
    struct km_finding *findings; /* strongest first */
    size_t gap_count;
    struct km_gap *gaps;
    uint64_t gaps_omitted;
    bool ended; /* target_end came */
};

struct km_results;

/* NULL with *err set: KM_NOMEM. max_bytes limits all copies together. */
struct km_results *km_results_new(size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_results_free(struct km_results *results);

/* A sink whose callbacks copy into results; KM_LIMIT beyond max_bytes, KM_NOMEM. */
struct km_sink km_results_sink(struct km_results *results);

size_t km_results_count(const struct km_results *results);
const struct km_result *km_results_get(const struct km_results *results, size_t i);

/* The strongest verdict of all targets; incomplete is stronger than clean. KM_VERDICT_INCOMPLETE when there are none or
 * any ended with an error and nothing was found. */
enum km_verdict km_results_verdict(const struct km_results *results);

#endif
