#include "container/scan/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"

#define VERSION        1
#define SCORE_FORMAT   3 /* changes with everything that changes what a segment's record means */
#define MAX_PART_BYTES ((size_t)256 << 20)
#define MAX_FILE_NAME  64

enum part {
    PART_NETWORK = 0,
    PART_TOKENS = 1,
    PART_INDEX = 2,
    PART_FUSION = 3,
};
#define PART_COUNT 4

/* Of network and tokens the card is digested, which names its weights by their digest. */
static const struct {
    const char *name;
    bool is_stem;
} parts[PART_COUNT] = {{"network", true}, {"tokens", true}, {"index", false}, {"fusion", false}};

/* ---- Files of the folder ---- */

static bool is_base_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= MAX_FILE_NAME && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789._-") == length;
}

static enum km_code open_part(int folder, const char *name, const char *suffix, int *out_fd, struct km_err *err)
{
    char path[MAX_FILE_NAME + 16];
    struct stat status;
    if (!is_base_name(name))
        return km_fail(err, KM_FORMAT, "'%.80s' is no name of a file in the bundle", name);
    (void)snprintf(path, sizeof path, "%s%s", name, suffix);
    KM_CLEANUP(km_cleanup_close) int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return km_fail(err, KM_FORMAT, "%s is no regular file", path);
    if (status.st_size < 0 || (uint64_t)status.st_size > MAX_PART_BYTES)
        return km_fail(err, KM_LIMIT, "%s is larger than %zu bytes", path, MAX_PART_BYTES);
    *out_fd = km_steal_fd(&fd);
    return KM_OK;
}

/* The whole file as text. */
static enum km_code read_part(int fd, size_t max_bytes, struct km_buf *out, struct km_err *err)
{
    km_buf_init(out, max_bytes);
    for (;;) {
        char block[4096];
        ssize_t n = pread(fd, block, sizeof block, (off_t)out->length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot read");
        if (n == 0)
            return KM_OK;
        enum km_code code = km_buf_append(out, block, (size_t)n, err);
        if (code != KM_OK)
            return code;
    }
}

static enum km_code digest_part(int fd, uint8_t out[KM_SHA256_BYTES], struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    enum km_code code = KM_OK;
    uint64_t offset = 0;
    for (ssize_t n = 1; code == KM_OK && n != 0;) {
        char block[16384];
        n = pread(fd, block, sizeof block, (off_t)offset);
        if (n < 0 && errno != EINTR)
            code = km_fail_errno(err, errno, "cannot read");
        if (n > 0) {
            km_digest_update(digest, block, (size_t)n);
            offset += (uint64_t)n;
        }
    }
    if (code == KM_OK)
        km_digest_finish(digest, out);
    km_digest_free(digest);
    return code;
}

/* ---- Opening ---- */

struct opening {
    int folder;
    struct km_detector *detector;
};

static enum km_code open_stem(const struct opening *opening, enum part part, int *card_fd, const char *name,
                              struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int weights_fd = -1;
    enum km_code code = open_part(opening->folder, name, ".safetensors", &weights_fd, err);
    if (code != KM_OK)
        return code;
    if (part == PART_TOKENS)
        return km_token_model_load(*card_fd, weights_fd, &opening->detector->tokens, NULL, err);
    km_lateparts_keep_network(opening->detector->late, km_steal_fd(card_fd), km_steal_fd(&weights_fd));
    return KM_OK;
}

static enum km_code check_names(const struct km_additive *fusion, struct km_err *err)
{
    for (size_t i = 0; i < km_additive_term_count(fusion); i++) {
        enum km_feature feature;
        if (!km_feature_from_name(km_additive_term(fusion, i)->name, &feature))
            return km_fail(err, KM_FORMAT, "no such feature: '%s'", km_additive_term(fusion, i)->name);
    }
    return KM_OK;
}

static enum km_code load_fusion(struct km_detector *detector, int fd, struct km_err *err)
{
    struct km_buf text;
    enum km_code code = read_part(fd, KM_ADDITIVE_MAX_BYTES, &text, err);
    if (code == KM_OK) {
        detector->fusion = km_additive_parse(km_buf_text(&text), text.length, err);
        code = detector->fusion ? check_names(detector->fusion, err) : err->code;
    }
    km_buf_done(&text);
    return code;
}

static enum km_code keep_index(struct km_detector *detector, const int *fds, size_t count, struct km_err *err)
{
    if (!detector->tokens)
        return km_fail(err, KM_UNSUPPORTED, "an index needs a token model");
    return km_lateparts_keep_index(detector->late, fds, count, err);
}

static enum km_code open_member(const struct opening *opening, enum part part, const struct km_json *member,
                                struct km_err *err)
{
    uint8_t wanted[KM_SHA256_BYTES], digest[KM_SHA256_BYTES];
    const char *name = km_json_string(member, "file", ""), *hex = km_json_string(member, "sha256", "");
    if (km_json_size(member) != 2 || strlen(hex) != 2 * sizeof wanted ||
        km_hex_parse(hex, sizeof wanted, wanted, err) != KM_OK)
        return km_fail(err, KM_FORMAT, "'file' and 'sha256' are wanted");
    KM_CLEANUP(km_cleanup_close) int fd = -1;
    enum km_code code = open_part(opening->folder, name, parts[part].is_stem ? ".json" : "", &fd, err);
    if (code == KM_OK)
        code = digest_part(fd, digest, err);
    if (code == KM_OK && memcmp(digest, wanted, sizeof digest) != 0)
        code = km_fail(err, KM_CONFLICT, "%s is not the file that the bundle names: its SHA-256 differs", name);
    if (code != KM_OK)
        return code;
    switch (part) {
    case PART_NETWORK:
    case PART_TOKENS:
        return open_stem(opening, part, &fd, name, err);
    case PART_INDEX:
        code = keep_index(opening->detector, &fd, 1, err);
        if (code == KM_OK)
            (void)km_steal_fd(&fd);
        return code;
    case PART_FUSION:
        return load_fusion(opening->detector, fd, err);
    }
    return KM_OK;
}

static enum km_code check_manifest(const struct km_json *manifest, struct km_err *err)
{
    const char *key;
    if (km_json_integer(manifest, "komainu_detector", -1) != VERSION)
        return km_fail(err, km_json_member(manifest, "komainu_detector") ? KM_UNSUPPORTED : KM_FORMAT,
                       "not a detector bundle of version %d", VERSION);
    for (void *cursor = NULL; km_json_next(manifest, &cursor, &key);) {
        bool known = strcmp(key, "komainu_detector") == 0 || strcmp(key, "name") == 0;
        for (size_t i = 0; i < PART_COUNT; i++)
            known = known || strcmp(key, parts[i].name) == 0;
        if (!known)
            return km_fail(err, KM_FORMAT, "unknown member '%.64s'", key);
    }
    return KM_OK;
}

static bool is_printable(const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return text[0] != '\0' && strlen(text) < KM_DETECTOR_NAME_BYTES;
}

/* Scores of segments are the models' and this code's. */
static enum km_code set_digest(struct km_detector *detector, const uint8_t *more, size_t length, struct km_err *err)
{
    const uint8_t format[] = {VERSION, SCORE_FORMAT, KM_TOKEN_SCHEME};
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    km_digest_update(digest, format, sizeof format);
    km_digest_update(digest, detector->digest, sizeof detector->digest);
    km_digest_update(digest, more, length);
    km_digest_finish(digest, detector->digest);
    km_digest_free(digest);
    return KM_OK;
}

static void set_version(struct km_detector *detector)
{
    char hex[KM_SHA256_HEX_BYTES];
    km_hex_format(detector->digest, KM_SHA256_BYTES, hex);
    (void)snprintf(detector->version, sizeof detector->version, "%s (%s%s%s%s) %.12s", detector->name,
                   detector->tokens ? "tokens" : "no tokens",
                   km_lateparts_index_count(detector->late) > 0 ? ", lookalike" : "",
                   km_detector_has_network(detector) ? ", network" : ", no network",
                   detector->fusion ? ", fusion" : ", no fusion", hex);
}

static enum km_code open_members(const struct opening *opening, const struct km_json *manifest, struct km_err *err)
{
    for (int part = 0; part < PART_COUNT; part++) {
        const struct km_json *member = km_json_member(manifest, parts[part].name);
        if (member && open_member(opening, (enum part)part, member, err) != KM_OK)
            return km_err_wrap(err, "%s", parts[part].name);
    }
    return KM_OK;
}

static enum km_code open_manifest(const struct opening *opening, const struct km_buf *text, struct km_err *err)
{
    struct km_detector *detector = opening->detector;
    KM_CLEANUP(km_json_cleanup)
    struct km_json *manifest = km_json_parse(km_buf_text(text), text->length, KM_DETECTOR_MANIFEST_BYTES, err);
    enum km_code code = manifest ? check_manifest(manifest, err) : err->code;
    if (code != KM_OK)
        return code;
    const char *name = km_json_string(manifest, "name", "");
    if (!is_printable(name))
        return km_fail(err, KM_FORMAT, "'name': a short printable text is wanted");
    (void)snprintf(detector->name, sizeof detector->name, "%s", name);
    return open_members(opening, manifest, err);
}

enum km_code km_detector_open(int folder, struct km_detector **out, struct km_err *err)
{
    KM_CLEANUP(km_detector_cleanup)
    struct km_detector *detector = km_calloc(1, sizeof *detector, SIZE_MAX, err);
    if (!detector)
        return err->code;
    detector->late = km_lateparts_new(err);
    if (!detector->late)
        return err->code;
    const struct opening opening = {folder, detector};
    KM_CLEANUP(km_cleanup_close) int fd = -1;
    enum km_code code = open_part(folder, KM_DETECTOR_MANIFEST, "", &fd, err);
    if (code != KM_OK)
        return code;
    struct km_buf text;
    code = read_part(fd, KM_DETECTOR_MANIFEST_BYTES, &text, err);
    if (code == KM_OK)
        code = set_digest(detector, (const uint8_t *)km_buf_text(&text), text.length, err);
    if (code == KM_OK)
        code = open_manifest(&opening, &text, err);
    km_buf_done(&text);
    if (code != KM_OK)
        return km_err_wrap(err, "%s", KM_DETECTOR_MANIFEST);
    detector->ranking = detector->fusion;
    set_version(detector);
    *out = km_steal(detector);
    return KM_OK;
}

void km_detector_free(struct km_detector *detector)
{
    if (!detector)
        return;
    km_lateparts_free(detector->late);
    km_token_model_free(detector->tokens);
    if (detector->ranking != detector->fusion)
        km_additive_free(detector->ranking);
    km_additive_free(detector->fusion);
    free(detector);
}

enum km_code km_detector_add_indexes(struct km_detector *detector, const int *fds, size_t count, struct km_err *err)
{
    enum km_code code = KM_OK;
    if (count == 0)
        return KM_OK;
    for (size_t i = 0; code == KM_OK && i < count; i++) {
        uint8_t digest[KM_SHA256_BYTES];
        code = digest_part(fds[i], digest, err);
        if (code == KM_OK)
            code = set_digest(detector, digest, sizeof digest, err);
    }
    if (code == KM_OK)
        code = keep_index(detector, fds, count, err);
    if (code == KM_OK)
        set_version(detector);
    return code;
}

enum km_code km_detector_set_fusion(struct km_detector *detector, const struct km_additive *fusion, struct km_err *err)
{
    enum km_code code = check_names(fusion, err);
    struct km_additive *copy = code == KM_OK ? km_additive_copy(fusion, err) : NULL;
    if (!copy)
        return err->code;
    if (detector->fusion != detector->ranking)
        km_additive_free(detector->fusion);
    detector->fusion = copy;
    set_version(detector);
    return KM_OK;
}

enum km_code km_detector_load(const struct km_detector *detector, struct km_err *err)
{
    const float *idf = detector->tokens ? km_token_model_idf(detector->tokens) : NULL;
    return km_lateparts_load(detector->late, idf, err);
}

const char *km_detector_version(const struct km_detector *detector)
{
    return detector->version;
}

const uint8_t *km_detector_digest(const struct km_detector *detector)
{
    return detector->digest;
}

bool km_detector_has_tokens(const struct km_detector *detector)
{
    return detector->tokens != NULL;
}

bool km_detector_has_network(const struct km_detector *detector)
{
    return km_lateparts_has_network(detector->late);
}

const struct km_additive *km_detector_fusion(const struct km_detector *detector)
{
    return detector->fusion;
}

/* ---- Writing a manifest ---- */

static enum km_code describe_part(int folder, enum part part, const char *name, struct km_json *manifest,
                                  struct km_err *err)
{
    uint8_t digest[KM_SHA256_BYTES];
    char hex[KM_SHA256_HEX_BYTES];
    KM_CLEANUP(km_cleanup_close) int fd = -1;
    enum km_code code = open_part(folder, name, parts[part].is_stem ? ".json" : "", &fd, err);
    if (code == KM_OK)
        code = digest_part(fd, digest, err);
    if (code != KM_OK)
        return code;
    km_hex_format(digest, sizeof digest, hex);
    struct km_json *member = km_json_new_object();
    km_json_set_string(member, "file", name);
    km_json_set_string(member, "sha256", hex);
    km_json_set(manifest, parts[part].name, member);
    return KM_OK;
}

static enum km_code write_text(int folder, const struct km_buf *text, struct km_err *err)
{
    static const char fresh[] = KM_DETECTOR_MANIFEST ".new";
    KM_CLEANUP(km_cleanup_close)
    int fd = openat(folder, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", fresh);
    for (size_t at = 0; at < text->length;) {
        ssize_t n = write(fd, km_buf_text(text) + at, text->length - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "%s", fresh);
        at += (size_t)n;
    }
    if (fsync(fd) != 0 || renameat(folder, fresh, folder, KM_DETECTOR_MANIFEST) != 0)
        return km_fail_errno(err, errno, "%s", KM_DETECTOR_MANIFEST);
    return KM_OK;
}

enum km_code km_detector_write_manifest(int folder, const char *name, const struct km_detector_parts *given,
                                        struct km_err *err)
{
    const char *const files[PART_COUNT] = {given->network, given->tokens, given->index, given->fusion};
    if (!is_printable(name))
        return km_fail(err, KM_FORMAT, "a bundle's name is a short printable text");
    KM_CLEANUP(km_json_cleanup) struct km_json *manifest = km_json_new_object();
    km_json_set_integer(manifest, "komainu_detector", VERSION);
    km_json_set_string(manifest, "name", name);
    enum km_code code = KM_OK;
    for (int part = 0; code == KM_OK && part < PART_COUNT; part++)
        if (files[part])
            code = describe_part(folder, (enum part)part, files[part], manifest, err);
    struct km_buf text;
    km_buf_init(&text, KM_DETECTOR_MANIFEST_BYTES);
    if (code == KM_OK)
        code = km_json_format(manifest, 2, &text, err);
    if (code == KM_OK)
        code = km_buf_append_text(&text, "\n", err);
    if (code == KM_OK)
        code = write_text(folder, &text, err);
    km_buf_done(&text);
    return code;
}
