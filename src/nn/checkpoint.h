/*
 * Checkpoints: all that a trainer remembers, in one safetensors file: the tensors by their names, the optimiser's under
 * "first." and "second.", the mean of the values, when one is kept, under "mean."; steps and settings in the metadata.
 * A trainer that is made with the same settings and loads it goes on to the very weights that it would have reached
 * without the stop, provided it is fed the same batches.
 */
#ifndef KM_NN_CHECKPOINT_H
#define KM_NN_CHECKPOINT_H

#include "base/err.h"
#include "nn/train.h"

#define KM_CHECKPOINT_MAX_BYTES ((size_t)2 << 30)

/* Replaces folder/name as a whole. KM_IO, KM_DENIED, KM_FORMAT and KM_LIMIT (name), KM_NOMEM. */
enum km_code km_checkpoint_save(struct km_trainer *trainer, int folder, const char *name,
                                struct km_err *err) KM_MUST_USE;

/* Reads fd from its start. KM_CONFLICT when a setting is another one (batch, shards, seed, loss, optimiser, schedule,
 * norm momentum, average, rows hidden), KM_FORMAT when it is no checkpoint; the codes of weightsfile.h. The trainer is
 * what it was after a failure, unless the backend itself fails (KM_IO, KM_NOMEM). */
enum km_code km_checkpoint_load(struct km_trainer *trainer, int fd, struct km_err *err) KM_MUST_USE;

#endif
