/*
 * Which paths one blob has shown: a set of keyed 64-bit hashes, 8 bytes a path and at most half full. Two paths with
 * one hash would make one be called a duplicate, which hides nothing; the key is random, so nobody can plan for it.
 */
#ifndef KM_CONTAINER_SOURCE_NAMESET_H
#define KM_CONTAINER_SOURCE_NAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyhash.h"

struct km_nameset {
    struct km_keyhash key;
    uint64_t *slots; /* 0 = free */
    size_t count, capacity;
};

void km_nameset_init(struct km_nameset *set);
void km_nameset_done(struct km_nameset *set);

/* Forgets all paths and their memory. */
void km_nameset_clear(struct km_nameset *set);

/* *out_known: the path was added before. KM_NOMEM. */
enum km_code km_nameset_add(struct km_nameset *set, const char *path, size_t length, bool *out_known,
                            struct km_err *err) KM_MUST_USE;

#endif
