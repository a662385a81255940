/*
 * Minimises a smooth function of many variables: limited-memory BFGS (J. Nocedal, Mathematics of Computation 35 (1980)
 * 773) with a backtracking line search. Deterministic. Memory: (2 * KM_LBFGS_PAIRS + 4) vectors.
 */
#ifndef KM_CONTAINER_TOKENS_LBFGS_H
#define KM_CONTAINER_TOKENS_LBFGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define KM_LBFGS_PAIRS 8

struct km_lbfgs_problem {
    void *context;
    size_t size; /* variables */
    /* The function at `point`, and its gradient. */
    double (*evaluate)(void *context, const double *point, double *out_gradient);
    unsigned max_iterations;
    double tolerance; /* stops when the gradient's length is below tolerance * its first length */
};

struct km_lbfgs_report {
    unsigned iterations;
    double value;
    bool converged;
};

/* point: where to start, and where it ended. KM_NOMEM. */
enum km_code km_lbfgs_minimise(const struct km_lbfgs_problem *problem, double *point, struct km_lbfgs_report *out,
                               struct km_err *err) KM_MUST_USE;

#endif
