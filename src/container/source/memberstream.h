/*
 * The content of the current member as a stream, whose every piece is shown to a callback when it is pulled: so a
 * nested archive is read while its outer file is being delivered. Lives in the caller's storage.
 */
#ifndef KM_CONTAINER_SOURCE_MEMBERSTREAM_H
#define KM_CONTAINER_SOURCE_MEMBERSTREAM_H

#include "container/source/members.h"

struct km_memberstream {
    struct km_stream base;
    struct km_members *members;
    void *context;
    /* Sees each piece once, in order. *out_stop: pull nothing more. NULL: nobody looks. */
    enum km_code (*show)(void *context, const struct km_piece *piece, bool *out_stop, struct km_err *err);
    uint64_t hole_offset, hole_left; /* of the hole that is being given out as zeros */
    bool over, stopped;
    bool broken, told; /* how the member ended: as in struct km_piece */
};

/* For the member that the last next of `members` found. */
void km_memberstream_init(struct km_memberstream *stream, struct km_members *members, void *context,
                          enum km_code (*show)(void *context, const struct km_piece *piece, bool *out_stop,
                                               struct km_err *err));

/* Pulls what is left, showing holes in one piece. */
enum km_code km_memberstream_drain(struct km_memberstream *stream, struct km_err *err) KM_MUST_USE;

#endif
