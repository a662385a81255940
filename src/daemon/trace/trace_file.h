/*
 * Trace files: recorded events, in blocks that stand for themselves (docs/formats/trace.md). Each block carries its
 * length and a checksum; it is written when it is full or a second old, so a recorder that is killed loses at most its
 * last second, and what it leaves is readable to the last whole block.
 */
#ifndef KM_TRACE_TRACE_FILE_H
#define KM_TRACE_TRACE_FILE_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "daemon/trace/event.h"

#define KM_TRACE_VERSION         1
#define KM_TRACE_MAX_BLOCK_BYTES ((size_t)1 << 20)

struct km_trace_writer;

/* Writes a file's head to fd, which stays the caller's and must outlive the writer. wall_ns is the time of day at
 * monotonic_ns. NULL: KM_NOMEM, KM_IO. */
struct km_trace_writer *km_trace_writer_new(int fd, int64_t wall_ns, int64_t monotonic_ns,
                                            struct km_err *err) KM_MUST_USE;

/* Releases without writing what is pending. */
void km_trace_writer_free(struct km_trace_writer *writer);
KM_DEFINE_CLEANUP(struct km_trace_writer, km_trace_writer_cleanup, km_trace_writer_free);

/* Takes an event; writes the block when it is full or the event is a second later than its first. A recorder without
 * events calls km_trace_writer_flush each second. Texts longer than the limits of event.h are cut. KM_IO, KM_NOMEM. */
enum km_code km_trace_writer_event(struct km_trace_writer *writer, const struct km_event *event,
                                   struct km_err *err) KM_MUST_USE;

/* Writes the pending block. Call it at the end. */
enum km_code km_trace_writer_flush(struct km_trace_writer *writer, struct km_err *err) KM_MUST_USE;

struct km_trace_reader;

/* Reads a file's head from fd (borrowed). NULL: KM_FORMAT, KM_UNSUPPORTED (a newer version), KM_IO, KM_NOMEM. */
struct km_trace_reader *km_trace_reader_new(int fd, struct km_err *err) KM_MUST_USE;
void km_trace_reader_free(struct km_trace_reader *reader);
KM_DEFINE_CLEANUP(struct km_trace_reader, km_trace_reader_cleanup, km_trace_reader_free);

/* The next event; its strings live until the next call. KM_NOTFOUND: the end. KM_FORMAT names the block and its offset;
 * nothing after it is read. KM_IO. */
enum km_code km_trace_reader_next(struct km_trace_reader *reader, struct km_event *out, struct km_err *err) KM_MUST_USE;

struct km_trace_info {
    int64_t wall_ns;
    int64_t monotonic_ns;
    uint64_t blocks;
    uint64_t events;
    uint64_t cut_bytes; /* of a last block that was not written to its end; known at the end of the file */
};
void km_trace_reader_get_info(const struct km_trace_reader *reader, struct km_trace_info *out);

#endif
