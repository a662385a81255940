/*
 * What a byte looks like: one value 0..255 per byte for each colour map of the reference.
 */
#ifndef KM_CONTAINER_IMAGING_COLOUR_H
#define KM_CONTAINER_IMAGING_COLOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum km_colour_map {
    KM_COLOUR_CLASS = 0,     /* zero, 0xff, printable, other */
    KM_COLOUR_MAGNITUDE = 1, /* the byte itself */
    KM_COLOUR_STRUCTURE = 2, /* archive headers and data, from the tar walk (paint.h) */
    KM_COLOUR_ENTROPY = 3,   /* of 32 neighbours in the sampled sequence */
};

#define KM_COLOUR_MAX_MAPS 4

enum {
    KM_COLOUR_CLASS_ZERO = 0,
    KM_COLOUR_CLASS_PRINTABLE = 55,
    KM_COLOUR_CLASS_OTHER = 228,
    KM_COLOUR_CLASS_FF = 255,
};

/* "class", "magnitude", "structure", "entropy". Static storage. */
const char *km_colour_map_to_string(enum km_colour_map map);

/* Parses a comma-separated list of one to four map names. Of four, the first three are shown. KM_FORMAT. */
enum km_code km_colour_parse_maps(const char *text, enum km_colour_map *out_maps, size_t *out_count,
                                  struct km_err *err) KM_MUST_USE;

uint8_t km_colour_class(uint8_t byte);

/* The class of each of the 256 bytes. */
void km_colour_fill_class(uint8_t table[256]);

/* The palette for the class map shown alone. */
void km_colour_fill_class_palette(uint8_t table[256][3]);

/* Entropy of the 32 bytes around each position of a sequence, as a share of what is possible; bit-exact, which takes
 * the reference's order of summation. Bytes in front of and behind the sequence count as zeros. */
struct km_entropy {
    const uint8_t *sequence;
    size_t length;
    size_t position; /* the next to be given */
    double terms[33];
    double whole; /* the divisor */
    uint8_t counts[256];
    double lanes[2][8];
};

/* sequence is borrowed until the last km_entropy_next. */
void km_entropy_init(struct km_entropy *entropy, const uint8_t *sequence, size_t length);

/* The share 0..1 at the next position (at most `length` calls). */
double km_entropy_next(struct km_entropy *entropy);

#endif
