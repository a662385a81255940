#include "container/source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "container/source/blobread.h"
#include "container/source/dirlist.h"
#include "container/source/dirwalk.h"
#include "container/source/images.h"
#include "container/source/layout.h"
#include "container/source/meter.h"
#include "container/source/reader.h"
#include "container/source/sniff.h"
#include "container/source/tarhead.h"
#include "container/source/tee.h"

struct km_source {
    char *name;
    enum km_source_kind kind;
    struct km_stream *stream; /* AUTO, IMAGES, TAR */
    int dir_fd;               /* OCI_DIR, DIR; else -1 */
    struct km_layout *layout;
    struct km_reader *reader;
    struct km_meter meter;
    const struct km_entry_sink *tap; /* or NULL */
    bool ran;
};

/* ---- Opening ---- */

struct scheme {
    const char *name;
    enum km_source_kind kind;
};

static const struct scheme schemes[] = {
    {"docker-archive", KM_SOURCE_IMAGES},
    {"oci-archive", KM_SOURCE_IMAGES},
    {"oci-dir", KM_SOURCE_OCI_DIR},
    {"tar", KM_SOURCE_TAR},
    {"dir", KM_SOURCE_DIR},
};

static bool wants_directory(enum km_source_kind kind)
{
    return kind == KM_SOURCE_OCI_DIR || kind == KM_SOURCE_DIR;
}

static struct km_source *new_source(enum km_source_kind kind, const char *name, const struct km_source_limits *limits,
                                    struct km_err *err)
{
    static const struct km_source_limits defaults = KM_SOURCE_LIMITS_INIT;
    struct km_source *source = calloc(1, sizeof *source);
    if (!source) {
        km_fail(err, KM_NOMEM, "out of memory (source)");
        return NULL;
    }
    const struct km_source_limits *chosen = limits ? limits : &defaults;
    source->kind = kind;
    source->dir_fd = -1;
    source->meter.total = KM_SIZE_UNKNOWN;
    source->name = km_strndup(name, strlen(name), err);
    source->layout = source->name ? km_layout_new(chosen->max_index_bytes, err) : NULL;
    source->reader = source->layout ? km_reader_new(chosen, source->layout, err) : NULL;
    if (source->reader)
        return source;
    km_source_close(source);
    return NULL;
}

enum km_code km_source_open_stream(struct km_stream *stream, enum km_source_kind kind, const char *name,
                                   const struct km_source_limits *limits, struct km_source **out, struct km_err *err)
{
    KM_ASSERT(!wants_directory(kind));
    struct km_source *source = new_source(kind, name, limits, err);
    if (!source) {
        km_stream_close(stream);
        return err->code;
    }
    source->stream = stream;
    *out = source;
    return KM_OK;
}

static enum km_code open_directory(int fd, enum km_source_kind kind, const char *name,
                                   const struct km_source_limits *limits, struct km_source **out, struct km_err *err)
{
    struct km_source *source = new_source(kind, name, limits, err);
    if (!source) {
        (void)close(fd);
        return err->code;
    }
    source->dir_fd = fd;
    *out = source;
    return KM_OK;
}

/* What a descriptor can be opened as. */
static enum km_code check_descriptor(const struct stat *info, enum km_source_kind kind, const char *name,
                                     struct km_err *err)
{
    if (wants_directory(kind) && !S_ISDIR(info->st_mode))
        return km_fail(err, KM_UNSUPPORTED, "%s is not a directory", name);
    if (!wants_directory(kind) && S_ISDIR(info->st_mode))
        return km_fail(err, KM_UNSUPPORTED, "%s is a directory", name);
    if (S_ISBLK(info->st_mode))
        return km_fail(err, KM_UNSUPPORTED, "%s is a block device", name);
    return KM_OK;
}

enum km_code km_source_open_fd(int fd, enum km_source_kind kind, const char *name,
                               const struct km_source_limits *limits, struct km_source **out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int owned = fd;
    struct stat info;
    if (fstat(fd, &info) != 0)
        return km_fail_errno(err, errno, "cannot look at %s", name);
    enum km_code code = check_descriptor(&info, kind, name, err);
    if (code != KM_OK)
        return code;
    if (wants_directory(kind))
        return open_directory(km_steal_fd(&owned), kind, name, limits, out, err);
    struct km_stream *stream = km_stream_new_fd(fd, err);
    if (!stream)
        return err->code;
    (void)km_steal_fd(&owned);
    struct km_source *source = NULL;
    code = km_source_open_stream(stream, kind, name, limits, &source, err);
    if (code != KM_OK)
        return code;
    if (source && S_ISREG(info.st_mode) && info.st_size >= 0)
        source->meter.total = (uint64_t)info.st_size;
    *out = source;
    return KM_OK;
}

/* The scheme that `target` begins with, or NULL. */
static const struct scheme *find_scheme(const char *target)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i].name);
        if (strncmp(target, schemes[i].name, length) == 0 && target[length] == ':')
            return &schemes[i];
    }
    return NULL;
}

static enum km_code open_path(const char *path, enum km_source_kind kind, int *out_fd, struct km_err *err)
{
    struct stat info;
    if (strcmp(path, "-") == 0) {
        int copy = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (copy < 0)
            return km_fail_errno(err, errno, "cannot read standard input");
        *out_fd = copy;
        return KM_OK;
    }
    if (stat(path, &info) != 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISFIFO(info.st_mode))
        return km_fail(err, KM_UNSUPPORTED, "%s is neither a file nor a directory", path);
    int flags = S_ISDIR(info.st_mode) ? O_DIRECTORY : 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    if (fstat(fd, &info) == 0 && check_descriptor(&info, kind, path, err) != KM_OK) {
        (void)close(fd);
        return err->code;
    }
    *out_fd = fd;
    return KM_OK;
}

enum km_code km_source_open(const char *target, const struct km_source_limits *limits, struct km_source **out,
                            struct km_err *err)
{
    const struct scheme *scheme = find_scheme(target);
    const char *path = scheme ? target + strlen(scheme->name) + 1 : target;
    enum km_source_kind kind = scheme ? scheme->kind : KM_SOURCE_AUTO;
    struct stat info;
    if (!scheme && strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        kind = KM_SOURCE_DIR;
    int fd = -1;
    enum km_code code = open_path(path, kind, &fd, err);
    if (code != KM_OK)
        return code;
    if (!scheme && kind == KM_SOURCE_DIR && km_dirlist_has(fd, "oci-layout") && km_dirlist_has(fd, "index.json"))
        kind = KM_SOURCE_OCI_DIR;
    return km_source_open_fd(fd, kind, target, limits, out, err);
}

void km_source_close(struct km_source *source)
{
    if (!source)
        return;
    km_stream_close(source->stream);
    if (source->dir_fd >= 0)
        (void)close(source->dir_fd);
    km_reader_free(source->reader);
    km_layout_free(source->layout);
    free(source->name);
    free(source);
}

/* ---- Running ---- */

static enum km_code count_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct km_source *source = context;
    return km_reader_gap(source->reader, gap, err);
}

static enum km_code resolve(struct km_source *source, struct km_err *err)
{
    const struct km_entry_sink counted = {.context = source, .gap = count_gap};
    if (source->kind == KM_SOURCE_IMAGES || source->kind == KM_SOURCE_OCI_DIR)
        return km_layout_resolve_images(source->layout, &counted, err);
    return km_layout_resolve_single(source->layout, source->name, err);
}

/* Decides what AUTO is. */
static enum km_code decide_kind(struct km_source *source, const struct km_blobread *blob, struct km_stream *head,
                                struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    enum km_code code = km_stream_peek(head, KM_STREAM_PEEK_MAX, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    if (have == 0) {
        const struct km_fault *fault = km_blobread_fault(blob);
        return km_fail(err, KM_FORMAT, "nothing to read: %s", fault ? fault->detail : "the input is empty");
    }
    if (source->kind != KM_SOURCE_AUTO)
        return KM_OK;
    if (km_images_look_like(bytes, have))
        source->kind = KM_SOURCE_IMAGES;
    else if (have >= KM_TAR_BLOCK && km_tar_classify(bytes) != KM_TAR_BAD)
        source->kind = KM_SOURCE_TAR;
    else
        return km_fail(err, KM_FORMAT, "neither a tar archive nor a container image");
    return KM_OK;
}

static enum km_code run_images(struct km_source *source, struct km_blobread *outer, struct km_stream *head,
                               struct km_err *err)
{
    const struct km_images images = {source->reader, source->layout, &source->meter};
    bool complete = false;
    km_blobread_forget_hashes(outer);
    enum km_code code = km_images_read_archive(&images, head, err);
    return code == KM_OK ? km_blobread_finish(outer, "", &complete, err) : code;
}

static enum km_code run_stream(struct km_source *source, struct km_err *err)
{
    KM_CLEANUP(km_stream_cleanup)
    struct km_stream *metered = km_meter_stream_new(&source->meter, source->stream, false, err);
    if (!metered)
        return err->code;
    KM_CLEANUP(km_blobread_cleanup) struct km_blobread *blob = km_blobread_new(source->reader, metered, NULL, err);
    struct km_stream *head = NULL;
    enum km_code code = blob ? km_blobread_open(blob, &head, err) : err->code;
    if (code == KM_OK)
        code = decide_kind(source, blob, head, err);
    if (code != KM_OK)
        return code;
    if (source->kind == KM_SOURCE_IMAGES)
        return run_images(source, blob, head, err);
    code = km_blobread_run(blob, source->layout, "", KM_BLOB_WANT_TREE, err);
    bool nothing = km_layout_entry_count(source->layout) == 0 && km_source_coverage(source)->files_total == 0;
    if (code == KM_OK && nothing && !km_layout_blob(source->layout, 0)->complete)
        return km_fail(err, KM_FORMAT, "not a tar archive");
    return code;
}

static enum km_code run_tree(struct km_source *source, struct km_err *err)
{
    uint32_t blob = 0;
    bool complete = false;
    struct km_members *members = km_dirwalk_new(km_steal_fd(&source->dir_fd), &source->meter, err);
    if (!members)
        return err->code;
    enum km_code code = km_layout_begin_blob(source->layout, "", &blob, err);
    const struct km_tree tree = {.members = members, .blob = blob, .name = ""};
    if (code == KM_OK)
        code = km_reader_walk(source->reader, &tree, &complete, err);
    members->close(members);
    if (code != KM_OK)
        return code;
    const struct km_coverage *coverage = km_reader_coverage(source->reader);
    const struct km_blob result = {.name = "",
                                   .kind = KM_BLOB_TREE,
                                   .complete = complete,
                                   .stored_bytes = coverage->bytes_total,
                                   .stream_bytes = coverage->bytes_total};
    km_layout_end_blob(source->layout, blob, &result);
    return KM_OK;
}

static enum km_code run_oci_directory(struct km_source *source, struct km_err *err)
{
    const struct km_images images = {source->reader, source->layout, &source->meter};
    return km_images_read_directory(&images, source->dir_fd, err);
}

static enum km_code run_kind(struct km_source *source, struct km_err *err)
{
    switch (source->kind) {
    case KM_SOURCE_OCI_DIR:
        return run_oci_directory(source, err);
    case KM_SOURCE_DIR:
        return run_tree(source, err);
    case KM_SOURCE_AUTO:
    case KM_SOURCE_IMAGES:
    case KM_SOURCE_TAR:
        break;
    }
    return run_stream(source, err);
}

static enum km_code run_with_sink(struct km_source *source, const struct km_entry_sink *sink,
                                  const struct km_cancel *cancel, struct km_err *err)
{
    source->meter.sink = sink;
    source->meter.cancel = cancel;
    if (source->stream)
        source->stream->cancel = cancel;
    km_reader_start(source->reader, sink, cancel);
    enum km_code code = run_kind(source, err);
    if (code == KM_OK)
        return resolve(source, err);
    if (code != KM_CANCELLED && code != KM_IO)
        return code;
    /* What came before the end is worth its places in the layers. The first failure is the one to tell. */
    struct km_err ignored = KM_ERR_INIT;
    const struct km_gap gap = {.reason = code == KM_CANCELLED ? KM_GAP_CANCELLED : KM_GAP_UNREADABLE,
                               .where = "",
                               .offset = UINT64_MAX,
                               .bytes = UINT64_MAX,
                               .detail = err->text};
    (void)!km_reader_gap(source->reader, &gap, &ignored);
    (void)!resolve(source, &ignored);
    return code;
}

void km_source_tap(struct km_source *source, const struct km_entry_sink *tap)
{
    KM_ASSERT(!source->ran && !source->tap);
    source->tap = tap;
}

enum km_code km_source_run(struct km_source *source, const struct km_entry_sink *sink, const struct km_cancel *cancel,
                           struct km_err *err)
{
    KM_ASSERT(!source->ran);
    source->ran = true;
    if (!source->tap)
        return run_with_sink(source, sink, cancel, err);
    struct km_tee tee;
    km_tee_init(&tee, sink, source->tap);
    enum km_code code = run_with_sink(source, &tee.sink, cancel, err);
    km_tee_done(&tee);
    return code;
}

const struct km_layout *km_source_layout(const struct km_source *source)
{
    return source->layout;
}

const struct km_coverage *km_source_coverage(const struct km_source *source)
{
    return km_reader_coverage(source->reader);
}

static bool has_blob(const struct km_layout *layout, const char *name)
{
    for (size_t i = 0; i < km_layout_blob_count(layout); i++)
        if (strcmp(km_layout_blob(layout, (uint32_t)i)->name, name) == 0)
            return true;
    return false;
}

const char *km_source_scheme(const struct km_source *source)
{
    switch (source->kind) {
    case KM_SOURCE_OCI_DIR:
        return "oci-dir";
    case KM_SOURCE_DIR:
        return "dir";
    case KM_SOURCE_TAR:
        return "tar";
    case KM_SOURCE_IMAGES:
        return has_blob(source->layout, "manifest.json") ? "docker-archive" : "oci-archive";
    case KM_SOURCE_AUTO:
        break;
    }
    return "auto";
}
