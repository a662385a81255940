/*
 * Which record has the content of an entry: its own, or, of a hard link, that of the file which the link's layer has
 * under the target's name.
 */
#ifndef KM_CONTAINER_SCAN_CONTENTS_H
#define KM_CONTAINER_SCAN_CONTENTS_H

#include "base/err.h"
#include "container/scan/examine.h"
#include "container/source/layout.h"

struct km_contents;

/* Resolves all hard links: one pass over the entries. Borrows both. NULL with *err set: KM_NOMEM. */
struct km_contents *km_contents_new(const struct km_examine *examine, const struct km_layout *layout,
                                    struct km_err *err) KM_MUST_USE;
void km_contents_free(struct km_contents *contents);

/* NULL: no regular file, or a link to nothing that was read. Borrowed from the examine. */
const struct km_record *km_contents_find(const struct km_contents *contents, uint32_t id, enum km_entry_type type);

#endif
