#include "container/source/focus.h"

#include <stdlib.h>

#include "base/mem.h"
#include "container/source/layout_parts.h"
#include "container/source/marks.h"

struct km_focus {
    const struct km_layout *layout;
    struct km_marks marks;
    struct km_layout_seat *seats; /* of each entry; true when its image is the one in focus */
    uint32_t *ids;
    size_t id_count;
    uint16_t image; /* KM_LAYOUT_NO_IMAGE: none */
};

struct km_focus *km_focus_new(const struct km_layout *layout, struct km_err *err)
{
    struct km_focus *focus = km_calloc(1, sizeof *focus, SIZE_MAX, err);
    if (!focus)
        return NULL;
    focus->layout = layout;
    focus->image = KM_LAYOUT_NO_IMAGE;
    focus->seats = km_calloc(layout->entry_count, sizeof *focus->seats, SIZE_MAX, err);
    focus->ids = focus->seats ? km_calloc(layout->entry_count, sizeof *focus->ids, SIZE_MAX, err) : NULL;
    if (!focus->ids || km_marks_init(&focus->marks, layout, err) != KM_OK) {
        km_focus_free(focus);
        return NULL;
    }
    for (size_t i = 0; i < layout->entry_count; i++)
        focus->seats[i].image = KM_LAYOUT_NO_IMAGE;
    return focus;
}

void km_focus_free(struct km_focus *focus)
{
    if (!focus)
        return;
    km_marks_done(&focus->marks);
    free(focus->seats);
    free(focus->ids);
    free(focus);
}

/* A layer that an image has twice is seen at its upper place. */
static void seat_layer(struct km_focus *focus, uint16_t image, uint16_t layer, uint32_t blob)
{
    const struct km_layout_blob *record = &focus->layout->blobs[blob];
    for (uint32_t id = record->first_entry; id < record->end_entry; id++) {
        const struct km_layout_entry *entry = &focus->layout->entries[id];
        focus->marks.steps++;
        if (entry->blob != blob || focus->seats[id].image == image)
            continue;
        if (entry->parent != KM_ENTRY_NONE) {
            focus->seats[id] = focus->seats[entry->parent]; /* an earlier one of the same blob: done */
        } else {
            struct km_fate fate = km_marks_ask(&focus->marks, entry);
            focus->seats[id] = (struct km_layout_seat){
                .image = image,
                .layer = layer,
                .hider = fate.hider ? (uint16_t)(fate.hider - 1) : 0,
                .flags = !fate.hider     ? 0
                         : fate.replaced ? KM_LAYOUT_REPLACED
                                         : KM_LAYOUT_DELETED,
            };
        }
        focus->ids[focus->id_count++] = id;
    }
}

/* What an earlier focus on the same image left would read as this one's. */
static void unseat(struct km_focus *focus)
{
    for (size_t i = 0; i < focus->id_count; i++)
        focus->seats[focus->ids[i]].image = KM_LAYOUT_NO_IMAGE;
    focus->marks.steps += focus->id_count;
    focus->id_count = 0;
    focus->image = KM_LAYOUT_NO_IMAGE;
}

enum km_code km_focus_set(struct km_focus *focus, size_t image, uint64_t *steps_left, struct km_err *err)
{
    KM_ASSERT(image < focus->layout->image_count);
    const struct km_image *wanted = &focus->layout->images[image];
    unseat(focus);
    focus->marks.steps = 0;
    size_t below = wanted->layer_count;
    while (below > 0 && focus->marks.steps < *steps_left) {
        uint32_t blob = wanted->layers[--below].blob;
        if (blob == KM_LAYOUT_NONE)
            continue;
        seat_layer(focus, (uint16_t)image, (uint16_t)below, blob);
        km_marks_add_layer(&focus->marks, (uint16_t)below, blob);
    }
    bool reached = below == 0;
    for (size_t i = below; i < wanted->layer_count; i++)
        if (wanted->layers[i].blob != KM_LAYOUT_NONE)
            km_marks_clear_layer(&focus->marks, wanted->layers[i].blob);
    if (!reached || focus->marks.steps > *steps_left) {
        unseat(focus);
        *steps_left = 0;
        return km_fail(err, KM_LIMIT, "too many files in too many images");
    }
    *steps_left -= focus->marks.steps;
    focus->image = (uint16_t)image;
    return KM_OK;
}

size_t km_focus_entries(const struct km_focus *focus, const uint32_t **out_ids)
{
    *out_ids = focus->ids;
    return focus->id_count;
}

struct km_place km_focus_place(const struct km_focus *focus, uint32_t id)
{
    KM_ASSERT(id < focus->layout->entry_count);
    static const struct km_layout_seat nowhere = {.image = KM_LAYOUT_NO_IMAGE};
    const struct km_layout_seat *seat = &focus->seats[id];
    bool here = focus->image != KM_LAYOUT_NO_IMAGE && seat->image == focus->image;
    return km_layout_describe(focus->layout, id, here ? seat : &nowhere);
}
