/*
 * The networks that komainu knows. A model card names one; nothing in a file describes a network.
 *
 * resnet18: torchvision's, with its tensor names (conv1.weight ... fc.bias), on float planes [3, side, side], any side
 *   that is a multiple of 32: converted weights load. Its mean sees one cell for 32x32 places, as the light one's does.
 *   With hidden units its head is Linear, ReLU, Linear: fc.0.weight ... fc.2.bias in place of fc.weight and fc.bias.
 * light: 16-channel stem on the bytes of a square (4x4 places a cell), 3x3 stride-2 convolutions to 32, 64 and 128
 *   channels, one residual 3x3 convolution at 128, norms throughout; mean over the valid 1 KiB cells, dropout 0.3,
 *   linear. One output cell is 1 KiB of the file.
 * tokens: no network, but the linear model of container/tokens, whose files have a card, too.
 */
#ifndef KM_NN_ARCHITECTURE_H
#define KM_NN_ARCHITECTURE_H

#include "base/err.h"
#include "nn/graph.h"

enum km_architecture {
    KM_ARCHITECTURE_RESNET18 = 0,
    KM_ARCHITECTURE_LIGHT = 1,
    KM_ARCHITECTURE_TOKENS = 2,
};

struct km_architecture_options {
    enum km_architecture kind;
    uint32_t outputs;                  /* 1: a logit; more: one for each class */
    uint32_t side;                     /* RESNET18, as the next one */
    uint32_t hidden;                   /* units of a layer with relu before the outputs; 0: none */
    enum km_stem_kind stem;            /* LIGHT, as the next two */
    const struct km_stem_order *order; /* borrowed: outlives the graph */
    const float *colours;              /* KM_STEM_COLOUR: [257][3], borrowed; row 256 is padding's colour */
};

/* KM_FORMAT or KM_LIMIT of graph.h; KM_UNSUPPORTED for TOKENS. */
enum km_code km_architecture_build(const struct km_architecture_options *options, struct km_graph *out_graph,
                                   struct km_err *err) KM_MUST_USE;

/* "resnet18", "light", "tokens"; "colour", "byte", "hash". Static storage. */
const char *km_architecture_to_string(enum km_architecture kind);
const char *km_stem_kind_to_string(enum km_stem_kind kind);
/* KM_UNSUPPORTED for other words. */
enum km_code km_architecture_from_string(const char *text, enum km_architecture *out, struct km_err *err) KM_MUST_USE;
enum km_code km_stem_kind_from_string(const char *text, enum km_stem_kind *out, struct km_err *err) KM_MUST_USE;

#endif
