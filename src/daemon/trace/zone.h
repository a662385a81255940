/*
 * Where a path lies, by its beginning. Paths are raw bytes; "." and ".." are not resolved: a path that climbs is OTHER.
 */
#ifndef KM_TRACE_ZONE_H
#define KM_TRACE_ZONE_H

#include <stdbool.h>

#include "daemon/trace/event.h"

enum km_zone km_zone_of_path(struct km_bytes path);

/* Whether a file at `path` counts on its own, though its directory be known: files directly in /etc and in the home of
 * root, schedules, keys, what starts services; and whatever is written or changed in a place of the system. A directory
 * there is no file of its own: "/etc/nginx/x" is not named for being in /etc. */
bool km_zone_names_file(struct km_bytes path, bool writes);

/* Whether it is a file directly in /etc that says how the machine is set up ("/etc/resolv.conf"): read by many programs
 * when they first need it, and without secrets by its name. Lists of accounts and rights, keys and passwords are not.
 */
bool km_zone_is_ordinary(struct km_bytes path);

/* "system", "config", "sensitive" … Static storage. */
const char *km_zone_to_string(enum km_zone zone);

#endif
