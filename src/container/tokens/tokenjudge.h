/*
 * Extractor and model together, for whoever scans: feed a file, get its token score, the strongest window and the words
 * that made it. One a thread; the model is shared and outlives it.
 */
#ifndef KM_CONTAINER_TOKENS_TOKENJUDGE_H
#define KM_CONTAINER_TOKENS_TOKENJUDGE_H

#include "container/tokens/tokenmodel.h"

struct km_token_word {
    char text[KM_TOKEN_TEXT_BYTES]; /* "" when the text was not kept */
    double weight;                  /* its term in the logit of the file or window that decided */
};

struct km_token_verdict {
    double score;                    /* calibrated; of the file or of the strongest window, the higher */
    double file_logit, window_logit; /* raw; NaN when the file has no tokens */
    double file_score, window_score; /* calibrated; NaN as above */
    uint64_t window_offset;          /* of the strongest window */
    uint32_t window_bytes;           /* 0: there is none */
    bool window_decided;             /* the words are the window's, not the whole file's */
    size_t word_count;               /* heaviest first */
    struct km_token_word words[KM_TOKEN_TERMS];
    struct km_token_file file; /* its set is for the index; valid until the next begin */
};

struct km_token_judge;

/* NULL with *err set: KM_NOMEM. */
struct km_token_judge *km_token_judge_new(const struct km_token_model *model, struct km_err *err) KM_MUST_USE;
void km_token_judge_free(struct km_token_judge *judge);
KM_DEFINE_CLEANUP(struct km_token_judge, km_token_judge_cleanup, km_token_judge_free);

void km_token_judge_begin(struct km_token_judge *judge);
/* bytes NULL: a hole. */
void km_token_judge_feed(struct km_token_judge *judge, const void *bytes, uint64_t length);
/* A file without tokens has the score -INFINITY. */
void km_token_judge_end(struct km_token_judge *judge, struct km_token_verdict *out);
/* The text of a token of that file, as km_token_extractor_text: for the index's shared tokens. */
bool km_token_judge_text(const struct km_token_judge *judge, uint32_t id, char out[KM_TOKEN_TEXT_BYTES]);

#endif
