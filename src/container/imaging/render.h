/*
 * The tar view: any input as one byte string, in the colours, curves and layouts of the reference. One quad at a time
 * goes to a row sink, so memory depends on the picture's width alone: about 5 * side * side bytes.
 *
 * Where the reference's two back ends differ: one map `class` and two maps follow its in-memory back end, an empty
 * input is black, structure is painted by absolute offsets, quads of the layout unrolled end where the next one begins
 * (its streaming back end; visible only when the length is no multiple of four). What breaks the reference (damaged
 * headers, inputs that are no archive) leaves structure black from there on, and the report says so.
 */
#ifndef KM_CONTAINER_IMAGING_RENDER_H
#define KM_CONTAINER_IMAGING_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/imaging/colour.h"
#include "container/imaging/curve.h"
#include "container/imaging/geometry.h"
#include "container/imaging/input.h"
#include "container/imaging/pathset.h"
#include "container/imaging/tarwalk.h"

/* Takes a picture: begin once, then rows from the top, 3 bytes a pixel, borrowed for the call. */
struct km_row_sink {
    void *context;
    enum km_code (*begin)(void *context, uint32_t width, uint32_t height, struct km_err *err);
    enum km_code (*rows)(void *context, const uint8_t *rgb, uint32_t count, struct km_err *err);
};

struct km_render_options {
    const struct km_geometry *geometry; /* for the input's length */
    enum km_curve_kind curve;
    enum km_colour_map maps[KM_COLOUR_MAX_MAPS];
    size_t map_count;        /* 1 to 4; ignored with a mask */
    struct km_pathset *mask; /* NULL, or: draw the mask of these paths instead of colours */
    const struct km_cancel *cancel;
};

struct km_render_report {
    bool walked; /* the archive's headers were read: there was structure or a mask */
    uint64_t members;
    enum km_tarwalk_stop stop;
    uint64_t stop_offset;
};

/* Draws. *out_report may be NULL. KM_IO, KM_NOMEM, KM_LIMIT (paint.h), KM_FORMAT (curve.h), KM_CANCELLED, and what the
 * sink returns. */
enum km_code km_render_run(struct km_input *input, const struct km_render_options *options,
                           const struct km_row_sink *sink, struct km_render_report *out_report,
                           struct km_err *err) KM_MUST_USE;

#endif
