#include "daemon/trace/tidmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_SLOTS 64

void km_tidmap_done(struct km_tidmap *map)
{
    free(map->slots);
    *map = (struct km_tidmap){0};
}

static size_t home_of(uint32_t tid, size_t slot_count)
{
    return (size_t)(tid * 0x9e3779b1U >> 8) & (slot_count - 1);
}

static struct km_tidmap_slot *slot_of(struct km_tidmap_slot *slots, size_t slot_count, uint32_t tid)
{
    size_t i = home_of(tid, slot_count);
    while (slots[i].tid != 0 && slots[i].tid != tid)
        i = (i + 1) & (slot_count - 1);
    return &slots[i];
}

void *km_tidmap_find(const struct km_tidmap *map, uint32_t tid)
{
    if (map->slot_count == 0 || tid == 0)
        return NULL;
    return slot_of(map->slots, map->slot_count, tid)->value;
}

enum km_code km_tidmap_add(struct km_tidmap *map, uint32_t tid, void *value, struct km_err *err)
{
    if (tid == 0 || map->count == KM_TIDMAP_MAX)
        return km_fail(err, KM_LIMIT, "more than %d threads", KM_TIDMAP_MAX);
    if ((map->count + 1) * 2 > map->slot_count) {
        size_t slot_count = map->slot_count ? map->slot_count * 2 : FIRST_SLOTS;
        struct km_tidmap_slot *slots = km_calloc(slot_count, sizeof *slots, SIZE_MAX, err);
        if (!slots)
            return err->code;
        for (size_t i = 0; i < map->slot_count; i++)
            if (map->slots[i].tid != 0)
                *slot_of(slots, slot_count, map->slots[i].tid) = map->slots[i];
        free(map->slots);
        map->slots = slots;
        map->slot_count = slot_count;
    }
    *slot_of(map->slots, map->slot_count, tid) = (struct km_tidmap_slot){tid, value};
    map->count++;
    return KM_OK;
}

/* No tombstones: what follows the hole in the same run moves up. */
void *km_tidmap_remove(struct km_tidmap *map, uint32_t tid)
{
    void *value = km_tidmap_find(map, tid);
    if (!value)
        return NULL;
    size_t hole = (size_t)(slot_of(map->slots, map->slot_count, tid) - map->slots), mask = map->slot_count - 1;
    for (size_t i = (hole + 1) & mask; map->slots[i].tid != 0; i = (i + 1) & mask) {
        size_t home = home_of(map->slots[i].tid, map->slot_count);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct km_tidmap_slot){0, NULL};
    map->count--;
    return value;
}

static int compare_slots(const void *a, const void *b)
{
    const struct km_tidmap_slot *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

void **km_tidmap_sorted(const struct km_tidmap *map, struct km_err *err)
{
    struct km_tidmap_slot *used KM_CLEANUP(km_cleanup_free) = km_calloc(map->count + 1, sizeof *used, SIZE_MAX, err);
    void **values = km_calloc(map->count + 1, sizeof *values, SIZE_MAX, err);
    if (!used || !values) {
        free(values);
        return NULL;
    }
    size_t n = 0;
    for (size_t i = 0; i < map->slot_count; i++)
        if (map->slots[i].tid != 0)
            used[n++] = map->slots[i];
    qsort(used, n, sizeof *used, compare_slots);
    for (size_t i = 0; i < n; i++)
        values[i] = used[i].value;
    return values;
}
