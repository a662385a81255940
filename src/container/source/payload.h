/*
 * What scripts and programs carry behind themselves, as an archive of members called "payload", "payload-2", …: the
 * content of gzexe's and makeself's scripts, of self-extractors, of what was appended to an ELF.
 *
 * Where it is looked for: in text, at the beginning of lines; behind an ELF, anywhere past the end of what its headers
 * describe. A magic number alone convinces nobody: compressed data must decode for 256 KiB or to their end, headers of
 * archives must hold together. What does not was looked at without being consumed, and the search goes on one byte
 * further.
 *
 * Compressed data become a member of what they hold, an archive one of its own bytes to the file's end; the reader then
 * looks into either as into any other file. Encrypted and unsupported formats (AppImage's squashfs, 7z) are faults.
 *
 * Limits: KM_PAYLOAD_MAX_TRIES magic numbers, KM_PAYLOAD_MAX payloads; beyond them a fault (KM_GAP_LIMIT).
 */
#ifndef KM_CONTAINER_SOURCE_PAYLOAD_H
#define KM_CONTAINER_SOURCE_PAYLOAD_H

#include <stdbool.h>

#include "container/source/inflate.h"
#include "container/source/members.h"

#define KM_PAYLOAD_MAX_TRIES  256
#define KM_PAYLOAD_MAX        64
#define KM_PAYLOAD_HEAD_BYTES KM_STREAM_PEEK_MAX

enum km_payload_head {
    KM_PAYLOAD_NONE = 0,
    KM_PAYLOAD_TEXT = 1,
    KM_PAYLOAD_ELF = 2,
};

struct km_payload_place {
    enum km_payload_head head;
    uint64_t from;    /* the search begins here */
    uint64_t code_at; /* of an ELF: its first executable segment, where UPX 3 signs shared libraries; or 0 */
};

/* What a file of `size` bytes (or KM_SIZE_UNKNOWN) that begins with head[0..length) may carry; length is
 * KM_PAYLOAD_HEAD_BYTES or the whole file. */
struct km_payload_place km_payload_expect(const uint8_t *head, size_t length, uint64_t size);

/* `look_only`: nothing more may be opened; a payload is told as KM_GAP_NESTED, and is no member. The stream is not
 * owned. Keeps limits->memory_left. NULL with *err set (KM_NOMEM). */
struct km_members *km_payload_new(struct km_payload_place place, struct km_stream *stream,
                                  const struct km_inflate_limits *limits, bool look_only,
                                  struct km_err *err) KM_MUST_USE;

#endif
