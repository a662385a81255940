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
#include "container/lab/fusionfit.h"
#include "container/lab/modelfolder.h"
#include "container/lab/nettrain.h"
#include "container/lab/outoffold.h"
#include "container/lab/tokenfit.h"
#include "nn/modelfile.h"

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
    bool *learned;                 /* [count]: what teaches, which is all but the test split */
    struct km_filescore *scores;   /* [count]: what sub-models say that have not seen a file's family */
    struct km_sampletokens *words; /* once they are wanted */
    struct km_netview *view;       /* once a network is wanted */
    bool has_tokens, has_network;  /* the model, when all is done */
    struct km_json *held;          /* figures for the card */
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

/* The scale of words is that of the sub-models' logits: there is nothing left to measure the whole model on. */
static enum km_code calibrate_tokens(const struct training *training, struct km_token_model *model, struct km_err *err)
{
    size_t count = km_dataset_count(training->dataset);
    KM_CLEANUP(km_cleanup_free) double *logits = km_calloc(count, sizeof *logits, SIZE_MAX, err);
    if (!logits)
        return err->code;
    for (size_t i = 0; i < count; i++)
        logits[i] = training->scores[i].parts[KM_FILESCORE_TOKENS];
    enum km_code code = km_tokenfit_calibrate(training->dataset, training->learned, logits, model, err);
    for (size_t i = 0; i < count && code == KM_OK; i++)
        if (training->learned[i] && !isnan(logits[i]))
            training->scores[i].parts[KM_FILESCORE_TOKENS] = km_token_model_file_score(model, logits[i]);
    return code;
}

static enum km_code train_tokens(struct training *training, struct km_err *err)
{
    const struct km_dataset *dataset = training->dataset;
    training->what = "tokens";
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = NULL;
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = NULL;
    const struct km_tokenfit_plan plan = {.train = training->learned, .site = training->options->site};
    enum km_code code = km_tokenfit_model(dataset, training->words, &plan, &model, err);
    if (code == KM_OK)
        code = calibrate_tokens(training, model, err);
    if (code == KM_OK)
        code = km_tokenfit_index(dataset, training->words, training->learned, KM_TOKENFIT_BENIGN_FILES, &index, err);
    if (code == KM_OK && plan.site)
        code = km_tokenfit_add_site(index, plan.site, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_card *card = code == KM_OK ? km_calloc(1, sizeof *card, sizeof *card, err) : NULL;
    if (!card)
        return err->code;
    fill_card(training, card);
    code = km_token_model_save(training->folder, KM_MODELFOLDER_TOKENS, card, model, err);
    return code == KM_OK ? save_index(training, index, err) : code;
}

static struct km_nettrain_options network_options(struct training *training)
{
    const struct km_modeltrain_options *options = training->options;
    return (struct km_nettrain_options){
        .among = training->learned,
        .seed = options->seed,
        .side = KM_MODELTRAIN_SIDE,
        .samples = options->samples,
        .threads = options->threads < KM_NETTRAIN_SHARDS ? options->threads : KM_NETTRAIN_SHARDS,
        .checkpoints = training->folder,
        .cancel = options->cancel,
        .progress = show_loss,
        .context = training,
    };
}

static enum km_code train_network(struct training *training, struct km_err *err)
{
    training->what = "network";
    KM_CLEANUP(km_cleanup_free) struct km_card *card = km_calloc(1, sizeof *card, sizeof *card, err);
    if (!card)
        return err->code;
    const struct km_nettrain_options net = network_options(training);
    KM_CLEANUP(km_weights_cleanup) struct km_weights *weights = NULL;
    enum km_code code = km_nettrain_run(training->dataset, training->view, &net, &weights, err);
    if (code != KM_OK)
        return code;
    fill_card(training, card);
    card->architecture = KM_ARCHITECTURE_LIGHT;
    card->stem = KM_STEM_HASH;
    return km_model_save(training->folder, KM_MODELFOLDER_NETWORK, card, weights, err);
}

/* ---- Sub-models ---- */

static enum km_code score_folds(struct training *training, bool network, struct km_err *err)
{
    const struct km_modeltrain_options *options = training->options;
    training->what = "folds";
    const struct km_nettrain_options net = network_options(training);
    const struct km_outoffold_plan plan = {
        .among = training->learned,
        .words = training->words,
        .site = options->site,
        .network = network ? &net : NULL,
        .view = training->view,
        .work = {options->threads, options->cancel, show, training},
    };
    return km_outoffold_score(training->dataset, &plan, training->scores, err);
}

static enum km_code forget_checkpoints(struct training *training, struct km_err *err)
{
    const struct km_nettrain_options net = network_options(training);
    enum km_code code = km_nettrain_forget(&net, err);
    return code == KM_OK ? km_outoffold_forget(&net, err) : code;
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

static enum km_code describe_part(struct training *training, const struct km_additive *fusion,
                                  enum km_filescore_part part, const char *name, struct km_err *err)
{
    struct km_figure_files files = {0};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(training->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(training->dataset, i);
        const struct km_filescore *score = &training->scores[i];
        double value = part == KM_FILESCORE_FUSED ? km_filescore_fuse(fusion, score) : score->parts[part];
        if (training->learned[i])
            code = km_figure_files_add(&files, value, sample->role == KM_RECIPE_POSITIVE, sample->family_id, err);
    }
    struct km_figure figure;
    if (code == KM_OK)
        code = km_figure_files_weigh(&files, true, err);
    if (code == KM_OK)
        code = km_figure_auc(name, &files, &figure, err);
    km_figure_files_done(&files);
    if (code == KM_OK)
        km_json_set(training->held, name, km_json_new_real(figure.value));
    return code;
}

/* For the choice among seeds: how well each part tells held-out families from all benign files. */
static enum km_code describe_held(struct training *training, const struct km_additive *fusion, struct km_err *err)
{
    training->held = km_json_new_object();
    km_json_set_integer(training->held, "folds", (int64_t)KM_OUTOFFOLD_FOLDS);
    enum km_code code = describe_part(training, fusion, KM_FILESCORE_FUSED, "auc", err);
    if (code == KM_OK && training->has_tokens)
        code = describe_part(training, fusion, KM_FILESCORE_TOKENS, "tokens_auc", err);
    if (code == KM_OK && training->has_network)
        code = describe_part(training, fusion, KM_FILESCORE_NETWORK, "network_auc", err);
    return code;
}

static enum km_code train_fusion(struct training *training, struct km_err *err)
{
    char set[KM_CARD_TEXT_BYTES];
    (void)snprintf(set, sizeof set, "benign files of families not learned from, komainu corpus %.12s",
                   km_dataset_digest(training->dataset));
    const struct km_fusionfit_plan plan = {
        .among = training->learned,
        .scores = training->scores,
        .tokens = training->has_tokens,
        .network = training->has_network,
        .lookalike = training->has_tokens,
        .site = training->options->site != NULL,
        .wanted = KM_MODELTRAIN_WANTED,
        .set = set,
    };
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = NULL;
    enum km_code code = km_fusionfit_run(training->dataset, &plan, &fusion, err);
    if (code == KM_OK)
        code = describe_held(training, fusion, err);
    return code == KM_OK ? save_fusion(training, fusion, err) : code;
}

/* ---- The card ---- */

static enum km_code write_card(struct training *training, struct km_err *err)
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
    if (training->held)
        km_json_set(card, "held_out", km_steal(training->held));
    km_json_set(card, "metrics", km_json_new_array());
    return km_modelfolder_write_card(training->folder, card, err);
}

static bool has_file(const struct training *training, const char *name)
{
    return faccessat(training->folder, name, F_OK, 0) == 0;
}

/* What the parts that are asked for, and the fusion of those that are there, need to know. */
static enum km_code prepare(struct training *training, bool tokens, bool network, struct km_err *err)
{
    const struct km_sampletokens_work work = {training->options->cancel, show, training};
    training->what = "tokens";
    if (tokens && !(training->words = km_sampletokens_new(training->dataset, training->learned, &work, err)))
        return err->code;
    if (network && !(training->view = km_netview_new(err)))
        return err->code;
    return KM_OK;
}

static enum km_code run_parts(struct training *training, struct km_err *err)
{
    const struct km_modeltrain_options *options = training->options;
    bool fusion = options->fusion;
    training->has_tokens = options->tokens || has_file(training, KM_MODELFOLDER_TOKENS ".json");
    training->has_network = options->network || has_file(training, KM_MODELFOLDER_NETWORK ".json");
    bool tokens = options->tokens || (fusion && training->has_tokens);
    enum km_code code = prepare(training, tokens, training->has_network, err);
    if (code == KM_OK && (tokens || fusion))
        code = score_folds(training, fusion && training->has_network, err);
    if (code == KM_OK && tokens)
        code = train_tokens(training, err);
    if (code == KM_OK && options->network)
        code = train_network(training, err);
    if (code == KM_OK && unlinkat(training->folder, KM_MODELFOLDER_FUSION, 0) != 0 && errno != ENOENT)
        code = km_fail_errno(err, errno, "cannot replace %s", KM_MODELFOLDER_FUSION);
    if (code == KM_OK && fusion)
        code = train_fusion(training, err);
    if (code == KM_OK)
        code = write_card(training, err);
    return code == KM_OK ? forget_checkpoints(training, err) : code;
}

static void choose_samples(struct training *training)
{
    for (size_t i = 0; i < km_dataset_count(training->dataset); i++) {
        const struct km_sample *sample = km_dataset_get(training->dataset, i);
        training->learned[i] = sample->home && (sample->split == KM_RECIPE_TRAIN || sample->split == KM_RECIPE_VALID);
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
    KM_CLEANUP(km_cleanup_free) bool *learned = km_calloc(count, sizeof *learned, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_filescore *scores = learned ? km_calloc(count, sizeof *scores, SIZE_MAX, err) : NULL;
    if (!scores)
        return err->code;
    struct training training = {
        .dataset = dataset, .options = options, .folder = folder, .learned = learned, .scores = scores};
    time_t now = time(NULL);
    struct tm parts;
    if (now == (time_t)-1 || !gmtime_r(&now, &parts) ||
        strftime(training.today, sizeof training.today, "%Y-%m-%d", &parts) == 0)
        return km_fail(err, KM_IO, "the clock says nothing");
    choose_samples(&training);
    enum km_code code = run_parts(&training, err);
    km_sampletokens_free(training.words);
    km_netview_free(training.view);
    km_json_free(training.held);
    return code;
}
