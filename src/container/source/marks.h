/*
 * What the layers of one image do to each path, from the top layer down: the lowest layer above that deletes it,
 * empties it, fills it, or makes it something else than a directory. For each layer: ask about its entries, then add
 * its marks; at the end clear the layers that were added, and another image can begin.
 *
 * Inside of the layout, as layout_parts.h. Memory: 8 bytes a path. Work: entries times path depth, whatever the
 * whiteouts say.
 */
#ifndef KM_CONTAINER_SOURCE_MARKS_H
#define KM_CONTAINER_SOURCE_MARKS_H

#include "container/source/layout_parts.h"

struct km_fate {
    uint16_t hider; /* layer index + 1; 0 = shown */
    bool replaced;
};

struct km_marks {
    const struct km_layout *layout;
    struct km_mark *list;      /* of each path */
    uint64_t steps;            /* over entries and directories, since init */
    uint32_t cached_directory; /* its fate is the same for all its entries */
    struct km_fate cached;
};

/* KM_NOMEM. The layout must not grow while there are marks. */
enum km_code km_marks_init(struct km_marks *marks, const struct km_layout *layout, struct km_err *err) KM_MUST_USE;
void km_marks_done(struct km_marks *marks);

/* What the layers added so far do to an outermost entry of the next layer. */
struct km_fate km_marks_ask(struct km_marks *marks, const struct km_layout_entry *entry);

void km_marks_add_layer(struct km_marks *marks, uint16_t layer, uint32_t blob);
void km_marks_clear_layer(struct km_marks *marks, uint32_t blob);

#endif
