/*
 * Threads by number: a map from thread id to a pointer that the map's user owns. Thread 0 is not one.
 */
#ifndef KM_TRACE_TIDMAP_H
#define KM_TRACE_TIDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_TIDMAP_MAX 65536

struct km_tidmap_slot {
    uint32_t tid; /* 0 = free */
    void *value;
};

/* All zero is empty. */
struct km_tidmap {
    struct km_tidmap_slot *slots;
    size_t slot_count; /* 0 or a power of two */
    size_t count;
};

/* Frees the map, not the values. */
void km_tidmap_done(struct km_tidmap *map);

/* The value of a thread, or NULL. */
void *km_tidmap_find(const struct km_tidmap *map, uint32_t tid);

/* Adds a thread that is not in the map. KM_LIMIT beyond KM_TIDMAP_MAX and for thread 0, KM_NOMEM. */
enum km_code km_tidmap_add(struct km_tidmap *map, uint32_t tid, void *value, struct km_err *err) KM_MUST_USE;

/* The value of the thread, which is taken out; NULL when it was not in the map. */
void *km_tidmap_remove(struct km_tidmap *map, uint32_t tid);

/* All values by ascending thread id; the caller frees the array of map->count. NULL: KM_NOMEM. */
void **km_tidmap_sorted(const struct km_tidmap *map, struct km_err *err) KM_MUST_USE;

#endif
