/*
 * The texts of a file's tokens, for explanations: kept as they come, in two runs of fixed size, one of them for ids
 * that somebody asked for, so that no flood of other words can push those out.
 */
#ifndef KM_CONTAINER_TOKENS_TOKENTEXTS_H
#define KM_CONTAINER_TOKENS_TOKENTEXTS_H

#include "container/tokens/tokens.h"

#define KM_TOKEN_TEXTS_BYTES ((size_t)384 << 10) /* of each run */

struct km_token_texts {
    const uint64_t *wanted; /* KM_TOKEN_IDS bits, borrowed, or NULL */
    struct km_token_run {
        size_t length;
        uint8_t bytes[KM_TOKEN_TEXTS_BYTES];
    } common, asked;
};

void km_token_texts_clear(struct km_token_texts *texts);
/* Does nothing when its run is full. Text that is too long is cut. */
void km_token_texts_add(struct km_token_texts *texts, uint32_t id, enum km_token_kind kind, const uint8_t *text,
                        size_t length);
/* As km_token_extractor_text. */
bool km_token_texts_find(const struct km_token_texts *texts, uint32_t id, char out[KM_TOKEN_TEXT_BYTES]);

#endif
