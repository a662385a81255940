/* The hash of tokens.h once more, for words in a buffer that may be read beyond their end. */
#ifndef KM_CONTAINER_TOKENS_TOKENHASH_H
#define KM_CONTAINER_TOKENS_TOKENHASH_H

#include "container/tokens/tokens.h"

/* Equal to km_token_hash(KM_TOKEN_WORD, text, length), length > 0; reads up to 7 bytes behind the text. */
uint64_t km_token_hash_padded(const uint8_t *text, size_t length);
/* Equal to km_token_hash(KM_TOKEN_STEM, text, KM_TOKEN_STEM_BYTES); reads 8 bytes. */
uint64_t km_token_hash_stem(const uint8_t *text);

#endif
