/*
 * The fusion of a model, fitted to what its parts say about files of families that they have not seen (outoffold.h).
 *
 * The network's term is bounded: whatever a network says of bytes that are like nothing it has learned from, it is one
 * voice beside the words. Both weights may not fall below 0: more of either is never less suspicious.
 */
#ifndef KM_CONTAINER_LAB_FUSIONFIT_H
#define KM_CONTAINER_LAB_FUSIONFIT_H

#include <stdbool.h>

#include "base/err.h"
#include "container/lab/dataset.h"
#include "container/lab/filescore.h"
#include "stats/additive.h"

#define KM_FUSIONFIT_NETWORK_LOW  (-3.0)
#define KM_FUSIONFIT_NETWORK_HIGH 3.0

struct km_fusionfit_plan {
    const bool *among; /* [count]: samples of both classes; each family of a class weighs the same */
    const struct km_filescore *scores;
    bool tokens, network, lookalike; /* which parts there are; lookalike is set by rule (lookalike.h) */
    bool site;                       /* the index has a site's files */
    double wanted;                   /* rate of false alarms that the threshold allows among the benign samples */
    const char *set;                 /* what those are, in words */
};

/* Codes of km_additive_fit and km_lookalike_set; KM_NOMEM. */
enum km_code km_fusionfit_run(const struct km_dataset *dataset, const struct km_fusionfit_plan *plan,
                              struct km_additive **out, struct km_err *err) KM_MUST_USE;

#endif
