/*
 * Training of a whole model into a folder: tokens and index, network, fusion, card. Parts that are not asked for stay
 * as they are. Test samples are never read.
 */
#ifndef KM_CONTAINER_LAB_MODELTRAIN_H
#define KM_CONTAINER_LAB_MODELTRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/lab/dataset.h"
#include "container/lab/sitefiles.h"

struct km_modeltrain_options {
    const char *folder; /* made if it is not there */
    const char *name;   /* of the model, for its cards */
    bool tokens, network, fusion;
    const struct km_sitefiles *site; /* the site's own files, or NULL: words learn from them, and the index has them */
    uint64_t seed;
    uint32_t samples; /* of the network's training */
    unsigned threads; /* 1..4 */
    const struct km_cancel *cancel;
    /* what: "tokens", "network", "fusion"; detail may be NULL. */
    void (*progress)(void *context, const char *what, uint64_t done, uint64_t total);
    void *context;
};
#define KM_MODELTRAIN_SAMPLES 96000u
#define KM_MODELTRAIN_SIDE    128u
#define KM_MODELTRAIN_WANTED  0.001 /* rate of false alarms that the calibration asks for */

/* The codes of the parts; KM_NOTFOUND: the data set lacks a class in its train or valid split; KM_CANCELLED: the
 * network's state was kept in the folder, and the same call goes on from it. */
enum km_code km_modeltrain_run(const struct km_dataset *dataset, const struct km_modeltrain_options *options,
                               struct km_err *err) KM_MUST_USE;

#endif
