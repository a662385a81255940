#include "container/tokens/tokentrain.h"

#include <math.h>
#include <string.h>

#include "container/tokens/lbfgs.h"
#include "container/tokens/tokenmodel_internal.h"
#include "nn/safetensors.h"

#define DEFAULT_STRENGTH   30.0 /* chosen on development data: README.md */
#define DEFAULT_ITERATIONS 200
#define TOLERANCE          1e-4
#define WINDOW_SHARE       0.5
#define MIN_FILES          2 /* a token of one file teaches nothing about another */

/* What the loss is a sum over: a file's set, or that of its strongest window. */
struct row {
    struct km_token_set set;
    double weight; /* both classes sum to 1/2 */
    double factor; /* 1 / norm */
    bool positive;
};

struct training {
    const struct km_token_sample *samples;
    size_t count;
    const struct km_token_set *windows; /* [count], or NULL */
    const float *idf;                   /* 0 outside the vocabulary */
    struct row *rows;
    size_t row_count;
    double penalty;
};

static bool is_set(const struct km_token_set *set)
{
    for (size_t k = 0; k < set->count; k++)
        if (set->ids[k] >= KM_TOKEN_IDS || (k > 0 && set->ids[k] <= set->ids[k - 1]))
            return false;
    return true;
}

static enum km_code check_samples(const struct km_token_sample *samples, size_t count,
                                  const struct km_token_set *windows, struct km_err *err)
{
    double total[2] = {0, 0};
    if (count > KM_TOKEN_MAX_SAMPLES)
        return km_fail(err, KM_LIMIT, "token training: %zu samples", count);
    for (size_t i = 0; i < count; i++) {
        if (!(samples[i].weight >= 0) || !isfinite(samples[i].weight))
            return km_fail(err, KM_FORMAT, "token training: sample %zu has no weight that is a number", i);
        if (!is_set(&samples[i].set) || (windows && !is_set(&windows[i])))
            return km_fail(err, KM_FORMAT, "token training: sample %zu is no ascending set of ids", i);
        total[samples[i].positive] += samples[i].weight;
    }
    if (!(total[0] > 0) || !(total[1] > 0) || !isfinite(total[0] + total[1]))
        return km_fail(err, KM_FORMAT, "token training needs samples of both classes");
    return KM_OK;
}

/* How rare tokens are among the samples: log((1 + files) / (1 + files with it)) + 1. The vocabulary is what more than
 * one file has. */
static enum km_code count_tokens(const struct km_token_sample *samples, size_t count, float *out_idf,
                                 float *out_vocabulary, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint32_t *files = km_calloc(KM_TOKEN_IDS, sizeof *files, SIZE_MAX, err);
    if (!files)
        return err->code;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < samples[i].set.count; k++)
            files[samples[i].set.ids[k]]++;
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++) {
        out_idf[id] = km_safetensors_round_half((float)(log((1.0 + (double)count) / (1.0 + files[id])) + 1));
        out_vocabulary[id] = files[id] >= MIN_FILES ? out_idf[id] : 0;
    }
    return KM_OK;
}

static void add_row(struct training *training, const struct km_token_set *set, double weight, bool positive)
{
    double squares = 0;
    for (size_t k = 0; k < set->count; k++) {
        double idf = (double)training->idf[set->ids[k]];
        squares += idf * idf;
    }
    double factor = squares > 0 ? 1 / sqrt(squares) : 0;
    training->rows[training->row_count++] = (struct row){*set, weight, factor, positive};
}

/* A file that has a window shares its weight with it. */
static void lay_rows(struct training *training)
{
    double total[2] = {0, 0};
    for (size_t i = 0; i < training->count; i++)
        total[training->samples[i].positive] += training->samples[i].weight;
    for (size_t i = 0; i < training->count; i++) {
        const struct km_token_sample *sample = &training->samples[i];
        const struct km_token_set *window = training->windows ? &training->windows[i] : NULL;
        bool shared = window && window->count > 0;
        double weight = sample->weight / total[sample->positive] / 2 * (shared ? 1 - WINDOW_SHARE : 1);
        add_row(training, &sample->set, weight, sample->positive);
        if (shared)
            add_row(training, window, weight / (1 - WINDOW_SHARE) * WINDOW_SHARE, sample->positive);
    }
}

/* log(1 + exp(x)) and its slope. */
static double log_loss(double x, double *out_slope)
{
    double small = exp(-fabs(x));
    *out_slope = x > 0 ? 1 / (1 + small) : small / (1 + small);
    return (x > 0 ? x : 0) + log1p(small);
}

/* point: a weight for each id, then the bias. */
static double evaluate(void *context, const double *point, double *out_gradient)
{
    const struct training *training = context;
    double value = 0, bias_gradient = 0;
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++) {
        value += point[id] * point[id];
        out_gradient[id] = training->penalty * point[id];
    }
    value *= training->penalty / 2;
    for (size_t i = 0; i < training->row_count; i++) {
        const struct row *row = &training->rows[i];
        double sum = 0, slope, sign = row->positive ? -1 : 1;
        for (size_t k = 0; k < row->set.count; k++)
            sum += point[row->set.ids[k]] * (double)training->idf[row->set.ids[k]];
        value += row->weight * log_loss(sign * (sum * row->factor + point[KM_TOKEN_IDS]), &slope);
        double push = row->weight * sign * slope;
        bias_gradient += push;
        push *= row->factor;
        for (size_t k = 0; k < row->set.count; k++)
            out_gradient[row->set.ids[k]] += push * (double)training->idf[row->set.ids[k]];
    }
    out_gradient[KM_TOKEN_IDS] = bias_gradient;
    return value;
}

/* Models are what their files hold: a model that was saved and loaded is the same model. */
static float as_stored(double weight)
{
    double most = (double)KM_SAFETENSORS_HALF_MAX;
    return km_safetensors_round_half((float)fmax(-most, fmin(most, weight)));
}

static enum km_code fit(struct training *training, const struct km_token_train_options *options,
                        struct km_token_model *model, struct km_token_train_report *report, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) double *point = km_calloc(KM_TOKEN_IDS + 1, sizeof *point, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free)
    struct row *rows = point ? km_calloc(2 * training->count, sizeof *rows, SIZE_MAX, err) : NULL;
    if (!rows)
        return err->code;
    training->rows = rows;
    double strength = options && options->strength > 0 ? options->strength : DEFAULT_STRENGTH;
    training->penalty = 1 / (strength * (double)training->count);
    lay_rows(training);
    struct km_lbfgs_problem problem = {
        .context = training,
        .size = KM_TOKEN_IDS + 1,
        .evaluate = evaluate,
        .max_iterations = options && options->max_iterations > 0 ? options->max_iterations : DEFAULT_ITERATIONS,
        .tolerance = TOLERANCE,
    };
    struct km_lbfgs_report done;
    enum km_code code = km_lbfgs_minimise(&problem, point, &done, err);
    if (code != KM_OK)
        return code;
    *report = (struct km_token_train_report){done.iterations, done.value, done.converged};
    model->bias = (double)(float)point[KM_TOKEN_IDS];
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
        model->weight[id] = as_stored(point[id] * (double)training->idf[id]);
    km_token_model_finish(model);
    return KM_OK;
}

enum km_code km_token_train(const struct km_token_sample *samples, size_t count,
                            const struct km_token_train_options *options, struct km_token_model **out,
                            struct km_token_train_report *out_report, struct km_err *err)
{
    const struct km_token_set *windows = options ? options->windows : NULL;
    enum km_code code = check_samples(samples, count, windows, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = km_token_model_new(err);
    KM_CLEANUP(km_cleanup_free) float *vocabulary = km_calloc(KM_TOKEN_IDS, sizeof *vocabulary, SIZE_MAX, err);
    if (!model || !vocabulary)
        return err->code;
    code = count_tokens(samples, count, model->idf, vocabulary, err);
    struct training training = {.samples = samples, .count = count, .windows = windows, .idf = vocabulary};
    struct km_token_train_report report = {0};
    if (code == KM_OK)
        code = fit(&training, options, model, &report, err);
    if (code != KM_OK)
        return code;
    if (out_report)
        *out_report = report;
    *out = km_steal(model);
    return KM_OK;
}
