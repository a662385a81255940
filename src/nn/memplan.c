#include "nn/memplan.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "nn/op.h"

#define MAX_ITEMS 4096

static bool meet(const struct km_memplan_item *a, const struct km_memplan_item *b)
{
    return a->birth <= b->death && b->birth <= a->death && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

enum km_code km_memplan_add(struct km_memplan *plan, size_t bytes, int birth, int death, size_t *out_offset,
                            struct km_err *err)
{
    enum km_code code =
        km_grow((void **)&plan->items, &plan->capacity, plan->count + 1, sizeof *plan->items, MAX_ITEMS, err);
    if (code != KM_OK)
        return code;
    struct km_memplan_item item = {km_op_align(bytes), 0, birth, death};
    for (bool moved = true; moved;) { /* up, past everything in the way, until nothing is */
        moved = false;
        for (size_t i = 0; i < plan->count; i++)
            if (meet(&item, &plan->items[i])) {
                item.offset = plan->items[i].offset + plan->items[i].bytes;
                moved = true;
            }
    }
    plan->items[plan->count++] = item;
    if (item.offset + item.bytes > plan->total_bytes)
        plan->total_bytes = item.offset + item.bytes;
    *out_offset = item.offset;
    return KM_OK;
}

void km_memplan_done(struct km_memplan *plan)
{
    free(plan->items);
    plan->items = NULL;
    plan->count = plan->capacity = 0;
}
