/*
 * The members of zip, ar (.deb, .a) and cpio archives over a stream, read by libarchive without seeking. The only place
 * that knows archive.h. What libarchive cannot read becomes a fault. One that
 * it cannot even begin has no members and no fault: it only looked like an archive.
 */
#ifndef KM_CONTAINER_SOURCE_UNPACK_H
#define KM_CONTAINER_SOURCE_UNPACK_H

#include "container/source/members.h"
#include "container/source/sniff.h"

/* content is ZIP, AR or CPIO. Does not own the stream. NULL with *err set (KM_NOMEM). */
struct km_members *km_unpack_new(enum km_content content, struct km_stream *stream, struct km_err *err) KM_MUST_USE;

#endif
