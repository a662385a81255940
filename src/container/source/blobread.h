/*
 * One blob of a source from its first to its last byte: hashed as stored and as decompressed, told by its content, and
 * walked when it is a tree. The same for a layer in an image archive, a file below blobs/, and a bare tar.
 */
#ifndef KM_CONTAINER_SOURCE_BLOBREAD_H
#define KM_CONTAINER_SOURCE_BLOBREAD_H

#include "container/source/reader.h"
#include "container/source/stream.h"

/* The stored and the uncompressed stream of a blob, hashed on the way. */
struct km_blobread;

/* Does not own `stored`. *cut (may be NULL) is looked at when `stored` has ended: true if that was too early. NULL with
 * *err set (KM_NOMEM). */
struct km_blobread *km_blobread_new(struct km_reader *reader, struct km_stream *stored, const bool *cut,
                                    struct km_err *err) KM_MUST_USE;
void km_blobread_free(struct km_blobread *blob);
KM_DEFINE_CLEANUP(struct km_blobread, km_blobread_cleanup, km_blobread_free);

/* The uncompressed bytes (those stored, when they are not compressed). Borrowed. */
enum km_code km_blobread_open(struct km_blobread *blob, struct km_stream **out, struct km_err *err) KM_MUST_USE;

/* Why the uncompressed bytes ended early, or NULL. Once they have ended. */
const struct km_fault *km_blobread_fault(const struct km_blobread *blob);

/* No hashing from here on: the stream is no blob after all. */
void km_blobread_forget_hashes(struct km_blobread *blob);

/* Reads to the end and tells what stands behind compressed data, or broke them, as gaps of `name`. *out_complete false:
 * they were cut or damaged. */
enum km_code km_blobread_finish(struct km_blobread *blob, const char *name, bool *out_complete,
                                struct km_err *err) KM_MUST_USE;

enum km_blob_want {
    KM_BLOB_WANT_ANY = 0,  /* the content decides: tree, document, other */
    KM_BLOB_WANT_TREE = 1, /* a tar, be it damaged from its first byte */
};

/* All of it: registers `name` with the layout, reads, walks, finishes, and gives the layout the result. `blob` was made
 * by km_blobread_new and nothing but km_blobread_open was called on it. */
enum km_code km_blobread_run(struct km_blobread *blob, struct km_layout *layout, const char *name,
                             enum km_blob_want want, struct km_err *err) KM_MUST_USE;

#endif
