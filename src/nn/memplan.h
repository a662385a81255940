/*
 * Places buffers with known lifetimes in one block: two buffers share bytes when their lives do not meet. First fit in
 * order of request; good enough for chains with a few side branches, and the same result every time.
 * Lives in the caller's storage, km_memplan_done releases it.
 */
#ifndef KM_NN_MEMPLAN_H
#define KM_NN_MEMPLAN_H

#include <stddef.h>

#include "base/err.h"

struct km_memplan_item {
    size_t bytes, offset;
    int birth, death; /* steps, both included */
};

struct km_memplan {
    struct km_memplan_item *items;
    size_t count, capacity, total_bytes;
};

/* Reserves `bytes` (rounded up to 64) from step birth to step death; *out_offset is final. KM_NOMEM. */
enum km_code km_memplan_add(struct km_memplan *plan, size_t bytes, int birth, int death, size_t *out_offset,
                            struct km_err *err) KM_MUST_USE;
void km_memplan_done(struct km_memplan *plan);

#endif
