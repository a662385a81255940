#include "stats/additive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stats/additive_parts.h"

struct km_additive *km_additive_new(struct km_err *err)
{
    return km_calloc(1, sizeof(struct km_additive), SIZE_MAX, err);
}

void km_additive_free(struct km_additive *model)
{
    free(model);
}

struct km_additive *km_additive_copy(const struct km_additive *model, struct km_err *err)
{
    struct km_additive *copy = km_additive_new(err);
    if (copy)
        *copy = *model;
    return copy;
}

bool km_additive_name_is_good(const char *name, size_t max_bytes)
{
    size_t length = strnlen(name, max_bytes);
    if (length == 0 || length == max_bytes)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return true;
}

static enum km_code check_term(const struct km_additive_term *term, struct km_err *err)
{
    if (!km_additive_name_is_good(term->name, KM_ADDITIVE_NAME_BYTES))
        return km_fail(err, KM_FORMAT, "a term's name is empty, too long or not printable");
    if (!isfinite(term->weight) || !isfinite(term->missing) || isnan(term->low) || isnan(term->high) ||
        term->low > term->high)
        return km_fail(err, KM_FORMAT, "term '%s': a number is not finite, or low is above high", term->name);
    if (term->step_count > KM_ADDITIVE_MAX_STEPS)
        return km_fail(err, KM_LIMIT, "term '%s': more than %d steps", term->name, KM_ADDITIVE_MAX_STEPS);
    for (size_t i = 0; i < term->step_count; i++) {
        const struct km_additive_step *step = &term->steps[i];
        if (!isfinite(step->from) || !isfinite(step->weight) || (i > 0 && step->from <= step[-1].from))
            return km_fail(err, KM_FORMAT, "term '%s': steps must be finite and ascend", term->name);
    }
    return KM_OK;
}

enum km_code km_additive_set_term(struct km_additive *model, const struct km_additive_term *term, struct km_err *err)
{
    enum km_code code = check_term(term, err);
    if (code != KM_OK)
        return code;
    int at = km_additive_find(model, term->name);
    if (at < 0 && model->term_count == KM_ADDITIVE_MAX_TERMS)
        return km_fail(err, KM_LIMIT, "more than %d terms", KM_ADDITIVE_MAX_TERMS);
    model->terms[at < 0 ? model->term_count++ : (size_t)at] = *term;
    return KM_OK;
}

void km_additive_set_bias(struct km_additive *model, double bias)
{
    KM_ASSERT(isfinite(bias));
    model->bias = bias;
}

void km_additive_set_calibration(struct km_additive *model, const struct km_calibration *calibration)
{
    KM_ASSERT(isfinite(calibration->threshold) && calibration->above <= calibration->negatives);
    model->calibration = *calibration;
}

double km_additive_bias(const struct km_additive *model)
{
    return model->bias;
}

size_t km_additive_term_count(const struct km_additive *model)
{
    return model->term_count;
}

const struct km_additive_term *km_additive_term(const struct km_additive *model, size_t i)
{
    KM_ASSERT(i < model->term_count);
    return &model->terms[i];
}

int km_additive_find(const struct km_additive *model, const char *name)
{
    for (size_t i = 0; i < model->term_count; i++)
        if (strcmp(model->terms[i].name, name) == 0)
            return (int)i;
    return -1;
}

const struct km_calibration *km_additive_calibration(const struct km_additive *model)
{
    return &model->calibration;
}

double km_additive_contribution(const struct km_additive_term *term, double value)
{
    if (isnan(value))
        return term->missing;
    if (term->step_count == 0) {
        double clamped = value < term->low ? term->low : value > term->high ? term->high : value;
        return isfinite(clamped) ? term->weight * clamped : term->missing;
    }
    size_t i = term->step_count - 1;
    while (i > 0 && value < term->steps[i].from)
        i--;
    return term->steps[i].weight;
}

double km_additive_score(const struct km_additive *model, const double *values, double *contributions)
{
    double sum = model->bias;
    for (size_t i = 0; i < model->term_count; i++) {
        double contribution = km_additive_contribution(&model->terms[i], values[i]);
        sum += contribution;
        if (contributions)
            contributions[i] = contribution;
    }
    return sum;
}

static int compare_descending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left > right ? -1 : left < right;
}

/* The threshold lies half way between two scores, so that the rounding of either cannot cross it. */
void km_calibration_choose(double *scores, size_t count, double wanted, struct km_calibration *out)
{
    KM_ASSERT(wanted > 0 && wanted <= 1);
    out->negatives = count;
    out->above = 0;
    out->wanted = wanted;
    out->threshold = 0;
    if (count == 0)
        return;
    qsort(scores, count, sizeof *scores, compare_descending);
    size_t allowed = (size_t)floor((double)count * wanted);
    while (allowed > 0 && allowed < count && scores[allowed] >= scores[allowed - 1])
        allowed--; /* equal scores are all above it, or none */
    out->above = allowed;
    if (allowed == count)
        out->threshold = scores[count - 1];
    else if (allowed == 0)
        out->threshold = nextafter(scores[0] + 1e-6 * (1 + fabs(scores[0])), INFINITY);
    else
        out->threshold = scores[allowed] + (scores[allowed - 1] - scores[allowed]) / 2;
    if (allowed > 0 && allowed < count && out->threshold <= scores[allowed])
        out->threshold = scores[allowed - 1]; /* neighbouring doubles */
}

struct km_estimate km_calibration_rate(const struct km_calibration *calibration)
{
    uint64_t n = calibration->negatives;
    if (n == 0)
        return (struct km_estimate){NAN, {0, 1}};
    if (calibration->above == 0)
        return (struct km_estimate){0, {0, km_interval_zero_upper(n, KM_ADDITIVE_CONFIDENCE)}};
    return (struct km_estimate){
        (double)calibration->above / (double)n,
        km_interval_clopper_pearson((double)calibration->above, (double)n, KM_ADDITIVE_CONFIDENCE)};
}

bool km_calibration_is_enough(const struct km_calibration *calibration)
{
    return calibration->negatives > 0 &&
           km_interval_zero_upper(calibration->negatives, KM_ADDITIVE_CONFIDENCE) <= calibration->wanted;
}
