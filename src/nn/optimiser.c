#include "nn/optimiser.h"

#include <math.h>

static void sgd(const struct km_optimiser *o, const struct km_optimiser_range *range, float rate)
{
    float *restrict values = range->values, *restrict first = range->first;
    const float *restrict gradients = range->gradients;
    float decay = range->decays ? o->weight_decay : 0;
    for (size_t i = 0; i < range->count; i++) {
        first[i] = o->momentum * first[i] + gradients[i] + decay * values[i];
        values[i] -= rate * first[i];
    }
}

static void adam(const struct km_optimiser *o, const struct km_optimiser_range *range, double rate, uint64_t step)
{
    float *restrict values = range->values, *restrict first = range->first, *restrict second = range->second;
    const float *restrict gradients = range->gradients;
    double t = (double)step;
    float move = (float)(rate / (1 - pow((double)o->beta1, t)));
    float unbias = (float)(1 / sqrt(1 - pow((double)o->beta2, t)));
    float keep = range->decays ? (float)(1 - rate * (double)o->weight_decay) : 1;
    for (size_t i = 0; i < range->count; i++) {
        first[i] = o->beta1 * first[i] + (1 - o->beta1) * gradients[i];
        second[i] = o->beta2 * second[i] + (1 - o->beta2) * gradients[i] * gradients[i];
        values[i] = keep * values[i] - move * first[i] / (sqrtf(second[i]) * unbias + o->epsilon);
    }
}

void km_optimiser_apply(const struct km_optimiser *optimiser, const struct km_optimiser_range *range, double rate,
                        uint64_t step)
{
    if (optimiser->kind == KM_OPTIMISER_SGD)
        sgd(optimiser, range, (float)rate);
    else
        adam(optimiser, range, rate, step);
}

double km_schedule_rate(const struct km_schedule *schedule, uint64_t step)
{
    if (step <= schedule->warmup)
        return schedule->peak * (double)step / (double)schedule->warmup;
    if (step >= schedule->total)
        return schedule->floor;
    double done = (double)(step - schedule->warmup) / (double)(schedule->total - schedule->warmup);
    return schedule->floor + (schedule->peak - schedule->floor) * (1 + cos(3.14159265358979323846 * done)) / 2;
}
