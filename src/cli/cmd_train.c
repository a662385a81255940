#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/interrupt.h"
#include "cli/labels.h"
#include "cli/option_rows.h"
#include "cli/progress.h"
#include "container/lab/modeltrain.h"

static const struct km_option rows[] = {
    {.name = "data",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .only_flag = true,
     .help = "the data set ('komainu dataset build')"},
    {.name = "out",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .only_flag = true,
     .help = "the folder of the model; a training that was stopped goes on there"},
    {.name = "what",
     .type = KM_OPTION_CHOICE,
     .choices = "tokens|network|fusion|all",
     .fallback = "all",
     .only_flag = true,
     .help = "which part; the fusion is fitted again to the parts that are there"},
    {.name = "site",
     .type = KM_OPTION_TEXTS,
     .argument = "IMAGE",
     .only_flag = true,
     .help = "an image of your own, believed to be clean: words are learned from its files; may be repeated"},
    {.name = "labels",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "with --site: what people decided ('komainu alerts labels'); suspicious and attack do not teach"},
    {.name = "name", .type = KM_OPTION_TEXT, .argument = "NAME", .fallback = "komainu", .help = "for the model's card"},
    {.name = "seed",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "1",
     .least = 0,
     .most = 4294967295.0,
     .help = "of the network: first weights, samples and their changes"},
    {.name = "samples",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "96000",
     .least = 48,
     .most = 100000000,
     .help = "that the network learns from"},
    {.name = "jobs",
     .letter = 'j',
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "2",
     .least = 1,
     .most = 4,
     .help = "threads; the model does not depend on it"},
    KM_ROW_PROGRESS,
    {0},
};

static bool is_bad(void *context, const void *bytes, size_t length)
{
    return km_labels_meet_bytes(context, bytes, length) == KM_LABEL_BAD;
}

static enum km_code read_site(const struct km_options *options, struct km_sitefiles *site, struct km_err *err)
{
    const char *const *images;
    const char *path = km_options_text(options, "labels");
    size_t count = km_options_texts(options, "site", &images);
    if (path && count == 0)
        return km_fail(err, KM_FORMAT, "--labels goes with --site: it says which of its files are benign");
    struct km_labels *labels KM_CLEANUP(km_labels_cleanup) = path ? km_labels_open(path, err) : NULL;
    if (path && !labels)
        return err->code;
    site->excludes = labels ? is_bad : NULL;
    site->excludes_context = labels;
    for (size_t i = 0; i < count; i++) {
        enum km_code code = km_sitefiles_read(site, images[i], &km_interrupt, err);
        if (code != KM_OK)
            return code;
    }
    km_labels_report(labels, "train");
    site->excludes = NULL;
    if (count > 0 && site->count == 0)
        return km_fail(err, KM_NOTFOUND, "no program or script in the images of --site");
    return KM_OK;
}

static enum km_code train(const struct km_options *options, struct km_err *err)
{
    const char *data = km_options_text(options, "data"), *out = km_options_text(options, "out");
    const char *what = km_options_text(options, "what");
    if (!data || !out)
        return km_fail(err, KM_FORMAT, "needs --data DIR and --out DIR");
    KM_CLEANUP(km_dataset_cleanup) struct km_dataset *dataset = NULL;
    struct km_sitefiles site = {0};
    enum km_code code = km_dataset_open(data, &dataset, err);
    if (code == KM_OK)
        code = read_site(options, &site, err);
    struct km_progress_parts progress = {.wanted = km_options_flag(options, "progress")};
    bool all = strcmp(what, "all") == 0;
    const struct km_modeltrain_options training = {
        .folder = out,
        .name = km_options_text(options, "name"),
        .tokens = all || strcmp(what, "tokens") == 0,
        .network = all || strcmp(what, "network") == 0,
        .fusion = true,
        .site = site.count > 0 ? &site : NULL,
        .seed = (uint64_t)km_options_integer(options, "seed"),
        .samples = (uint32_t)km_options_integer(options, "samples"),
        .threads = (unsigned)km_options_integer(options, "jobs"),
        .cancel = &km_interrupt,
        .progress = km_progress_show_part,
        .context = &progress,
    };
    if (code == KM_OK)
        code = km_modeltrain_run(dataset, &training, err);
    km_progress_parts_end(&progress);
    if (code == KM_OK) {
        printf("%s: trained on data set %.12s\n", out, km_dataset_digest(dataset));
        km_desk_link_audit("train", "model.train", out, NULL);
    }
    km_sitefiles_done(&site);
    return code;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    (void)operand_count;
    (void)operands;
    km_interrupt_catch();
    struct km_err err = KM_ERR_INIT;
    if (train(options, &err) == KM_OK)
        return KM_EXIT_OK;
    fprintf(stderr, "komainu: train: %s\n", err.text);
    return KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_train = {
    .name = "train",
    .summary = "train a model on a data set",
    .options = rows,
    .run = run,
};
