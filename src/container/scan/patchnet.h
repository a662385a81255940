/*
 * The paper's network: patches of 256 x 256 pixels of a picture (tar view) to scores, in a crew of threads with one
 * network each, whose weights they share. Scores do not depend on the number of threads.
 *
 * Lifecycle: km_patchnet_load, any number of km_patchnet_score, km_patchnet_free. One caller at a time.
 */
#ifndef KM_CONTAINER_SCAN_PATCHNET_H
#define KM_CONTAINER_SCAN_PATCHNET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "nn/card.h"

#define KM_PATCHNET_SIDE     256U
#define KM_PATCHNET_MAX_JOBS 16U
/* The reference's rule: a patch is malevolent above this, unless the card has a threshold "patch". */
#define KM_PATCHNET_THRESHOLD 0.75

struct km_backend;
struct km_patchnet;

struct km_patchnet_options {
    const struct km_backend *backend; /* NULL: oneDNN */
    unsigned jobs;                    /* threads; at least 1, more than KM_PATCHNET_MAX_JOBS count as that */
};

/* Reads card and weights from their start; the caller keeps the descriptors. The network must be a resnet18 of the tar
 * view with one output (a logit) or two (benign, malevolent): KM_UNSUPPORTED otherwise. KM_FORMAT also when it answers
 * a black patch with no usable number, or "patch" is no probability; else the codes of modelfile.h and network.h.
 * *out is the caller's. */
enum km_code km_patchnet_load(int card_fd, int weights_fd, const struct km_patchnet_options *options,
                              struct km_patchnet **out, struct km_err *err) KM_MUST_USE;
void km_patchnet_free(struct km_patchnet *net);
KM_DEFINE_CLEANUP(struct km_patchnet, km_patchnet_cleanup, km_patchnet_free);

/* Borrowed from the network. version: "NAME sha256:…" with the first 16 digits of the weights' digest. */
const struct km_card *km_patchnet_card(const struct km_patchnet *net);
const char *km_patchnet_version(const struct km_patchnet *net);
double km_patchnet_threshold(const struct km_patchnet *net);
/* The first tensor of the file that the network does not have, or "". */
const char *km_patchnet_unknown(const struct km_patchnet *net);

struct km_patchnet_score {
    double logit;      /* of malevolent */
    double malevolent; /* its logistic function */
    double benign;     /* of the other logit; with one output, 1 - malevolent */
};

/* Scores the `count` patches of a band: 256 rows of 3 * 256 * count bytes, RGB; out holds count. KM_FORMAT when an
 * answer is no usable number; KM_IO, KM_NOMEM of the network. */
enum km_code km_patchnet_score(struct km_patchnet *net, const uint8_t *rgb, size_t count, struct km_patchnet_score *out,
                               struct km_err *err) KM_MUST_USE;

#endif
