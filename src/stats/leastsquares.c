#include "stats/leastsquares.h"

#include <math.h>
#include <string.h>

#define RIDGE 1e-6 /* of a diagonal element */

void km_least_squares_add(struct km_least_squares *squares, const double *x, size_t count, double y)
{
    for (size_t r = 0; r < count; r++) {
        for (size_t c = 0; c < count; c++)
            squares->moment[r][c] += x[r] * x[c];
        squares->moment[r][KM_LEAST_SQUARES_MAX] += x[r] * y;
    }
    squares->observations += 1;
}

/* Gauss-Jordan without pivoting: the matrix is symmetric and positive definite by the ridge. */
void km_least_squares_solve(const struct km_least_squares *squares, size_t count, double *out)
{
    double m[KM_LEAST_SQUARES_MAX][KM_LEAST_SQUARES_MAX + 1];
    memcpy(m, squares->moment, sizeof m);
    for (size_t i = 0; i < count; i++)
        m[i][i] += RIDGE * (m[i][i] > 0 ? m[i][i] : 1);
    for (size_t r = 0; r < count; r++) {
        for (size_t q = 0; q < count; q++) {
            double factor = q == r ? 0 : m[q][r] / m[r][r];
            for (size_t c = r; c < count; c++)
                m[q][c] -= factor * m[r][c];
            m[q][KM_LEAST_SQUARES_MAX] -= factor * m[r][KM_LEAST_SQUARES_MAX];
        }
    }
    for (size_t r = 0; r < count; r++)
        out[r] = m[r][KM_LEAST_SQUARES_MAX] / m[r][r];
}
