#include "container/lab/modelfolder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/digest.h"
#include "nn/modelfile.h"

#define MAX_PART_BYTES ((size_t)512 << 20)
#define BLOCK_BYTES    ((size_t)64 << 10)

static const char *const part_names[] = {
    KM_MODELFOLDER_TOKENS ".json",  KM_MODELFOLDER_TOKENS ".safetensors",
    KM_MODELFOLDER_NETWORK ".json", KM_MODELFOLDER_NETWORK ".safetensors",
    KM_MODELFOLDER_INDEX,           KM_MODELFOLDER_FUSION,
    KM_DETECTOR_MANIFEST,
};
#define PART_COUNT (sizeof part_names / sizeof part_names[0])

struct km_modelfolder {
    struct km_json *card;
    struct km_token_model *tokens;
    struct km_token_index *index;
    const struct km_token_index *indexes[1];
    struct km_netview *view;
    struct km_weights *network;
    struct km_additive *fusion;
    struct km_detector *detector;
    struct km_modelparts parts;
};

/* ---- Files ---- */

/* -1 with *err set. */
static int open_part(int folder, const char *name, struct km_err *err)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        (void)km_fail_errno(err, errno, "cannot read %s", name);
    return fd;
}

static enum km_code read_whole(int fd, size_t max_bytes, struct km_buf *out, struct km_err *err)
{
    char block[4096];
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read");
        if (got == 0)
            return KM_OK;
        if (out->length + (size_t)got > max_bytes)
            return km_fail(err, KM_LIMIT, "more than %zu bytes", max_bytes);
        enum km_code code = km_buf_append(out, block, (size_t)got, err);
        if (code != KM_OK)
            return code;
    }
}

/* The file's digest and size; the descriptor stands at its end. */
static enum km_code hash_file(int fd, char out_hex[KM_SHA256_HEX_BYTES], uint64_t *out_bytes, struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    KM_CLEANUP(km_cleanup_free) uint8_t *block = digest ? km_calloc(1, BLOCK_BYTES, BLOCK_BYTES, err) : NULL;
    enum km_code code = block ? KM_OK : err->code;
    uint64_t bytes = 0;
    if (code == KM_OK)
        km_digest_reset(digest);
    for (ssize_t got = 1; code == KM_OK && got > 0;) {
        got = read(fd, block, BLOCK_BYTES);
        if (got < 0)
            code = km_fail_errno(err, errno, "cannot read");
        else
            km_digest_update(digest, block, (size_t)got);
        bytes += got > 0 ? (uint64_t)got : 0;
        if (bytes > MAX_PART_BYTES)
            code = km_fail(err, KM_LIMIT, "more than %zu bytes", MAX_PART_BYTES);
    }
    if (code == KM_OK) {
        uint8_t sum[KM_SHA256_BYTES];
        km_digest_finish(digest, sum);
        km_hex_format(sum, sizeof sum, out_hex);
        *out_bytes = bytes;
    }
    km_digest_free(digest);
    return code;
}

/* ---- Opening ---- */

static const struct km_json *card_part(const struct km_json *card, const char *name)
{
    return km_json_member(km_json_find(card, "parts"), name);
}

static enum km_code check_part(int folder, const struct km_json *card, const char *name, struct km_err *err)
{
    const struct km_json *part = card_part(card, name);
    if (!part)
        return KM_OK;
    KM_CLEANUP(km_cleanup_close) int fd = open_part(folder, name, err);
    if (fd < 0)
        return err->code;
    char hex[KM_SHA256_HEX_BYTES];
    uint64_t bytes = 0;
    enum km_code code = hash_file(fd, hex, &bytes, err);
    if (code != KM_OK)
        return km_err_wrap(err, "%s", name);
    if (strcmp(hex, km_json_string(part, "sha256", "")) != 0 || (int64_t)bytes != km_json_integer(part, "bytes", -1))
        return km_fail(err, KM_CONFLICT, "%s is not the one that the card names", name);
    return KM_OK;
}

static enum km_code read_card(struct km_modelfolder *model, int folder, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open_part(folder, KM_MODELFOLDER_CARD, err);
    if (fd < 0)
        return err->code;
    struct km_buf text;
    km_buf_init(&text, KM_MODELFOLDER_CARD_BYTES);
    enum km_code code = read_whole(fd, KM_MODELFOLDER_CARD_BYTES, &text, err);
    if (code == KM_OK) {
        model->card = km_json_parse(km_buf_text(&text), text.length, KM_MODELFOLDER_CARD_BYTES, err);
        code = model->card ? KM_OK : err->code;
    }
    km_buf_done(&text);
    if (code == KM_OK && km_json_integer(model->card, "komainu_detector_card", 0) != 1)
        code = km_fail(err, KM_UNSUPPORTED, "no detector card of version 1");
    if (code != KM_OK)
        return km_err_wrap(err, KM_MODELFOLDER_CARD);
    for (size_t i = 0; i < PART_COUNT && code == KM_OK; i++)
        code = check_part(folder, model->card, part_names[i], err);
    return code;
}

static enum km_code open_tokens(struct km_modelfolder *model, int folder, struct km_err *err)
{
    if (!card_part(model->card, KM_MODELFOLDER_TOKENS ".json"))
        return KM_OK;
    KM_CLEANUP(km_cleanup_close) int card = open_part(folder, KM_MODELFOLDER_TOKENS ".json", err);
    KM_CLEANUP(km_cleanup_close)
    int weights = card < 0 ? -1 : open_part(folder, KM_MODELFOLDER_TOKENS ".safetensors", err);
    if (weights < 0)
        return err->code;
    enum km_code code = km_token_model_load(card, weights, &model->tokens, NULL, err);
    model->parts.tokens = model->tokens;
    return code == KM_OK ? code : km_err_wrap(err, KM_MODELFOLDER_TOKENS);
}

static enum km_code open_index(struct km_modelfolder *model, int folder, struct km_err *err)
{
    if (!model->tokens || !card_part(model->card, KM_MODELFOLDER_INDEX))
        return KM_OK;
    KM_CLEANUP(km_cleanup_close) int fd = open_part(folder, KM_MODELFOLDER_INDEX, err);
    if (fd < 0)
        return err->code;
    enum km_code code = km_token_index_load(fd, &model->index, err);
    if (code == KM_OK)
        code = km_token_index_prepare(model->index, km_token_model_idf(model->tokens), err);
    if (code != KM_OK)
        return km_err_wrap(err, KM_MODELFOLDER_INDEX);
    model->indexes[0] = model->index;
    model->parts.indexes = model->indexes;
    model->parts.index_count = 1;
    return KM_OK;
}

static enum km_code open_network(struct km_modelfolder *model, int folder, struct km_err *err)
{
    if (!card_part(model->card, KM_MODELFOLDER_NETWORK ".json"))
        return KM_OK;
    model->view = km_netview_new(err);
    KM_CLEANUP(km_cleanup_close) int card = model->view ? open_part(folder, KM_MODELFOLDER_NETWORK ".json", err) : -1;
    KM_CLEANUP(km_cleanup_close)
    int weights = card < 0 ? -1 : open_part(folder, KM_MODELFOLDER_NETWORK ".safetensors", err);
    if (weights < 0)
        return err->code;
    KM_CLEANUP(km_cleanup_free) struct km_model *loaded = km_calloc(1, sizeof *loaded, sizeof *loaded, err);
    if (!loaded)
        return err->code;
    const struct km_model_view view = {.order = km_netview_order(model->view, KM_FILEVIEW_MAX_SIDE)};
    enum km_code code = km_model_load(card, weights, &view, loaded, err);
    if (code != KM_OK)
        return km_err_wrap(err, KM_MODELFOLDER_NETWORK);
    if (loaded->card.architecture != KM_ARCHITECTURE_LIGHT || loaded->card.stem != KM_STEM_HASH ||
        loaded->card.outputs != 1)
        code = km_fail(err, KM_UNSUPPORTED, "%s: not a light network with the hash stem", KM_MODELFOLDER_NETWORK);
    else
        model->network = km_steal(loaded->weights);
    km_model_done(loaded);
    model->parts.view = model->view;
    model->parts.network = model->network;
    return code;
}

static enum km_code open_fusion(struct km_modelfolder *model, int folder, struct km_err *err)
{
    if (!card_part(model->card, KM_MODELFOLDER_FUSION))
        return KM_OK;
    KM_CLEANUP(km_cleanup_close) int fd = open_part(folder, KM_MODELFOLDER_FUSION, err);
    if (fd < 0)
        return err->code;
    struct km_buf text;
    km_buf_init(&text, KM_ADDITIVE_MAX_BYTES);
    enum km_code code = read_whole(fd, KM_ADDITIVE_MAX_BYTES, &text, err);
    if (code == KM_OK) {
        model->fusion = km_additive_parse(km_buf_text(&text), text.length, err);
        code = model->fusion ? KM_OK : err->code;
    }
    km_buf_done(&text);
    model->parts.fusion = model->fusion;
    return code == KM_OK ? code : km_err_wrap(err, KM_MODELFOLDER_FUSION);
}

enum km_code km_modelfolder_open(const char *path, struct km_modelfolder **out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    KM_CLEANUP(km_modelfolder_cleanup) struct km_modelfolder *model = km_calloc(1, sizeof *model, sizeof *model, err);
    if (!model)
        return err->code;
    enum km_code code = read_card(model, folder, err);
    if (code == KM_OK)
        code = open_tokens(model, folder, err);
    if (code == KM_OK)
        code = open_index(model, folder, err);
    if (code == KM_OK)
        code = open_network(model, folder, err);
    if (code == KM_OK)
        code = open_fusion(model, folder, err);
    if (code == KM_OK)
        code = km_detector_open(folder, &model->detector, err);
    if (code != KM_OK)
        return km_err_wrap(err, "%s", path);
    model->parts.detector = model->detector;
    *out = km_steal(model);
    return KM_OK;
}

void km_modelfolder_close(struct km_modelfolder *folder)
{
    if (!folder)
        return;
    km_detector_free(folder->detector);
    km_json_free(folder->card);
    km_token_index_free(folder->index);
    km_token_model_free(folder->tokens);
    km_weights_free(folder->network);
    km_netview_free(folder->view);
    km_additive_free(folder->fusion);
    free(folder);
}

const struct km_modelparts *km_modelfolder_parts(const struct km_modelfolder *folder)
{
    return &folder->parts;
}

const struct km_json *km_modelfolder_card(const struct km_modelfolder *folder)
{
    return folder->card;
}

/* ---- Writing ---- */

static enum km_code list_parts(int folder, struct km_json *parts, struct km_err *err)
{
    for (size_t i = 0; i < PART_COUNT; i++) {
        KM_CLEANUP(km_cleanup_close) int fd = openat(folder, part_names[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return km_fail_errno(err, errno, "cannot read %s", part_names[i]);
        char hex[KM_SHA256_HEX_BYTES];
        uint64_t bytes = 0;
        enum km_code code = hash_file(fd, hex, &bytes, err);
        if (code != KM_OK)
            return km_err_wrap(err, "%s", part_names[i]);
        struct km_json *part = km_json_new_object();
        km_json_set_string(part, "sha256", hex);
        km_json_set_integer(part, "bytes", (int64_t)bytes);
        km_json_set(parts, part_names[i], part);
    }
    return KM_OK;
}

static enum km_code write_file(int folder, const char *name, const struct km_buf *text, struct km_err *err)
{
    char temporary[64];
    (void)snprintf(temporary, sizeof temporary, ".%s.new", name);
    KM_CLEANUP(km_cleanup_close) int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot write %s", name);
    for (size_t at = 0; at < text->length;) {
        ssize_t put = write(fd, text->data + at, text->length - at);
        if (put < 0)
            return km_fail_errno(err, errno, "cannot write %s", name);
        at += (size_t)put;
    }
    return renameat(folder, temporary, folder, name) == 0 ? KM_OK : km_fail_errno(err, errno, "cannot write %s", name);
}

static bool is_there(int folder, const char *name)
{
    return faccessat(folder, name, F_OK, 0) == 0;
}

static enum km_code write_manifest(int folder, const struct km_json *about, struct km_err *err)
{
    const struct km_detector_parts parts = {
        .network = is_there(folder, KM_MODELFOLDER_NETWORK ".json") ? KM_MODELFOLDER_NETWORK : NULL,
        .tokens = is_there(folder, KM_MODELFOLDER_TOKENS ".json") ? KM_MODELFOLDER_TOKENS : NULL,
        .index = is_there(folder, KM_MODELFOLDER_INDEX) ? KM_MODELFOLDER_INDEX : NULL,
        .fusion = is_there(folder, KM_MODELFOLDER_FUSION) ? KM_MODELFOLDER_FUSION : NULL,
    };
    return km_detector_write_manifest(folder, km_json_string(about, "name", "komainu"), &parts, err);
}

enum km_code km_modelfolder_write_card(int folder, const struct km_json *about, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_MODELFOLDER_CARD_BYTES);
    enum km_code code = km_json_format(about, 0, &text, err); /* a copy, for its members cannot have two parents */
    KM_CLEANUP(km_json_cleanup)
    struct km_json *card =
        code == KM_OK ? km_json_parse(km_buf_text(&text), text.length, KM_MODELFOLDER_CARD_BYTES, err) : NULL;
    if (card) {
        struct km_json *parts = km_json_new_object();
        code = write_manifest(folder, about, err);
        if (code == KM_OK)
            code = list_parts(folder, parts, err);
        km_json_set_integer(card, "komainu_detector_card", 1);
        km_json_set(card, "parts", parts);
        km_buf_clear(&text);
        if (code == KM_OK)
            code = km_json_format(card, 2, &text, err);
        if (code == KM_OK)
            code = km_buf_append_text(&text, "\n", err);
        if (code == KM_OK)
            code = write_file(folder, KM_MODELFOLDER_CARD, &text, err);
    } else if (code == KM_OK) {
        code = err->code;
    }
    km_buf_done(&text);
    return code;
}
