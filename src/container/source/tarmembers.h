/*
 * The members of a tar archive over a stream: V7, ustar, GNU and PAX names, GNU and PAX sparse files. Our own, because
 * libarchive hides offsets, stops at a bad header and rewrites names (Unicode normalisation), and each of these would
 * be a place to hide. Reads as Go's archive/tar does where dialects differ, for that is what unpacks layers.
 *
 * A header that is damaged is skipped to the next good one and said as a fault; so are bytes other than zero after the
 * end, an archive without its end, and header data beyond KM_TAR_MAX_META. Memory: at most 6 MiB, for names and maps.
 */
#ifndef KM_CONTAINER_SOURCE_TARMEMBERS_H
#define KM_CONTAINER_SOURCE_TARMEMBERS_H

#include "container/source/members.h"

/* Does not own the stream. NULL with *err set (KM_NOMEM). */
struct km_members *km_tarmembers_new(struct km_stream *stream, struct km_err *err) KM_MUST_USE;

#endif
