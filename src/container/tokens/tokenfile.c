#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "container/tokens/tokenmodel_internal.h"
#include "nn/safetensors.h"
#include "nn/wholefile.h"

#define MAX_WEIGHTS_BYTES ((size_t)4 << 20)
#define SCHEME_KEY        "komainu_token_scheme"
#define CALIBRATION       4

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

static enum km_code load_card(int fd, struct km_card *out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *text = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, KM_CARD_MAX_BYTES, &text, &length, err);
    if (code == KM_OK)
        code = km_card_parse((const char *)text, length, out, err);
    if (code != KM_OK)
        return km_err_wrap(err, "token model");
    if (out->architecture != KM_ARCHITECTURE_TOKENS || out->outputs != 1 || out->view != KM_CARD_VIEW_FILE)
        return km_fail(err, KM_UNSUPPORTED, "token model: the card is of another kind of model");
    return KM_OK;
}

static enum km_code read_tensor(const struct km_safetensors *file, const char *name, uint64_t elements, float *out,
                                struct km_err *err)
{
    const struct km_safetensor *tensor = km_safetensors_find(file, name);
    if (!tensor)
        return km_fail(err, KM_FORMAT, "token model: no tensor '%s'", name);
    if (tensor->rank != 1 || tensor->elements != elements)
        return km_fail(err, KM_FORMAT, "token model: '%s' has another shape than [%llu]", name,
                       (unsigned long long)elements);
    return km_safetensors_read(tensor, out, err);
}

static enum km_code check_scheme(const struct km_safetensors *file, struct km_err *err)
{
    char own[16];
    (void)snprintf(own, sizeof own, "%d", KM_TOKEN_SCHEME);
    const char *scheme = km_safetensors_metadata(file, SCHEME_KEY);
    if (!scheme || strcmp(scheme, own) != 0)
        return km_fail(err, KM_UNSUPPORTED, "token model: made for token scheme '%.16s', this is scheme %s",
                       scheme ? scheme : "", own);
    return KM_OK;
}

static enum km_code read_model(const struct km_safetensors *file, struct km_token_model *model, struct km_err *err)
{
    float bias, calibration[CALIBRATION];
    enum km_code code = check_scheme(file, err);
    if (code == KM_OK && km_safetensors_count(file) != 4)
        return km_fail(err, KM_FORMAT, "token model: %zu tensors instead of 4", km_safetensors_count(file));
    if (code == KM_OK)
        code = read_tensor(file, "weight", KM_TOKEN_IDS, model->weight, err);
    if (code == KM_OK)
        code = read_tensor(file, "idf", KM_TOKEN_IDS, model->idf, err);
    if (code == KM_OK)
        code = read_tensor(file, "bias", 1, &bias, err);
    if (code == KM_OK)
        code = read_tensor(file, "calibration", CALIBRATION, calibration, err);
    if (code != KM_OK)
        return code;
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
        if (model->idf[id] <= 0)
            return km_fail(err, KM_FORMAT, "token model: idf %u is not positive", id);
    if (calibration[0] <= 0 || calibration[2] <= 0)
        return km_fail(err, KM_FORMAT, "token model: a calibration that turns scores around");
    model->bias = (double)bias;
    model->calibration = (struct km_token_calibration){(double)calibration[0], (double)calibration[1],
                                                       (double)calibration[2], (double)calibration[3]};
    km_token_model_finish(model);
    return KM_OK;
}

static enum km_code load_weights(int fd, const struct km_card *card, struct km_token_model *model, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    uint8_t digest[KM_SHA256_BYTES];
    enum km_code code = km_wholefile_read(fd, MAX_WEIGHTS_BYTES, &bytes, &length, err);
    if (code == KM_OK)
        code = digest_of(bytes, length, digest, err);
    if (code != KM_OK)
        return km_err_wrap(err, "token model");
    if ((uint64_t)card->weights_bytes != length || memcmp(digest, card->sha256, sizeof digest) != 0)
        return km_fail(err, KM_CONFLICT, "token model: the weights are not the ones that the card names");
    KM_CLEANUP(km_safetensors_cleanup) struct km_safetensors *file = km_safetensors_parse(bytes, length, err);
    return file ? read_model(file, model, err) : err->code;
}

enum km_code km_token_model_load(int card_fd, int weights_fd, struct km_token_model **out, struct km_card *out_card,
                                 struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) struct km_card *card = km_calloc(1, sizeof *card, SIZE_MAX, err);
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = card ? km_token_model_new(err) : NULL;
    if (!model)
        return err->code;
    enum km_code code = load_card(card_fd, card, err);
    if (code == KM_OK)
        code = load_weights(weights_fd, card, model, err);
    if (code != KM_OK)
        return code;
    if (out_card)
        *out_card = *card;
    *out = km_steal(model);
    return KM_OK;
}

static enum km_code write_weights(int fd, const struct km_token_model *model, struct km_err *err)
{
    const struct km_token_calibration *own = &model->calibration;
    float bias = (float)model->bias, calibration[CALIBRATION] = {(float)own->file_scale, (float)own->file_shift,
                                                                 (float)own->window_scale, (float)own->window_shift};
    uint64_t ids = KM_TOKEN_IDS, one = 1, four = CALIBRATION;
    struct km_safetensors_item items[] = {
        {.name = "weight", .rank = 1, .dims = &ids, .values = model->weight, .half = true},
        {.name = "idf", .rank = 1, .dims = &ids, .values = model->idf, .half = true},
        {.name = "bias", .rank = 1, .dims = &one, .values = &bias},
        {.name = "calibration", .rank = 1, .dims = &four, .values = calibration},
    };
    char scheme[16];
    (void)snprintf(scheme, sizeof scheme, "%d", KM_TOKEN_SCHEME);
    KM_CLEANUP(km_json_cleanup) struct km_json *about = km_json_new_object();
    km_json_set_string(about, SCHEME_KEY, scheme);
    return km_safetensors_write(fd, items, sizeof items / sizeof *items, about, err);
}

/* Writes the weights and puts their size and digest into the card. */
static enum km_code save_weights(int folder, const char *name, const struct km_token_model *model, struct km_card *card,
                                 struct km_err *err)
{
    KM_CLEANUP(km_replacement_abort) struct km_replacement file;
    enum km_code code = km_replacement_begin(&file, folder, name, err);
    if (code == KM_OK)
        code = write_weights(file.fd, model, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_cleanup_close) int back = openat(folder, file.temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (back < 0)
        return km_fail(err, KM_IO, "cannot read %s back", name);
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    code = km_wholefile_read(back, MAX_WEIGHTS_BYTES, &bytes, &length, err);
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

enum km_code km_token_model_save(int folder, const char *name, const struct km_card *card,
                                 const struct km_token_model *model, struct km_err *err)
{
    char file[200];
    if (strlen(name) > sizeof file - 16)
        return km_fail(err, KM_LIMIT, "a model's name is too long");
    KM_CLEANUP(km_cleanup_free) struct km_card *own = km_calloc(1, sizeof *own, SIZE_MAX, err);
    if (!own)
        return err->code;
    *own = *card;
    own->architecture = KM_ARCHITECTURE_TOKENS;
    own->view = KM_CARD_VIEW_FILE;
    own->outputs = 1;
    (void)snprintf(file, sizeof file, "%s.safetensors", name);
    enum km_code code = save_weights(folder, file, model, own, err);
    if (code != KM_OK)
        return code;
    (void)snprintf(file, sizeof file, "%s.json", name);
    return save_card(folder, file, own, err);
}
