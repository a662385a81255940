#include "container/lab/outoffold.h"

#include "base/mem.h"
#include "container/lab/familyfold.h"
#include "container/lab/tokenfit.h"

struct fold {
    const struct km_dataset *dataset;
    const struct km_outoffold_plan *plan;
    unsigned number;
    bool *learned, *held; /* [count] */
};

static enum km_code learn_words(const struct fold *fold, struct km_token_model **out_model,
                                struct km_token_index **out_index, struct km_err *err)
{
    const struct km_outoffold_plan *plan = fold->plan;
    const struct km_tokenfit_plan fitting = {.train = fold->learned, .site = plan->site};
    enum km_code code = km_tokenfit_model(fold->dataset, plan->words, &fitting, out_model, err);
    if (code == KM_OK)
        code = km_tokenfit_index(fold->dataset, plan->words, fold->learned, KM_TOKENFIT_BENIGN_FILES, out_index, err);
    if (code == KM_OK && plan->site)
        code = km_tokenfit_add_site(*out_index, plan->site, err);
    return code == KM_OK ? km_token_index_prepare(*out_index, km_token_model_idf(*out_model), err) : code;
}

static enum km_code learn_network(const struct fold *fold, struct km_weights **out, struct km_err *err)
{
    struct km_nettrain_options options = *fold->plan->network;
    options.among = fold->learned;
    options.part = fold->number + 1;
    return km_nettrain_run(fold->dataset, fold->plan->view, &options, out, err);
}

static enum km_code run_fold(const struct fold *fold, struct km_filescore *scores, struct km_err *err)
{
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = NULL;
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = NULL;
    KM_CLEANUP(km_weights_cleanup) struct km_weights *network = NULL;
    enum km_code code = fold->plan->words ? learn_words(fold, &model, &index, err) : KM_OK;
    if (code == KM_OK && fold->plan->network)
        code = learn_network(fold, &network, err);
    const struct km_token_index *indexes[] = {index};
    const struct km_modelparts parts = {.tokens = model,
                                        .indexes = indexes,
                                        .index_count = index ? 1 : 0,
                                        .view = fold->plan->view,
                                        .network = network};
    return code == KM_OK ? km_filescore_samples(&parts, fold->dataset, fold->held, &fold->plan->work, scores, err)
                         : code;
}

enum km_code km_outoffold_score(const struct km_dataset *dataset, const struct km_outoffold_plan *plan,
                                struct km_filescore *scores, struct km_err *err)
{
    size_t count = km_dataset_count(dataset);
    KM_CLEANUP(km_cleanup_free) uint8_t *folds = km_calloc(count, sizeof *folds, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free) bool *learned = folds ? km_calloc(count, sizeof *learned, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free) bool *held = learned ? km_calloc(count, sizeof *held, SIZE_MAX, err) : NULL;
    if (!held)
        return err->code;
    enum km_code code = km_familyfold_assign(dataset, plan->among, KM_OUTOFFOLD_FOLDS, folds, err);
    for (unsigned number = 0; number < KM_OUTOFFOLD_FOLDS && code == KM_OK; number++) {
        for (size_t i = 0; i < count; i++) {
            held[i] = folds[i] == number;
            learned[i] = folds[i] != number && folds[i] != KM_FAMILYFOLD_NONE;
        }
        const struct fold fold = {dataset, plan, number, learned, held};
        code = run_fold(&fold, scores, err);
    }
    return code;
}

enum km_code km_outoffold_forget(const struct km_nettrain_options *network, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (unsigned number = 0; number < KM_OUTOFFOLD_FOLDS && code == KM_OK; number++) {
        struct km_nettrain_options options = *network;
        options.part = number + 1;
        code = km_nettrain_forget(&options, err);
    }
    return code;
}
