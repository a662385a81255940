/*
 * One image of a source at a time: which entries it holds, and what it shows of them. km_layout_place answers for each
 * entry in one image only, the first that shows it; layers that images share look different from each of them.
 *
 * Lifecycle: km_focus_new for a resolved layout, which it borrows; km_focus_set for one image after the other, in any
 * order. Memory: 12 bytes an entry and 8 a path. One thread.
 */
#ifndef KM_CONTAINER_SOURCE_FOCUS_H
#define KM_CONTAINER_SOURCE_FOCUS_H

#include "container/source/layout.h"

struct km_focus;

/* In focus of no image. NULL with *err set: KM_NOMEM. */
struct km_focus *km_focus_new(const struct km_layout *layout, struct km_err *err) KM_MUST_USE;
void km_focus_free(struct km_focus *focus);

/* Looks at image `image` (< km_layout_image_count). Takes the steps over entries and directories that this needs, about
 * four an entry, from *steps_left. KM_LIMIT when they are used up: *steps_left is 0 and no image is in focus. */
enum km_code km_focus_set(struct km_focus *focus, size_t image, uint64_t *steps_left, struct km_err *err) KM_MUST_USE;

/* The entries that the image holds, hidden ones included, each once: from its top layer to its base, in each layer
 * ascending. Borrowed until the next km_focus_set. */
size_t km_focus_entries(const struct km_focus *focus, const uint32_t **out_ids);

/* As km_layout_place, in the image in focus; place.image is NULL when that does not hold entry `id`. */
struct km_place km_focus_place(const struct km_focus *focus, uint32_t id);

#endif
