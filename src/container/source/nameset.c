#include "container/source/nameset.h"

#include <stdlib.h>

#define FIRST_CAPACITY ((size_t)1024)

void km_nameset_init(struct km_nameset *set)
{
    *set = (struct km_nameset){0};
    km_keyhash_init(&set->key);
}

void km_nameset_done(struct km_nameset *set)
{
    free(set->slots);
    set->slots = NULL;
    set->count = set->capacity = 0;
}

void km_nameset_clear(struct km_nameset *set)
{
    km_nameset_done(set);
}

static uint64_t *find_slot(uint64_t *slots, size_t capacity, uint64_t hash)
{
    size_t i = hash & (capacity - 1);
    while (slots[i] != 0 && slots[i] != hash)
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static enum km_code grow(struct km_nameset *set, struct km_err *err)
{
    size_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
    uint64_t *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return km_fail(err, KM_NOMEM, "out of memory (%zu paths)", capacity);
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i])
            *find_slot(slots, capacity, set->slots[i]) = set->slots[i];
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return KM_OK;
}

enum km_code km_nameset_add(struct km_nameset *set, const char *path, size_t length, bool *out_known,
                            struct km_err *err)
{
    if (set->count >= set->capacity / 2) {
        enum km_code code = grow(set, err);
        if (code != KM_OK)
            return code;
    }
    uint64_t hash = km_keyhash_bytes(&set->key, path, length);
    hash = hash ? hash : 1;
    uint64_t *slot = find_slot(set->slots, set->capacity, hash);
    *out_known = *slot == hash;
    set->count += *slot == 0 ? 1 : 0;
    *slot = hash;
    return KM_OK;
}
