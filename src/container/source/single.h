/*
 * A stream as an archive of one member: what a compressed file holds when it holds no archive.
 */
#ifndef KM_CONTAINER_SOURCE_SINGLE_H
#define KM_CONTAINER_SOURCE_SINGLE_H

#include "container/source/members.h"

/* What such an archive's member is: `path` is borrowed. */
struct km_member km_single_member(const char *path);

/* One file of unknown size called `path` (copied). Does not own the stream. NULL with *err set (KM_NOMEM). */
struct km_members *km_single_new(const char *path, struct km_stream *stream, struct km_err *err) KM_MUST_USE;

#endif
