/*
 * In which image each entry is, and which layer hides it there: the images are walked one after the other, each from
 * its top layer down (marks.h), until every entry has been found shown or there are no more images.
 */
#include "base/mem.h"
#include "container/source/layout_parts.h"
#include "container/source/marks.h"

/* Steps over entries and directories, all images together: some seconds. 100 images of 150,000 files each pass. */
#define MAX_STEPS (UINT64_C(200) << 20)

struct walk {
    struct km_layout *layout;
    struct km_marks marks;
};

static bool is_placed_for_good(const struct km_layout_entry *entry)
{
    return entry->image != KM_LAYOUT_NO_IMAGE && !(entry->flags & (KM_LAYOUT_DELETED | KM_LAYOUT_REPLACED));
}

static void place(struct km_layout_entry *entry, uint16_t image, uint16_t layer, struct km_fate fate)
{
    if (fate.hider && entry->image != KM_LAYOUT_NO_IMAGE)
        return; /* the first image that holds it has told already */
    entry->image = image;
    entry->layer = layer;
    entry->hider = fate.hider ? (uint16_t)(fate.hider - 1) : 0;
    entry->flags = !fate.hider ? 0 : fate.replaced ? KM_LAYOUT_REPLACED : KM_LAYOUT_DELETED;
}

static void place_layer(struct walk *walk, uint16_t image, uint16_t layer, uint32_t blob)
{
    struct km_layout_blob *record = &walk->layout->blobs[blob];
    if (record->unplaced == 0)
        return;
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        struct km_layout_entry *entry = &walk->layout->entries[id];
        walk->marks.steps++;
        if (!km_layout_is_outermost(entry, blob) || is_placed_for_good(entry))
            continue;
        place(entry, image, layer, km_marks_ask(&walk->marks, entry));
        if (is_placed_for_good(entry))
            record->unplaced--;
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
    while (below > 0 && walk->marks.steps < MAX_STEPS) {
        uint16_t layer = (uint16_t)--below;
        uint32_t blob = image->layers[layer].blob;
        if (blob == KM_LAYOUT_NONE)
            continue;
        place_layer(walk, image_index, layer, blob);
        km_marks_add_layer(&walk->marks, layer, blob);
    }
    for (size_t i = below; i < image->layer_count; i++)
        if (image->layers[i].blob != KM_LAYOUT_NONE)
            km_marks_clear_layer(&walk->marks, image->layers[i].blob);
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
                    place(&layout->entries[id], (uint16_t)i, (uint16_t)layer, (struct km_fate){0});
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
    enum km_code code = km_marks_init(&walk.marks, layout, err);
    if (code != KM_OK)
        return code;
    for (size_t i = 0; i < layout->entry_count; i++)
        if (layout->entries[i].parent == KM_ENTRY_NONE)
            layout->blobs[layout->entries[i].blob].unplaced++;
    bool complete = true;
    for (size_t i = 0; complete && i < layout->image_count; i++)
        complete = walk_image(&walk, (uint16_t)i);
    km_marks_done(&walk.marks);
    if (!complete)
        place_rest(layout);
    follow_parents(layout);
    *out_complete = complete;
    return KM_OK;
}
