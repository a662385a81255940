/*
 * What the detector said about segments and files, kept between scans: LMDB, one file in a folder of the user's. And
 * what costs most of the rest where bytes are known: the MD5 of contents, which dpkg's lists need, and what compressed
 * files hold.
 *
 * Key: SHA-256 of the content, what is asked for, digest of models and format. Value: the record of segment.h, or the
 * MD5, with a checksum; it is hostile, and a damaged one is a miss. Two generations: a record that is found in the old
 * one moves to the new; when the new one has half of the capacity, the old one is dropped. The folder is the user's own
 * and closed to others (0700); one that is not is refused.
 *
 * A cache is never needed: every failure after opening makes misses, and km_segcache_trouble says so once. A killed
 * writer leaves the last finished state. A database that was changed by others since it was last closed in order, is
 * walked by a child process first, because a damaged one can end the process that reads it.
 *
 * Threads: all functions but open and close may be called by many; km_segcache_put gathers records, km_segcache_flush
 * and a full gathering write them.
 */
#ifndef KM_CONTAINER_SCAN_SEGCACHE_H
#define KM_CONTAINER_SCAN_SEGCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "container/scan/segment.h"

#define KM_SEGCACHE_VERSION       1
#define KM_SEGCACHE_DEFAULT_BYTES ((size_t)512 << 20)
#define KM_SEGCACHE_MIN_BYTES     ((size_t)16 << 20)
#define KM_SEGCACHE_PATH_BYTES    4096

struct km_segcache;

enum km_segcache_kind {
    KM_SEGCACHE_SEGMENT = 0,
    KM_SEGCACHE_FILE = 1,   /* of one segment, or what its segments came to (km_detector_fold_unite) */
    KM_SEGCACHE_MD5 = 2,    /* of any models */
    KM_SEGCACHE_INSIDE = 3, /* of any models */
};

/* The one file that a compressed file holds: data, no archive, and nothing else was told about it. */
struct km_segcache_inside {
    uint64_t size; /* at most KM_SOURCE_MAX_RECALLED */
    uint8_t sha256[KM_SHA256_BYTES];
};
/* Counts up when what is opened within files, or what counts as data or as packed, changes: what an earlier version
 * found to hold nothing more is then looked at again. */
#define KM_SEGCACHE_INSIDE_RULES 1

struct km_segcache_key {
    uint8_t content[KM_SHA256_BYTES];
    uint8_t models[KM_SHA256_BYTES];
    uint8_t kind; /* enum km_segcache_kind */
};

/* Opens or makes the cache in the folder `path`, which is made with its parents when it is not there. What is there but
 * damaged, or of another version, is emptied, and *out_note (may be NULL; KM_ERR_TEXT_BYTES) says so in a line; else it
 * is "". KM_DENIED (not the user's own folder), KM_IO, KM_NOMEM, KM_LIMIT (path). */
enum km_code km_segcache_open(const char *path, size_t max_bytes, struct km_segcache **out, char *out_note,
                              struct km_err *err) KM_MUST_USE;
/* Writes what is gathered. NULL is allowed. */
void km_segcache_close(struct km_segcache *cache);

/* Fills scores and ids of a segment whose length and is_whole are set; false: not there. A cache of NULL has nothing.
 */
bool km_segcache_get(struct km_segcache *cache, const struct km_segcache_key *key, struct km_segment *segment);
void km_segcache_put(struct km_segcache *cache, const struct km_segcache_key *key, const struct km_segment *segment);

/* The MD5 of the content with this SHA-256; false: not there. */
bool km_segcache_get_md5(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES], uint8_t md5[KM_MD5_BYTES]);
void km_segcache_put_md5(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES],
                         const uint8_t md5[KM_MD5_BYTES]);

/* What the compressed file with this SHA-256 holds; false: not there. */
bool km_segcache_get_inside(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES],
                            struct km_segcache_inside *out);
void km_segcache_put_inside(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES],
                            const struct km_segcache_inside *inside);

void km_segcache_flush(struct km_segcache *cache);

/* The first failure since opening, or NULL: one line. Call when no other thread uses the cache. */
const char *km_segcache_trouble(const struct km_segcache *cache);

/* The user's folder for it: $XDG_CACHE_HOME/komainu/segments or $HOME/.cache/komainu/segments. KM_NOTFOUND without a
 * home; KM_LIMIT. */
enum km_code km_segcache_path(char out[KM_SEGCACHE_PATH_BYTES], struct km_err *err) KM_MUST_USE;

#endif
