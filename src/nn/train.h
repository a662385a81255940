/*
 * A trainer: one set of weights, one optimiser, and a batch cut into equal shards, each with its own network (and its
 * own batch statistics in norms). Threads share the shards out; gradients are summed in the shards' order. So the
 * weights after n steps depend on graph, first weights, seed, data, batch and shards, and on nothing else: not on the
 * number of threads, nor on timing. (Another CPU or oneDNN version may round differently.)
 *
 * Weights that are the mean of those of many steps vary less with the seed, and generalise better, than the last ones.
 * The mean is exponential, `average` of it stays at each step; while it is young all steps weigh the same in it.
 *
 * Who chooses samples owns their order: km_seeded_shuffle gives the seeded one of each epoch.
 * Thread rule: one caller at a time; the trainer's own threads do the work. A step allocates nothing of ours.
 */
#ifndef KM_NN_TRAIN_H
#define KM_NN_TRAIN_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "nn/graph.h"
#include "nn/loss.h"
#include "nn/network.h"
#include "nn/optimiser.h"
#include "nn/rowdrop.h"
#include "nn/stem.h"
#include "nn/weights.h"

#define KM_TRAINER_MAX_SHARDS 64u

struct km_trainer_options {
    const struct km_backend *backend; /* NULL: oneDNN */
    uint32_t batch;                   /* samples a step, a multiple of shards */
    uint32_t shards;                  /* 1..KM_TRAINER_MAX_SHARDS */
    uint32_t threads;                 /* 1..shards */
    struct km_loss loss;
    struct km_optimiser optimiser;
    struct km_schedule schedule;
    float norm_momentum;            /* share of the new statistics in the running ones; torch's default is 0.1 */
    float average;                  /* 0: no mean of the weights is kept; else how much of it a step leaves, below 1 */
    struct km_rowdrop_options rows; /* of a hash stem's table, hidden step by step; share 0: none are */
    uint64_t seed;                  /* of dropout and of hidden rows */
};

/* One batch, borrowed for the step. Images for an image graph, squares for a stem graph. */
struct km_trainer_batch {
    const float *images; /* [batch, C, H, W] */
    const struct km_square *squares;
    const float *targets;   /* KM_LOSS_BCE: [batch, outputs] */
    const uint32_t *labels; /* KM_LOSS_SOFTMAX: [batch] */
    const float *weights;   /* [batch] or NULL */
};

struct km_trainer;

/* weights: where training starts, copied. NULL with *err set: KM_LIMIT (batch, shards, threads, average, share of
 * rows), KM_UNSUPPORTED (rows to hide, and no hash stem), the codes of network.h. */
struct km_trainer *km_trainer_new(const struct km_graph *graph, const struct km_weights *weights,
                                  const struct km_trainer_options *options, struct km_err *err) KM_MUST_USE;
void km_trainer_free(struct km_trainer *trainer);
KM_DEFINE_CLEANUP(struct km_trainer, km_trainer_cleanup, km_trainer_free);

/* Forward, backward, one update. *out_loss: before the update. KM_LIMIT for a label beyond the outputs; KM_CONFLICT
 * when the loss is not finite (the weights are then what they were); KM_IO of the backend. */
enum km_code km_trainer_step(struct km_trainer *trainer, const struct km_trainer_batch *batch, double *out_loss,
                             struct km_err *err) KM_MUST_USE;

/* Steps done. */
uint64_t km_trainer_steps(const struct km_trainer *trainer);

/* What a trainer remembers, as plain tensors of the graph (km_weights_new). The moments of running statistics are 0. */
enum km_trainer_part {
    KM_TRAINER_VALUES = 0,
    KM_TRAINER_FIRST = 1,  /* the optimiser's velocity or first moment */
    KM_TRAINER_SECOND = 2, /* ADAM's second moment; 0 for SGD */
    KM_TRAINER_MEAN = 3,   /* of the values after each step, `average` of options; running statistics, too */
};
/* Whether it remembers that part: the mean is kept when the options ask for it. */
bool km_trainer_has(const struct km_trainer *trainer, enum km_trainer_part part);
/* For a part that it has. */
enum km_code km_trainer_get(struct km_trainer *trainer, enum km_trainer_part part, struct km_weights *out,
                            struct km_err *err) KM_MUST_USE;
enum km_code km_trainer_set(struct km_trainer *trainer, enum km_trainer_part part, const struct km_weights *weights,
                            struct km_err *err) KM_MUST_USE;
void km_trainer_set_steps(struct km_trainer *trainer, uint64_t steps);

const struct km_trainer_options *km_trainer_options(const struct km_trainer *trainer);
const struct km_graph *km_trainer_graph(const struct km_trainer *trainer);

#endif
