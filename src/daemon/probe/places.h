/*
 * Places in the file system that deserve a word of their own: what the probe always tells, and the coarse zone that a
 * landmark's path lies in.
 */
#ifndef KM_PROBE_PLACES_H
#define KM_PROBE_PLACES_H

#include <stddef.h>

#include "daemon/probe/bpf/probe_logic.h"
#include "daemon/trace/event.h"

/* One entry of the kernel's table. */
struct km_place {
    __u64 hash;
    __u32 flags; /* enum km_probe_place */
};

/* The i-th built-in place; false behind the last. */
int km_places_get(size_t i, struct km_place *out);

/* enum km_probe_place of a path, as the kernel finds them. text ends at length or a NUL. */
unsigned km_places_of(const char *text, size_t length);

/* The coarse zone. Places that are sensitive are KM_ZONE_SENSITIVE whatever directory they are in. */
enum km_zone km_places_zone(const char *text, size_t length);

/* Reads a path as the kernel does: at most KM_PROBE_PATH_BYTES - 1 bytes. */
void km_places_scan(const char *text, size_t length, struct km_probe_path *out);

#endif
