/*
 * Which calls belong together: the distinct call sets of the episodes learned (512 bits each), and the one nearest to a
 * new episode. A set is kept once, with the number of episodes that had it.
 */
#ifndef KM_PROFILE_NEAREST_H
#define KM_PROFILE_NEAREST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/trace/window.h"

#define KM_NEAREST_MAX_SETS 1024

struct km_call_set {
    unsigned long long bits[KM_CALL_SET_WORDS];
    uint32_t count; /* episodes */
};

/* All zero is empty. */
struct km_nearest {
    struct km_call_set *sets;
    size_t count, capacity;
    uint64_t dropped; /* sets that found no room */
};

void km_nearest_done(struct km_nearest *nearest);

/* One episode more. KM_NOMEM. */
enum km_code km_nearest_learn(struct km_nearest *nearest, const unsigned long long *bits,
                              struct km_err *err) KM_MUST_USE;
/* One episode less; a set without episodes is passed over by searches. */
void km_nearest_unlearn(struct km_nearest *nearest, const unsigned long long *bits);

struct km_nearest_result {
    double distance;  /* Jaccard distance to the nearest set; 1 when nothing is known */
    size_t index;     /* of it; SIZE_MAX when nothing is known */
    unsigned missing; /* fewest calls that some known set has and this one has not */
};
struct km_nearest_result km_nearest_find(const struct km_nearest *nearest, const unsigned long long *bits);

#endif
