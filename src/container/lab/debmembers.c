#include "container/lab/debmembers.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "container/source/source.h"
#include "container/source/stream.h"

#define TIME_LIMIT_MS ((int64_t)300000)

struct reading {
    const char *package;
    size_t most;
    struct km_debmembers *kept;
    struct km_digest *digest;
    struct km_debmember open; /* bytes NULL: the member that goes by is not wanted */
    size_t filled;
    bool damaged;
};

/* FNV-1a: the choice must be the same on every machine, no more. */
static uint64_t hash_name(const char *package, const char *path)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (const char *at = package; *at; at++)
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001B3);
    for (const char *at = path; *at; at++)
        if (*at < '0' || *at > '9') /* versions in names */
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001B3);
    hash ^= hash >> 32;
    return hash * UINT64_C(0x9E3779B97F4A7C15);
}

static bool is_plain(const char *path)
{
    for (const char *at = path; *at; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at == 0x7F)
            return false;
    return strlen(path) < KM_DEBMEMBERS_PATH_BYTES;
}

static enum km_code begin_member(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct reading *reading = context;
    const struct km_debmembers *kept = reading->kept;
    (void)out_state;
    free(km_steal(reading->open.bytes));
    if (entry->type != KM_ENTRY_FILE || entry->size < KM_SAMPLE_MIN_BYTES || entry->size > KM_SAMPLE_MAX_BYTES ||
        !is_plain(entry->path) || !km_sample_path_is_wanted(entry->path))
        return KM_OK;
    uint64_t key = hash_name(reading->package, entry->path);
    if (kept->count == reading->most && key >= kept->members[kept->count - 1].key)
        return KM_OK;
    uint8_t *bytes = km_calloc((size_t)entry->size, 1, (size_t)KM_SAMPLE_MAX_BYTES, err);
    if (!bytes)
        return err->code;
    reading->open = (struct km_debmember){.key = key, .bytes = bytes, .length = (size_t)entry->size};
    (void)snprintf(reading->open.path, sizeof reading->open.path, "%s", entry->path);
    reading->filled = 0;
    return KM_OK;
}

static enum km_code fill_member(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                                struct km_err *err)
{
    struct reading *reading = context;
    (void)state;
    (void)err;
    if (!reading->open.bytes || offset > reading->open.length || length > reading->open.length - offset)
        return KM_OK;
    if (bytes) /* a hole is zero already */
        memcpy(reading->open.bytes + offset, bytes, (size_t)length);
    reading->filled += (size_t)length;
    return KM_OK;
}

static enum km_code end_member(void *context, void *state, bool complete, struct km_err *err)
{
    struct reading *reading = context;
    struct km_debmembers *kept = reading->kept;
    struct km_debmember *open = &reading->open;
    (void)state;
    (void)err;
    if (!open->bytes)
        return KM_OK;
    open->kind = km_sample_kind_detect(open->path, open->bytes, open->length);
    if (!complete || reading->filled != open->length || open->kind == KM_SAMPLE_NONE) {
        free(km_steal(open->bytes));
        return KM_OK;
    }
    km_digest_reset(reading->digest);
    km_digest_update(reading->digest, open->bytes, open->length);
    km_digest_finish(reading->digest, open->sha256);
    if (kept->count == reading->most)
        free(kept->members[--kept->count].bytes);
    size_t at = kept->count++;
    for (; at > 0 && kept->members[at - 1].key > open->key; at--)
        kept->members[at] = kept->members[at - 1];
    kept->members[at] = *open;
    open->bytes = NULL;
    return KM_OK;
}

static enum km_code note_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct reading *reading = context;
    (void)err;
    /* Archives in a package are not opened: gaps too, and none of ours. */
    reading->damaged |= gap->reason == KM_GAP_TRUNCATED || gap->reason == KM_GAP_DAMAGED;
    return KM_OK;
}

static enum km_code read_child(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    return km_spawn_read(context, buffer, size, out_length, err);
}

static enum km_code run_source(struct reading *reading, struct km_spawn *child, const struct km_cancel *cancel,
                               struct km_err *err)
{
    const struct km_stream_callback callback = {.context = child, .read = read_child};
    struct km_stream *stream = km_stream_new_callback(&callback, err);
    if (!stream)
        return err->code;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.nested_depth = 0;
    struct km_source *source = NULL;
    enum km_code code = km_source_open_stream(stream, KM_SOURCE_TAR, reading->package, &limits, &source, err);
    if (code != KM_OK)
        return code;
    const struct km_entry_sink sink = {
        .context = reading, .begin = begin_member, .data = fill_member, .end = end_member, .gap = note_gap};
    code = km_source_run(source, &sink, cancel, err);
    km_source_close(source);
    free(km_steal(reading->open.bytes));
    return code;
}

enum km_code km_debmembers_read(const char *path, const char *package, size_t most, const struct km_cancel *cancel,
                                struct km_debmembers *out, struct km_err *err)
{
    KM_ASSERT(most >= 1 && most <= KM_DEBMEMBERS_MAX);
    const char *const argv[] = {"dpkg-deb", "--fsys-tarfile", path, NULL};
    const struct km_spawn_options options = {.argv = argv, .time_limit_ms = TIME_LIMIT_MS, .cancel = cancel};
    KM_CLEANUP(km_spawn_cleanup) struct km_spawn *child = km_spawn_start(&options, err);
    if (!child)
        return err->code;
    struct km_debmembers kept = {0};
    struct reading reading = {.package = package, .most = most, .kept = &kept};
    reading.digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!reading.digest)
        return err->code;
    enum km_code code = run_source(&reading, child, cancel, err);
    km_digest_free(reading.digest);
    if (code == KM_OK)
        code = km_spawn_finish(child, err);
    if (code == KM_OK && reading.damaged)
        code = km_fail(err, KM_FORMAT, "a part of %s cannot be read", package);
    if (code == KM_OK)
        *out = kept;
    else
        km_debmembers_done(&kept);
    return code;
}

void km_debmembers_done(struct km_debmembers *members)
{
    for (size_t i = 0; i < members->count; i++)
        free(members->members[i].bytes);
    members->count = 0;
}
