#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats/additive_parts.h"

/* Newton's method on the penalised likelihood: concave, so that halving a step which does not climb always ends at the
 * maximum. Some 64 names make a system of 65 equations, solved by Cholesky. */
#define MAX_STEPS   100
#define TOLERANCE   1e-9
#define MAX_HALVING 40
#define MAX_NAMES   KM_ADDITIVE_MAX_TERMS
#define SIDE        (MAX_NAMES + 1)

struct fitting {
    const struct km_additive_fit *fit;
    size_t n; /* names + 1: the bias is last */
    double mean[MAX_NAMES], deviation[MAX_NAMES];
    bool frozen[MAX_NAMES]; /* at 0 */
    double weights[SIDE], step[SIDE], gradient[SIDE];
    double hessian[SIDE][SIDE];
};

static double standard(const struct fitting *f, const struct km_additive_sample *sample, size_t i)
{
    if (i + 1 == f->n)
        return 1;
    return isnan(sample->values[i]) || f->frozen[i] ? 0 : (sample->values[i] - f->mean[i]) / f->deviation[i];
}

static enum km_code measure(struct fitting *f, struct km_err *err)
{
    const struct km_additive_fit *fit = f->fit;
    for (size_t i = 0; i + 1 < f->n; i++) {
        double weight = 0, sum = 0, squares = 0;
        for (size_t s = 0; s < fit->sample_count; s++) {
            double value = fit->samples[s].values[i];
            if (isinf(value))
                return km_fail(err, KM_FORMAT, "a value of '%s' is infinite", fit->names[i]);
            if (isnan(value))
                continue;
            weight += fit->samples[s].weight;
            sum += fit->samples[s].weight * value;
        }
        f->mean[i] = weight > 0 ? sum / weight : 0;
        for (size_t s = 0; s < fit->sample_count; s++) {
            double value = fit->samples[s].values[i];
            if (!isnan(value))
                squares += fit->samples[s].weight * (value - f->mean[i]) * (value - f->mean[i]);
        }
        f->deviation[i] = weight > 0 ? sqrt(squares / weight) : 0;
        f->frozen[i] = !(f->deviation[i] > 1e-12 * (1 + fabs(f->mean[i]))); /* constant: it says nothing */
        if (f->frozen[i])
            f->deviation[i] = 1;
    }
    return KM_OK;
}

static double linear(const struct fitting *f, const double *weights, const struct km_additive_sample *sample)
{
    double sum = 0;
    for (size_t i = 0; i < f->n; i++)
        sum += weights[i] * standard(f, sample, i);
    return sum;
}

/* log(1 + exp(-x)) without overflow. */
static double log_loss(double x)
{
    return x > 0 ? log1p(exp(-x)) : -x + log1p(exp(x));
}

static double objective(const struct fitting *f, const double *weights)
{
    double sum = 0;
    for (size_t s = 0; s < f->fit->sample_count; s++) {
        const struct km_additive_sample *sample = &f->fit->samples[s];
        double x = linear(f, weights, sample);
        sum -= sample->weight * log_loss(sample->positive ? x : -x);
    }
    for (size_t i = 0; i + 1 < f->n; i++)
        sum -= f->fit->penalty / 2 * weights[i] * weights[i];
    return sum;
}

static void derive(struct fitting *f)
{
    memset(f->gradient, 0, sizeof f->gradient);
    memset(f->hessian, 0, sizeof f->hessian);
    for (size_t s = 0; s < f->fit->sample_count; s++) {
        const struct km_additive_sample *sample = &f->fit->samples[s];
        double values[SIDE];
        for (size_t i = 0; i < f->n; i++)
            values[i] = standard(f, sample, i);
        double p = 1 / (1 + exp(-linear(f, f->weights, sample)));
        double residual = sample->weight * ((sample->positive ? 1 : 0) - p), curve = sample->weight * p * (1 - p);
        for (size_t i = 0; i < f->n; i++) {
            f->gradient[i] += residual * values[i];
            for (size_t j = 0; j <= i; j++)
                f->hessian[i][j] += curve * values[i] * values[j];
        }
    }
    for (size_t i = 0; i < f->n; i++) {
        bool bias = i + 1 == f->n;
        f->gradient[i] -= bias ? 0 : f->fit->penalty * f->weights[i];
        f->hessian[i][i] += bias ? 1e-12 : f->fit->penalty;
    }
}

/* step = hessian^-1 gradient; the hessian becomes its factor. */
static void solve(struct fitting *f)
{
    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = f->hessian[i][j];
            for (size_t k = 0; k < j; k++)
                sum -= f->hessian[i][k] * f->hessian[j][k];
            if (i == j)
                f->hessian[i][i] = sqrt(sum > 1e-300 ? sum : 1e-300);
            else
                f->hessian[i][j] = sum / f->hessian[j][j];
        }
    for (size_t i = 0; i < f->n; i++) {
        double sum = f->gradient[i];
        for (size_t k = 0; k < i; k++)
            sum -= f->hessian[i][k] * f->step[k];
        f->step[i] = sum / f->hessian[i][i];
    }
    for (size_t i = f->n; i-- > 0;) {
        double sum = f->step[i];
        for (size_t k = i + 1; k < f->n; k++)
            sum -= f->hessian[k][i] * f->step[k];
        f->step[i] = sum / f->hessian[i][i];
    }
}

/* One climb; false when nothing is left to gain. */
static bool climb(struct fitting *f)
{
    double here = objective(f, f->weights), scale = 1;
    derive(f);
    solve(f);
    for (int k = 0; k < MAX_HALVING; k++, scale /= 2) {
        double there[SIDE];
        for (size_t i = 0; i < f->n; i++)
            there[i] = f->weights[i] + scale * f->step[i];
        double value = objective(f, there);
        if (value > here) {
            memcpy(f->weights, there, f->n * sizeof *there);
            return value - here > TOLERANCE * (1 + fabs(here));
        }
    }
    return false;
}

/* A weight that must rise and falls is held at 0, and the rest is fitted again. */
static bool freeze_falling(struct fitting *f)
{
    bool found = false;
    for (size_t i = 0; f->fit->rising && i + 1 < f->n; i++)
        if (f->fit->rising[i] && !f->frozen[i] && f->weights[i] < 0) {
            f->frozen[i] = found = true;
            f->weights[i] = 0;
        }
    return found;
}

static enum km_code give_terms(const struct fitting *f, struct km_additive *model, struct km_err *err)
{
    double bias = f->weights[f->n - 1];
    for (size_t i = 0; i + 1 < f->n; i++) {
        double weight = f->frozen[i] ? 0 : f->weights[i] / f->deviation[i];
        struct km_additive_term term = {
            .weight = weight, .low = -INFINITY, .high = INFINITY, .missing = weight * f->mean[i]};
        (void)snprintf(term.name, sizeof term.name, "%s", f->fit->names[i]);
        enum km_code code = km_additive_set_term(model, &term, err);
        if (code != KM_OK)
            return code;
        bias -= weight * f->mean[i];
    }
    km_additive_set_bias(model, bias);
    return KM_OK;
}

static enum km_code check_fit(const struct km_additive_fit *fit, struct km_err *err)
{
    size_t positives = 0;
    if (fit->name_count > MAX_NAMES)
        return km_fail(err, KM_LIMIT, "more than %d terms", MAX_NAMES);
    KM_ASSERT(fit->penalty > 0);
    for (size_t s = 0; s < fit->sample_count; s++) {
        KM_ASSERT(fit->samples[s].weight > 0);
        positives += fit->samples[s].positive;
    }
    if (positives == 0 || positives == fit->sample_count)
        return km_fail(err, KM_FORMAT, "a fit needs positive and negative samples");
    for (size_t i = 0; i < fit->name_count; i++)
        if (!km_additive_name_is_good(fit->names[i], KM_ADDITIVE_NAME_BYTES))
            return km_fail(err, KM_FORMAT, "a term's name is empty, too long or not printable");
    return KM_OK;
}

struct km_additive *km_additive_fit(const struct km_additive_fit *fit, struct km_err *err)
{
    if (check_fit(fit, err) != KM_OK)
        return NULL;
    KM_CLEANUP(km_cleanup_free) struct fitting *f = km_calloc(1, sizeof *f, SIZE_MAX, err);
    if (!f)
        return NULL;
    f->fit = fit;
    f->n = fit->name_count + 1;
    if (measure(f, err) != KM_OK)
        return NULL;
    do {
        for (int k = 0; k < MAX_STEPS && climb(f); k++)
            continue;
    } while (freeze_falling(f));
    KM_CLEANUP(km_additive_cleanup) struct km_additive *model = km_additive_new(err);
    if (!model || give_terms(f, model, err) != KM_OK)
        return NULL;
    return km_steal(model);
}
