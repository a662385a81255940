/*
 * A container opened for reading: one pass over untrusted bytes, as a stream of entries.
 *
 * The source drives. It calls a km_entry_sink while it reads: begin, data…, end for each member of each file system,
 * and gap for everything that it could not read. Nested archives interleave: while the outer file's bytes are being
 * delivered, its members are begun, filled and ended too, each with the state pointer that its own begin returned.
 *
 *     begin(app.tar.gz) data(app.tar.gz) begin(app.tar.gz!/x) data(x) data(app.tar.gz) end(x) … end(app.tar.gz)
 *
 * Which layer a blob is, in which order layers lie, who deleted what: a manifest may follow its blobs, so that is known
 * only at the end, from km_source_layout() (layout.h). Entries are numbered from 0 in stream order for that purpose.
 *
 * Memory: bounded by the limits below, whatever the input says. Devices, FIFOs and sockets are never opened.
 * Accounting: bytes_total counts the logical size of every regular file of every tree (members of nested archives are
 * bytes of their outer file). A file in whose inside something was not understood (encrypted, too deep, damaged, over a
 * limit) counts as opaque as a whole; bytes_total - examined - opaque is what was never read.
 *
 * Threads: one source, one thread. Lifecycle: km_source_open, km_source_run once, km_source_layout, km_source_close.
 */
#ifndef KM_CONTAINER_SOURCE_SOURCE_H
#define KM_CONTAINER_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "finding/finding.h"

enum km_entry_type {
    KM_ENTRY_FILE = 0,
    KM_ENTRY_DIRECTORY = 1,
    KM_ENTRY_SYMLINK = 2,
    KM_ENTRY_HARDLINK = 3, /* to `link`, in the same blob: its bytes came with the target */
    KM_ENTRY_CHARACTER = 4,
    KM_ENTRY_BLOCK = 5,
    KM_ENTRY_FIFO = 6,
    KM_ENTRY_SOCKET = 7,
    KM_ENTRY_WHITEOUT = 8, /* deletes `path` (the ".wh." is taken off) of lower layers */
    KM_ENTRY_OPAQUE = 9,   /* hides everything that lower layers have below directory `path` */
};

#define KM_ENTRY_NONE   UINT32_MAX
#define KM_SIZE_UNKNOWN UINT64_MAX

struct km_entry {
    uint32_t id;     /* 0, 1, … in stream order over the whole source */
    uint32_t blob;   /* which file system tree (layer archive, directory) it came from: index into the layout's blobs */
    uint32_t parent; /* the entry whose content this is a member of, or KM_ENTRY_NONE */
    unsigned depth;  /* 0 = member of a layer; n = inside n nested archives */
    enum km_entry_type type;
    const char *path; /* normalised: no leading "/" or "./", no "..", no doubled or trailing "/"; else raw bytes.
                       * For members of nested archives: the path inside the archive. */
    const char *link; /* target of links as stored, or NULL */
    bool odd_name;    /* the stored name climbed with "..", or could not be kept whole; an absolute one is not odd */
    uint64_t size;    /* logical bytes, holes included; KM_SIZE_UNKNOWN for single compressed files */
    uint32_t mode;    /* permission bits with setuid, setgid, sticky */
    uint32_t uid, gid;
    int64_t mtime_s;
    uint64_t stream_offset; /* of the member's first header in the blob's uncompressed stream; 0 for directories */
};

/* Callbacks return KM_OK to go on; any other code ends the run with it. Strings are borrowed for the call. */
struct km_entry_sink {
    void *context;
    /* A new entry. *out_state (initially NULL) is handed to its data and end. Only KM_ENTRY_FILE gets data. */
    enum km_code (*begin)(void *context, const struct km_entry *entry, void **out_state, struct km_err *err);
    /* Bytes [offset, offset + length) of the entry, in order. bytes == NULL: a hole of a sparse file (zeros; may be
     * long). The memory belongs to the source. */
    enum km_code (*data)(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                         struct km_err *err);
    /* The entry is over. complete: every byte was delivered (gaps inside it were reported otherwise). Always called
     * once for each begin that succeeded, also when the run fails or is cancelled. */
    enum km_code (*end)(void *context, void *state, bool complete, struct km_err *err);
    /* Something was not read or not understood. */
    enum km_code (*gap)(void *context, const struct km_gap *gap, struct km_err *err);
    /* Now and then: raw bytes read so far, and how many there will be (KM_SIZE_UNKNOWN). May be NULL. */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total);
    /* May be NULL: no. Asked about a compressed file of a tree, of which all bytes were delivered: whether the one file
     * that it holds, which will be called `name`, is remembered. If so, *out_size says how large that is (at most
     * KM_SOURCE_MAX_RECALLED), and it is begun and ended, complete and without data, unless a limit of entries is met.
     */
    bool (*recalls)(void *context, void *state, const char *name, const void *bytes, size_t length, uint64_t *out_size);
};
#define KM_SOURCE_MAX_RECALLED ((uint64_t)16 << 20)

/* Stated limits. Meeting one is a gap (KM_GAP_LIMIT), never an end. */
struct km_source_limits {
    uint32_t max_entries;      /* of all trees and nested archives; the bytes of further files are only counted */
    size_t max_index_bytes;    /* names and records that the layout keeps */
    unsigned nested_depth;     /* archives in archives; 0 opens none, at most KM_SOURCE_MAX_NESTED_DEPTH */
    uint64_t max_ratio;        /* decompressed : compressed. Looked at beyond … */
    uint64_t layer_grace;      /* … so many bytes of a layer (zeros reach 1030:1 with gzip, and are honest) */
    uint64_t nested_grace;     /* … so many bytes of all that is nested in one file */
    uint64_t max_nested_bytes; /* nested content of one file of a tree, all depths together */
    size_t decoder_bytes;      /* memory of all open decoders together: zstd windows, xz dictionaries */
};
#define KM_SOURCE_MAX_NESTED_DEPTH 16
#define KM_SOURCE_LIMITS_INIT                                                                                          \
    {                                                                                                                  \
        .max_entries = 1000000, .max_index_bytes = (size_t)160 << 20, .nested_depth = 4, .max_ratio = 1000,            \
        .layer_grace = (uint64_t)1 << 30, .nested_grace = (uint64_t)64 << 20, .max_nested_bytes = (uint64_t)4 << 30,   \
        .decoder_bytes = (size_t)72 << 20                                                                              \
    }

enum km_source_kind {
    KM_SOURCE_AUTO = 0,   /* told by the content: a tar file system or an archive of images, compressed or not */
    KM_SOURCE_IMAGES = 1, /* docker-archive or oci-archive: one reader, whatever is inside decides */
    KM_SOURCE_TAR = 2,    /* one file system */
    KM_SOURCE_OCI_DIR = 3,
    KM_SOURCE_DIR = 4,
};

struct km_source;
struct km_stream; /* stream.h */
struct km_layout; /* layout.h */

/* Opens "SCHEME:PATH" or "PATH"; "-" as PATH is standard input. Schemes: docker-archive, oci-archive, oci-dir, tar,
 * dir. Without one, a file is told by its content and a directory by its oci-layout file. limits NULL: the defaults.
 * KM_NOTFOUND, KM_DENIED, KM_IO; KM_UNSUPPORTED for other schemes and for things that are no file or directory. */
enum km_code km_source_open(const char *target, const struct km_source_limits *limits, struct km_source **out,
                            struct km_err *err) KM_MUST_USE;

/* The same for an open descriptor (a file, pipe or socket for AUTO, IMAGES and TAR; a directory for OCI_DIR and DIR),
 * which is taken over, also on failure. `name` (copied) is what the user calls it. */
enum km_code km_source_open_fd(int fd, enum km_source_kind kind, const char *name,
                               const struct km_source_limits *limits, struct km_source **out,
                               struct km_err *err) KM_MUST_USE;

/* The same for a stream (AUTO, IMAGES, TAR), which is taken over, also on failure. */
enum km_code km_source_open_stream(struct km_stream *stream, enum km_source_kind kind, const char *name,
                                   const struct km_source_limits *limits, struct km_source **out,
                                   struct km_err *err) KM_MUST_USE;
void km_source_close(struct km_source *source);

/* Before the run: a second listener, which hears everything that the sink of km_source_run hears, behind it. Borrowed
 * until the run is over. At most one; with it, nothing is recalled. */
void km_source_tap(struct km_source *source, const struct km_entry_sink *tap);

/* Reads everything, once, and resolves the layout. KM_FORMAT: the input is nothing that can be read as its kind.
 * KM_IO, KM_NOMEM; KM_CANCELLED after a gap of that name; a callback's code. What was delivered stays valid. */
enum km_code km_source_run(struct km_source *source, const struct km_entry_sink *sink, const struct km_cancel *cancel,
                           struct km_err *err) KM_MUST_USE;

/* After the run. Borrowed until km_source_close. */
const struct km_layout *km_source_layout(const struct km_source *source);
/* What was read, counted as said above; gaps that the layout reported are in it. During the run, too. */
const struct km_coverage *km_source_coverage(const struct km_source *source);
/* "docker-archive", "oci-archive", "oci-dir", "tar" or "dir": as resolved. Known after the run. */
const char *km_source_scheme(const struct km_source *source);

#endif
