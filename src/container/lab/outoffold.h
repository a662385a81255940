/*
 * What sub-models say about files of families that they have not seen: the samples are cut into folds by family, and
 * words, index and network learn again from all folds but one and score that one. It is what a fusion can be fitted to:
 * of a file that it learned from a network is far too sure.
 *
 * The sub-models are forgotten; only the networks' checkpoints stay until km_outoffold_forget, so that a run which was
 * interrupted goes on.
 */
#ifndef KM_CONTAINER_LAB_OUTOFFOLD_H
#define KM_CONTAINER_LAB_OUTOFFOLD_H

#include <stdbool.h>

#include "base/err.h"
#include "container/lab/filescore.h"
#include "container/lab/nettrain.h"
#include "container/lab/sampletokens.h"
#include "container/lab/sitefiles.h"

#define KM_OUTOFFOLD_FOLDS 3u

struct km_outoffold_plan {
    const bool *among;                   /* [count]: the samples that are cut into folds */
    const struct km_sampletokens *words; /* of them; NULL: words and index are not asked */
    const struct km_sitefiles *site;     /* or NULL; as in tokenfit.h */
    /* NULL: no network is asked. `among` and `part` are set here. */
    const struct km_nettrain_options *network;
    const struct km_netview *view; /* with `network` */
    struct km_filescore_work work;
};

/* Fills scores[i] of the samples of `among`; what was not asked is NaN. Token scores are logits, not calibrated. Codes
 * of familyfold.h, tokenfit.h, nettrain.h and filescore.h. */
enum km_code km_outoffold_score(const struct km_dataset *dataset, const struct km_outoffold_plan *plan,
                                struct km_filescore *scores, struct km_err *err) KM_MUST_USE;

/* Takes the checkpoints away. KM_IO, KM_DENIED. */
enum km_code km_outoffold_forget(const struct km_nettrain_options *network, struct km_err *err) KM_MUST_USE;

#endif
