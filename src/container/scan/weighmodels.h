/*
 * What the models say about a file, as evidence; and the rest of a fusion's sum.
 */
#ifndef KM_CONTAINER_SCAN_WEIGHMODELS_H
#define KM_CONTAINER_SCAN_WEIGHMODELS_H

#include "container/scan/weigh.h"

/* Before other evidence: the features that models gave, and whether a fusion weighs this file (file->fusion), which
 * then gives its prior. */
void km_weighmodels_begin(struct km_case *file, const struct km_case_sources *sources);

/* After all other evidence: that of the models, the contributions of what is absent or unknown, and origin's bound. */
void km_weighmodels_add(struct km_case *file);

#endif
