/*
 * One 512-byte tar header and the texts inside PAX records, decoded as Python's tarfile decodes them. No state.
 */
#ifndef KM_CONTAINER_IMAGING_TARHEADER_H
#define KM_CONTAINER_IMAGING_TARHEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KM_TARHEADER_BYTES    512U
#define KM_TARHEADER_MAX_NAME 256U /* prefix, '/', name */

struct km_tarheader {
    char type;
    uint64_t size;
    uint64_t expanded_size; /* GNU sparse only */
    bool sparse_continues;  /* GNU sparse only: an extension block follows */
    size_t name_length;
    char name[KM_TARHEADER_MAX_NAME + 1];
};

enum km_tarheader_kind {
    KM_TARHEADER_VALID = 0,
    KM_TARHEADER_ZERO = 1,    /* 512 zeros */
    KM_TARHEADER_DAMAGED = 2, /* bad checksum, unreadable or negative number */
};

/* *out_header is filled for KM_TARHEADER_VALID. */
enum km_tarheader_kind km_tarheader_parse(const uint8_t block[KM_TARHEADER_BYTES], struct km_tarheader *out_header);

/* A GNU sparse extension block: false when it is damaged. */
bool km_tarheader_parse_sparse(const uint8_t block[KM_TARHEADER_BYTES], bool *out_continues);

/* An integer as Python's int(text, base) reads it (blanks around, sign, single underscores between digits, "0o" for
 * base 8). false: not a number. Values beyond 63 bits saturate. */
bool km_tarheader_parse_integer(const char *text, size_t length, unsigned base, int64_t *out_value);

#endif
