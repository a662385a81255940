/*
 * One image of a source at a time: the entries that it holds, and the package database that it shows.
 *
 * Lifecycle: km_imageview_new when the source has been read; km_imageview_open for one image after the other, in any
 * order and more than once; what the open image answers is borrowed until the next one is opened. One thread.
 */
#ifndef KM_CONTAINER_SCAN_IMAGEVIEW_H
#define KM_CONTAINER_SCAN_IMAGEVIEW_H

#include "base/err.h"
#include "container/scan/examine.h"
#include "container/source/layout.h"
#include "package/package.h"

struct km_imageview;

/* Borrows both; nobody else selects from the examine's package database meanwhile. No image is open. NULL with *err
 * set: KM_NOMEM. */
struct km_imageview *km_imageview_new(struct km_examine *examine, const struct km_layout *layout,
                                      struct km_err *err) KM_MUST_USE;
void km_imageview_free(struct km_imageview *view);

/* Opens image `image` (< km_layout_image_count); nothing to do when it is open already. Takes what it costs from
 * *steps_left: steps over entries, database files and records. KM_LIMIT when there are too few for the entries:
 * *steps_left is 0 and no image is open. KM_NOMEM. */
enum km_code km_imageview_open(struct km_imageview *view, size_t image, uint64_t *steps_left,
                               struct km_err *err) KM_MUST_USE;

/* ---- Of the open image ---- */

/* As km_focus_entries and km_focus_place. */
size_t km_imageview_entries(const struct km_imageview *view, const uint32_t **out_ids);
struct km_place km_imageview_place(const struct km_imageview *view, uint32_t id);

/* NULL when no image is open. */
const struct km_package_view *km_imageview_packages(const struct km_imageview *view);

#endif
