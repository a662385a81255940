/*
 * The additive model's insides, for the files that make it: additive.c, additive_fit.c, additive_json.c.
 */
#ifndef KM_STATS_ADDITIVE_PARTS_H
#define KM_STATS_ADDITIVE_PARTS_H

#include "stats/additive.h"

struct km_additive {
    double bias;
    size_t term_count;
    struct km_additive_term terms[KM_ADDITIVE_MAX_TERMS];
    struct km_calibration calibration;
};

/* Printable ASCII, not empty, ended within max_bytes. */
bool km_additive_name_is_good(const char *name, size_t max_bytes);

#endif
