/*
 * Lists of SHA-256 hashes of files that must be found: one "<64 hex digits> [name]" a line, "#" starts a comment.
 *
 * Memory: 48 bytes a hash, and at most 64 MB for all names. A file is read in pieces.
 * Lifecycle: km_hashlist_new, add files, km_hashlist_seal, then find from any thread; km_hashlist_free.
 */
#ifndef KM_CONTAINER_SCAN_HASHLIST_H
#define KM_CONTAINER_SCAN_HASHLIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"

#define KM_HASHLIST_MAX_HASHES     5000000
#define KM_HASHLIST_MAX_LINE_BYTES 1024

struct km_hashlist;

struct km_hashlist *km_hashlist_new(struct km_err *err) KM_MUST_USE;
void km_hashlist_free(struct km_hashlist *list);

/* Reads a list from text. `label` names the list in evidence and messages ("own.sha256"). A line that is neither
 * comment nor hash is KM_FORMAT ("own.sha256:7: …"): a list must not be half applied in silence. KM_LIMIT, KM_NOMEM. */
enum km_code km_hashlist_add_text(struct km_hashlist *list, const char *label, const char *text, size_t length,
                                  struct km_err *err) KM_MUST_USE;

/* Reads a list from a file; the label is its base name. Also KM_IO, KM_NOTFOUND, KM_DENIED. */
enum km_code km_hashlist_add_file(struct km_hashlist *list, const char *path, struct km_err *err) KM_MUST_USE;

/* Sorts; after this only km_hashlist_find. */
void km_hashlist_seal(struct km_hashlist *list);

struct km_hash_match {
    const char *label; /* borrowed from the list */
    const char *name;  /* "" when the line has none */
};

/* Whether the list has this hash; *out is set when it does. */
int km_hashlist_find(const struct km_hashlist *list, const uint8_t sha256[KM_SHA256_BYTES], struct km_hash_match *out);

size_t km_hashlist_count(const struct km_hashlist *list);

#endif
