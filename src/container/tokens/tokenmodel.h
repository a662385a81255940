/*
 * The linear token model: which sets of tokens look like what it was trained to find, and because of which tokens.
 *
 *     logit(set) = bias + sum over the set of weight[id] * idf[id] / norm,   norm = sqrt(sum of idf[id]^2)
 *
 * Ids that training saw in fewer than two files are outside the vocabulary: neither sum nor norm counts them, so that
 * words nobody knows dilute nothing.
 *
 * Two logits make a file's score: that of the whole file and the highest of its windows, each calibrated to log-odds.
 * The score is the higher one, whatever the number of windows: bytes that are appended change no window that was there.
 *
 * On disk: STEM.safetensors (weights and idf) and STEM.json, its card (nn/card.h, architecture "tokens"). Both are
 * hostile until checked: size, digest, shapes, finite values, scheme.
 *
 * A model is read-only after loading, training or calibration and may be shared by threads.
 */
#ifndef KM_CONTAINER_TOKENS_TOKENMODEL_H
#define KM_CONTAINER_TOKENS_TOKENMODEL_H

#include "container/tokens/tokens.h"
#include "nn/card.h"

#define KM_TOKEN_TERMS 8

struct km_token_model;

/* One token's share of a logit. */
struct km_token_term {
    uint32_t id;
    double weight; /* adds to the logit: weight * idf / norm */
};

/* Reads both files from their start; the caller keeps the descriptors. KM_CONFLICT: the weights are not the card's;
 * KM_FORMAT (shape, NaN), KM_LIMIT, KM_UNSUPPORTED (another scheme or architecture), KM_IO, KM_NOMEM. out_card may be
 * NULL. */
enum km_code km_token_model_load(int card_fd, int weights_fd, struct km_token_model **out, struct km_card *out_card,
                                 struct km_err *err) KM_MUST_USE;
/* Writes NAME.safetensors, then NAME.json into the folder; architecture, outputs, size and digest of the card are set
 * here. KM_IO, KM_DENIED, KM_LIMIT (name), KM_NOMEM. */
enum km_code km_token_model_save(int folder, const char *name, const struct km_card *card,
                                 const struct km_token_model *model, struct km_err *err) KM_MUST_USE;
void km_token_model_free(struct km_token_model *model);
KM_DEFINE_CLEANUP(struct km_token_model, km_token_model_cleanup, km_token_model_free);

/* The logit of a set; the bias alone for an empty one. */
double km_token_model_logit(const struct km_token_model *model, const struct km_token_set *set);

/* The same, with the terms that add most, highest first, in out_terms[0..*out_count), at most max and only positive
 * ones. All terms and the bias sum to the logit. */
double km_token_model_explain(const struct km_token_model *model, const struct km_token_set *set,
                              struct km_token_term *out_terms, size_t max, size_t *out_count);
double km_token_model_bias(const struct km_token_model *model);
/* The term of set->ids[i]. */
double km_token_model_term(const struct km_token_model *model, const struct km_token_set *set, size_t i);

/* Calibrated log-odds (of equally many positive and benign files): of a whole file, and of the highest of a file's
 * windows. Equal to the logit before calibration. */
double km_token_model_file_score(const struct km_token_model *model, double logit);
double km_token_model_window_score(const struct km_token_model *model, double logit);

/* How rare each token is: [KM_TOKEN_IDS], for the index. Borrowed. */
const float *km_token_model_idf(const struct km_token_model *model);
/* The ids that can weigh much: for km_token_extractor_want. Borrowed. */
const uint64_t *km_token_model_wanted(const struct km_token_model *model);

#endif
