#include <stdio.h>
#include <string.h>

#include "container/tokens/tokenmodel_internal.h"
#include "nn/cardfile.h"
#include "nn/safetensors.h"

#define MAX_WEIGHTS_BYTES ((size_t)4 << 20)
#define SCHEME_KEY        "komainu_token_scheme"
#define CALIBRATION       4

static enum km_code check_card(const struct km_card *card, struct km_err *err)
{
    if (card->architecture != KM_ARCHITECTURE_TOKENS || card->outputs != 1 || card->view != KM_CARD_VIEW_FILE)
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
    enum km_code code = km_cardfile_load_weights(fd, card, MAX_WEIGHTS_BYTES, &bytes, &length, err);
    if (code != KM_OK)
        return km_err_wrap(err, "token model");
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
    enum km_code code = km_cardfile_load_card(card_fd, card, err);
    if (code == KM_OK)
        code = check_card(card, err);
    if (code == KM_OK)
        code = load_weights(weights_fd, card, model, err);
    if (code != KM_OK)
        return code;
    if (out_card)
        *out_card = *card;
    *out = km_steal(model);
    return KM_OK;
}

static enum km_code write_weights(const void *context, int fd, struct km_err *err)
{
    const struct km_token_model *model = context;
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

enum km_code km_token_model_save(int folder, const char *name, const struct km_card *card,
                                 const struct km_token_model *model, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) struct km_card *own = km_calloc(1, sizeof *own, SIZE_MAX, err);
    if (!own)
        return err->code;
    *own = *card;
    own->architecture = KM_ARCHITECTURE_TOKENS;
    own->view = KM_CARD_VIEW_FILE;
    own->outputs = 1;
    struct km_cardfile_writer writer = {model, write_weights};
    return km_cardfile_save(folder, name, own, MAX_WEIGHTS_BYTES, &writer, err);
}
