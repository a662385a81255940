/*
 * The distribution functions that intervals need, to about 1e-15 · (largest argument + 100) relative. Our own because
 * the usual library (GSL) is under the GPL and these are some sixty lines; the quantiles are found by bisection of the
 * distribution function, slow (some 10 µs) and without a special case to get wrong.
 */
#ifndef KM_STATS_SPECIAL_H
#define KM_STATS_SPECIAL_H

/* Standard normal: P(Z ≤ z) by erfc, and its inverse for 0 < p < 1. */
double km_special_normal_cdf(double z);
double km_special_normal_quantile(double p);

/* Regularised lower incomplete gamma function P(a, x), a > 0, x ≥ 0: series and continued fraction, M. Abramowitz, I.
 * A. Stegun, Handbook of Mathematical Functions (1964), 6.5.29 and 6.5.31. And its inverse in x for 0 ≤ p < 1. A
 * chi-square quantile with k degrees of freedom is 2 · gamma_quantile(k / 2, p). */
double km_special_gamma_cdf(double a, double x);
double km_special_gamma_quantile(double a, double p);

/* Regularised incomplete beta function I_x(a, b), a, b > 0, 0 ≤ x ≤ 1: continued fraction, Abramowitz and Stegun
 * 26.5.8. And its inverse in x for 0 ≤ p ≤ 1. */
double km_special_beta_cdf(double a, double b, double x);
double km_special_beta_quantile(double a, double b, double p);

#endif
