/*
 * Origin and place are reasons to look, never a verdict by themselves: of a file whose content speaks for benign, what
 * is known of where it comes from lifts the score to just below the threshold, and no further.
 */
#ifndef KM_CONTAINER_SCAN_ORIGIN_H
#define KM_CONTAINER_SCAN_ORIGIN_H

#include "container/scan/weigh.h"

#define KM_ORIGIN_BELOW 0.02 /* log-odds below the threshold: a score of 0.495 */

/* content: the fusion's log-odds of what models said, of equally many positive and benign files; it speaks for benign
 * below 0. Bounds the weights of a file's evidence (owned by nobody, not as packaged, can be run, in such a place or of
 * such a name), all by one factor, and sets file->origin. Nothing changes without a fusion, when no model knew the
 * content, and when anything else speaks against the file (set-user-ID, packed, on a list, …). */
void km_origin_bound(struct km_case *file, double content);

#endif
