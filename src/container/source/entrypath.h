/*
 * Names in archives: made relative and plain, and read for whiteouts. Pure functions over raw bytes.
 */
#ifndef KM_CONTAINER_SOURCE_ENTRYPATH_H
#define KM_CONTAINER_SOURCE_ENTRYPATH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* Replaces *out by `stored` without leading "/" and "./", without ".", "..", doubled and trailing "/". ".." takes the
 * part before it away and never climbs above the root. *out_climbs: the name held "..". The root itself ("./") becomes
 * "". KM_LIMIT of the buffer, KM_NOMEM. */
enum km_code km_entrypath_normalise(const char *stored, struct km_buf *out, bool *out_climbs,
                                    struct km_err *err) KM_MUST_USE;

enum km_whiteout {
    KM_WHITEOUT_NONE = 0,
    KM_WHITEOUT_NAME = 1,   /* ".wh.NAME" */
    KM_WHITEOUT_OPAQUE = 2, /* ".wh..wh..opq" */
};

/* Looks at the last part of a normalised path. For a whiteout, *path becomes what it is about: the deleted path, or
 * the directory that becomes opaque. Other names of aufs (".wh..wh.…") and names that delete "", "." or ".." are none.
 */
enum km_whiteout km_entrypath_whiteout(struct km_buf *path);

#endif
