/*
 * One value per byte of an archive, painted member after member as the reference's structure colours and masks are:
 * later members paint over earlier ones (which matters when headers claim sizes that overlap). Read in ascending order
 * of offsets, while the walk goes on underneath; nothing of the archive is kept but what still reaches forward.
 *
 * Memory: the walk, and one record per claim that encloses the current offset, at most KM_PAINT_MAX_DEPTH.
 */
#ifndef KM_CONTAINER_IMAGING_PAINT_H
#define KM_CONTAINER_IMAGING_PAINT_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "container/imaging/pathset.h"
#include "container/imaging/tarwalk.h"

#define KM_PAINT_MAX_DEPTH 65536U

struct km_paint;

/* The structure map when `mask` is NULL: header blocks in the colour of the member's type, data in one of four colours
 * in turns. With a mask: 255 from the header to the end of the data of members whose name is in it (borrowed).
 * NULL with *err set: KM_NOMEM. */
struct km_paint *km_paint_new(const struct km_tarwalk_input *input, struct km_pathset *mask,
                              struct km_err *err) KM_MUST_USE;
void km_paint_free(struct km_paint *paint);
KM_DEFINE_CLEANUP(struct km_paint, km_paint_cleanup, km_paint_free);

struct km_paint_run {
    uint8_t value;
    uint64_t end; /* the value holds from the offset asked for up to here */
};

/* The value at `offset`, which must not be below that of an earlier call. KM_IO of the input; KM_LIMIT when more than
 * KM_PAINT_MAX_DEPTH claims enclose each other; KM_NOMEM. */
enum km_code km_paint_next(struct km_paint *paint, uint64_t offset, struct km_paint_run *out_run,
                           struct km_err *err) KM_MUST_USE;

/* Walks to the end of the archive, so that every name has met the mask and the stop is known. */
enum km_code km_paint_finish(struct km_paint *paint, struct km_err *err) KM_MUST_USE;

/* How many members there were, and why and where the walk stopped. */
uint64_t km_paint_get_members(const struct km_paint *paint);
enum km_tarwalk_stop km_paint_get_stop(const struct km_paint *paint, uint64_t *out_offset);

#endif
