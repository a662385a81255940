/*
 * Hard links of layers, which share their target's content, and symbolic links at the top of a file system, which may
 * merge /usr: kept until the end, when the layout is known. At most a million, with 32 MiB of texts; what does not fit
 * is not compared with the package database, which the caller sees as "unchecked".
 */
#ifndef KM_CONTAINER_SCAN_LINKS_H
#define KM_CONTAINER_SCAN_LINKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "container/source/source.h"

struct km_link {
    uint32_t id;
    uint32_t blob;
    enum km_entry_type type;
    const char *target; /* as stored */
};

struct km_links;

/* NULL: KM_NOMEM. */
struct km_links *km_links_new(struct km_err *err) KM_MUST_USE;
void km_links_free(struct km_links *links);

/* Keeps the entry when it is such a link. KM_NOMEM. */
enum km_code km_links_add(struct km_links *links, const struct km_entry *entry, struct km_err *err);

/* In the order of their ids; borrowed. Returns how many. */
size_t km_links_get(const struct km_links *links, const struct km_link **out);

#endif
