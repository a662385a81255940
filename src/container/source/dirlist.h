/*
 * A directory's names, sorted, and its files and directories opened without following links and without waiting for a
 * device, FIFO or socket.
 */
#ifndef KM_CONTAINER_SOURCE_DIRLIST_H
#define KM_CONTAINER_SOURCE_DIRLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/err.h"

#define KM_DIRLIST_MAX_NAMES 4000000u
#define KM_DIRLIST_MAX_BYTES ((size_t)128 << 20)

struct km_dirlist {
    struct km_arena *arena;
    char **names; /* "." and ".." left out; in byte order */
    size_t count, capacity;
};

/* Fills a zeroed list with the names of dir_fd, which stays the caller's. KM_LIMIT above the maxima, KM_IO, KM_NOMEM;
 * the list is to be released in every case. */
enum km_code km_dirlist_load(int dir_fd, struct km_dirlist *list, struct km_err *err) KM_MUST_USE;
void km_dirlist_done(struct km_dirlist *list);

/* Opens a regular file for reading. out_stat may be NULL. KM_UNSUPPORTED: it is something else (which is not opened);
 * codes of km_fail_errno. */
enum km_code km_dirlist_open_file(int dir_fd, const char *name, int *out_fd, struct stat *out_stat,
                                  struct km_err *err) KM_MUST_USE;
enum km_code km_dirlist_open_directory(int dir_fd, const char *name, int *out_fd, struct km_err *err) KM_MUST_USE;

bool km_dirlist_has(int dir_fd, const char *name);

#endif
