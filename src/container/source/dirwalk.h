/*
 * A directory tree of a mounted file system as members. Links are never followed; only regular files are opened, and
 * only after they were seen to be such; further names of one file (hard links) are KM_ENTRY_HARDLINK; holes are holes.
 * Other file systems mounted below are entered, those that the kernel makes up (proc, sysfs, …) are not: a gap.
 *
 * The order is that of sorted names, so that two runs tell the same. Memory: the names of the open directories and 24
 * bytes for each file with several links.
 */
#ifndef KM_CONTAINER_SOURCE_DIRWALK_H
#define KM_CONTAINER_SOURCE_DIRWALK_H

#include "container/source/members.h"
#include "container/source/meter.h"

#define KM_DIRWALK_MAX_DEPTH 256u     /* directories in directories, each an open descriptor; deeper ones are a gap */
#define KM_DIRWALK_MAX_LINKS 1000000u /* files with several links; those after it are read once for each name */

/* dir_fd is taken over, also on failure. NULL with *err set: KM_NOMEM, KM_IO; KM_UNSUPPORTED when the directory itself
 * is made up by the kernel. */
struct km_members *km_dirwalk_new(int dir_fd, struct km_meter *meter, struct km_err *err) KM_MUST_USE;

#endif
