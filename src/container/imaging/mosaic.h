/*
 * The picture of a whole container for people, made while a scan streams by. Every byte of every file counts: each
 * pixel sums up a run of bytes and says by its colour whether that is text, machine code and data, compressed or
 * encrypted content, or zeros. Layers are bands, files lie along the hilbert curve in stream order with dark borders,
 * findings are outlined and numbered, and a legend says what is what.
 *
 * Memory is bounded whatever comes: a pixel begins as 16 bytes; when the budget is used up, neighbours are merged and
 * a pixel stands for twice as much. Up to KM_MOSAIC_MAX_ENTRIES files keep their borders and can be marked,
 * KM_MOSAIC_MAX_LAYERS layers their bands, KM_MOSAIC_MAX_MARKS marks their outlines; what is beyond is drawn with the
 * last one, and marks beyond are counted in the legend. The same input gives the same picture.
 *
 * Lifecycle: km_mosaic_new; per file begin_entry, add…, end_entry (one file after the other: members of nested archives
 * are shown as part of the outermost file); marks and layer names at any time; km_mosaic_draw; km_mosaic_free.
 * Not thread-safe.
 */
#ifndef KM_CONTAINER_IMAGING_MOSAIC_H
#define KM_CONTAINER_IMAGING_MOSAIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "container/imaging/render.h"

#define KM_MOSAIC_DEFAULT_PIXELS ((size_t)1 << 20)
#define KM_MOSAIC_MIN_PIXELS     ((size_t)1 << 12)
#define KM_MOSAIC_MAX_PIXELS     ((size_t)1 << 22)
#define KM_MOSAIC_MAX_ENTRIES    ((size_t)1 << 22)
#define KM_MOSAIC_MAX_LAYERS     256U
#define KM_MOSAIC_MAX_MARKS      1024U
#define KM_MOSAIC_MAX_LABELS     16U /* marks that are listed with their text */
#define KM_MOSAIC_TEXT_BYTES     96U /* of a layer's name or a mark's label; longer ones are cut in the middle */

enum km_mosaic_severity {
    KM_MOSAIC_SUSPICIOUS = 0,
    KM_MOSAIC_MALICIOUS = 1,
};

struct km_mosaic;

/* A mosaic of at most max_pixels (between MIN and MAX above, else KM_LIMIT). NULL with *err set; KM_NOMEM. */
struct km_mosaic *km_mosaic_new(size_t max_pixels, struct km_err *err) KM_MUST_USE;
void km_mosaic_free(struct km_mosaic *mosaic);
KM_DEFINE_CLEANUP(struct km_mosaic, km_mosaic_cleanup, km_mosaic_free);

/* The next file. `layer` is any number that stands for its layer; a band begins whenever it is not the same as for the
 * file before. *out_entry is the file's number for km_mosaic_mark. KM_NOMEM. */
enum km_code km_mosaic_begin_entry(struct km_mosaic *mosaic, uint32_t layer, uint64_t *out_entry,
                                   struct km_err *err) KM_MUST_USE;

/* The file's next bytes; NULL stands for `length` zeros, however many. Cannot fail: memory was taken at the birth. */
void km_mosaic_add(struct km_mosaic *mosaic, const uint8_t *bytes, uint64_t length);
void km_mosaic_end_entry(struct km_mosaic *mosaic);

/* Names a layer (copied, escaped). Unknown layers are ignored. */
void km_mosaic_name_layer(struct km_mosaic *mosaic, uint32_t layer, const char *text);

/* Outlines bytes [begin, end) of a file (clipped to it; an empty file shows its place). The label (copied, escaped) is
 * listed in the legend for the first KM_MOSAIC_MAX_LABELS marks. */
void km_mosaic_mark(struct km_mosaic *mosaic, uint64_t entry, uint64_t begin, uint64_t end,
                    enum km_mosaic_severity severity, const char *label);

/* Draws everything so far under a title; may be called again. KM_NOMEM, KM_CANCELLED and what the sink returns. */
enum km_code km_mosaic_draw(const struct km_mosaic *mosaic, const char *title, const struct km_row_sink *sink,
                            struct km_err *err) KM_MUST_USE;

#endif
