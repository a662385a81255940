/*
 * What a mosaic keeps, shared by the part that gathers (mosaic.c) and the part that draws (mosaicdraw.c); nobody else
 * includes it.
 */
#ifndef KM_CONTAINER_IMAGING_MOSAICDATA_H
#define KM_CONTAINER_IMAGING_MOSAICDATA_H

#include <stdbool.h>

#include "container/imaging/mosaic.h"

/* Entropy needs a sample of some size; smaller pixels share that of their chunk. */
#define KM_MOSAIC_CHUNK_BYTES 256U

/* A pixel: shares of its bytes in 255ths, and their mean entropy (255 = 8 bits) in chunks of KM_MOSAIC_CHUNK_BYTES. */
struct km_mosaic_cell {
    uint8_t zero;
    uint8_t text;
    uint8_t high; /* 0x80 and above */
    uint8_t entropy;
};

struct km_mosaic_layer {
    uint32_t id;
    uint64_t begin; /* position of its first byte, counted over all content */
    uint64_t entries;
    char text[KM_MOSAIC_TEXT_BYTES];
};

struct km_mosaic_mark {
    uint64_t begin, end; /* positions */
    enum km_mosaic_severity severity;
};

struct km_mosaic {
    size_t max_cells;
    struct km_mosaic_cell *cells;
    size_t cell_count;   /* complete ones */
    uint64_t cell_bytes; /* a power of two, 16 at first */
    uint64_t position;   /* bytes so far, those in `chunk` included */
    size_t chunk_length;
    uint8_t chunk[KM_MOSAIC_CHUNK_BYTES];
    struct {
        uint64_t bytes, zero, text, high, entropy; /* entropy: sum over bytes */
    } sum;                                         /* of the cell that is being filled */
    uint32_t class_counts[256];                    /* packed, see mosaic.c */
    uint16_t entropy_terms[KM_MOSAIC_CHUNK_BYTES + 1];
    uint64_t *entries; /* positions of their first bytes */
    size_t entry_count;
    size_t entry_capacity;
    uint64_t entry_total; /* also those beyond the maximum */
    unsigned layer_count;
    struct km_mosaic_layer layers[KM_MOSAIC_MAX_LAYERS];
    unsigned mark_count;
    uint64_t mark_total;
    struct km_mosaic_mark marks[KM_MOSAIC_MAX_MARKS];
    char labels[KM_MOSAIC_MAX_LABELS][KM_MOSAIC_TEXT_BYTES];
};

#endif
