/*
 * Where a path lies, by its beginning. Paths are raw bytes; "." and ".." are not resolved: a path that climbs is OTHER.
 */
#ifndef KM_TRACE_ZONE_H
#define KM_TRACE_ZONE_H

#include "daemon/trace/event.h"

enum km_zone km_zone_of_path(struct km_bytes path);

/* "system", "config", "sensitive" … Static storage. */
const char *km_zone_to_string(enum km_zone zone);

#endif
