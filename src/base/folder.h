/*
 * Where programs keep their files: the folders of the XDG base directory specification, and root's.
 */
#ifndef KM_BASE_FOLDER_H
#define KM_BASE_FOLDER_H

#include <stddef.h>

#include "base/err.h"

#define KM_FOLDER_SHARED "/var/lib/komainu"

enum km_folder {
    KM_FOLDER_CONFIG = 0, /* $XDG_CONFIG_HOME, ~/.config */
    KM_FOLDER_STATE = 1,  /* $XDG_STATE_HOME, ~/.local/state */
    KM_FOLDER_CACHE = 2,  /* $XDG_CACHE_HOME, ~/.cache */
};

/* The user's own path of komainu's `name` ("desk.db"); a variable that is no absolute path does not count, as the
 * specification wants. KM_NOTFOUND: neither the variable nor HOME; KM_LIMIT: longer than out_bytes. */
enum km_code km_folder_own(enum km_folder kind, const char *name, char *out, size_t out_bytes,
                           struct km_err *err) KM_MUST_USE;

/* The path of state: for root below KM_FOLDER_SHARED, for others their own. */
enum km_code km_folder_state(const char *name, char *out, size_t out_bytes, struct km_err *err) KM_MUST_USE;

/* Makes the folders that the path is in, closed to others (0700); what exists stays as it is. The shared folder goes to
 * group komainu if there is one, whose members' files then belong to it. One thread. KM_LIMIT: a path of 4096 bytes or
 * more; KM_IO, KM_DENIED. */
enum km_code km_folder_make_parents(const char *path, struct km_err *err) KM_MUST_USE;

/* Only the shared folder. */
enum km_code km_folder_make_shared(struct km_err *err) KM_MUST_USE;

#endif
