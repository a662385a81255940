/*
 * Which words are kept out, because they tell who made a file, where it was built, or which version it is, and not what
 * it does: a model that reads them recognises authors instead of tools. README.md has the rules in plain words.
 */
#ifndef KM_CONTAINER_TOKENS_WORDLEAK_H
#define KM_CONTAINER_TOKENS_WORDLEAK_H

#include "container/tokens/wordscan.h"

/* How far a rule may reach from the word that set it off. Less than KM_WORDSCAN_MARGIN - KM_TOKEN_MAX_BYTES. */
#define KM_WORDLEAK_REACH 160

/* The word at buffer[begin, end) is part of an address, of a name that stands before one or behind "(c)", of a version.
 */
bool km_wordleak_is_leak(const struct km_wordmasks *masks, const uint8_t *buffer, size_t begin, size_t end);

/* The place up to which the word makes everything behind it a leak; `end` for most words. */
size_t km_wordleak_reach(const struct km_wordmasks *masks, const uint8_t *buffer, size_t begin, size_t end);

#endif
