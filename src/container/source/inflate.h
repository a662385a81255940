/*
 * gzip, zstd, xz and bzip2 as a stream over a stream, with the libraries' own decoders, so that it is known exactly
 * where compressed data end: several members or frames may follow each other, zeros may pad them, and anything else
 * behind them is a fault, as are damage, a cut, and the limits below.
 */
#ifndef KM_CONTAINER_SOURCE_INFLATE_H
#define KM_CONTAINER_SOURCE_INFLATE_H

#include "container/source/members.h"
#include "container/source/sniff.h"

struct km_inflate_limits {
    uint64_t max_ratio;   /* output : input … */
    uint64_t grace_bytes; /* … looked at beyond this much output */
    size_t *memory_left;  /* decoders take their memory from it and give it back; shared among those that are open */
};

/* True for content that km_inflate_new opens. */
bool km_inflate_handles(enum km_content content);

/* A stream of the decompressed bytes of `source`, which it does not own and consumes exactly to the end of what is
 * compressed (padding included). Keeps `limits->memory_left`. NULL with *err set (KM_NOMEM). */
struct km_stream *km_inflate_new(enum km_content content, struct km_stream *source,
                                 const struct km_inflate_limits *limits, struct km_err *err) KM_MUST_USE;

/* Why the stream ended early, or NULL. Offsets count decompressed bytes, those of KM_GAP_TRAILING compressed ones. For
 * a stream made by km_inflate_new, once it has ended. */
const struct km_fault *km_inflate_fault(const struct km_stream *stream);

#endif
