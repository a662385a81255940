#include "daemon/profile/seen.h"

#include <stdlib.h>

#include "base/mem.h"

#define FIRST_SLOTS ((size_t)1 << 10)
#define MAX_SLOTS   ((size_t)1 << 19)

void km_seen_done(struct km_seen *seen)
{
    free(seen->slots);
    *seen = (struct km_seen){0};
}

void km_seen_clear(struct km_seen *seen)
{
    seen->epoch++;
    seen->used = 0;
}

static struct km_seen_slot *slot_for(struct km_seen_slot *slots, size_t slot_count, uint64_t epoch, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 32) & (slot_count - 1);
    while (slots[i].epoch == epoch && slots[i].key != key)
        i = (i + 1) & (slot_count - 1);
    return &slots[i];
}

static enum km_code enlarge(struct km_seen *seen, struct km_err *err)
{
    size_t slot_count = seen->slot_count ? seen->slot_count * 2 : FIRST_SLOTS;
    if (slot_count > MAX_SLOTS)
        return km_fail(err, KM_LIMIT, "an episode with more than %zu different call sequences", MAX_SLOTS / 2);
    struct km_seen_slot *slots = km_calloc(slot_count, sizeof *slots, SIZE_MAX, err);
    if (!slots)
        return err->code;
    for (size_t i = 0; i < seen->slot_count; i++)
        if (seen->slots[i].epoch == seen->epoch)
            *slot_for(slots, slot_count, seen->epoch, seen->slots[i].key) = seen->slots[i];
    free(seen->slots);
    seen->slots = slots;
    seen->slot_count = slot_count;
    return KM_OK;
}

enum km_code km_seen_add(struct km_seen *seen, uint64_t key, bool *out_new, struct km_err *err)
{
    if (seen->epoch == 0)
        seen->epoch = 1; /* zeroed slots are of epoch 0 */
    if ((seen->used + 1) * 2 > seen->slot_count) {
        enum km_code code = enlarge(seen, err);
        if (code != KM_OK)
            return code;
    }
    struct km_seen_slot *slot = slot_for(seen->slots, seen->slot_count, seen->epoch, key);
    *out_new = slot->epoch != seen->epoch;
    if (*out_new) {
        *slot = (struct km_seen_slot){key, seen->epoch};
        seen->used++;
    }
    return KM_OK;
}
