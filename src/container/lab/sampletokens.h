/*
 * The token sets of a data set's samples, whole files, kept in memory: for training and for the index. Read-only after
 * its birth.
 */
#ifndef KM_CONTAINER_LAB_SAMPLETOKENS_H
#define KM_CONTAINER_LAB_SAMPLETOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"
#include "container/lab/dataset.h"
#include "container/tokens/tokens.h"

#define KM_SAMPLETOKENS_MAX_IDS ((size_t)1 << 28)

struct km_sampletokens;

struct km_sampletokens_work {
    const struct km_cancel *cancel;                                 /* or NULL */
    void (*progress)(void *context, uint64_t done, uint64_t total); /* of samples; or NULL */
    void *context;
};

/* wanted: [count]. NULL with *err set: KM_NOMEM, KM_LIMIT, KM_CANCELLED. */
struct km_sampletokens *km_sampletokens_new(const struct km_dataset *dataset, const bool *wanted,
                                            const struct km_sampletokens_work *work, struct km_err *err) KM_MUST_USE;
void km_sampletokens_free(struct km_sampletokens *tokens);
KM_DEFINE_CLEANUP(struct km_sampletokens, km_sampletokens_cleanup, km_sampletokens_free);

/* Empty for a sample that was not wanted, or has none. Borrowed. */
struct km_token_set km_sampletokens_get(const struct km_sampletokens *tokens, size_t sample);

#endif
