#include "stats/bootstrap.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stats/random.h"
#include "stats/special.h"

struct member {
    uint32_t group, sample;
};

/* Samples sorted by group, and where each group begins. */
struct clusters {
    struct member *members;
    size_t *starts; /* [count + 1] */
    size_t count;
    uint32_t *drawn; /* the samples of one replicate */
    size_t drawn_count, drawn_capacity;
};

static void free_clusters(struct clusters *clusters)
{
    free(clusters->members);
    free(clusters->starts);
    free(clusters->drawn);
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static enum km_code make_clusters(const struct km_bootstrap_plan *plan, struct clusters *clusters, struct km_err *err)
{
    clusters->members = km_calloc(plan->count, sizeof *clusters->members, SIZE_MAX, err);
    if (!clusters->members)
        return err->code;
    clusters->starts = km_calloc(plan->count + 1, sizeof *clusters->starts, SIZE_MAX, err);
    if (!clusters->starts)
        return err->code;
    for (size_t i = 0; i < plan->count; i++)
        clusters->members[i] = (struct member){plan->groups ? plan->groups[i] : (uint32_t)i, (uint32_t)i};
    if (plan->count > 1)
        qsort(clusters->members, plan->count, sizeof *clusters->members, compare_members);
    for (size_t i = 0; i < plan->count; i++)
        if (i == 0 || clusters->members[i].group != clusters->members[i - 1].group)
            clusters->starts[clusters->count++] = i;
    clusters->starts[clusters->count] = plan->count;
    return KM_OK;
}

static enum km_code append_group(struct clusters *clusters, size_t group, struct km_err *err)
{
    size_t size = clusters->starts[group + 1] - clusters->starts[group];
    void *drawn = clusters->drawn;
    enum km_code code = km_grow(&drawn, &clusters->drawn_capacity, clusters->drawn_count + size,
                                sizeof *clusters->drawn, UINT32_MAX, err);
    clusters->drawn = drawn;
    if (code != KM_OK)
        return code;
    for (size_t i = clusters->starts[group]; i < clusters->starts[group + 1]; i++)
        clusters->drawn[clusters->drawn_count++] = clusters->members[i].sample;
    return KM_OK;
}

static double compute(const struct km_bootstrap_statistic *statistic, const struct clusters *clusters)
{
    return statistic->compute(statistic->context, clusters->drawn, clusters->drawn_count);
}

/* All groups but one; `without` = clusters->count leaves out none. */
static enum km_code compute_without(const struct km_bootstrap_statistic *statistic, struct clusters *clusters,
                                    size_t without, double *out, struct km_err *err)
{
    clusters->drawn_count = 0;
    for (size_t group = 0; group < clusters->count; group++) {
        enum km_code code = group == without ? KM_OK : append_group(clusters, group, err);
        if (code != KM_OK)
            return code;
    }
    *out = clusters->drawn_count > 0 ? compute(statistic, clusters) : NAN;
    return KM_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The statistic of each replicate, sorted; NaN ones are left out and counted. */
static enum km_code draw(const struct km_bootstrap_plan *plan, const struct km_bootstrap_statistic *statistic,
                         struct clusters *clusters, double *values, unsigned *out_defined, struct km_err *err)
{
    struct km_random random;
    km_random_init(&random, plan->seed);
    unsigned defined = 0;
    for (unsigned n = 0; n < plan->replicates; n++) {
        clusters->drawn_count = 0;
        for (size_t i = 0; i < clusters->count; i++) {
            enum km_code code = append_group(clusters, km_random_below(&random, clusters->count), err);
            if (code != KM_OK)
                return code;
        }
        double value = compute(statistic, clusters);
        if (!isnan(value))
            values[defined++] = value;
    }
    if (defined == 0)
        return km_fail(err, KM_NOTFOUND, "no replicate defines the statistic");
    qsort(values, defined, sizeof *values, compare_doubles);
    *out_defined = defined;
    return KM_OK;
}

static double quantile(const double *sorted, unsigned count, double p)
{
    double position = p * ((double)count + 1);
    if (!(position > 1))
        return sorted[0];
    if (position >= count)
        return sorted[count - 1];
    unsigned below = (unsigned)position;
    double share = position - below;
    return share > 0 ? sorted[below - 1] + share * (sorted[below] - sorted[below - 1]) : sorted[below - 1];
}

/* Efron's acceleration: skewness of the leave-one-group-out values. NaN when undefined. */
static enum km_code acceleration(const struct km_bootstrap_statistic *statistic, struct clusters *clusters, double *out,
                                 struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) double *values = km_calloc(clusters->count, sizeof *values, SIZE_MAX, err);
    if (!values)
        return err->code;
    double mean = 0, squares = 0, cubes = 0;
    for (size_t i = 0; i < clusters->count; i++) {
        enum km_code code = compute_without(statistic, clusters, i, &values[i], err);
        if (code != KM_OK)
            return code;
        mean += values[i] / (double)clusters->count;
    }
    for (size_t i = 0; i < clusters->count; i++) {
        double d = mean - values[i];
        squares += d * d;
        cubes += d * d * d;
    }
    *out = cubes / (6 * pow(squares, 1.5));
    return KM_OK;
}

/* Which quantile of the replicates BCa takes for a normal deviate z. */
static double adjusted(double z, double bias, double accelerated)
{
    return km_special_normal_cdf(bias + (bias + z) / (1 - accelerated * (bias + z)));
}

/* Leaves *interval alone when the correction is undefined. */
static void correct(const double *sorted, unsigned count, double value, double accelerated, double confidence,
                    struct km_interval *interval)
{
    unsigned below = 0, equal = 0;
    for (unsigned i = 0; i < count; i++) {
        below += sorted[i] < value;
        equal += sorted[i] == value;
    }
    double share = (below + equal / 2.0) / count;
    if (!isfinite(accelerated) || !(share > 0 && share < 1))
        return;
    double bias = km_special_normal_quantile(share), z = km_special_normal_quantile((1 - confidence) / 2);
    double low = adjusted(z, bias, accelerated), high = adjusted(-z, bias, accelerated);
    if (low < high)
        *interval = (struct km_interval){quantile(sorted, count, low), quantile(sorted, count, high)};
}

static enum km_code run(const struct km_bootstrap_plan *plan, const struct km_bootstrap_statistic *statistic,
                        struct clusters *clusters, struct km_bootstrap_result *out, struct km_err *err)
{
    enum km_code code = make_clusters(plan, clusters, err);
    if (code != KM_OK)
        return code;
    struct km_bootstrap_result result = {0};
    code = compute_without(statistic, clusters, clusters->count, &result.value, err);
    if (code != KM_OK)
        return code;
    if (isnan(result.value))
        return km_fail(err, KM_NOTFOUND, "the samples do not define the statistic");
    KM_CLEANUP(km_cleanup_free) double *values = km_calloc(plan->replicates, sizeof *values, SIZE_MAX, err);
    if (!values)
        return err->code;
    unsigned defined = 0;
    code = draw(plan, statistic, clusters, values, &defined, err);
    if (code != KM_OK)
        return code;
    double accelerated = NAN;
    code = acceleration(statistic, clusters, &accelerated, err);
    if (code != KM_OK)
        return code;
    double tail = (1 - plan->confidence) / 2;
    result.undefined = plan->replicates - defined;
    result.percentile = (struct km_interval){quantile(values, defined, tail), quantile(values, defined, 1 - tail)};
    result.bca = result.percentile;
    correct(values, defined, result.value, accelerated, plan->confidence, &result.bca);
    *out = result;
    return KM_OK;
}

enum km_code km_bootstrap_run(const struct km_bootstrap_plan *plan, const struct km_bootstrap_statistic *statistic,
                              struct km_bootstrap_result *out, struct km_err *err)
{
    KM_ASSERT(plan->confidence > 0 && plan->confidence < 1 && plan->replicates > 0);
    if (plan->count == 0)
        return km_fail(err, KM_NOTFOUND, "there are no samples to draw from");
    if (plan->replicates > KM_BOOTSTRAP_MAX_REPLICATES || plan->count >= UINT32_MAX)
        return km_fail(err, KM_LIMIT, "%u replicates of %zu samples are too many", plan->replicates, plan->count);
    struct clusters clusters = {0};
    enum km_code code = run(plan, statistic, &clusters, out, err);
    free_clusters(&clusters);
    return code;
}
