/*
 * A model on disk: a card (JSON) and its weights (safetensors), bound together by the digest in the card. Loading
 * checks size and digest before anything else is read from the weights; both files are hostile until then, and the
 * weights are checked tensor by tensor after it.
 */
#ifndef KM_NN_MODELFILE_H
#define KM_NN_MODELFILE_H

#include "base/err.h"
#include "nn/architecture.h"
#include "nn/card.h"
#include "nn/weights.h"
#include "nn/weightsfile.h"

#define KM_MODEL_MAX_BYTES ((size_t)512 << 20)

/* What the card does not hold: how the view lays out its squares. The weights fit every side. */
struct km_model_view {
    uint32_t side;                     /* RESNET18 */
    const struct km_stem_order *order; /* LIGHT; borrowed by the graph */
    const float *colours;              /* LIGHT with the colour stem; borrowed by the graph */
};

struct km_model {
    struct km_card card;
    struct km_graph graph;
    struct km_weights *weights; /* owned */
    struct km_weights_report report;
};

/* Reads both files from their start; the caller keeps the descriptors. KM_CONFLICT when the weights are not the card's
 * (size, digest) or not the network's (shape); else the codes of card.h, safetensors.h, weightsfile.h. */
enum km_code km_model_load(int card_fd, int weights_fd, const struct km_model_view *view, struct km_model *out,
                           struct km_err *err) KM_MUST_USE;
void km_model_done(struct km_model *model);

/* Writes <name>.safetensors, then <name>.json, each as a whole; size and digest of the card are set from the weights.
 * A crash between the two leaves an old card that refuses the new weights: give each model a name of its own.
 * folder is borrowed. KM_IO, KM_DENIED, KM_LIMIT (name), KM_NOMEM. */
enum km_code km_model_save(int folder, const char *name, const struct km_card *card, const struct km_weights *weights,
                           struct km_err *err) KM_MUST_USE;

#endif
