#include "container/lab/modeltrain.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "container/lab/figures.h"
#include "container/lab/lookalike.h"
#include "container/lab/modelfolder.h"
#include "container/lab/nettrain.h"
#include "container/lab/tokenfit.h"
#include "nn/modelfile.h"

#define PENALTY 1.0
#define CANNOT                                                                                                         \
    "A demonstration: it was trained to tell dual-use tools of Debian, which name themselves in clear text, from "     \
    "other "                                                                                                           \
    "Debian packages. It is no malware detector, and none of its figures is a malware detection rate. It cannot see "  \
    "into what is compressed or encrypted, knows no intent (the same code is an administrator's tool), and whoever "   \
    "hides words and symbols hides from it. Alarms are places to look at, in order."

struct training {
    const struct km_dataset *dataset;
    const struct km_modeltrain_options *options;
    int folder;
    bool *train, *valid, *both;      /* [count] */
    struct km_sampletokens *words;   /* of both; once they are wanted */
    struct km_token_model *measured; /* learned from `train`: what the fusion and its threshold were set with */
    char today[KM_CARD_DATE_BYTES];
    const char *what; /* of the progress that goes on */
};

static void show(void *context, uint64_t done, uint64_t total)
{
    struct training *training = context;
    if (training->options->progress)
        training->options->progress(training->options->context, training->what, done, total);
}

static void show_loss(void *context, uint64_t done, uint64_t total, double loss)
{
    (void)loss;
    show(context, done, total);
}

static void fill_card(const struct training *training, struct km_card *card)
{
    *card = (struct km_card){.view = KM_CARD_VIEW_FILE, .outputs = 1, .data_count = 1, .seed_count = 1};
    (void)snprintf(card->name, sizeof card->name, "%.100s", training->options->name);
    memcpy(card->created, training->today, sizeof card->created);
    (void)snprintf(card->data[0].name, sizeof card->data[0].name, "komainu corpus %.12s",
                   km_dataset_digest(training->dataset));
    memcpy(card->data[0].from, training->today, sizeof training->today);
    memcpy(card->data[0].to, training->today, sizeof training->today);
    card->seeds[0] = (int64_t)training->options->seed;
}

/* ---- Parts ---- */

static enum km_code save_index(const struct training *training, const struct km_token_index *index, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close)
    int fd = openat(training->folder, KM_MODELFOLDER_INDEX, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot write %s", KM_MODELFOLDER_INDEX);
    return km_token_index_save(index, fd, err);
}

/* Writes the model and the index that `known` samples give. With measured ones the fusion is set by what they say of
 * the valid split; those of all samples go by the same scale, for there is nothing left to measure them on. */
static enum km_code write_tokens(struct training *training, const bool *known, struct km_token_model **out,
                                 struct km_err *err)
{
    const struct km_dataset *dataset = training->dataset;
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = NULL;
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = NULL;
    const struct km_tokenfit_plan plan = {known, known == training->train ? training->valid : NULL,
                                          training->options->site};
    enum km_code code = km_tokenfit_model(dataset, training->words, &plan, &model, err);
    if (code == KM_OK && !plan.held)
        km_token_model_take_calibration(model, training->measured);
    if (code == KM_OK)
        code = km_tokenfit_index(dataset, training->words, known, KM_TOKENFIT_BENIGN_FILES, &index, err);
    if (code == KM_OK && plan.site)
        code = km_tokenfit_add_site(index, plan.site, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_card *card = code == KM_OK ? km_calloc(1, sizeof *card, sizeof *card, err) : NULL;
    if (!card)
        return err->code;
    fill_card(training, card);
    code = km_token_model_save(training->folder, KM_MODELFOLDER_TOKENS, card, model, err);
    if (code == KM_OK)
        code = save_index(training, index, err);
    if (code == KM_OK)
        *out = km_steal(model);
    return code;
}

static enum km_code train_tokens(struct training *training, struct km_err *err)
{
    training->what = "tokens";
    const struct km_sampletokens_work work = {training->options->cancel, show, training};
    training->words = km_sampletokens_new(training->dataset, training->both, &work, err);
    return training->words ? write_tokens(training, training->train, &training->measured, err) : err->code;
}

/* Once all is set: the valid split teaches, too. */
static enum km_code learn_valid(struct training *training, struct km_err *err)
{
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = NULL;
    training->what = "tokens";
    return write_tokens(training, training->both, &model, err);
}

static enum km_code train_network(struct training *training, struct km_err *err)
{
    const struct km_modeltrain_options *options = training->options;
    training->what = "network";
    size_t count = km_dataset_count(training->dataset);
    KM_CLEANUP(km_netview_cleanup) struct km_netview *view = km_netview_new(err);
    KM_CLEANUP(km_cleanup_free) uint32_t *twins = view ? km_calloc(count, sizeof *twins, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free) struct km_card *card = twins ? km_calloc(1, sizeof *card, sizeof *card, err) : NULL;
    if (!card)
        return err->code;
    enum km_code code = km_dataset_find_twins(training->dataset, options->seed, twins, err);
    if (code != KM_OK)
        return code;
    const struct km_nettrain_options net = {
        .seed = options->seed,
        .side = KM_MODELTRAIN_SIDE,
        .samples = options->samples,
        .threads = options->threads < KM_NETTRAIN_SHARDS ? options->threads : KM_NETTRAIN_SHARDS,
        .checkpoints = training->folder,
        .cancel = options->cancel,
        .progress = show_loss,
        .context = training,
    };
    KM_CLEANUP(km_weights_cleanup) struct km_weights *weights = NULL;
    code = km_nettrain_run(training->dataset, twins, view, &net, &weights, err);
    if (code != KM_OK)
        return code;
    fill_card(training, card);
    card->architecture = KM_ARCHITECTURE_LIGHT;
    card->stem = KM_STEM_HASH;
    code = km_model_save(training->folder, KM_MODELFOLDER_NETWORK, card, weights, err);
    return code == KM_OK ? km_nettrain_forget(&net, err) : code;
}

/* ---- Fusion ---- */

static enum km_code save_fusion(const struct training *training, const struct km_additive *fusion, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_ADDITIVE_MAX_BYTES);
    enum km_code code = km_additive_format(fusion, &text, err);
    KM_CLEANUP(km_cleanup_close)
    int fd = code == KM_OK
                 ? openat(training->folder, KM_MODELFOLDER_FUSION, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                 : -1;
    if (code == KM_OK && (fd < 0 || write(fd, text.data, text.length) != (ssize_t)text.length))
        code = km_fail_errno(err, errno, "cannot write %s", KM_MODELFOLDER_FUSION);
    km_buf_done(&text);
    return code;
}

/* Both classes weigh as many samples as there are positives, each family of a class the same. */
static enum km_code weigh_samples(struct km_figure_files *files, struct km_additive_sample *samples, struct km_err *err)
{
    enum km_code code = km_figure_files_weigh(files, true, err);
    double sums[2] = {0, 0};
    for (size_t i = 0; i < files->count && code == KM_OK; i++)
        sums[samples[i].positive] += files->weights[i];
    for (size_t i = 0; i < files->count && code == KM_OK; i++)
        samples[i].weight = files->weights[i] * sums[1] / sums[samples[i].positive];
    return code;
}

static enum km_code fit(const struct training *training, const struct km_filescore *scores, const bool *part_is_there,
                        struct km_additive **out, struct km_err *err)
{
    static const enum km_filescore_part parts[] = {KM_FILESCORE_TOKENS, KM_FILESCORE_NETWORK};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    size_t count = km_dataset_count(training->dataset), found = 0, names = 0;
    const char *name[PARTS];
    enum km_filescore_part chosen[PARTS];
    const bool rising[PARTS] = {true, true};
    for (size_t i = 0; i < PARTS; i++)
        if (part_is_there[parts[i]]) {
            chosen[names] = parts[i];
            name[names++] = km_filescore_name(parts[i]);
        }
    struct km_figure_files files = {0}; /* for the weights of families */
    KM_CLEANUP(km_cleanup_free) double *values = km_calloc(count * PARTS, sizeof *values, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_additive_sample *samples = values ? km_calloc(count, sizeof *samples, SIZE_MAX, err) : NULL;
    if (!samples)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++) {
        if (!training->valid[i])
            continue;
        const struct km_sample *sample = km_dataset_get(training->dataset, i);
        double *own = values + found * PARTS;
        for (size_t j = 0; j < names; j++)
            own[j] = scores[i].parts[chosen[j]];
        samples[found++] = (struct km_additive_sample){own, 1, sample->role == KM_RECIPE_POSITIVE};
        code = km_figure_files_add(&files, 0, sample->role == KM_RECIPE_POSITIVE, sample->family_id, err);
    }
    if (code == KM_OK)
        code = weigh_samples(&files, samples, err);
    km_figure_files_done(&files);
    const struct km_additive_fit plan = {name, names, samples, found, PENALTY, rising};
    if (code == KM_OK) {
        *out = km_additive_fit(&plan, err);
        code = *out ? KM_OK : err->code;
    }
    return code;
}

static enum km_code calibrate(const struct training *training, const struct km_filescore *scores,
                              struct km_additive *fusion, struct km_err *err)
{
    size_t count = km_dataset_count(training->dataset), found = 0;
    KM_CLEANUP(km_cleanup_free) double *negatives = km_calloc(count, sizeof *negatives, SIZE_MAX, err);
    if (!negatives)
        return err->code;
    for (size_t i = 0; i < count; i++)
        if (training->valid[i] && km_dataset_get(training->dataset, i)->role != KM_RECIPE_POSITIVE)
            negatives[found++] = km_filescore_fuse(fusion, &scores[i]);
    struct km_calibration calibration;
    km_calibration_choose(negatives, found, KM_MODELTRAIN_WANTED, &calibration);
    (void)snprintf(calibration.set, sizeof calibration.set, "benign files of the valid split, komainu corpus %.12s",
                   km_dataset_digest(training->dataset));
    km_additive_set_calibration(fusion, &calibration);
    return KM_OK;
}

static enum km_code train_fusion(struct training *training, struct km_err *err)
{
    training->what = "fusion";
    KM_CLEANUP(km_modelfolder_cleanup) struct km_modelfolder *model = NULL;
    enum km_code code = km_modelfolder_open(training->options->folder, &model, err);
    size_t count = km_dataset_count(training->dataset);
    KM_CLEANUP(km_cleanup_free)
    struct km_filescore *scores = code == KM_OK ? km_calloc(count, sizeof *scores, SIZE_MAX, err) : NULL;
    if (!scores)
        return err->code;
    const struct km_modelparts *parts = km_modelfolder_parts(model);
    const struct km_filescore_work work = {training->options->threads, training->options->cancel, show, training};
    code = km_filescore_samples(parts, training->dataset, training->valid, &work, scores, err);
    const bool there[KM_FILESCORE_PARTS] = {
        [KM_FILESCORE_TOKENS] = parts->tokens != NULL,
        [KM_FILESCORE_NETWORK] = parts->network != NULL,
    };
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = NULL;
    if (code == KM_OK)
        code = fit(training, scores, there, &fusion, err);
    if (code == KM_OK && parts->index_count > 0)
        code = km_lookalike_set(fusion, training->options->site != NULL, err);
    if (code == KM_OK)
        code = calibrate(training, scores, fusion, err);
    return code == KM_OK ? save_fusion(training, fusion, err) : code;
}

/* ---- The card ---- */

static enum km_code write_card(const struct training *training, struct km_err *err)
{
    const struct km_modeltrain_options *options = training->options;
    const struct km_json *summary = km_dataset_summary(training->dataset);
    KM_CLEANUP(km_json_cleanup) struct km_json *card = km_json_new_object();
    km_json_set_integer(card, "komainu_detector_card", 1);
    km_json_set_string(card, "name", options->name);
    km_json_set_string(card, "created", training->today);
    km_json_set_string(card, "cannot", CANNOT);
    struct km_json *data = km_json_new_object();
    km_json_set_string(data, "digest", km_dataset_digest(training->dataset));
    km_json_set_integer(data, "recipes", km_json_integer(summary, "recipes", 0));
    km_json_set_integer(data, "failed", km_json_integer(summary, "failed", 0));
    km_json_set_integer(data, "samples", (int64_t)km_dataset_count(training->dataset));
    if (options->site)
        km_json_set_integer(data, "site_files", (int64_t)options->site->count);
    km_json_set(card, "data", data);
    struct km_json *seeds = km_json_new_array();
    km_json_append(seeds, km_json_new_integer((int64_t)options->seed));
    km_json_set(card, "seeds", seeds);
    km_json_set(card, "metrics", km_json_new_array());
    return km_modelfolder_write_card(training->folder, card, err);
}

static enum km_code run_parts(struct training *training, struct km_err *err)
{
    const struct km_modeltrain_options *options = training->options;
    bool tokens = options->tokens ||
                  (options->fusion && faccessat(training->folder, KM_MODELFOLDER_TOKENS ".json", F_OK, 0) == 0);
    enum km_code code = tokens ? train_tokens(training, err) : KM_OK;
    if (code == KM_OK && options->network)
        code = train_network(training, err);
    if (code == KM_OK && unlinkat(training->folder, KM_MODELFOLDER_FUSION, 0) != 0 && errno != ENOENT)
        code = km_fail_errno(err, errno, "cannot replace %s", KM_MODELFOLDER_FUSION);
    if (code == KM_OK)
        code = write_card(training, err);
    if (code == KM_OK && options->fusion)
        code = train_fusion(training, err);
    if (code == KM_OK && options->fusion && tokens)
        code = learn_valid(training, err);
    return code == KM_OK ? write_card(training, err) : code;
}

static void choose_samples(struct training *training)
{
    for (size_t i = 0; i < km_dataset_count(training->dataset); i++) {
        const struct km_sample *sample = km_dataset_get(training->dataset, i);
        training->train[i] = sample->home && sample->split == KM_RECIPE_TRAIN;
        training->valid[i] = sample->home && sample->split == KM_RECIPE_VALID;
        training->both[i] = training->train[i] || training->valid[i];
    }
}

enum km_code km_modeltrain_run(const struct km_dataset *dataset, const struct km_modeltrain_options *options,
                               struct km_err *err)
{
    if (mkdir(options->folder, 0777) != 0 && errno != EEXIST)
        return km_fail_errno(err, errno, "cannot make %s", options->folder);
    KM_CLEANUP(km_cleanup_close) int folder = open(options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return km_fail_errno(err, errno, "cannot open %s", options->folder);
    size_t count = km_dataset_count(dataset);
    KM_CLEANUP(km_cleanup_free) bool *train = km_calloc(count, sizeof *train, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free) bool *valid = train ? km_calloc(count, sizeof *valid, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free) bool *both = valid ? km_calloc(count, sizeof *both, SIZE_MAX, err) : NULL;
    if (!both)
        return err->code;
    struct training training = {
        .dataset = dataset, .options = options, .folder = folder, .train = train, .valid = valid, .both = both};
    time_t now = time(NULL);
    struct tm parts;
    if (now == (time_t)-1 || !gmtime_r(&now, &parts) ||
        strftime(training.today, sizeof training.today, "%Y-%m-%d", &parts) == 0)
        return km_fail(err, KM_IO, "the clock says nothing");
    choose_samples(&training);
    enum km_code code = run_parts(&training, err);
    km_sampletokens_free(training.words);
    km_token_model_free(training.measured);
    return code;
}
