/*
 * Losses over a batch of logits [n, outputs], and their differences. Sums in double, in the order of the samples.
 */
#ifndef KM_NN_LOSS_H
#define KM_NN_LOSS_H

#include <stddef.h>
#include <stdint.h>

enum km_loss_kind {
    KM_LOSS_BCE = 0,     /* sigmoid and binary cross-entropy of each output, mean over outputs; targets [n, outputs] */
    KM_LOSS_SOFTMAX = 1, /* softmax and cross-entropy; labels [n], each below outputs */
};

struct km_loss {
    enum km_loss_kind kind;
    float smoothing; /* BCE: target t becomes t (1 - s) + s / 2; SOFTMAX: s / outputs goes to every class; 0..1 */
};

struct km_loss_batch {
    const float *logits;
    size_t count, outputs;
    const float *targets;   /* BCE */
    const uint32_t *labels; /* SOFTMAX */
    const float *weights;   /* of samples; NULL: all 1 */
    double scale;           /* multiplies loss and differences: 1 / the whole batch's weight */
};

/* The loss, summed and scaled; out_diff [n, outputs] receives its differences by the logits (NULL: not wanted). */
double km_loss(const struct km_loss *loss, const struct km_loss_batch *batch, float *out_diff);

/* 1 / (1 + e^-x), without overflow. */
double km_sigmoid(double logit);

#endif
