/*
 * Least squares: the linear function of a few numbers that comes nearest to what was observed with them.
 *
 * Observations are added one by one and not kept. A ridge of one part in a million keeps the solution finite when the
 * numbers do not vary, or vary together.
 */
#ifndef KM_STATS_LEASTSQUARES_H
#define KM_STATS_LEASTSQUARES_H

#include <stddef.h>

#define KM_LEAST_SQUARES_MAX 4 /* coefficients, the constant included */

/* All zero: nothing observed yet. */
struct km_least_squares {
    double moment[KM_LEAST_SQUARES_MAX][KM_LEAST_SQUARES_MAX + 1]; /* sums of products; the last column with y */
    double observations;
};

/* x: `count` numbers (at most KM_LEAST_SQUARES_MAX, always as many; put a 1 among them for the constant). */
void km_least_squares_add(struct km_least_squares *squares, const double *x, size_t count, double y);

/* The coefficients of x; all 0 without an observation. */
void km_least_squares_solve(const struct km_least_squares *squares, size_t count, double *out);

#endif
