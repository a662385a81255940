/*
 * The paths that a mask shows, and which of them were met. Read from a list; a leading '/' is dropped, as the
 * reference does with the names of file differences. Lookup is exact, byte by byte.
 *
 * Memory: the list itself, at most KM_PATHSET_MAX_BYTES, and a pointer per path.
 */
#ifndef KM_CONTAINER_IMAGING_PATHSET_H
#define KM_CONTAINER_IMAGING_PATHSET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_PATHSET_MAX_BYTES ((size_t)256 << 20)

struct km_pathset;

/* Reads fd to its end (fd stays the caller's): one path per `separator` ('\n' or '\0'); empty ones are skipped,
 * doubled ones count once. NULL with *err set: KM_IO, KM_LIMIT, KM_NOMEM. */
struct km_pathset *km_pathset_load(int fd, char separator, struct km_err *err) KM_MUST_USE;
void km_pathset_free(struct km_pathset *set);
KM_DEFINE_CLEANUP(struct km_pathset, km_pathset_cleanup, km_pathset_free);

/* Whether a name is in the set; remembers that it was met. */
bool km_pathset_match(struct km_pathset *set, const char *name, size_t length);

size_t km_pathset_get_count(const struct km_pathset *set);
/* Path i in byte order, borrowed, and whether it was met. */
const char *km_pathset_get_path(const struct km_pathset *set, size_t i, bool *out_met);

#endif
