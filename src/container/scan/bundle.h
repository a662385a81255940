/*
 * The insides of a detector, for the files that make it: bundle.c opens it, detector.c scores with it.
 */
#ifndef KM_CONTAINER_SCAN_BUNDLE_H
#define KM_CONTAINER_SCAN_BUNDLE_H

#include "container/scan/detector.h"
#include "container/scan/lateparts.h"
#include "container/tokens/tokenmodel.h"

struct km_detector {
    char name[KM_DETECTOR_NAME_BYTES];
    char version[2 * KM_DETECTOR_NAME_BYTES];
    uint8_t digest[KM_SHA256_BYTES];
    struct km_token_model *tokens; /* or NULL */
    struct km_lateparts *late;     /* network and indexes */
    struct km_additive *fusion;    /* or NULL */
    /* The bundle's own fusion, by which parts of segments are chosen: fusion, until a site's replaces that. */
    struct km_additive *ranking;
};

#endif
