#include "container/tokens/tokenmodel.h"

#include <math.h>
#include <string.h>

#include "container/tokens/tokenmodel_internal.h"

#define WANTED_IDS 4096 /* of the highest weights: their texts fit the extractor's run for them */

struct km_token_model *km_token_model_new(struct km_err *err)
{
    struct km_token_model *model = km_calloc(1, sizeof *model, sizeof *model, err);
    if (model)
        model->calibration = (struct km_token_calibration){.file_scale = 1, .window_scale = 1};
    return model;
}

void km_token_model_free(struct km_token_model *model)
{
    free(model);
}

/* The weight that WANTED_IDS ids reach, found by halving: weights are few distinct floats in a known range. */
static float wanted_floor(const struct km_token_model *model)
{
    float low = 0, high = 0;
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
        high = model->weight[id] > high ? model->weight[id] : high;
    for (int step = 0; step < 24; step++) {
        float middle = (low + high) / 2;
        size_t above = 0;
        for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
            above += model->weight[id] > middle;
        if (above > WANTED_IDS)
            low = middle;
        else
            high = middle;
    }
    return high;
}

void km_token_model_finish(struct km_token_model *model)
{
    float floor = wanted_floor(model);
    memset(model->wanted, 0, sizeof model->wanted);
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++) {
        float weight = model->weight[id], idf = model->idf[id];
        model->pairs[id] = (struct km_token_pair){weight, weight != 0 ? idf * idf : 0};
        if (weight > floor)
            model->wanted[id >> 6] |= UINT64_C(1) << (id & 63);
    }
}

/* The sum of weights, and the factor that makes it part of the logit. */
static double sum_weights(const struct km_token_model *model, const struct km_token_set *set, double *out_factor)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct km_token_pair *pair = &model->pairs[set->ids[i]];
        sum += (double)pair->weight;
        squares += (double)pair->square;
    }
    *out_factor = squares > 0 ? 1 / sqrt(squares) : 0;
    return sum;
}

double km_token_model_logit(const struct km_token_model *model, const struct km_token_set *set)
{
    double factor, sum = sum_weights(model, set, &factor);
    return model->bias + sum * factor;
}

double km_token_model_explain(const struct km_token_model *model, const struct km_token_set *set,
                              struct km_token_term *out_terms, size_t max, size_t *out_count)
{
    double factor, sum = sum_weights(model, set, &factor);
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++) {
        double weight = (double)model->pairs[set->ids[i]].weight * factor;
        if (weight <= 0 || max == 0 || (count == max && weight <= out_terms[count - 1].weight))
            continue;
        size_t at = count < max ? count++ : count - 1;
        for (; at > 0 && out_terms[at - 1].weight < weight; at--)
            out_terms[at] = out_terms[at - 1];
        out_terms[at] = (struct km_token_term){set->ids[i], weight};
    }
    *out_count = count;
    return model->bias + sum * factor;
}

double km_token_model_bias(const struct km_token_model *model)
{
    return model->bias;
}

double km_token_model_term(const struct km_token_model *model, const struct km_token_set *set, size_t i)
{
    double factor;
    (void)sum_weights(model, set, &factor);
    return (double)model->pairs[set->ids[i]].weight * factor;
}

double km_token_model_file_score(const struct km_token_model *model, double logit)
{
    return model->calibration.file_scale * logit + model->calibration.file_shift;
}

double km_token_model_window_score(const struct km_token_model *model, double logit)
{
    return model->calibration.window_scale * logit + model->calibration.window_shift;
}

const float *km_token_model_idf(const struct km_token_model *model)
{
    return model->idf;
}

const uint64_t *km_token_model_wanted(const struct km_token_model *model)
{
    return model->wanted;
}
