#include "cli/scan_targets.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_ITEMS 100000

void km_scan_items_done(struct km_scan_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->items[i].name);
        free(items->items[i].spec);
    }
    free(items->items);
}

/* spec NULL: *problem says why. */
static enum km_code add_item(struct km_scan_items *items, const char *name, const char *spec,
                             const struct km_err *problem, struct km_err *err)
{
    void *list = items->items;
    enum km_code code = km_grow(&list, &items->capacity, items->count + 1, sizeof *items->items, MAX_ITEMS, err);
    items->items = list;
    if (code != KM_OK)
        return code;
    struct km_scan_item item = {.name = km_strndup(name, strlen(name), err)};
    if (item.name && spec)
        item.spec = km_strndup(spec, strlen(spec), err);
    if (!item.name || (spec && !item.spec)) {
        free(item.name);
        return err->code;
    }
    if (problem)
        item.problem = *problem;
    items->items[items->count++] = item;
    return KM_OK;
}

enum km_code km_scan_items_add(struct km_scan_items *items, const char *target, struct km_err *err)
{
    return add_item(items, target, target, NULL, err);
}

enum km_code km_scan_target_open(const char *spec, const struct km_scan_access *access, struct km_source **out,
                                 struct km_err *err)
{
    return km_source_open(spec, &access->limits, out, err);
}
