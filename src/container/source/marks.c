/*
 * Going down from the top layer, a later mark is always the lower layer, so a mark is one number and is just
 * overwritten; an entry asks the marks of its own path and of the directories above.
 */
#include "container/source/marks.h"

#include <stdlib.h>

#include "base/mem.h"

struct km_mark { /* layer index + 1; 0 = no layer above */
    uint16_t deleted, emptied, filled, obstructed;
};

enum km_code km_marks_init(struct km_marks *marks, const struct km_layout *layout, struct km_err *err)
{
    *marks = (struct km_marks){.layout = layout, .cached_directory = KM_PATHTREE_NONE};
    marks->list = km_calloc(km_pathtree_count(layout->paths), sizeof *marks->list, SIZE_MAX, err);
    return marks->list ? KM_OK : err->code;
}

void km_marks_done(struct km_marks *marks)
{
    free(marks->list);
}

/* The lower layer wins. In one layer, what it puts there wins over what it deletes: whiteouts act on lower layers
 * only, so the path is not empty afterwards. */
static struct km_fate lower(struct km_fate fate, uint16_t hider, bool replaced)
{
    if (hider && (!fate.hider || hider < fate.hider || (hider == fate.hider && replaced)))
        return (struct km_fate){hider, replaced};
    return fate;
}

/* What the layers above do to everything below `directory`. */
static struct km_fate fate_below(struct km_marks *marks, uint32_t directory)
{
    if (directory == marks->cached_directory)
        return marks->cached;
    struct km_fate fate = {0};
    for (uint32_t node = directory; node != KM_PATHTREE_NONE; node = km_pathtree_parent(marks->layout->paths, node)) {
        const struct km_mark *mark = &marks->list[node];
        fate = lower(fate, mark->deleted, false);
        fate = lower(fate, mark->emptied, false);
        fate = lower(fate, mark->obstructed, true);
        marks->steps++;
    }
    marks->cached_directory = directory;
    marks->cached = fate;
    return fate;
}

/* Whiteouts are never hidden themselves: what they did, they did. */
struct km_fate km_marks_ask(struct km_marks *marks, const struct km_layout_entry *entry)
{
    if (entry->type == KM_ENTRY_WHITEOUT || entry->type == KM_ENTRY_OPAQUE)
        return (struct km_fate){0};
    const struct km_mark *mark = &marks->list[entry->node];
    uint32_t directory = km_pathtree_parent(marks->layout->paths, entry->node);
    struct km_fate fate = directory == KM_PATHTREE_NONE ? (struct km_fate){0} : fate_below(marks, directory);
    fate = lower(fate, mark->deleted, false);
    return lower(fate, entry->type == KM_ENTRY_DIRECTORY ? mark->obstructed : mark->filled, true);
}

void km_marks_add_layer(struct km_marks *marks, uint16_t layer, uint32_t blob)
{
    const struct km_layout_blob *record = &marks->layout->blobs[blob];
    uint16_t number = (uint16_t)(layer + 1);
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        const struct km_layout_entry *entry = &marks->layout->entries[id];
        marks->steps++;
        if (!km_layout_is_outermost(entry, blob))
            continue;
        struct km_mark *mark = &marks->list[entry->node];
        if (entry->type == KM_ENTRY_WHITEOUT) {
            mark->deleted = number;
        } else if (entry->type == KM_ENTRY_OPAQUE) {
            mark->emptied = number;
        } else {
            mark->filled = number;
            if (entry->type != KM_ENTRY_DIRECTORY)
                mark->obstructed = number;
        }
    }
    marks->cached_directory = KM_PATHTREE_NONE;
}

void km_marks_clear_layer(struct km_marks *marks, uint32_t blob)
{
    const struct km_layout_blob *record = &marks->layout->blobs[blob];
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        const struct km_layout_entry *entry = &marks->layout->entries[id];
        marks->steps++;
        if (km_layout_is_outermost(entry, blob))
            marks->list[entry->node] = (struct km_mark){0};
    }
    marks->cached_directory = KM_PATHTREE_NONE;
}
