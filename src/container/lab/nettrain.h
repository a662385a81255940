/*
 * Training of the light hash-stem network on samples of a data set: which of them, in which order, and the recipe
 * (AdamW, warm-up and cosine, smoothing, full augmentation; half of the stem's rows hidden at each of the first three
 * quarters of the steps; the result is the mean of the last weights). Each family weighs the same; half of a batch is
 * positive, a quarter their benign twins, a quarter benign files drawn by family.
 *
 * The same data set, seed and options give the same weights, whatever the threads, and also after a stop: with a
 * checkpoint folder the state is kept there every KM_NETTRAIN_KEEP steps and at the end, and a later run goes on from
 * it.
 */
#ifndef KM_CONTAINER_LAB_NETTRAIN_H
#define KM_CONTAINER_LAB_NETTRAIN_H

#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/lab/dataset.h"
#include "container/lab/netview.h"

#define KM_NETTRAIN_BATCH  48u
#define KM_NETTRAIN_SHARDS 4u
#define KM_NETTRAIN_KEEP   100u
#define KM_NETTRAIN_HIDDEN 0.5F   /* of the stem's rows at a step, so that no family is known by a few strings */
#define KM_NETTRAIN_MEAN   0.997F /* of the mean of the weights stays at each step: it remembers some 300 */

struct km_nettrain_options {
    const bool *among; /* [count]: the samples that teach */
    uint32_t part;     /* tells the checkpoints of several trainings in one folder apart */
    uint64_t seed;
    uint32_t side;    /* of the squares: one of the file view's */
    uint32_t samples; /* in all; rounded down to whole batches, at least one */
    uint32_t threads; /* 1..KM_NETTRAIN_SHARDS */
    int checkpoints;  /* folder, borrowed; -1: none are kept */
    const struct km_cancel *cancel;
    void (*progress)(void *context, uint64_t done, uint64_t total, double loss); /* or NULL */
    void *context;
};

/* *out is the caller's. KM_NOTFOUND: no positives or no benign samples to train on;
 * KM_CANCELLED after the state was kept; KM_CONFLICT: a checkpoint of other settings, a loss that is not finite; the
 * codes of train.h and checkpoint.h. */
enum km_code km_nettrain_run(const struct km_dataset *dataset, const struct km_netview *view,
                             const struct km_nettrain_options *options, struct km_weights **out,
                             struct km_err *err) KM_MUST_USE;

/* Takes the checkpoint away: the training has ended and its weights are safe. KM_IO, KM_DENIED. */
enum km_code km_nettrain_forget(const struct km_nettrain_options *options, struct km_err *err) KM_MUST_USE;

#endif
