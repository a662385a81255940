/*
 * What the parts of a model say about one file, each alone: the values that the fusion weighs, the features of
 * scan/detector.h by their names. With a detector they come from it, cut into segments as a scan cuts them: what is
 * measured is what runs. Without one (while a model is made) they come from its parts over the file as a whole.
 */
#ifndef KM_CONTAINER_LAB_FILESCORE_H
#define KM_CONTAINER_LAB_FILESCORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"
#include "container/lab/dataset.h"
#include "container/lab/netview.h"
#include "container/scan/detector.h"
#include "container/tokens/tokenindex.h"
#include "container/tokens/tokenmodel.h"
#include "stats/additive.h"

/* Borrowed parts; any may be NULL, and what it would have said is NaN. The index is prepared with the model's idf. */
struct km_modelparts {
    const struct km_detector *detector; /* then tokens, indexes and network are not asked */
    const struct km_token_model *tokens;
    const struct km_token_index *const *indexes;
    size_t index_count;
    const struct km_netview *view; /* with `network` */
    const struct km_weights *network;
    const struct km_additive *fusion;
};

enum km_filescore_part {
    KM_FILESCORE_FUSED = 0,
    KM_FILESCORE_TOKENS = 1, /* "tokens.score" */
    KM_FILESCORE_WINDOW = 2, /* "tokens.window" */
    KM_FILESCORE_LOOKALIKE = 3,
    KM_FILESCORE_NETWORK = 4,
    KM_FILESCORE_KNOWN = 5, /* the cosine to the nearest known file alone */
};
#define KM_FILESCORE_PARTS 6
/* The feature's name, "fused" for the first. Static storage. */
const char *km_filescore_name(enum km_filescore_part part);

struct km_filescore {
    double parts[KM_FILESCORE_PARTS];
};

struct km_filescorer; /* one a thread */
struct km_filescorer *km_filescorer_new(const struct km_modelparts *parts, struct km_err *err) KM_MUST_USE;
void km_filescorer_free(struct km_filescorer *scorer);
KM_DEFINE_CLEANUP(struct km_filescorer, km_filescorer_cleanup, km_filescorer_free);

/* length at least 1. KM_IO of the network's backend. */
enum km_code km_filescorer_run(struct km_filescorer *scorer, const uint8_t *bytes, size_t length,
                               struct km_filescore *out, struct km_err *err) KM_MUST_USE;

/* The fused log-odds of parts that are there already. NaN without a fusion. */
double km_filescore_fuse(const struct km_additive *fusion, const struct km_filescore *score);

/* Scores all wanted samples by `threads` workers (1..16); out: [count], the others stay as they are. */
struct km_filescore_work {
    unsigned threads;
    const struct km_cancel *cancel;
    void (*progress)(void *context, uint64_t done, uint64_t total); /* from one thread at a time; or NULL */
    void *context;
};
enum km_code km_filescore_samples(const struct km_modelparts *parts, const struct km_dataset *dataset,
                                  const bool *wanted, const struct km_filescore_work *work, struct km_filescore *out,
                                  struct km_err *err) KM_MUST_USE;

#endif
