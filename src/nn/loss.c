#include "nn/loss.h"

#include <math.h>

double km_sigmoid(double logit)
{
    double e = exp(-fabs(logit));
    return logit >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* One sample of BCE: mean over outputs of log(1 + e^x) - t x. */
static double bce_sample(const struct km_loss *loss, const struct km_loss_batch *batch, size_t n, double weight,
                         float *diff)
{
    double sum = 0, outputs = (double)batch->outputs;
    for (size_t o = 0; o < batch->outputs; o++) {
        size_t i = n * batch->outputs + o;
        double x = (double)batch->logits[i], s = (double)loss->smoothing;
        double target = (double)batch->targets[i] * (1 - s) + s / 2;
        sum += (fmax(x, 0) + log1p(exp(-fabs(x))) - target * x) / outputs;
        if (diff)
            diff[i] = (float)(weight * (km_sigmoid(x) - target) / outputs);
    }
    return weight * sum;
}

static double softmax_sample(const struct km_loss *loss, const struct km_loss_batch *batch, size_t n, double weight,
                             float *diff)
{
    const float *logits = batch->logits + n * batch->outputs;
    double highest = -INFINITY, sum = 0, result = 0, s = (double)loss->smoothing, share = s / (double)batch->outputs;
    for (size_t o = 0; o < batch->outputs; o++)
        highest = fmax(highest, (double)logits[o]);
    for (size_t o = 0; o < batch->outputs; o++)
        sum += exp((double)logits[o] - highest);
    double log_sum = highest + log(sum);
    for (size_t o = 0; o < batch->outputs; o++) {
        double target = share + (batch->labels[n] == o ? 1 - s : 0);
        result += target * (log_sum - (double)logits[o]);
        if (diff)
            diff[n * batch->outputs + o] = (float)(weight * (exp((double)logits[o] - log_sum) - target));
    }
    return weight * result;
}

double km_loss(const struct km_loss *loss, const struct km_loss_batch *batch, float *out_diff)
{
    double total = 0;
    for (size_t n = 0; n < batch->count; n++) {
        double weight = batch->scale * (batch->weights ? (double)batch->weights[n] : 1);
        total += loss->kind == KM_LOSS_BCE ? bce_sample(loss, batch, n, weight, out_diff)
                                           : softmax_sample(loss, batch, n, weight, out_diff);
    }
    return total;
}
