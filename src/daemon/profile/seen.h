/*
 * A set of keys for the length of one episode: emptied in one step, its memory kept.
 */
#ifndef KM_PROFILE_SEEN_H
#define KM_PROFILE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct km_seen_slot {
    uint64_t key;
    uint64_t epoch;
};

/* All zero is an empty set. */
struct km_seen {
    struct km_seen_slot *slots;
    size_t slot_count;
    size_t used;
    uint64_t epoch;
};

void km_seen_done(struct km_seen *seen);
void km_seen_clear(struct km_seen *seen);

/* *out_new tells whether the key was not in the set. KM_NOMEM; KM_LIMIT beyond 2^18 keys. */
enum km_code km_seen_add(struct km_seen *seen, uint64_t key, bool *out_new, struct km_err *err) KM_MUST_USE;

#endif
