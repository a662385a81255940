/*
 * The file view on one picture for people: the squares (fileview.h) of every regular file of a tar archive, in archive
 * order, or of an input that is no archive as one file.
 *
 * The sheet is a grid of cells of 256 x 256 pixels, filled row by row. A square of 256 takes a cell; smaller ones share
 * cells, four of half the side to a square, in the order top left, top right, bottom left, bottom right; a row of cells
 * is closed before the next one opens. Red is the class of a byte, green its value, blue 255; padding is black, and
 * pixels that belong to no square have a colour that no byte has (KM_SHEET_EMPTY).
 *
 * Memory: one row of cells (768 bytes per pixel of width).
 */
#ifndef KM_CONTAINER_IMAGING_SHEET_H
#define KM_CONTAINER_IMAGING_SHEET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"
#include "container/imaging/fileview.h"
#include "container/imaging/input.h"
#include "container/imaging/render.h"
#include "container/imaging/tarwalk.h"

#define KM_SHEET_CELL 256U
/* Red, green and blue of unused pixels. */
#define KM_SHEET_EMPTY                                                                                                 \
    {                                                                                                                  \
        34, 34, 44                                                                                                     \
    }

/* A square and its place. The name is borrowed until the next call; NULL: the input itself. */
struct km_sheet_square {
    struct km_fileview_square square;
    uint32_t col, row;   /* of its top left pixel on the sheet */
    uint64_t data_begin; /* of its file in the input */
    const char *name;
    size_t name_length;
};

struct km_sheet;

/* A pass over the squares of an input, which must outlive it. width is a multiple of KM_SHEET_CELL, at most
 * KM_CURVE_MAX_SIDE; else KM_FORMAT or KM_LIMIT. NULL with *err set; KM_NOMEM. */
struct km_sheet *km_sheet_new(struct km_input *input, uint32_t width, struct km_err *err) KM_MUST_USE;
void km_sheet_free(struct km_sheet *sheet);
KM_DEFINE_CLEANUP(struct km_sheet, km_sheet_cleanup, km_sheet_free);

/* The next square. *out_found false: there are no more. KM_IO; KM_LIMIT beyond the rows of a PNG. */
enum km_code km_sheet_next(struct km_sheet *sheet, struct km_sheet_square *out_square, bool *out_found,
                           struct km_err *err) KM_MUST_USE;

/* Draws a sheet in two passes, the first for its height. An input without files gives one empty row of cells.
 * *out_report says how far the archive could be walked. KM_CANCELLED, and what the above and the sink return. */
enum km_code km_sheet_draw(struct km_input *input, uint32_t width, const struct km_cancel *cancel,
                           const struct km_row_sink *sink, struct km_render_report *out_report,
                           struct km_err *err) KM_MUST_USE;

#endif
