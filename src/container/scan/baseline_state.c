#include "container/scan/baseline_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"

#define DOCUMENT           "current"
#define NEW_DOCUMENT       "current.new"
#define MAGIC              "komainu-baseline"
#define MAX_DOCUMENT_BYTES ((size_t)48 << 20)
#define MAX_TEXT_BYTES     ((size_t)48 << 20)
#define READ_BYTES         ((size_t)64 << 10)

enum km_code km_baseline_state_init(struct km_baseline_state *out, struct km_err *err)
{
    *out = (struct km_baseline_state){.next_number = 1};
    out->texts = km_arena_new(MAX_TEXT_BYTES, err);
    return out->texts ? KM_OK : err->code;
}

void km_baseline_state_done(struct km_baseline_state *state)
{
    km_arena_free(state->texts);
    free(state->images);
    free(state->parts);
    *state = (struct km_baseline_state){0};
}

/* ---- Files ---- */

/* Only this user and root may decide what is known. */
static enum km_code check_owner(int fd, const char *name, struct km_err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "%s", name);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return km_fail(err, KM_DENIED, "%s belongs to another user: it is not trusted", name);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return km_fail(err, KM_DENIED, "%s may be written by other users: it is not trusted", name);
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return km_fail(err, KM_FORMAT, "%s is no regular file", name);
    return KM_OK;
}

static enum km_code open_file(int dir_fd, const char *name, int *out_fd, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", name);
    enum km_code code = check_owner(fd, name, err);
    if (code == KM_OK)
        *out_fd = km_steal_fd(&fd);
    return code;
}

static enum km_code read_some(int fd, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    ssize_t got;
    do
        got = read(fd, buffer, size);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return km_fail_errno(err, errno, "cannot read");
    *out_length = (size_t)got;
    return KM_OK;
}

KM_DEFINE_CLEANUP(struct km_digest, digest_cleanup, km_digest_free);

enum km_code km_baseline_hash_file(int fd, uint8_t sha256[KM_SHA256_BYTES], uint64_t *out_bytes, struct km_err *err)
{
    struct km_digest *digest KM_CLEANUP(digest_cleanup) = km_digest_new(KM_DIGEST_SHA256, err);
    void *buffer KM_CLEANUP(km_cleanup_free) = digest ? km_calloc(1, READ_BYTES, SIZE_MAX, err) : NULL;
    uint64_t total = 0;
    size_t got = 1;
    if (!buffer)
        return err->code;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return km_fail_errno(err, errno, "cannot read");
    while (got > 0) {
        enum km_code code = read_some(fd, buffer, READ_BYTES, &got, err);
        if (code != KM_OK)
            return code;
        km_digest_update(digest, buffer, got);
        total += got;
    }
    if (lseek(fd, 0, SEEK_SET) < 0)
        return km_fail_errno(err, errno, "cannot read");
    km_digest_finish(digest, sha256);
    *out_bytes = total;
    return KM_OK;
}

enum km_code km_baseline_state_open_part(int dir_fd, const struct km_baseline_part *part, int *out_fd,
                                         struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = -1;
    uint8_t sha256[KM_SHA256_BYTES];
    uint64_t bytes = 0;
    enum km_code code = open_file(dir_fd, part->file, &fd, err);
    if (code == KM_NOTFOUND)
        return km_fail(err, KM_FORMAT, "the baseline is damaged: %s is missing", part->file);
    if (code == KM_OK)
        code = km_baseline_hash_file(fd, sha256, &bytes, err);
    if (code != KM_OK)
        return code;
    if (bytes != part->bytes || memcmp(sha256, part->sha256, sizeof sha256) != 0)
        return km_fail(err, KM_FORMAT, "the baseline is damaged: %s is not what it was written as", part->file);
    *out_fd = km_steal_fd(&fd);
    return KM_OK;
}

/* ---- Parts and images ---- */

const struct km_baseline_part *km_baseline_state_part(const struct km_baseline_state *state, const char *name)
{
    for (size_t i = 0; i < state->part_count; i++)
        if (strcmp(state->parts[i].name, name) == 0)
            return &state->parts[i];
    return NULL;
}

enum km_code km_baseline_state_touch_part(struct km_baseline_state *state, const char *name,
                                          struct km_baseline_part **out, struct km_err *err)
{
    struct km_baseline_part *part = (struct km_baseline_part *)km_baseline_state_part(state, name);
    if (!part) {
        char *copy = km_arena_strndup(state->texts, name, strlen(name), err);
        if (!copy)
            return err->code;
        void *parts = state->parts;
        enum km_code code =
            km_grow(&parts, &state->part_capacity, state->part_count + 1, sizeof *part, KM_BASELINE_MAX_PARTS, err);
        state->parts = parts;
        if (code != KM_OK)
            return code;
        part = &state->parts[state->part_count++];
        *part = (struct km_baseline_part){.name = copy};
    }
    *out = part;
    return KM_OK;
}

bool km_baseline_part_name(const char *part, uint32_t number, char out[KM_BASELINE_PART_BYTES])
{
    size_t length = strspn(part, "abcdefghijklmnopqrstuvwxyz");
    int written = snprintf(out, KM_BASELINE_PART_BYTES, "%s.%u", part, (unsigned)number);
    return length > 0 && part[length] == '\0' && written > 0 && written < KM_BASELINE_PART_BYTES;
}

void km_baseline_state_drop_parts(struct km_baseline_state *state, uint32_t number)
{
    char ending[16];
    size_t kept = 0;
    (void)snprintf(ending, sizeof ending, ".%u", (unsigned)number);
    for (size_t i = 0; i < state->part_count; i++) {
        const char *dot = strrchr(state->parts[i].name, '.');
        if (!dot || strcmp(dot, ending) != 0)
            state->parts[kept++] = state->parts[i];
    }
    state->part_count = kept;
}

/* A copy for a terminal. A longer text is cut. */
static const char *keep_text(struct km_baseline_state *state, const char *text, struct km_err *err)
{
    char escaped[KM_BASELINE_MAX_NAME];
    size_t length = text ? km_text_escape(text, strlen(text), escaped, sizeof escaped) : 0;
    return km_arena_strndup(state->texts, escaped, length, err);
}

/* Strings of *image are already escaped or empty: kept as they are. */
static enum km_code append_image(struct km_baseline_state *state, const struct km_baseline_image *image,
                                 struct km_err *err)
{
    void *images = state->images;
    enum km_code code =
        km_grow(&images, &state->image_capacity, state->image_count + 1, sizeof *image, KM_BASELINE_MAX_IMAGES, err);
    state->images = images;
    if (code == KM_LIMIT)
        return km_fail(err, code, "the baseline is full: %zu images at most", KM_BASELINE_MAX_IMAGES);
    if (code == KM_OK)
        state->images[state->image_count++] = *image;
    return code;
}

enum km_code km_baseline_state_add_image(struct km_baseline_state *state, const struct km_baseline_image *image,
                                         struct km_err *err)
{
    struct km_baseline_image copy = *image;
    copy.number = state->next_number;
    if (state->next_number == UINT32_MAX)
        return km_fail(err, KM_LIMIT, "the baseline has run out of numbers for images");
    const char **const texts[] = {&copy.name, &copy.target, &copy.digest, &copy.who, &copy.reason};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!(*texts[i] = keep_text(state, *texts[i], err)))
            return err->code;
    enum km_code code = append_image(state, &copy, err);
    if (code == KM_OK)
        state->next_number++;
    return code;
}

/* ---- Reading the document ---- */

static enum km_code damaged(struct km_err *err, const char *what)
{
    return km_fail(err, KM_FORMAT, "the baseline is damaged: %s", what);
}

static bool is_file_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < KM_BASELINE_FILE_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length && name[0] != '.';
}

static enum km_code read_part(struct km_baseline_state *state, const char *name, const struct km_json *value,
                              struct km_err *err)
{
    struct km_baseline_part *part = NULL;
    const char *file = km_json_string(value, "file", ""), *sha256 = km_json_string(value, "sha256", "");
    int64_t bytes = km_json_integer(value, "bytes", -1);
    struct km_err ignored = KM_ERR_INIT;
    enum km_code code = km_baseline_state_touch_part(state, name, &part, err);
    if (!part)
        return code;
    if (!is_file_name(file) || bytes < 0 || strlen(sha256) != (size_t)KM_SHA256_HEX_BYTES - 1 ||
        km_hex_parse(sha256, KM_SHA256_BYTES, part->sha256, &ignored) != KM_OK)
        return damaged(err, "a file's record");
    memcpy(part->file, file, strlen(file) + 1);
    part->bytes = (uint64_t)bytes;
    return KM_OK;
}

static enum km_code read_image(struct km_baseline_state *state, const struct km_json *value, struct km_err *err)
{
    int64_t number = km_json_integer(value, "number", -1), files = km_json_integer(value, "files", -1),
            layers = km_json_integer(value, "layers", -1), gaps = km_json_integer(value, "gaps", -1);
    uint32_t last = state->image_count > 0 ? state->images[state->image_count - 1].number : 0;
    if (number <= last || number >= state->next_number || files < 0 || layers < 0 || gaps < 0)
        return damaged(err, "an image's record");
    struct km_baseline_image image = {.number = (uint32_t)number,
                                      .name = km_json_string(value, "name", ""),
                                      .target = km_json_string(value, "target", ""),
                                      .digest = km_json_string(value, "digest", ""),
                                      .who = km_json_string(value, "who", ""),
                                      .reason = km_json_string(value, "reason", ""),
                                      .added_ns = km_json_integer(value, "added_ns", 0),
                                      .files = (uint64_t)files,
                                      .layers = (uint64_t)layers,
                                      .gaps = (uint64_t)gaps};
    const char **const texts[] = {&image.name, &image.target, &image.digest, &image.who, &image.reason};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!(*texts[i] = km_arena_strndup(state->texts, *texts[i], strlen(*texts[i]), err)))
            return err->code;
    return append_image(state, &image, err);
}

static enum km_code read_json(struct km_baseline_state *state, const struct km_json *root, struct km_err *err)
{
    int64_t next = km_json_integer(root, "next_number", -1), files = km_json_integer(root, "files", -1),
            layers = km_json_integer(root, "layers", -1);
    if (next < 1 || next > UINT32_MAX || files < 0 || layers < 0)
        return damaged(err, "its counts");
    state->next_number = (uint32_t)next;
    state->files = (uint64_t)files;
    state->layers = (uint64_t)layers;
    const struct km_json *value;
    const char *key;
    enum km_code code = KM_OK;
    for (void *cursor = NULL; code == KM_OK && (value = km_json_next(km_json_find(root, "parts"), &cursor, &key));)
        code = read_part(state, key, value, err);
    const struct km_json *images = km_json_find(root, "images");
    size_t count = km_json_size(images);
    for (size_t i = 0; code == KM_OK && i < count; i++)
        code = read_image(state, km_json_at(images, i), err);
    if (code == KM_OK && !km_baseline_state_part(state, KM_BASELINE_HASHES))
        return damaged(err, "it names no file of hashes");
    return code;
}

/* "komainu-baseline 1 <sha256 of all that follows the line>\n" */
static enum km_code read_first_line(struct km_baseline_state *state, const char *text, size_t length,
                                    size_t *out_body_at, struct km_err *err)
{
    char promised[KM_SHA256_HEX_BYTES] = "";
    char *rest = NULL;
    const char *end = memchr(text, '\n', length < 256 ? length : 256);
    if (!end || strncmp(text, MAGIC " ", sizeof MAGIC) != 0)
        return damaged(err, "its document has no first line");
    unsigned long version = strtoul(text + sizeof MAGIC, &rest, 10);
    if (rest == text + sizeof MAGIC || *rest != ' ')
        return damaged(err, "its document has no version");
    if (version != KM_BASELINE_VERSION)
        return km_fail(err, KM_UNSUPPORTED, "the baseline has format %lu, and this program reads format %d", version,
                       KM_BASELINE_VERSION);
    if (end - rest != KM_SHA256_HEX_BYTES)
        return damaged(err, "its document has no checksum");
    memcpy(promised, rest + 1, KM_SHA256_HEX_BYTES - 1);
    *out_body_at = (size_t)(end + 1 - text);
    struct km_digest *digest KM_CLEANUP(digest_cleanup) = km_digest_new(KM_DIGEST_SHA256, err);
    uint8_t sha256[KM_SHA256_BYTES];
    if (!digest)
        return err->code;
    km_digest_update(digest, end + 1, length - *out_body_at);
    km_digest_finish(digest, sha256);
    km_hex_format(sha256, sizeof sha256, state->digest);
    return strcmp(promised, state->digest) == 0 ? KM_OK : damaged(err, "its document is not what it was written as");
}

static enum km_code read_document(int fd, struct km_buf *text, struct km_err *err)
{
    char block[8192];
    size_t got = 1;
    enum km_code code = KM_OK;
    while (code == KM_OK && got > 0) {
        code = read_some(fd, block, sizeof block, &got, err);
        if (code == KM_OK)
            code = km_buf_append(text, block, got, err);
    }
    return code;
}

enum km_code km_baseline_state_load(int dir_fd, struct km_baseline_state *out, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = -1;
    struct km_buf text KM_CLEANUP(km_buf_done);
    size_t body = 0;
    km_buf_init(&text, MAX_DOCUMENT_BYTES);
    enum km_code code = km_baseline_state_init(out, err);
    if (code == KM_OK)
        code = check_owner(dir_fd, "the baseline's folder", err);
    if (code == KM_OK)
        code = open_file(dir_fd, DOCUMENT, &fd, err);
    if (code == KM_NOTFOUND)
        return km_fail(err, code, "there is no baseline: 'komainu baseline add' makes one");
    if (code == KM_OK)
        code = read_document(fd, &text, err);
    if (code == KM_OK)
        code = read_first_line(out, km_buf_text(&text), text.length, &body, err);
    if (code != KM_OK)
        return code;
    struct km_json *root KM_CLEANUP(km_json_cleanup) =
        km_json_parse(km_buf_text(&text) + body, text.length - body, MAX_DOCUMENT_BYTES, err);
    return root ? read_json(out, root, err) : err->code;
}

/* ---- Writing it ---- */

static struct km_json *json_of_part(const struct km_baseline_part *part)
{
    char sha256[KM_SHA256_HEX_BYTES];
    struct km_json *json = km_json_new_object();
    km_hex_format(part->sha256, KM_SHA256_BYTES, sha256);
    km_json_set_string(json, "file", part->file);
    km_json_set_integer(json, "bytes", (int64_t)part->bytes);
    km_json_set_string(json, "sha256", sha256);
    return json;
}

static struct km_json *json_of_image(const struct km_baseline_image *image)
{
    struct km_json *json = km_json_new_object();
    km_json_set_integer(json, "number", image->number);
    km_json_set_string(json, "name", image->name);
    km_json_set_string(json, "target", image->target);
    km_json_set_string(json, "digest", image->digest);
    km_json_set_string(json, "who", image->who);
    km_json_set_string(json, "reason", image->reason);
    km_json_set_integer(json, "added_ns", image->added_ns);
    km_json_set_integer(json, "files", (int64_t)image->files);
    km_json_set_integer(json, "layers", (int64_t)image->layers);
    km_json_set_integer(json, "gaps", (int64_t)image->gaps);
    return json;
}

static struct km_json *json_of_state(const struct km_baseline_state *state)
{
    struct km_json *json = km_json_new_object(), *parts = km_json_new_object(), *images = km_json_new_array();
    for (size_t i = 0; i < state->part_count; i++)
        km_json_set(parts, state->parts[i].name, json_of_part(&state->parts[i]));
    for (size_t i = 0; i < state->image_count; i++)
        km_json_append(images, json_of_image(&state->images[i]));
    km_json_set_integer(json, "next_number", state->next_number);
    km_json_set_integer(json, "files", (int64_t)state->files);
    km_json_set_integer(json, "layers", (int64_t)state->layers);
    km_json_set(json, "parts", parts);
    km_json_set(json, "images", images);
    return json;
}

static enum km_code write_all(int fd, const char *bytes, size_t length, struct km_err *err)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return km_fail_errno(err, written < 0 ? errno : EIO, "cannot write the baseline");
        bytes += written;
        length -= (size_t)written;
    }
    return KM_OK;
}

static enum km_code format_document(const struct km_baseline_state *state, struct km_buf *line, struct km_buf *body,
                                    struct km_err *err)
{
    struct km_json *json KM_CLEANUP(km_json_cleanup) = json_of_state(state);
    struct km_digest *digest KM_CLEANUP(digest_cleanup) = km_digest_new(KM_DIGEST_SHA256, err);
    uint8_t sha256[KM_SHA256_BYTES];
    char hex[KM_SHA256_HEX_BYTES];
    if (!digest)
        return err->code;
    enum km_code code = km_json_format(json, 1, body, err);
    if (code != KM_OK)
        return code;
    km_digest_update(digest, km_buf_text(body), body->length);
    km_digest_finish(digest, sha256);
    km_hex_format(sha256, sizeof sha256, hex);
    return km_buf_append_format(line, err, MAGIC " %d %s\n", KM_BASELINE_VERSION, hex);
}

enum km_code km_baseline_state_save(int dir_fd, const struct km_baseline_state *state, struct km_err *err)
{
    struct km_buf line KM_CLEANUP(km_buf_done), body KM_CLEANUP(km_buf_done);
    km_buf_init(&line, 256);
    km_buf_init(&body, MAX_DOCUMENT_BYTES);
    enum km_code code = format_document(state, &line, &body, err);
    if (code != KM_OK)
        return code;
    (void)unlinkat(dir_fd, NEW_DOCUMENT, 0); /* of a writer that was killed: only one writes at a time */
    int fd KM_CLEANUP(km_cleanup_close) =
        openat(dir_fd, NEW_DOCUMENT, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot write the baseline");
    code = write_all(fd, km_buf_text(&line), line.length, err);
    if (code == KM_OK)
        code = write_all(fd, km_buf_text(&body), body.length, err);
    if (code == KM_OK && (fsync(fd) != 0 || renameat(dir_fd, NEW_DOCUMENT, dir_fd, DOCUMENT) != 0))
        code = km_fail_errno(err, errno, "cannot write the baseline");
    if (code != KM_OK) {
        (void)unlinkat(dir_fd, NEW_DOCUMENT, 0);
        return code;
    }
    (void)fsync(dir_fd); /* the rename is there or not; either state is whole */
    return KM_OK;
}
