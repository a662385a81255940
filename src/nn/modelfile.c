#include "nn/modelfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/wholefile.h"

static enum km_code digest_of(const uint8_t *bytes, size_t length, uint8_t out[KM_SHA256_BYTES], struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    km_digest_update(digest, bytes, length);
    km_digest_finish(digest, out);
    km_digest_free(digest);
    return KM_OK;
}

static enum km_code check_weights(const struct km_card *card, const uint8_t *bytes, size_t length, struct km_err *err)
{
    uint8_t digest[KM_SHA256_BYTES];
    if ((uint64_t)card->weights_bytes != length)
        return km_fail(err, KM_CONFLICT, "the weights are %zu bytes, the card says %lld", length,
                       (long long)card->weights_bytes);
    enum km_code code = digest_of(bytes, length, digest, err);
    if (code == KM_OK && memcmp(digest, card->sha256, sizeof digest) != 0)
        return km_fail(err, KM_CONFLICT, "the weights are not the ones that the card names: their SHA-256 differs");
    return code;
}

static enum km_code load_card(int fd, struct km_card *out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *text = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, KM_CARD_MAX_BYTES, &text, &length, err);
    if (code != KM_OK)
        return km_err_wrap(err, "model card");
    return km_card_parse((const char *)text, length, out, err);
}

static enum km_code load_weights(int fd, const struct km_model *model, struct km_weights *weights,
                                 struct km_weights_report *report, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, KM_MODEL_MAX_BYTES, &bytes, &length, err);
    if (code != KM_OK)
        return km_err_wrap(err, "weights");
    code = check_weights(&model->card, bytes, length, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_safetensors_cleanup) struct km_safetensors *file = km_safetensors_parse(bytes, length, err);
    return file ? km_weights_load(weights, file, report, err) : err->code;
}

enum km_code km_model_load(int card_fd, int weights_fd, const struct km_model_view *view, struct km_model *out,
                           struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) struct km_model *model = km_calloc(1, sizeof *model, SIZE_MAX, err);
    if (!model)
        return err->code;
    enum km_code code = load_card(card_fd, &model->card, err);
    if (code != KM_OK)
        return code;
    struct km_architecture_options options = {
        .kind = model->card.architecture,
        .outputs = model->card.outputs,
        .side = view->side,
        .stem = model->card.stem,
        .order = view->order,
        .colours = view->colours,
    };
    code = km_architecture_build(&options, &model->graph, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_weights_cleanup) struct km_weights *weights = km_weights_new(&model->graph, err);
    if (!weights)
        return err->code;
    code = load_weights(weights_fd, model, weights, &model->report, err);
    if (code != KM_OK)
        return code;
    model->weights = km_steal(weights);
    *out = *model;
    return KM_OK;
}

void km_model_done(struct km_model *model)
{
    km_weights_free(model->weights);
    model->weights = NULL;
}

static enum km_code save_weights(int folder, const char *name, const struct km_weights *weights, struct km_card *card,
                                 struct km_err *err)
{
    KM_CLEANUP(km_replacement_abort) struct km_replacement file;
    enum km_code code = km_replacement_begin(&file, folder, name, err);
    if (code == KM_OK)
        code = km_weights_save(weights, file.fd, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_cleanup_close) int back = openat(folder, file.temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (back < 0)
        return km_fail_errno(err, errno, "cannot read %s back", name);
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    code = km_wholefile_read(back, KM_MODEL_MAX_BYTES, &bytes, &length, err);
    if (code == KM_OK)
        code = digest_of(bytes, length, card->sha256, err);
    card->weights_bytes = (int64_t)length;
    return code == KM_OK ? km_replacement_commit(&file, err) : code;
}

static enum km_code save_card(int folder, const char *name, const struct km_card *card, struct km_err *err)
{
    KM_CLEANUP(km_buf_done) struct km_buf text;
    km_buf_init(&text, KM_CARD_MAX_BYTES);
    enum km_code code = km_card_format(card, &text, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_replacement_abort) struct km_replacement file;
    code = km_replacement_begin(&file, folder, name, err);
    if (code == KM_OK)
        code = km_wholefile_write(file.fd, km_buf_text(&text), text.length, err);
    return code == KM_OK ? km_replacement_commit(&file, err) : code;
}

enum km_code km_model_save(int folder, const char *name, const struct km_card *card, const struct km_weights *weights,
                           struct km_err *err)
{
    char file[200];
    if (strlen(name) > sizeof file - 16)
        return km_fail(err, KM_LIMIT, "a model's name is too long");
    KM_CLEANUP(km_cleanup_free) struct km_card *own = km_calloc(1, sizeof *own, SIZE_MAX, err);
    if (!own)
        return err->code;
    *own = *card;
    (void)snprintf(file, sizeof file, "%s.safetensors", name);
    enum km_code code = save_weights(folder, file, weights, own, err);
    if (code != KM_OK)
        return code;
    (void)snprintf(file, sizeof file, "%s.json", name);
    return save_card(folder, file, own, err);
}
