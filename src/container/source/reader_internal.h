/*
 * The reader of a tree and what it opens on the way: reader.c walks and accounts, reader_nested.c opens archives within
 * members.
 */
#ifndef KM_CONTAINER_SOURCE_READER_INTERNAL_H
#define KM_CONTAINER_SOURCE_READER_INTERNAL_H

#include "base/buf.h"
#include "container/source/memberstream.h"
#include "container/source/reader.h"

#define KM_READER_MAX_FRAMES (KM_SOURCE_MAX_NESTED_DEPTH + 2) /* the deepest one only looks for tails */

/* One open archive. frames[0] is the tree itself. */
struct km_reader_frame {
    struct km_reader *reader;
    struct km_members *members;
    struct km_stream *inflated; /* between the outer member and `members`, or NULL */
    struct km_stream *held;     /* below that: the outer member's bytes in memory, or NULL */
    uint32_t parent;
    struct km_memberstream stream; /* of the current member */
    struct km_buf path;            /* of the current member, normalised */
    bool open;                     /* the current member was begun and not ended */
    void *state;
    uint32_t id;
    uint64_t size, delivered;
};

struct km_reader {
    struct km_source_limits limits;
    size_t decoder_left;
    struct km_inflate_limits layer_inflate, nested_inflate;
    struct km_layout *layout;
    const struct km_entry_sink *sink;
    const struct km_cancel *cancel;
    struct km_coverage coverage;
    uint32_t entries;
    const struct km_tree *tree;
    bool damaged; /* the tree had faults */
    struct km_buf where;
    /* After the limit of entries: what the rest of the tree holds. */
    bool counting;
    uint64_t uncounted_files, uncounted_bytes;
    /* The file of the tree that is being delivered, with all that is nested in it. */
    bool opaque;
    bool nested_over; /* a limit was met inside: no more nested content of this file */
    uint64_t nested_bytes;
    uint8_t *held; /* bytes of a compressed file, or NULL */
    unsigned frame_count;
    struct km_reader_frame frames[KM_READER_MAX_FRAMES];
};

/* A fault within the archive of frames[level]. */
enum km_code km_reader_tell(struct km_reader *reader, unsigned level, const struct km_fault *fault, struct km_err *err);
/* Something about the content of the current member of `frame`, as far as it goes beyond its bytes. */
enum km_code km_reader_tell_content(struct km_reader *reader, struct km_reader_frame *frame, enum km_gap_reason reason,
                                    const char *detail, struct km_err *err);
/* Begins and ends the file `name` of `size` bytes within the current member of `outer`, which the sink remembers. */
enum km_code km_reader_pass_recalled(struct km_reader *reader, const struct km_reader_frame *outer, const char *name,
                                     uint64_t size, struct km_err *err);
/* For a struct km_fault_sink: the context is the frame. */
enum km_code km_reader_on_fault(void *context, const struct km_fault *fault, struct km_err *err);

/* Looks at the first bytes of the member that was just begun, and pushes a frame when it is an archive, packed by UPX,
 * or may carry a payload. */
enum km_code km_reader_look_inside(struct km_reader *reader, struct km_reader_frame *frame, struct km_err *err);
void km_reader_close_streams(struct km_reader_frame *frame);
/* Closes the last frame; its stream's fault is told. */
enum km_code km_reader_pop(struct km_reader *reader, struct km_err *err);

#endif
