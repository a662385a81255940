/*
 * The statement about the packages of an image: its database, and how many files are in which state.
 */
#ifndef KM_CONTAINER_SCAN_INTEGRITY_H
#define KM_CONTAINER_SCAN_INTEGRITY_H

#include "container/scan/weigh.h"
#include "finding/finding.h"
#include "package/package.h"

/* Fills the database's part. out_gap gets one line of why files cannot be compared although there is a database that
 * should allow it, or "" (a list of files that is missing, damaged details, the whole database); escaped.
 * integrity->detail, when it is set, is borrowed from the view. */
void km_integrity_begin(struct km_integrity *integrity, const struct km_package_view *view,
                        char out_gap[KM_ERR_TEXT_BYTES]);

/* Of an image that was not compared. */
void km_integrity_skip(struct km_integrity *integrity, const char *detail);

/* Counts a file that the image shows; others are left out. */
void km_integrity_count(struct km_integrity *integrity, const struct km_case *file);

/* Sums of counts; the database is "unusable" when any is, else "dpkg" when any is, else "none". */
void km_integrity_add(struct km_integrity *sum, const struct km_integrity *image);

#endif
