/*
 * Counts the raw bytes that a run reads, tells the sink's progress, and asks the cancel token: the one place through
 * which everything from outside flows.
 */
#ifndef KM_CONTAINER_SOURCE_METER_H
#define KM_CONTAINER_SOURCE_METER_H

#include "base/cancel.h"
#include "container/source/source.h"
#include "container/source/stream.h"

struct km_meter {
    const struct km_entry_sink *sink;
    const struct km_cancel *cancel;
    uint64_t bytes, next_report;
    uint64_t total; /* KM_SIZE_UNKNOWN */
};

/* Adds bytes read. KM_CANCELLED when the token says so. */
enum km_code km_meter_add(struct km_meter *meter, uint64_t bytes, struct km_err *err) KM_MUST_USE;

/* A stream that meters another one. Owns it when `own`. NULL with *err set (KM_NOMEM); `source` is then the caller's.
 */
struct km_stream *km_meter_stream_new(struct km_meter *meter, struct km_stream *source, bool own,
                                      struct km_err *err) KM_MUST_USE;

#endif
