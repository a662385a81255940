#include "container/source/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RETRIES  16
#define DETAIL_BYTES 200

struct unpack {
    struct km_members base;
    struct km_stream *stream;
    enum km_content content;
    struct archive *archive;
    enum km_code stream_code; /* why the read callback failed */
    struct km_err stream_err;
    bool opened, over, broken, finished;
    bool any; /* a member was found */
    char detail[DETAIL_BYTES];
};

static la_ssize_t read_stream(struct archive *archive, void *context, const void **out_bytes)
{
    struct unpack *unpack = context;
    const uint8_t *bytes = NULL;
    size_t got = 0;
    unpack->stream_code = km_stream_next(unpack->stream, UINT64_MAX, &bytes, &got, &unpack->stream_err);
    if (unpack->stream_code != KM_OK) {
        archive_set_error(archive, EIO, "the stream failed");
        return -1;
    }
    *out_bytes = bytes;
    return (la_ssize_t)got;
}

/* A failure of the stream below, which is no fault of the archive. */
static enum km_code stream_failure(const struct unpack *unpack, struct km_err *err)
{
    if (unpack->stream_code != KM_OK)
        *err = unpack->stream_err;
    return unpack->stream_code;
}

static enum km_code tell(struct unpack *unpack, enum km_gap_reason reason, struct km_err *err)
{
    const char *text = archive_error_string(unpack->archive);
    strncat(strcpy(unpack->detail, ""), text ? text : "unreadable", sizeof unpack->detail - 1);
    const struct km_fault fault = {
        .reason = reason, .offset = unpack->stream->position, .bytes = UINT64_MAX, .detail = unpack->detail};
    return km_members_fault(&unpack->base, &fault, err);
}

static enum km_code drain(struct unpack *unpack, struct km_err *err)
{
    uint64_t skipped = 0;
    if (unpack->finished)
        return KM_OK;
    unpack->finished = true;
    return km_stream_skip(unpack->stream, UINT64_MAX, &skipped, err);
}

static enum km_entry_type type_of(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry))
        return KM_ENTRY_HARDLINK;
    switch (archive_entry_filetype(entry)) {
    case AE_IFDIR:
        return KM_ENTRY_DIRECTORY;
    case AE_IFLNK:
        return KM_ENTRY_SYMLINK;
    case AE_IFCHR:
        return KM_ENTRY_CHARACTER;
    case AE_IFBLK:
        return KM_ENTRY_BLOCK;
    case AE_IFIFO:
        return KM_ENTRY_FIFO;
    case AE_IFSOCK:
        return KM_ENTRY_SOCKET;
    default:
        return KM_ENTRY_FILE;
    }
}

static uint32_t owner(la_int64_t id)
{
    return id < 0 ? 0 : id > UINT32_MAX ? UINT32_MAX : (uint32_t)id;
}

static void describe(const struct unpack *unpack, struct archive_entry *entry, struct km_member *out)
{
    const char *path = archive_entry_pathname(entry);
    if (!path)
        path = archive_entry_pathname_utf8(entry);
    *out = (struct km_member){.type = type_of(entry), .path = path ? path : "", .odd_name = path == NULL};
    out->link = out->type == KM_ENTRY_HARDLINK  ? archive_entry_hardlink(entry)
                : out->type == KM_ENTRY_SYMLINK ? archive_entry_symlink(entry)
                                                : NULL;
    if ((out->type == KM_ENTRY_HARDLINK || out->type == KM_ENTRY_SYMLINK) && !out->link)
        out->link = "";
    out->encrypted = archive_entry_is_data_encrypted(entry) == 1;
    la_int64_t size = archive_entry_size(entry);
    bool known = archive_entry_size_is_set(entry) && size >= 0;
    out->size = out->type != KM_ENTRY_FILE ? 0 : known ? (uint64_t)size : KM_SIZE_UNKNOWN;
    out->mode = (uint32_t)archive_entry_perm(entry);
    out->uid = owner(archive_entry_uid(entry));
    out->gid = owner(archive_entry_gid(entry));
    out->mtime_s = archive_entry_mtime(entry);
    la_int64_t offset = archive_read_header_position(unpack->archive);
    out->offset = offset < 0 ? 0 : (uint64_t)offset;
}

static enum km_code open_archive(struct unpack *unpack, struct km_err *err)
{
    unpack->opened = true;
    int result = archive_read_open(unpack->archive, unpack, NULL, read_stream, NULL);
    if (stream_failure(unpack, err) != KM_OK)
        return unpack->stream_code;
    if (result != ARCHIVE_OK)
        unpack->over = true;
    return KM_OK;
}

static enum km_code next_member(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err)
{
    struct unpack *unpack = (struct unpack *)members;
    struct archive_entry *entry = NULL;
    *out_found = false;
    enum km_code code = unpack->opened ? KM_OK : open_archive(unpack, err);
    int result = ARCHIVE_RETRY;
    for (int i = 0; code == KM_OK && !unpack->over && result == ARCHIVE_RETRY && i < MAX_RETRIES; i++) {
        result = archive_read_next_header(unpack->archive, &entry);
        code = stream_failure(unpack, err);
    }
    if (code != KM_OK)
        return code;
    if (!unpack->over && (result == ARCHIVE_OK || result == ARCHIVE_WARN)) {
        describe(unpack, entry, out);
        unpack->broken = false;
        unpack->any = *out_found = true;
        return KM_OK;
    }
    if (!unpack->over && result != ARCHIVE_EOF && unpack->any)
        code = tell(unpack, KM_GAP_DAMAGED, err);
    unpack->over = true;
    return code == KM_OK ? drain(unpack, err) : code;
}

static enum km_code read_member(struct km_members *members, struct km_piece *out, struct km_err *err)
{
    struct unpack *unpack = (struct unpack *)members;
    const void *bytes = NULL;
    size_t length = 0;
    la_int64_t offset = 0;
    int result = ARCHIVE_RETRY;
    *out = (struct km_piece){.broken = unpack->broken};
    if (unpack->broken)
        return KM_OK;
    for (int i = 0; result == ARCHIVE_RETRY && i < MAX_RETRIES; i++) {
        result = archive_read_data_block(unpack->archive, &bytes, &length, &offset);
        if (stream_failure(unpack, err) != KM_OK)
            return unpack->stream_code;
        if (result == ARCHIVE_OK && length == 0)
            result = ARCHIVE_RETRY; /* a block of nothing is not the end */
    }
    if (result == ARCHIVE_EOF)
        return KM_OK;
    if ((result == ARCHIVE_OK || result == ARCHIVE_WARN) && length > 0) {
        *out = (struct km_piece){.offset = (uint64_t)offset, .bytes = bytes, .length = length};
        unpack->broken = result == ARCHIVE_WARN; /* a wrong checksum or size comes with the last block */
        return KM_OK;
    }
    unpack->broken = true;
    unpack->over = result == ARCHIVE_FATAL;
    *out = (struct km_piece){.broken = true};
    return KM_OK;
}

static void close_unpack(struct km_members *members)
{
    struct unpack *unpack = (struct unpack *)members;
    archive_read_free(unpack->archive);
    free(unpack);
}

struct km_members *km_unpack_new(enum km_content content, struct km_stream *stream, struct km_err *err)
{
    struct unpack *unpack = calloc(1, sizeof *unpack);
    if (unpack)
        unpack->archive = archive_read_new();
    if (!unpack || !unpack->archive) {
        free(unpack);
        km_fail(err, KM_NOMEM, "out of memory (archive)");
        return NULL;
    }
    unpack->base.next = next_member;
    unpack->base.read = read_member;
    unpack->base.close = close_unpack;
    unpack->stream = stream;
    unpack->content = content;
    if (content == KM_CONTENT_ZIP)
        (void)archive_read_support_format_zip_streamable(unpack->archive);
    else if (content == KM_CONTENT_AR)
        (void)archive_read_support_format_ar(unpack->archive);
    else
        (void)archive_read_support_format_cpio(unpack->archive);
    return &unpack->base;
}
