#include "container/source/images.h"

#include <ctype.h>
#include <string.h>

#include "container/source/blobread.h"
#include "container/source/dirlist.h"
#include "container/source/entrypath.h"
#include "container/source/memberstream.h"
#include "container/source/tarhead.h"
#include "container/source/tarmembers.h"

#define ID_DIGITS 64 /* of a SHA-256 in names of layers and configs */

static bool is_image_name(const char *path)
{
    static const char *const names[] = {"oci-layout", "index.json", "manifest.json", "repositories", "blobs"};
    size_t length = strcspn(path, "/");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == length && strncmp(path, names[i], length) == 0)
            return true;
    size_t digits = 0;
    while (digits < ID_DIGITS && isxdigit((unsigned char)path[digits]))
        digits++;
    const char *rest = path + digits;
    return digits == ID_DIGITS &&
           (*rest == '/' || *rest == '\0' || strcmp(rest, ".json") == 0 || strcmp(rest, ".tar") == 0);
}

bool km_images_look_like(const uint8_t *bytes, size_t length)
{
    struct km_tar_header header;
    for (size_t at = 0; at < length && length - at >= KM_TAR_BLOCK;) {
        if (km_tar_classify(bytes + at) != KM_TAR_HEADER)
            return false;
        km_tar_header_read(bytes + at, &header);
        const char *path = header.path;
        while (path[0] == '.' && path[1] == '/')
            path += 2;
        bool meta = header.type != '\0' && strchr("xXgLKV", header.type) != NULL;
        if (!meta && *path && strcmp(path, ".") != 0)
            return is_image_name(path);
        uint64_t size = meta && !header.size_bad && header.size <= length ? header.size : 0;
        at += KM_TAR_BLOCK + (size + KM_TAR_BLOCK - 1) / KM_TAR_BLOCK * KM_TAR_BLOCK;
    }
    return false;
}

/* ---- An archive ---- */

static enum km_code on_fault(void *context, const struct km_fault *fault, struct km_err *err)
{
    const struct km_images *images = context;
    return km_reader_fault(images->reader, "", fault, err);
}

static enum km_code run_blob(const struct km_images *images, struct km_stream *stream, const char *name,
                             const bool *cut, struct km_err *err)
{
    KM_CLEANUP(km_blobread_cleanup) struct km_blobread *blob = km_blobread_new(images->reader, stream, cut, err);
    return blob ? km_blobread_run(blob, images->layout, name, KM_BLOB_WANT_ANY, err) : err->code;
}

static enum km_code read_blob_member(const struct km_images *images, struct km_members *archive,
                                     const struct km_member *member, const char *name, struct km_err *err)
{
    struct km_memberstream stream;
    km_memberstream_init(&stream, archive, NULL, NULL);
    enum km_code code = run_blob(images, &stream.base, name, &stream.broken, err);
    if (code != KM_OK || !stream.broken)
        return code;
    const struct km_fault fault = {.reason = KM_GAP_TRUNCATED,
                                   .offset = stream.base.position,
                                   .bytes = member->size - stream.base.position,
                                   .detail = "the archive ends within this blob"};
    return km_reader_fault(images->reader, name, &fault, err);
}

static enum km_code take_member(const struct km_images *images, struct km_members *archive,
                                const struct km_member *member, struct km_buf *name, struct km_err *err)
{
    bool climbs = false;
    enum km_code code = km_entrypath_normalise(member->path, name, &climbs, err);
    if (code != KM_OK)
        return code;
    if (member->type == KM_ENTRY_FILE)
        return read_blob_member(images, archive, member, km_buf_text(name), err);
    if (member->type == KM_ENTRY_SYMLINK || member->type == KM_ENTRY_HARDLINK)
        return km_layout_add_alias(images->layout, km_buf_text(name), member->link, err);
    return KM_OK;
}

/* The layout takes no more blobs, documents or links: a stated limit, so the rest is a gap. */
static enum km_code tell_limit(const struct km_images *images, const char *name, enum km_code code, struct km_err *err)
{
    if (code != KM_LIMIT)
        return code;
    const struct km_err cause = *err;
    const struct km_fault fault = {
        .reason = KM_GAP_LIMIT, .offset = UINT64_MAX, .bytes = UINT64_MAX, .detail = cause.text};
    return km_reader_fault(images->reader, name, &fault, err);
}

enum km_code km_images_read_archive(const struct km_images *images, struct km_stream *stream, struct km_err *err)
{
    struct km_members *archive = km_tarmembers_new(stream, err);
    if (!archive)
        return err->code;
    struct km_buf name;
    km_buf_init(&name, KM_TAR_MAX_NAME + 16);
    archive->faults = (struct km_fault_sink){(void *)(uintptr_t)images, on_fault};
    enum km_code code = KM_OK;
    bool found = true;
    while (code == KM_OK && found) {
        struct km_member member;
        code = archive->next(archive, &member, &found, err);
        if (code == KM_OK && found)
            code = tell_limit(images, km_buf_text(&name), take_member(images, archive, &member, &name, err), err);
    }
    km_buf_done(&name);
    archive->close(archive);
    return code;
}

/* ---- A directory ---- */

static enum km_code tell_unreadable(const struct km_images *images, const char *name, const char *detail,
                                    struct km_err *err)
{
    const struct km_fault fault = {
        .reason = KM_GAP_UNREADABLE, .offset = UINT64_MAX, .bytes = UINT64_MAX, .detail = detail};
    return km_reader_fault(images->reader, name, &fault, err);
}

/* Reads the file `leaf` of the directory as blob `name`. */
static enum km_code read_blob_file(const struct km_images *images, int dir_fd, const char *leaf, const char *name,
                                   struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = -1;
    struct km_err cause = KM_ERR_INIT;
    if (km_dirlist_open_file(dir_fd, leaf, &fd, NULL, &cause) != KM_OK)
        return tell_unreadable(images, name, cause.text, err);
    KM_CLEANUP(km_stream_cleanup) struct km_stream *file = km_stream_new_fd(fd, err);
    if (!file)
        return err->code;
    (void)km_steal_fd(&fd);
    KM_CLEANUP(km_stream_cleanup) struct km_stream *metered = km_meter_stream_new(images->meter, file, false, err);
    return metered ? tell_limit(images, name, run_blob(images, metered, name, NULL, err), err) : err->code;
}

static enum km_code read_blobs_of(const struct km_images *images, int blobs_fd, const char *algorithm,
                                  struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int dir_fd = -1;
    struct km_dirlist list = {0};
    struct km_buf name;
    km_buf_init(&name, KM_TAR_MAX_NAME);
    struct km_err cause = KM_ERR_INIT;
    enum km_code code = km_buf_append_format(&name, err, "blobs/%s", algorithm);
    if (code == KM_OK && km_dirlist_open_directory(blobs_fd, algorithm, &dir_fd, &cause) != KM_OK)
        code = tell_unreadable(images, km_buf_text(&name), cause.text, err);
    if (code == KM_OK && dir_fd >= 0)
        code = tell_limit(images, km_buf_text(&name), km_dirlist_load(dir_fd, &list, err), err);
    for (size_t i = 0; code == KM_OK && i < list.count; i++) {
        km_buf_clear(&name);
        code = km_buf_append_format(&name, err, "blobs/%s/%s", algorithm, list.names[i]);
        if (code == KM_OK)
            code = read_blob_file(images, dir_fd, list.names[i], km_buf_text(&name), err);
    }
    km_dirlist_done(&list);
    km_buf_done(&name);
    return code;
}

enum km_code km_images_read_directory(const struct km_images *images, int dir_fd, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int blobs_fd = -1;
    struct km_dirlist list = {0};
    if (!km_dirlist_has(dir_fd, "index.json"))
        return km_fail(err, KM_FORMAT, "not an OCI layout: it has no index.json");
    enum km_code code = read_blob_file(images, dir_fd, "index.json", "index.json", err);
    if (code == KM_OK && km_dirlist_has(dir_fd, "oci-layout"))
        code = read_blob_file(images, dir_fd, "oci-layout", "oci-layout", err);
    if (code == KM_OK)
        code = km_dirlist_open_directory(dir_fd, "blobs", &blobs_fd, err);
    if (code == KM_OK)
        code = km_dirlist_load(blobs_fd, &list, err);
    for (size_t i = 0; code == KM_OK && i < list.count; i++)
        code = read_blobs_of(images, blobs_fd, list.names[i], err);
    km_dirlist_done(&list);
    return code;
}
