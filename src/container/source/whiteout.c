/*
 * Which layer hides which entry. Each image is walked from its top layer down, and every path carries marks: the
 * lowest layer above that deletes it, empties it, fills it, or makes it something else than a directory. Going down, a
 * later mark is always the lower layer, so a mark is one number and is just overwritten; an entry asks the marks of its
 * own path and of the directories above. Work: entries times path depth, whatever the whiteouts say.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "container/source/layout_parts.h"

/* Steps over entries and directories, all images together: some seconds. 100 images of 150,000 files each pass. */
#define MAX_STEPS (UINT64_C(200) << 20)

struct marks { /* layer index + 1; 0 = no layer above */
    uint16_t deleted, emptied, filled, obstructed;
};

struct fate {
    uint16_t hider; /* layer index + 1; 0 = shown */
    bool replaced;
};

struct walk {
    struct km_layout *layout;
    struct marks *marks;
    uint64_t steps;
    uint32_t cached_directory; /* its fate is the same for all its entries */
    struct fate cached;
};

/* The lower layer wins. In one layer, what it puts there wins over what it deletes: whiteouts act on lower layers
 * only, so the path is not empty afterwards. */
static struct fate lower(struct fate fate, uint16_t hider, bool replaced)
{
    if (hider && (!fate.hider || hider < fate.hider || (hider == fate.hider && replaced)))
        return (struct fate){hider, replaced};
    return fate;
}

/* What the layers above do to everything below `directory`. */
static struct fate fate_below(struct walk *walk, uint32_t directory)
{
    if (directory == walk->cached_directory)
        return walk->cached;
    struct fate fate = {0};
    for (uint32_t node = directory; node != KM_PATHTREE_NONE; node = km_pathtree_parent(walk->layout->paths, node)) {
        const struct marks *marks = &walk->marks[node];
        fate = lower(fate, marks->deleted, false);
        fate = lower(fate, marks->emptied, false);
        fate = lower(fate, marks->obstructed, true);
        walk->steps++;
    }
    walk->cached_directory = directory;
    walk->cached = fate;
    return fate;
}

static struct fate fate_of(struct walk *walk, const struct km_layout_entry *entry)
{
    const struct marks *marks = &walk->marks[entry->node];
    uint32_t directory = km_pathtree_parent(walk->layout->paths, entry->node);
    struct fate fate = directory == KM_PATHTREE_NONE ? (struct fate){0} : fate_below(walk, directory);
    fate = lower(fate, marks->deleted, false);
    return lower(fate, entry->type == KM_ENTRY_DIRECTORY ? marks->obstructed : marks->filled, true);
}

static bool is_marker(const struct km_layout_entry *entry)
{
    return entry->type == KM_ENTRY_WHITEOUT || entry->type == KM_ENTRY_OPAQUE;
}

static bool is_placed_for_good(const struct km_layout_entry *entry)
{
    return entry->image != KM_LAYOUT_NO_IMAGE && !(entry->flags & (KM_LAYOUT_DELETED | KM_LAYOUT_REPLACED));
}

/* Whiteouts are never hidden themselves: what they did, they did. */
static void place(struct km_layout_entry *entry, uint16_t image, uint16_t layer, struct fate fate)
{
    if (fate.hider && entry->image != KM_LAYOUT_NO_IMAGE)
        return; /* the first image that holds it has told already */
    entry->image = image;
    entry->layer = layer;
    entry->hider = fate.hider ? (uint16_t)(fate.hider - 1) : 0;
    entry->flags = !fate.hider ? 0 : fate.replaced ? KM_LAYOUT_REPLACED : KM_LAYOUT_DELETED;
}

/* Outermost entries of a blob. Members of nested archives follow their parents at the end. */
static bool is_outermost_of(const struct km_layout_entry *entry, uint32_t blob)
{
    return entry->blob == blob && entry->parent == KM_ENTRY_NONE;
}

static void place_layer(struct walk *walk, uint16_t image, uint16_t layer, uint32_t blob)
{
    struct km_layout_blob *record = &walk->layout->blobs[blob];
    walk->cached_directory = KM_PATHTREE_NONE;
    if (record->unplaced == 0)
        return;
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        struct km_layout_entry *entry = &walk->layout->entries[id];
        walk->steps++;
        if (!is_outermost_of(entry, blob) || is_placed_for_good(entry))
            continue;
        place(entry, image, layer, is_marker(entry) ? (struct fate){0} : fate_of(walk, entry));
        if (is_placed_for_good(entry))
            record->unplaced--;
    }
}

static void mark_layer(struct walk *walk, uint16_t layer, uint32_t blob)
{
    const struct km_layout_blob *record = &walk->layout->blobs[blob];
    uint16_t mark = (uint16_t)(layer + 1);
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        const struct km_layout_entry *entry = &walk->layout->entries[id];
        walk->steps++;
        if (!is_outermost_of(entry, blob))
            continue;
        struct marks *marks = &walk->marks[entry->node];
        if (entry->type == KM_ENTRY_WHITEOUT) {
            marks->deleted = mark;
        } else if (entry->type == KM_ENTRY_OPAQUE) {
            marks->emptied = mark;
        } else {
            marks->filled = mark;
            if (entry->type != KM_ENTRY_DIRECTORY)
                marks->obstructed = mark;
        }
    }
}

static void clear_marks(struct walk *walk, uint32_t blob)
{
    const struct km_layout_blob *record = &walk->layout->blobs[blob];
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        const struct km_layout_entry *entry = &walk->layout->entries[id];
        walk->steps++;
        if (is_outermost_of(entry, blob))
            walk->marks[entry->node] = (struct marks){0};
    }
}

static bool has_something_to_place(const struct km_layout *layout, const struct km_image *image)
{
    for (size_t i = 0; i < image->layer_count; i++)
        if (image->layers[i].blob != KM_LAYOUT_NONE && layout->blobs[image->layers[i].blob].unplaced > 0)
            return true;
    return false;
}

/* false when the work limit was met before the image was done. The base layer is always placed by then or not at
 * all: layers that were not reached stay as an earlier image left them. */
static bool walk_image(struct walk *walk, uint16_t image_index)
{
    const struct km_image *image = &walk->layout->images[image_index];
    if (!has_something_to_place(walk->layout, image))
        return true;
    size_t below = image->layer_count;
    while (below > 0 && walk->steps < MAX_STEPS) {
        uint16_t layer = (uint16_t)--below;
        uint32_t blob = image->layers[layer].blob;
        if (blob == KM_LAYOUT_NONE)
            continue;
        place_layer(walk, image_index, layer, blob);
        mark_layer(walk, layer, blob);
    }
    for (size_t i = below; i < image->layer_count; i++)
        if (image->layers[i].blob != KM_LAYOUT_NONE)
            clear_marks(walk, image->layers[i].blob);
    return below == 0;
}

/* An entry that the walk did not reach before its limit still belongs to the first image that holds it. */
static void place_rest(struct km_layout *layout)
{
    for (size_t i = 0; i < layout->image_count; i++) {
        const struct km_image *image = &layout->images[i];
        for (size_t layer = image->layer_count; layer-- > 0;) {
            uint32_t blob = image->layers[layer].blob;
            if (blob == KM_LAYOUT_NONE || layout->blobs[blob].unplaced == 0)
                continue;
            for (uint32_t id = layout->blobs[blob].first_entry; id < layout->blobs[blob].end_entry; id++)
                if (layout->entries[id].blob == blob && layout->entries[id].image == KM_LAYOUT_NO_IMAGE)
                    place(&layout->entries[id], (uint16_t)i, (uint16_t)layer, (struct fate){0});
            layout->blobs[blob].unplaced = 0;
        }
    }
}

static void follow_parents(struct km_layout *layout)
{
    for (size_t i = 0; i < layout->entry_count; i++) {
        struct km_layout_entry *entry = &layout->entries[i];
        if (entry->parent == KM_ENTRY_NONE)
            continue;
        const struct km_layout_entry *parent = &layout->entries[entry->parent]; /* an earlier one: done */
        entry->image = parent->image;
        entry->layer = parent->layer;
        entry->hider = parent->hider;
        entry->flags = parent->flags;
    }
}

enum km_code km_whiteout_apply(struct km_layout *layout, bool *out_complete, struct km_err *err)
{
    struct walk walk = {.layout = layout};
    walk.marks = km_calloc(km_pathtree_count(layout->paths), sizeof *walk.marks, SIZE_MAX, err);
    if (!walk.marks)
        return err->code;
    for (size_t i = 0; i < layout->entry_count; i++)
        if (layout->entries[i].parent == KM_ENTRY_NONE)
            layout->blobs[layout->entries[i].blob].unplaced++;
    bool complete = true;
    for (size_t i = 0; complete && i < layout->image_count; i++)
        complete = walk_image(&walk, (uint16_t)i);
    free(walk.marks);
    if (!complete)
        place_rest(layout);
    follow_parents(layout);
    *out_complete = complete;
    return KM_OK;
}
