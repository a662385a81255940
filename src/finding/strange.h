/*
 * What was strange about a daemon's finding, as keys: what a decision about it is compared with. Each act that was
 * never seen, each unknown order of calls and each measure that was out of the ordinary gives a key, the first half of
 * a SHA-256 of the words that name it. A benign decision answers what brings nothing but keys that it was given for:
 * the same again, or less of it; whatever brings one thing more is news.
 *
 * A measure gives a key for each step that it reaches, so that half as much is covered and twice as much is not.
 * Pure, fixed size, embedded by callers. All zero is empty.
 */
#ifndef KM_FINDING_STRANGE_H
#define KM_FINDING_STRANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_STRANGE_MAX        128 /* keys; what comes after them becomes one key together */
#define KM_STRANGE_KEY_DIGITS 16
#define KM_STRANGE_TEXT_BYTES ((size_t)(KM_STRANGE_MAX + 1) * (KM_STRANGE_KEY_DIGITS + 1)) /* with the NUL */

struct km_strange {
    uint64_t keys[KM_STRANGE_MAX];
    size_t count;
    uint64_t rest; /* of all beyond the limit, in their order; 0: none */
    bool failed;   /* memory ran out: a list that lacks something covers too little and is covered too easily */
};

/* Adds one thing, the SHA-256 of "KIND NAME"; twice the same is once. Both are texts of any length. */
void km_strange_add(struct km_strange *strange, const char *kind, const char *name);

/* Adds "KIND 1" … "KIND steps": what is covered by a decision about as many or more. */
void km_strange_add_steps(struct km_strange *strange, const char *kind, unsigned steps);

/* Keys in hexadecimal, ascending, with a space between; "" when there are none or one is missing. out holds
 * KM_STRANGE_TEXT_BYTES. */
void km_strange_format(const struct km_strange *strange, char *out);

/* Whether all keys of `found` are among those of `decided`, both as formatted. Empty or damaged texts cover nothing
 * and are covered by nothing. */
bool km_strange_covers(const char *decided, const char *found);

/* The keys of a formatted text, hashed again with a salt: for a store that keeps them. out holds
 * KM_STRANGE_TEXT_BYTES. KM_FORMAT: the text is damaged; KM_NOMEM. */
enum km_code km_strange_salt(const char *text, const uint8_t *salt, size_t salt_bytes, char *out,
                             struct km_err *err) KM_MUST_USE;

#endif
