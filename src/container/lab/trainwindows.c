#include "container/lab/trainwindows.h"

#include <string.h>

struct km_trainwindows {
    const struct km_token_model *model;
    struct km_token_extractor *extractor;
    struct km_token_set *sets; /* [files]; their ids are owned */
    size_t files, total;
    struct strongest {
        double logit;
        uint64_t offset;
        size_t windows, count;
        uint32_t *ids; /* KM_TOKEN_IDS */
    } strongest;
};

struct km_trainwindows *km_trainwindows_new(const struct km_token_model *model, size_t files, struct km_err *err)
{
    KM_CLEANUP(km_trainwindows_cleanup)
    struct km_trainwindows *windows = km_calloc(1, sizeof *windows, sizeof *windows, err);
    if (!windows)
        return NULL;
    windows->model = model;
    windows->sets = km_calloc(files, sizeof *windows->sets, SIZE_MAX, err);
    if (!windows->sets)
        return NULL;
    windows->files = files;
    windows->strongest.ids = km_calloc(KM_TOKEN_IDS, sizeof(uint32_t), SIZE_MAX, err);
    if (!windows->strongest.ids)
        return NULL;
    windows->extractor = km_token_extractor_new(err);
    return windows->extractor ? km_steal(windows) : NULL;
}

void km_trainwindows_free(struct km_trainwindows *windows)
{
    if (!windows)
        return;
    for (size_t i = 0; i < windows->files; i++)
        free((void *)windows->sets[i].ids);
    free(windows->sets);
    free(windows->strongest.ids);
    km_token_extractor_free(windows->extractor);
    free(windows);
}

/* Windows come in no order, so the offset tells the first of equals. */
static enum km_code offer(void *context, const struct km_token_window *window, struct km_err *err)
{
    (void)err;
    struct km_trainwindows *windows = context;
    struct strongest *strongest = &windows->strongest;
    double logit = km_token_model_logit(windows->model, &window->set);
    bool weaker = logit < strongest->logit || (logit <= strongest->logit && window->offset > strongest->offset);
    if (strongest->windows++ > 0 && weaker)
        return KM_OK;
    strongest->logit = logit;
    strongest->offset = window->offset;
    strongest->count = window->set.count;
    memcpy(strongest->ids, window->set.ids, window->set.count * sizeof *window->set.ids);
    return KM_OK;
}

static enum km_code keep(struct km_trainwindows *windows, size_t file, struct km_err *err)
{
    const struct strongest *strongest = &windows->strongest;
    KM_ASSERT(file < windows->files && windows->sets[file].count == 0);
    if (strongest->windows < 2 || strongest->count == 0)
        return KM_OK;
    if (strongest->count > KM_TRAINWINDOWS_MAX_IDS - windows->total)
        return km_fail(err, KM_LIMIT, "more than %zu tokens in windows", KM_TRAINWINDOWS_MAX_IDS);
    uint32_t *ids = km_calloc(strongest->count, sizeof *ids, SIZE_MAX, err);
    if (!ids)
        return err->code;
    memcpy(ids, strongest->ids, strongest->count * sizeof *ids);
    windows->sets[file] = (struct km_token_set){ids, strongest->count};
    windows->total += strongest->count;
    return KM_OK;
}

enum km_code km_trainwindows_read(struct km_trainwindows *windows, size_t file, const uint8_t *bytes, size_t length,
                                  struct km_err *err)
{
    const struct km_token_sink sink = {.context = windows, .window = offer};
    struct km_token_file read;
    windows->strongest.windows = windows->strongest.count = 0;
    km_token_extractor_begin(windows->extractor, &sink);
    enum km_code code = km_token_extractor_feed(windows->extractor, bytes, length, err);
    if (code == KM_OK)
        code = km_token_extractor_end(windows->extractor, &read, err);
    return code == KM_OK ? keep(windows, file, err) : code;
}

const struct km_token_set *km_trainwindows_sets(const struct km_trainwindows *windows)
{
    return windows->sets;
}
