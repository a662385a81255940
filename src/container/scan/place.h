/*
 * The class of place that a path lies in. Paths are normalised as in a km_entry ("usr/bin/ls").
 */
#ifndef KM_CONTAINER_SCAN_PLACE_H
#define KM_CONTAINER_SCAN_PLACE_H

#include <stddef.h>

enum km_place_class {
    KM_PLACE_OTHER = 0,
    KM_PLACE_SYSTEM = 1,    /* where packages put programs: /usr/bin, /sbin, /usr/lib, … (not /usr/local) */
    KM_PLACE_TEMPORARY = 2, /* /tmp, /var/tmp, /dev/shm, /run, /dev */
};

/* *out_prefix_bytes (may be NULL) is the length of the leading part that decided, without its "/": "usr/bin". */
enum km_place_class km_place_classify(const char *path, size_t *out_prefix_bytes);

/* The first component whose name begins with a dot, or NULL; *out_bytes is its length. Components that are common and
 * harmless by convention at the top of a home folder (.bashrc, .profile, .config, .cache, .local, .ssh, .npm, .git …)
 * are not hidden in this sense. */
const char *km_place_find_hidden(const char *path, size_t *out_bytes);

#endif
