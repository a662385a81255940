/*
 * Prints what the source module delivers, one JSON object a line: entries with the SHA-256 of their content, gaps,
 * blobs coverage. For tests that compare it with other programs' opinion, and for people who look into an archive.
 *
 *     list_entries [--quiet] [--depth N] TARGET      exit 0, or 1 when the run failed
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/json.h"
#include "container/source/layout.h"
#include "container/source/source.h"

struct file {
    struct file *next;
    struct km_digest *digest;
    uint32_t id;
    uint64_t bytes;
};

static bool quiet;
static struct file *idle; /* digests are reused: nested files are few at a time */

static void print_line(struct km_json *line)
{
    struct km_buf text;
    struct km_err err = KM_ERR_INIT;
    km_buf_init(&text, (size_t)16 << 20);
    if (km_json_format(line, 0, &text, &err) == KM_OK)
        puts(km_buf_text(&text));
    km_buf_done(&text);
    km_json_free(line);
}

/* Latin-1 as UTF-8: every byte of a raw name stays what it is. */
static void set_raw(struct km_json *line, const char *key, const char *raw)
{
    char *text = raw ? malloc(2 * strlen(raw) + 1) : NULL;
    char *at = text;
    for (; text && *raw; raw++) {
        unsigned char byte = (unsigned char)*raw;
        if (byte >= 0x80)
            *at++ = (char)(0xc0 | byte >> 6);
        *at++ = byte >= 0x80 ? (char)(0x80 | (byte & 0x3f)) : (char)byte;
    }
    if (at)
        *at = '\0';
    km_json_set_string(line, key, text);
    free(text);
}

static struct file *take_file(struct km_err *err)
{
    struct file *file = idle;
    if (file) {
        idle = file->next;
        return file;
    }
    file = calloc(1, sizeof *file);
    if (file)
        file->digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (file && file->digest)
        return file;
    free(file);
    km_fail(err, KM_NOMEM, "out of memory");
    return NULL;
}

static enum km_code on_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    (void)context;
    struct file *file = take_file(err);
    if (!file)
        return err->code;
    km_digest_reset(file->digest);
    file->id = entry->id;
    file->bytes = 0;
    *out_state = file;
    if (quiet)
        return KM_OK;
    struct km_json *line = km_json_new_object();
    km_json_set_string(line, "what", "entry");
    km_json_set_integer(line, "id", entry->id);
    km_json_set_integer(line, "blob", entry->blob);
    km_json_set_integer(line, "parent", entry->parent == KM_ENTRY_NONE ? -1 : (int64_t)entry->parent);
    km_json_set_integer(line, "depth", entry->depth);
    km_json_set_integer(line, "type", entry->type);
    set_raw(line, "path", entry->path);
    set_raw(line, "link", entry->link);
    km_json_set_integer(line, "size", entry->size == KM_SIZE_UNKNOWN ? -1 : (int64_t)entry->size);
    km_json_set_integer(line, "mode", entry->mode);
    km_json_set_integer(line, "uid", entry->uid);
    km_json_set_integer(line, "gid", entry->gid);
    km_json_set_integer(line, "mtime", entry->mtime_s);
    km_json_set_integer(line, "offset", (int64_t)entry->stream_offset);
    km_json_set_bool(line, "odd_name", entry->odd_name);
    print_line(line);
    return KM_OK;
}

static enum km_code on_data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                            struct km_err *err)
{
    static const char zeros[65536];
    struct file *file = state;
    (void)context;
    if (offset != file->bytes)
        return km_fail(err, KM_CONFLICT, "data of entry %u out of order", file->id);
    file->bytes += length;
    if (bytes) {
        km_digest_update(file->digest, bytes, (size_t)length);
        return KM_OK;
    }
    if (length > (uint64_t)1 << 32) /* nobody waits for the digest of such a hole */
        return KM_OK;
    for (uint64_t left = length; left > 0;) {
        size_t part = left < sizeof zeros ? (size_t)left : sizeof zeros;
        km_digest_update(file->digest, zeros, part);
        left -= part;
    }
    return KM_OK;
}

static enum km_code on_end(void *context, void *state, bool complete, struct km_err *err)
{
    struct file *file = state;
    uint8_t digest[KM_SHA256_BYTES];
    char hex[KM_SHA256_HEX_BYTES];
    (void)context;
    (void)err;
    km_digest_finish(file->digest, digest);
    km_hex_format(digest, sizeof digest, hex);
    if (!quiet) {
        struct km_json *line = km_json_new_object();
        km_json_set_string(line, "what", "end");
        km_json_set_integer(line, "id", file->id);
        km_json_set_integer(line, "bytes", (int64_t)file->bytes);
        km_json_set_bool(line, "complete", complete);
        km_json_set_string(line, "sha256", hex);
        print_line(line);
    }
    file->next = idle;
    idle = file;
    return KM_OK;
}

static enum km_code on_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context;
    (void)err;
    struct km_json *line = km_json_new_object();
    km_json_set_string(line, "what", "gap");
    km_json_set_string(line, "reason", km_gap_reason_to_string(gap->reason));
    set_raw(line, "where", gap->where);
    km_json_set_integer(line, "offset", (int64_t)gap->offset);
    km_json_set_integer(line, "bytes", (int64_t)gap->bytes);
    km_json_set_string(line, "detail", gap->detail);
    print_line(line);
    return KM_OK;
}

static void print_blobs(const struct km_layout *layout)
{
    for (size_t i = 0; i < km_layout_blob_count(layout); i++) {
        const struct km_blob *blob = km_layout_blob(layout, (uint32_t)i);
        char stored[KM_SHA256_HEX_BYTES], stream[KM_SHA256_HEX_BYTES];
        km_hex_format(blob->stored_sha256, KM_SHA256_BYTES, stored);
        km_hex_format(blob->stream_sha256, KM_SHA256_BYTES, stream);
        struct km_json *line = km_json_new_object();
        km_json_set_string(line, "what", "blob");
        set_raw(line, "name", blob->name);
        km_json_set_integer(line, "kind", blob->kind);
        km_json_set_bool(line, "complete", blob->complete);
        km_json_set_integer(line, "stored_bytes", (int64_t)blob->stored_bytes);
        km_json_set_integer(line, "stream_bytes", (int64_t)blob->stream_bytes);
        km_json_set_string(line, "stored", stored);
        km_json_set_string(line, "stream", stream);
        print_line(line);
    }
}

static void print_places(const struct km_layout *layout)
{
    for (size_t i = 0; i < km_layout_entry_count(layout); i++) {
        const struct km_place place = km_layout_place(layout, (uint32_t)i);
        struct km_json *line = km_json_new_object();
        km_json_set_string(line, "what", "place");
        km_json_set_integer(line, "id", (int64_t)i);
        km_json_set_string(line, "image", place.image ? place.image->name : NULL);
        km_json_set_integer(line, "layer", place.layer_index);
        km_json_set_bool(line, "deleted", place.deleted_by != NULL);
        km_json_set_bool(line, "replaced", place.replaced_by != NULL);
        print_line(line);
    }
}

static void print_coverage(const struct km_source *source, const struct km_err *err)
{
    const struct km_coverage *coverage = km_source_coverage(source);
    struct km_json *line = km_json_new_object();
    km_json_set_string(line, "what", "run");
    km_json_set_string(line, "scheme", km_source_scheme(source));
    km_json_set_string(line, "code", km_code_to_string(err->code));
    km_json_set_string(line, "error", err->text);
    km_json_set_integer(line, "bytes_total", (int64_t)coverage->bytes_total);
    km_json_set_integer(line, "bytes_examined", (int64_t)coverage->bytes_examined);
    km_json_set_integer(line, "bytes_opaque", (int64_t)coverage->bytes_opaque);
    km_json_set_integer(line, "files_total", (int64_t)coverage->files_total);
    km_json_set_integer(line, "files_examined", (int64_t)coverage->files_examined);
    km_json_set_integer(line, "gaps", (int64_t)coverage->gaps);
    print_line(line);
}

static void free_idle(void)
{
    while (idle) {
        struct file *file = idle;
        idle = file->next;
        km_digest_free(file->digest);
        free(file);
    }
}

int main(int argc, char **argv)
{
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    const struct km_entry_sink sink = {.begin = on_begin, .data = on_data, .end = on_end, .gap = on_gap};
    struct km_err err = KM_ERR_INIT;
    struct km_source *source = NULL;
    int at = 1;
    for (; at < argc - 1; at++) {
        if (strcmp(argv[at], "--quiet") == 0)
            quiet = true;
        else if (strcmp(argv[at], "--depth") == 0)
            limits.nested_depth = (unsigned)strtoul(argv[++at], NULL, 10);
    }
    if (at != argc - 1) {
        (void)fprintf(stderr, "usage: %s [--quiet] [--depth N] TARGET\n", argv[0]);
        return 1;
    }
    enum km_code code = km_source_open(argv[at], &limits, &source, &err);
    if (code == KM_OK)
        code = km_source_run(source, &sink, NULL, &err);
    if (source) {
        print_blobs(km_source_layout(source));
        if (code == KM_OK && !quiet)
            print_places(km_source_layout(source));
        print_coverage(source, &err);
    }
    if (code != KM_OK)
        (void)fprintf(stderr, "list_entries: %s\n", err.text);
    km_source_close(source);
    free_idle();
    return code == KM_OK ? 0 : 1;
}
