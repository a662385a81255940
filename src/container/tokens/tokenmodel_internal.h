/* What a token model is made of: for tokenmodel.c, tokentrain.c and tokenfile.c. */
#ifndef KM_CONTAINER_TOKENS_TOKENMODEL_INTERNAL_H
#define KM_CONTAINER_TOKENS_TOKENMODEL_INTERNAL_H

#include "container/tokens/tokenmodel.h"

/* score = scale * logit + shift */
struct km_token_calibration {
    double file_scale, file_shift;
    double window_scale, window_shift;
};

struct km_token_model {
    double bias;
    struct km_token_calibration calibration;
    uint64_t wanted[KM_TOKEN_IDS / 64];
    float weight[KM_TOKEN_IDS]; /* times idf; exactly 0: not in the vocabulary, neither sum nor norm counts it */
    float idf[KM_TOKEN_IDS];    /* of all ids: for the index, too */
    struct km_token_pair {
        float weight, square; /* idf * idf, 0 outside the vocabulary: side by side, for one look-up an id */
    } pairs[KM_TOKEN_IDS];
};

/* A model of zeros with the identity as calibration. NULL: KM_NOMEM. */
struct km_token_model *km_token_model_new(struct km_err *err) KM_MUST_USE;
/* After weight and idf were set: pairs and wanted. */
void km_token_model_finish(struct km_token_model *model);

#endif
