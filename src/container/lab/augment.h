/*
 * From a file to one training sample: a piece of it, changed as bytes change between builds, so that a network cannot
 * learn a file by heart. Deterministic in its random numbers.
 */
#ifndef KM_CONTAINER_LAB_AUGMENT_H
#define KM_CONTAINER_LAB_AUGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "nn/seeded.h"

/* Shares of samples that are changed so, and how far. */
struct km_augment {
    double offset_small, offset_large; /* start at any byte: files up to, and above, KM_AUGMENT_LARGE_BYTES */
    double crop, crop_least;           /* keep a run of crop_least..1 of the piece */
    double noise, noise_most;          /* replace up to noise_most of the bytes */
    double zero_head;                  /* zero the first KM_AUGMENT_ZERO_LEAST..KM_AUGMENT_ZERO_MOST bytes */
};
#define KM_AUGMENT_LARGE_BYTES ((size_t)64 << 10)
#define KM_AUGMENT_ZERO_LEAST  64u
#define KM_AUGMENT_ZERO_MOST   1024u
#define KM_AUGMENT_MIN_BYTES   ((size_t)256) /* no piece of a longer file is shorter */
#define KM_AUGMENT_FULL                                                                                                \
    {                                                                                                                  \
        .offset_small = 0.5, .offset_large = 0.8, .crop = 0.7, .crop_least = 0.1, .noise = 0.5, .noise_most = 0.02,    \
        .zero_head = 0.3                                                                                               \
    }

/* Fills out[0..most) with a piece of bytes[0..length), length at least 1; returns its length, 1..most. */
size_t km_augment_cut(const struct km_augment *augment, const uint8_t *bytes, size_t length, size_t most,
                      struct km_seeded *random, uint8_t *out);

#endif
