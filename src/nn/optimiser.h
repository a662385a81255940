/*
 * SGD with momentum, Adam with decoupled weight decay (AdamW), and the learning rate's course. All work element by
 * element on flat blocks, so the order of memory does not matter and ranges can be given to threads.
 */
#ifndef KM_NN_OPTIMISER_H
#define KM_NN_OPTIMISER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum km_optimiser_kind {
    KM_OPTIMISER_SGD = 0,
    KM_OPTIMISER_ADAM = 1,
};

struct km_optimiser {
    enum km_optimiser_kind kind;
    float momentum;     /* SGD */
    float beta1, beta2; /* ADAM */
    float epsilon;      /* ADAM */
    float weight_decay; /* SGD: added to the gradient, as in torch; ADAM: decoupled */
};

#define KM_OPTIMISER_ADAM_INIT                                                                                         \
    {                                                                                                                  \
        .kind = KM_OPTIMISER_ADAM, .beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-8F                                    \
    }

/* One element's memory: SGD uses first (the velocity), ADAM both. */
struct km_optimiser_range {
    float *values;
    const float *gradients;
    float *first, *second;
    size_t count;
    bool decays;
};

/* One update with learning rate `rate`; step counts from 1. */
void km_optimiser_apply(const struct km_optimiser *optimiser, const struct km_optimiser_range *range, double rate,
                        uint64_t step);

/* Linear from 0 to peak over `warmup` steps, then half a cosine down to `floor` at `total`, and `floor` after it. */
struct km_schedule {
    double peak, floor;
    uint64_t warmup, total;
};

/* The rate of step 1, 2, … */
double km_schedule_rate(const struct km_schedule *schedule, uint64_t step);

#endif
