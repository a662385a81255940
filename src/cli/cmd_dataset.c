#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/option_rows.h"
#include "cli/progress.h"
#include "container/lab/corpusbuild.h"
#include "container/lab/dataset.h"

#define PATH_BYTES 4096

static const struct km_option rows[] = {
    {.name = "to",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .only_flag = true,
     .help = "with build: the folder of the data set"},
    {.name = "cache",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .help = "with build: where packages are kept; default: 'packages' in the folder of the data set"},
    {.name = "mirror",
     .type = KM_OPTION_TEXT,
     .argument = "URL",
     .fallback = KM_CORPUS_MIRROR,
     .help = "with build: where packages come from"},
    {.name = "jobs",
     .letter = 'j',
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "4",
     .least = 1,
     .most = KM_CORPUS_MAX_JOBS,
     .help = "with build: packages at a time"},
    KM_ROW_PROGRESS,
    KM_ROW_FORMAT("text|json"),
    {0},
};

/* ---- build ---- */

static void show_build(void *context, uint64_t done, uint64_t total, const char *failure)
{
    struct km_progress *progress = context;
    if (failure) {
        km_progress_end(progress);
        fprintf(stderr, "komainu: dataset: note: %s\n", failure);
    }
    km_progress_update(progress, done, total);
}

static enum km_code run_build(const struct km_options *options, const char *recipe, struct km_err *err)
{
    const char *folder = km_options_text(options, "to");
    if (!folder)
        return km_fail(err, KM_FORMAT, "build needs --to DIR");
    char cache[PATH_BYTES];
    const char *given = km_options_text(options, "cache");
    if (snprintf(cache, sizeof cache, given ? "%s" : "%s/packages", given ? given : folder) >= (int)sizeof cache)
        return km_fail(err, KM_LIMIT, "the path is too long");
    struct km_recipes recipes = {0};
    enum km_code code = km_recipe_load(recipe, &recipes, err);
    if (code != KM_OK)
        return code;
    struct km_progress progress;
    km_progress_begin(&progress, recipe, km_options_flag(options, "progress"));
    const struct km_corpus_options build = {
        .mirror = km_options_text(options, "mirror"),
        .cache = cache,
        .folder = folder,
        .jobs = (unsigned)km_options_integer(options, "jobs"),
        .cancel = &km_interrupt,
        .progress = show_build,
        .context = &progress,
    };
    struct km_corpus_report report = {0};
    code = km_corpus_build(&recipes, &build, &report, err);
    km_progress_end(&progress);
    km_recipe_done(&recipes);
    if (code == KM_OK)
        printf("%zu samples of %zu packages; %zu packages failed, %zu contents dropped\ndigest %s\n", report.samples,
               report.recipes - report.failed, report.failed, report.dropped, report.digest);
    return code;
}

/* ---- info, verify ---- */

static const char *const role_names[] = {"positive", "benign", "hard"};
static const char *const split_names[] = {"train", "valid", "test"};

struct tally {
    size_t files, families;
    uint64_t bytes;
};

static enum km_code count_samples(const struct km_dataset *dataset,
                                  struct tally tallies[KM_RECIPE_ROLES][KM_RECIPE_SPLITS], struct km_err *err)
{
    size_t families = km_dataset_families(dataset);
    KM_CLEANUP(km_cleanup_free) bool *seen = km_calloc(families, KM_RECIPE_ROLES, families * KM_RECIPE_ROLES, err);
    if (!seen)
        return err->code;
    for (size_t i = 0; i < km_dataset_count(dataset); i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        struct tally *tally = &tallies[sample->role][sample->split];
        bool *met = &seen[(size_t)sample->family_id * KM_RECIPE_ROLES + (size_t)sample->role];
        tally->files++;
        tally->bytes += sample->length;
        tally->families += !*met;
        *met = true;
    }
    return KM_OK;
}

static void print_text(const struct km_dataset *dataset, struct tally tallies[KM_RECIPE_ROLES][KM_RECIPE_SPLITS])
{
    const struct km_json *summary = km_dataset_summary(dataset);
    printf("digest %s\n%zu samples of %lld packages; %lld packages failed, %lld contents dropped\n",
           km_dataset_digest(dataset), km_dataset_count(dataset),
           (long long)(km_json_integer(summary, "recipes", 0) - km_json_integer(summary, "failed", 0)),
           (long long)km_json_integer(summary, "failed", 0), (long long)km_json_integer(summary, "dropped", 0));
    for (int role = 0; role < KM_RECIPE_ROLES; role++)
        for (int split = 0; split < KM_RECIPE_SPLITS; split++) {
            const struct tally *tally = &tallies[role][split];
            char bytes[32];
            km_text_format_bytes(tally->bytes, bytes, sizeof bytes);
            if (tally->files > 0)
                printf("%-8s  %-5s  %6zu files  %5zu families  %s\n", role_names[role], split_names[split],
                       tally->files, tally->families, bytes);
        }
}

static enum km_code print_json(const struct km_dataset *dataset,
                               struct tally tallies[KM_RECIPE_ROLES][KM_RECIPE_SPLITS], struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *root = km_json_new_object();
    km_json_set_string(root, "digest", km_dataset_digest(dataset));
    km_json_set_integer(root, "samples", (int64_t)km_dataset_count(dataset));
    km_json_set_integer(root, "failed", km_json_integer(km_dataset_summary(dataset), "failed", 0));
    struct km_json *groups = km_json_new_array();
    for (int role = 0; role < KM_RECIPE_ROLES; role++)
        for (int split = 0; split < KM_RECIPE_SPLITS; split++) {
            struct km_json *group = km_json_new_object();
            km_json_set_string(group, "role", role_names[role]);
            km_json_set_string(group, "split", split_names[split]);
            km_json_set_integer(group, "files", (int64_t)tallies[role][split].files);
            km_json_set_integer(group, "families", (int64_t)tallies[role][split].families);
            km_json_set_integer(group, "bytes", (int64_t)tallies[role][split].bytes);
            km_json_append(groups, group);
        }
    km_json_set(root, "groups", groups);
    return km_document_print(root, err);
}

static enum km_code run_info(const struct km_options *options, const char *folder, struct km_err *err)
{
    KM_CLEANUP(km_dataset_cleanup) struct km_dataset *dataset = NULL;
    enum km_code code = km_dataset_open(folder, &dataset, err);
    struct tally tallies[KM_RECIPE_ROLES][KM_RECIPE_SPLITS] = {0};
    if (code == KM_OK)
        code = count_samples(dataset, tallies, err);
    if (code != KM_OK)
        return code;
    if (strcmp(km_options_text(options, "format"), "json") == 0)
        return print_json(dataset, tallies, err);
    print_text(dataset, tallies);
    return KM_OK;
}

static enum km_code run_verify(const struct km_options *options, const char *folder, struct km_err *err)
{
    KM_CLEANUP(km_dataset_cleanup) struct km_dataset *dataset = NULL;
    enum km_code code = km_dataset_open(folder, &dataset, err);
    if (code != KM_OK)
        return code;
    struct km_progress progress;
    km_progress_begin(&progress, folder, km_options_flag(options, "progress"));
    code = km_dataset_verify(dataset, km_progress_show, &progress, err);
    km_progress_end(&progress);
    if (code == KM_OK)
        printf("%zu samples are what the table says\n", km_dataset_count(dataset));
    return code;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    static const struct {
        const char *name;
        enum km_code (*run)(const struct km_options *options, const char *operand, struct km_err *err);
    } actions[] = {{"build", run_build}, {"info", run_info}, {"verify", run_verify}};
    km_interrupt_catch();
    struct km_err err = KM_ERR_INIT;
    enum km_code code = KM_FORMAT;
    bool known = false;
    for (size_t i = 0; operand_count == 2 && i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(operands[0], actions[i].name) == 0) {
            known = true;
            code = actions[i].run(options, operands[1], &err);
        }
    if (!known)
        (void)km_fail(&err, KM_FORMAT, "needs build RECIPE --to DIR, info DIR or verify DIR");
    if (code == KM_OK)
        return KM_EXIT_OK;
    fprintf(stderr, "komainu: dataset: %s\n", err.text);
    return KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_dataset = {
    .name = "dataset",
    .operands = "build|info|verify RECIPE|DIR",
    .summary = "build a data set from package recipes, and check it",
    .options = rows,
    .run = run,
};
