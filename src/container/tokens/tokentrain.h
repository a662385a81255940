/*
 * Training of the linear token model: idf from the files, logistic regression with an L2 penalty on binary,
 * idf-weighted sets of length 1, by L-BFGS from zero; in a second training windows join their files. No chance in it:
 * the same samples in the same order give the same weights.
 */
#ifndef KM_CONTAINER_TOKENS_TOKENTRAIN_H
#define KM_CONTAINER_TOKENS_TOKENTRAIN_H

#include "container/tokens/tokenmodel.h"

#define KM_TOKEN_MAX_SAMPLES      ((size_t)1 << 20)
#define KM_TOKEN_MIN_OBSERVATIONS 20

struct km_token_sample {
    struct km_token_set set; /* borrowed */
    double weight;           /* >= 0; 1 / (files of its family) lets each family weigh the same. Both classes are then
                              * scaled to the same total. */
    bool positive;
};

struct km_token_train_options {
    double strength;         /* inverse of the penalty, as C of liblinear; 0: the default */
    unsigned max_iterations; /* 0: the default */
    /* [count], borrowed, or NULL: the window of each sample's file that a model trained before calls the strongest; it
     * then has half of the sample's weight. Empty: the file has one window at most. Since the strongest window is what
     * a file is judged by, of benign files, too, that is what training must see. Neither idf nor vocabulary nor penalty
     * depend on windows. */
    const struct km_token_set *windows;
};

struct km_token_train_report {
    unsigned iterations;
    double loss; /* mean, with the penalty */
    bool converged;
};

/* KM_FORMAT: a class has no sample of weight, an id of a sample or window is out of range; KM_LIMIT, KM_NOMEM. Not yet
 * calibrated: scores are the logits. out_report may be NULL. */
enum km_code km_token_train(const struct km_token_sample *samples, size_t count,
                            const struct km_token_train_options *options, struct km_token_model **out,
                            struct km_token_train_report *out_report, struct km_err *err) KM_MUST_USE;

/* What a file that was not in training got. */
struct km_token_observation {
    double file_logit;
    double window_logit; /* the highest of its windows */
    double weight;       /* as in training */
    bool positive;
};

/* Sets the calibration (J. Platt, Advances in Large Margin Classifiers, 1999) from files of both classes that were held
 * out: one line, for the higher of a file's two logits, since that is what decides; both classes weigh the same.
 * KM_FORMAT: fewer than KM_TOKEN_MIN_OBSERVATIONS of a class, a number that is none, or logits that do not tell the
 * classes apart; the model is then as before. */
enum km_code km_token_model_calibrate(struct km_token_model *model, const struct km_token_observation *observations,
                                      size_t count, struct km_err *err) KM_MUST_USE;

/* The calibration of a model that learned from a part of the same samples. */
void km_token_model_take_calibration(struct km_token_model *model, const struct km_token_model *from);

#endif
