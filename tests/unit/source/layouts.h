/* Builds layouts by hand: blobs whose stored bytes are a short text, entries in a line of "type:path" words. */
#ifndef KM_TESTS_LAYOUTS_H
#define KM_TESTS_LAYOUTS_H

#include "../cm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container/source/layout.h"

#define MAX_GAPS 64

struct seen_gap {
    enum km_gap_reason reason;
    char where[128];
    char detail[256];
    uint64_t bytes;
};

struct fixture {
    struct km_layout *layout;
    struct km_entry_sink sink;
    struct seen_gap gaps[MAX_GAPS];
    size_t gap_count; /* counts on beyond MAX_GAPS */
    enum km_code gap_answer;
    uint32_t entries;
    struct km_err err;
};

static inline enum km_code note_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct fixture *f = context;
    if (f->gap_count < MAX_GAPS) {
        struct seen_gap *seen = &f->gaps[f->gap_count];
        seen->reason = gap->reason;
        (void)snprintf(seen->where, sizeof seen->where, "%s", gap->where);
        (void)snprintf(seen->detail, sizeof seen->detail, "%s", gap->detail ? gap->detail : "");
        seen->bytes = gap->bytes;
    }
    f->gap_count++;
    return f->gap_answer == KM_OK ? KM_OK : km_fail(err, f->gap_answer, "the sink failed");
}

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.err = KM_ERR_INIT};
    f->sink = (struct km_entry_sink){.context = f, .gap = note_gap};
    f->layout = km_layout_new((size_t)256 << 20, &f->err);
    assert_non_null(f->layout);
}

static inline void fixture_done(struct fixture *f)
{
    km_layout_free(f->layout);
}

static inline void sha256_of(const char *prefix, const char *text, uint8_t out[KM_SHA256_BYTES])
{
    struct km_err err = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    assert_non_null(digest);
    km_digest_update(digest, prefix, strlen(prefix));
    km_digest_update(digest, text, strlen(text));
    km_digest_finish(digest, out);
    km_digest_free(digest);
}

/* "sha256:<hex>" of a text, in one of eight buffers used in turn. */
static inline const char *digest_of(const char *text)
{
    static char buffers[8][80];
    static unsigned next;
    char *out = buffers[next++ % 8];
    uint8_t sha256[KM_SHA256_BYTES];
    sha256_of("", text, sha256);
    char hex[KM_SHA256_HEX_BYTES];
    km_hex_format(sha256, sizeof sha256, hex);
    (void)snprintf(out, sizeof buffers[0], "sha256:%s", hex);
    return out;
}

/* "blobs/sha256/<hex>" of a text, likewise. */
static inline const char *oci_name(const char *text)
{
    static char buffers[8][96];
    static unsigned next;
    char *out = buffers[next++ % 8];
    (void)snprintf(out, sizeof buffers[0], "blobs/sha256/%s", digest_of(text) + 7);
    return out;
}

/* A blob whose stored bytes are `stored`; its stream is the same with "raw-" in front, so that the two digests differ
 * as they do for compressed layers. */
static inline uint32_t add_blob(struct fixture *f, const char *name, enum km_blob_kind kind, const char *stored)
{
    uint32_t blob = UINT32_MAX;
    assert_ok(km_layout_begin_blob(f->layout, name, &blob, &f->err), f->err);
    struct km_blob result = {.kind = kind, .complete = true, .stored_bytes = strlen(stored)};
    result.stream_bytes = result.stored_bytes + 4;
    sha256_of("", stored, result.stored_sha256);
    sha256_of("raw-", stored, result.stream_sha256);
    km_layout_end_blob(f->layout, blob, &result);
    return blob;
}

static inline uint32_t add_document(struct fixture *f, const char *name, const char *text)
{
    uint32_t blob = add_blob(f, name, KM_BLOB_DOCUMENT, text);
    assert_ok(km_layout_add_document(f->layout, blob, text, strlen(text), &f->err), f->err);
    return blob;
}

static inline uint32_t add_entry(struct fixture *f, uint32_t blob, enum km_entry_type type, const char *path)
{
    const struct km_entry entry = {.id = f->entries, .blob = blob, .parent = KM_ENTRY_NONE, .type = type, .path = path};
    assert_ok(km_layout_add_entry(f->layout, &entry, &f->err), f->err);
    return f->entries++;
}

static inline enum km_entry_type type_of(char letter)
{
    switch (letter) {
    case 'd':
        return KM_ENTRY_DIRECTORY;
    case 'l':
        return KM_ENTRY_SYMLINK;
    case 'w':
        return KM_ENTRY_WHITEOUT;
    case 'o':
        return KM_ENTRY_OPAQUE;
    default:
        return KM_ENTRY_FILE;
    }
}

/* "f:etc/passwd d:etc w:etc/x o:var l:link"; "o:" is the root. */
static inline void add_entries(struct fixture *f, uint32_t blob, const char *words)
{
    char copy[512];
    assert_true((size_t)snprintf(copy, sizeof copy, "%s", words) < sizeof copy);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        add_entry(f, blob, type_of(word[0]), word + 2);
}

/* How many gaps have this reason and a `where` that ends in `tail`. */
static inline unsigned count_gaps(const struct fixture *f, enum km_gap_reason reason, const char *tail)
{
    unsigned count = 0;
    for (size_t i = 0; i < f->gap_count && i < MAX_GAPS; i++) {
        size_t have = strlen(f->gaps[i].where), want = strlen(tail);
        if (f->gaps[i].reason == reason && have >= want && strcmp(f->gaps[i].where + have - want, tail) == 0)
            count++;
    }
    return count;
}

static inline void print_gaps(const struct fixture *f)
{
    for (size_t i = 0; i < f->gap_count && i < MAX_GAPS; i++)
        print_message("# gap %d %s: %s\n", (int)f->gaps[i].reason, f->gaps[i].where, f->gaps[i].detail);
}

#define assert_gap_count(f, expected)                                                                                  \
    do {                                                                                                               \
        if ((f)->gap_count != (expected))                                                                              \
            print_gaps(f);                                                                                             \
        assert_int_equal((f)->gap_count, expected);                                                                    \
    } while (0)

#endif
