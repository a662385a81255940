#include "stats/special.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "base/err.h"

#define MOST_TERMS 100000 /* series and fractions end after about sqrt(a) terms; counts here stay far below 1e9 */
#define TINY       1e-300 /* instead of a zero denominator in Lentz's method */

/* Bisection goes on until no double lies between: some 60 steps, up to 1,100 where the answer is next to 0. */
struct bracket {
    double low, high;
};

static double middle_of(struct bracket bracket)
{
    return bracket.low + (bracket.high - bracket.low) / 2;
}

double km_special_normal_cdf(double z)
{
    return erfc(-z / M_SQRT2) / 2;
}

double km_special_normal_quantile(double p)
{
    KM_ASSERT(p > 0 && p < 1);
    bool upper = p > 0.5; /* erfc keeps its digits in the lower tail only */
    p = upper ? 1 - p : p;
    struct bracket bracket = {-40, 0};
    for (double z = middle_of(bracket); z > bracket.low && z < bracket.high; z = middle_of(bracket)) {
        if (km_special_normal_cdf(z) < p)
            bracket.low = z;
        else
            bracket.high = z;
    }
    return upper ? -bracket.high : bracket.high;
}

static double log_gamma(double a)
{
    int sign; /* lgamma writes a global; this does not */
    return lgamma_r(a, &sign);
}

static double gamma_series(double a, double x)
{
    double term = 1 / a, sum = term;
    for (int n = 1; n < MOST_TERMS && term > sum * DBL_EPSILON; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * exp(a * log(x) - x - log_gamma(a));
}

/* The upper function Q(a, x), by Lentz's method. */
static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a, c = 1 / TINY, d = 1 / b, h = d;
    for (int n = 1; n < MOST_TERMS; n++) {
        double an = -n * (n - a);
        b += 2;
        d = an * d + b;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = b + an / c;
        c = fabs(c) < TINY ? TINY : c;
        double delta = c * d;
        h *= delta;
        if (fabs(delta - 1) < DBL_EPSILON)
            break;
    }
    return h * exp(a * log(x) - x - log_gamma(a));
}

double km_special_gamma_cdf(double a, double x)
{
    KM_ASSERT(a > 0 && x >= 0);
    if (x == 0)
        return 0;
    return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}

/* Is the upper tail above 1 − p? In the upper half it is compared itself, for 1 − P would lose its digits. */
static int gamma_is_below(double a, double x, double p)
{
    if (x < a + 1)
        return gamma_series(a, x) < p;
    return gamma_fraction(a, x) > 1 - p;
}

double km_special_gamma_quantile(double a, double p)
{
    KM_ASSERT(a > 0 && p >= 0 && p < 1);
    if (p == 0)
        return 0;
    struct bracket bracket = {0, a + 1};
    while (gamma_is_below(a, bracket.high, p)) {
        bracket.low = bracket.high;
        bracket.high *= 2;
    }
    for (double x = middle_of(bracket); x > bracket.low && x < bracket.high; x = middle_of(bracket)) {
        if (gamma_is_below(a, x, p))
            bracket.low = x;
        else
            bracket.high = x;
    }
    return bracket.high;
}

static double beta_step(double *c, double *d, double numerator)
{
    *d = 1 + numerator * *d;
    *d = 1 / (fabs(*d) < TINY ? TINY : *d);
    *c = 1 + numerator / *c;
    *c = fabs(*c) < TINY ? TINY : *c;
    return *c * *d;
}

static double beta_fraction(double a, double b, double x)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double h = d;
    for (int n = 1; n < MOST_TERMS; n++) {
        h *= beta_step(&c, &d, n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n)));
        double delta = beta_step(&c, &d, -(a + n) * (a + b + n) * x / ((a + 2 * n) * (a + 2 * n + 1)));
        h *= delta;
        if (fabs(delta - 1) < DBL_EPSILON)
            break;
    }
    return h;
}

double km_special_beta_cdf(double a, double b, double x)
{
    KM_ASSERT(a > 0 && b > 0 && x >= 0 && x <= 1);
    if (x == 0 || x == 1)
        return x;
    double front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) /* where the fraction converges fast; the mirror image otherwise */
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double km_special_beta_quantile(double a, double b, double p)
{
    KM_ASSERT(a > 0 && b > 0 && p >= 0 && p <= 1);
    if (p == 0 || p == 1)
        return p;
    struct bracket bracket = {0, 1};
    for (double x = middle_of(bracket); x > bracket.low && x < bracket.high; x = middle_of(bracket)) {
        if (km_special_beta_cdf(a, b, x) < p)
            bracket.low = x;
        else
            bracket.high = x;
    }
    return bracket.high;
}
