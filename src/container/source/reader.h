/*
 * Walks the trees of a source, file by file and into nested archives, and calls the sink. Keeps the accounts. It knows
 * members.h and nothing of where they come from; no recursion, a frame for each open archive.
 */
#ifndef KM_CONTAINER_SOURCE_READER_H
#define KM_CONTAINER_SOURCE_READER_H

#include "base/cancel.h"
#include "container/source/inflate.h"
#include "container/source/layout.h"
#include "container/source/members.h"
#include "container/source/source.h"

struct km_reader;

/* Borrows the layout. NULL with *err set (KM_NOMEM). */
struct km_reader *km_reader_new(const struct km_source_limits *limits, struct km_layout *layout,
                                struct km_err *err) KM_MUST_USE;
void km_reader_free(struct km_reader *reader);

/* Before the first walk. sink and cancel (may be NULL) are borrowed until the reader is freed. */
void km_reader_start(struct km_reader *reader, const struct km_entry_sink *sink, const struct km_cancel *cancel);

struct km_tree {
    struct km_members *members;
    uint32_t blob;
    const char *name; /* of the blob; "" gives gaps no prefix */
    bool whiteouts;   /* ".wh." names have their meaning */
};

/* Delivers every entry of the tree. *out_complete false: faults other than trailing bytes were met. */
enum km_code km_reader_walk(struct km_reader *reader, const struct km_tree *tree, bool *out_complete,
                            struct km_err *err) KM_MUST_USE;

/* Counts a gap and hands it to the sink. */
enum km_code km_reader_gap(struct km_reader *reader, const struct km_gap *gap, struct km_err *err) KM_MUST_USE;

/* The same for a fault of a container of blobs: where = `name`. Trailing bytes and damage are told alike. */
enum km_code km_reader_fault(struct km_reader *reader, const char *name, const struct km_fault *fault,
                             struct km_err *err) KM_MUST_USE;

/* KM_CANCELLED when the token says so. */
enum km_code km_reader_check(const struct km_reader *reader, struct km_err *err) KM_MUST_USE;

const struct km_coverage *km_reader_coverage(const struct km_reader *reader);
/* For the decoders of layers, which share the budget. */
const struct km_inflate_limits *km_reader_layer_limits(struct km_reader *reader);

#endif
