#include "nn/modelfile.h"

#include "nn/cardfile.h"

static enum km_code load_weights(int fd, const struct km_model *model, struct km_weights *weights,
                                 struct km_weights_report *report, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    enum km_code code = km_cardfile_load_weights(fd, &model->card, KM_MODEL_MAX_BYTES, &bytes, &length, err);
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
    enum km_code code = km_cardfile_load_card(card_fd, &model->card, err);
    if (code != KM_OK)
        return code;
    struct km_architecture_options options = {
        .kind = model->card.architecture,
        .outputs = model->card.outputs,
        .side = view->side,
        .hidden = model->card.hidden,
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

static enum km_code write_weights(const void *context, int fd, struct km_err *err)
{
    return km_weights_save(context, fd, err);
}

enum km_code km_model_save(int folder, const char *name, const struct km_card *card, const struct km_weights *weights,
                           struct km_err *err)
{
    struct km_cardfile_writer writer = {weights, write_weights};
    return km_cardfile_save(folder, name, card, KM_MODEL_MAX_BYTES, &writer, err);
}
