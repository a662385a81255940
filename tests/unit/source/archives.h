/*
 * For the tests of the readers: archives made in memory, byte for byte as a test wants them, and a sink that remembers
 * everything it was told and checks the order of calls.
 */
#ifndef KM_TESTS_ARCHIVES_H
#define KM_TESTS_ARCHIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "container/source/layout.h"
#include "container/source/source.h"

/* ---- Making ---- */

struct made_member {
    const char *path;
    char type; /* 0: a file */
    const char *link;
    const void *data;
    size_t length;
};

void tar_add(struct km_buf *tar, const struct made_member *member);
void tar_add_file(struct km_buf *tar, const char *path, const char *text);
void tar_add_pax(struct km_buf *tar, const char *key, const char *value); /* for the next member */
void tar_end(struct km_buf *tar);
/* Makes the checksum of the header at `offset` right again. */
void tar_fix_checksum(struct km_buf *tar, size_t offset);

/* gzip, xz or zstd of what `raw` holds, replacing *out. */
void make_gzip(const struct km_buf *raw, struct km_buf *out);
/* With extra field, name and comment of `field` bytes each, and the header's checksum. */
void make_gzip_full_header(const struct km_buf *raw, size_t field, struct km_buf *out);
/* Ends at a byte, before the last block. */
void make_gzip_unfinished(const struct km_buf *raw, struct km_buf *out);
void make_xz(const struct km_buf *raw, struct km_buf *out);
void make_zstd(const struct km_buf *raw, struct km_buf *out);
void make_bzip2(const struct km_buf *raw, struct km_buf *out);

/* ---- Remembering ---- */

#define SEEN_MAX       256
#define SEEN_TEXT_MAX  200
#define SEEN_BYTES_MAX 64

struct seen_entry {
    struct km_entry entry; /* its strings are not valid any more: */
    char path[SEEN_TEXT_MAX], link[SEEN_TEXT_MAX];
    uint64_t delivered, holes;
    uint8_t first[SEEN_BYTES_MAX];
    bool ended, complete;
};

struct seen_gap {
    struct km_gap gap;
    char where[SEEN_TEXT_MAX], detail[SEEN_TEXT_MAX];
};

struct seen {
    struct seen_entry entries[SEEN_MAX]; /* the first ones */
    size_t entry_count;                  /* of all */
    size_t open;                         /* begun and not ended */
    struct seen_gap gaps[SEEN_MAX];
    size_t gap_count;
    size_t calls, fail_at_call; /* begin, data and end calls; the one (from 1) that fails with KM_CONFLICT */
    enum km_code code;
    struct km_err err;
    struct km_coverage coverage;
    char scheme[32];
};

struct seen_options {
    enum km_source_kind kind;
    const struct km_source_limits *limits;
    const struct km_cancel *cancel;
    size_t block_bytes; /* the stream gives at most so many at once; 0: all */
    size_t fail_at_call;
};

/* Runs the source over bytes. Fails the test when calls come out of order, an entry is not ended, or the accounts do
 * not add up. */
void see_bytes(const void *bytes, size_t length, const struct seen_options *options, struct seen *out);
void see_target(const char *target, const struct km_source_limits *limits, struct seen *out);

/* The first entry of that path, or NULL. */
const struct seen_entry *seen_find(const struct seen *seen, const char *path);
/* The first gap of that reason, or NULL. */
const struct seen_gap *seen_gap(const struct seen *seen, enum km_gap_reason reason);

#endif
