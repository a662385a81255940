/*
 * An ELF that UPX packed, as an archive of one member, "upx": the program before it was packed, byte for byte. Nothing
 * is run: the blocks that UPX's own unpacker would read are walked, decompressed (libucl's checked decoders for NRV,
 * liblzma for LZMA) and unfiltered.
 *
 * Where they are: behind upxhead.h's headers, one run of blocks for the program's headers and each of its loaded
 * segments; then the loader; behind that, aligned to four, one run for each gap between segments and for what follows
 * them. At the end of the file stands the Adler-32 of everything.
 *
 * Limits: the packed file is held in memory, with one unpacked block; both come out of the decoders' budget. What does
 * not fit, does not add up or has an unknown method or filter is a fault (KM_GAP_LIMIT, KM_GAP_UNSUPPORTED) and no
 * member. A wrong checksum is a fault (KM_GAP_DAMAGED) behind the member, which stays: the loader does not look at it.
 */
#ifndef KM_CONTAINER_SOURCE_UPX_H
#define KM_CONTAINER_SOURCE_UPX_H

#include "container/source/inflate.h"
#include "container/source/members.h"
#include "container/source/upxhead.h"

/* Whether this build opens blocks of that method: NRV needs libucl. */
bool km_upx_handles(enum km_upx_method method);

/* `head` was found in what `stream` (not owned) will give. Keeps limits->memory_left. NULL with *err set (KM_NOMEM). */
struct km_members *km_upx_new(const struct km_upx_head *head, struct km_stream *stream,
                              const struct km_inflate_limits *limits, struct km_err *err) KM_MUST_USE;

#endif
