#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cmd.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/option_rows.h"
#include "cli/progress.h"
#include "container/lab/evaluation.h"
#include "container/lab/modelfolder.h"

static const struct km_option rows[] = {
    {.name = "data",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .only_flag = true,
     .help = "the data set whose test split is judged"},
    {.name = "site",
     .type = KM_OPTION_FLAG,
     .fallback = "true",
     .help = "also train again with the site's benign files, and judge their next release"},
    {.name = "seeds",
     .type = KM_OPTION_TEXTS,
     .argument = "MODEL",
     .only_flag = true,
     .help = "the same training with another seed: tells how far figures move; may be repeated"},
    {.name = "upx",
     .type = KM_OPTION_TEXT,
     .argument = "PROGRAM",
     .only_flag = true,
     .help = "UPX, to measure what it packs; it runs on copies of samples"},
    {.name = "record", .type = KM_OPTION_FLAG, .only_flag = true, .help = "write the figures into the model's card"},
    {.name = "jobs",
     .letter = 'j',
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "2",
     .least = 1,
     .most = 16,
     .help = "threads; the figures do not depend on it"},
    KM_ROW_PROGRESS,
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "text|json|bench",
     .fallback = "text",
     .help = "what to print; bench: one 'name value unit low high n' line a figure"},
    {0},
};

static struct km_json *figures_to_json(const struct km_evaluation *evaluation)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < evaluation->count; i++) {
        const struct km_figure *figure = &evaluation->figures[i];
        struct km_json *row = km_json_new_object();
        km_json_set_string(row, "name", figure->name);
        km_json_set_real(row, "value", figure->value);
        km_json_set_real(row, "low", figure->low);
        km_json_set_real(row, "high", figure->high);
        km_json_set_integer(row, "positives", (int64_t)figure->positives);
        km_json_set_integer(row, "negatives", (int64_t)figure->negatives);
        if (!isnan(figure->reached))
            km_json_set_real(row, "false_alarms", figure->reached);
        km_json_append(list, row);
    }
    return list;
}

static void print_text(const struct km_evaluation *evaluation)
{
    printf("%-34s %6s  %-15s %9s %9s\n", "figure", "value", "95 % interval", "positives", "negatives");
    for (size_t i = 0; i < evaluation->count; i++) {
        const struct km_figure *figure = &evaluation->figures[i];
        printf("%-34s %6.3f  %6.3f to %-6.3f %9zu %9zu\n", figure->name, figure->value, figure->low, figure->high,
               figure->positives, figure->negatives);
    }
}

static void print_bench(const struct km_evaluation *evaluation)
{
    for (size_t i = 0; i < evaluation->count; i++) {
        const struct km_figure *figure = &evaluation->figures[i];
        printf("%s %.4f share %.4f %.4f %zu\n", figure->name, figure->value, figure->low, figure->high,
               figure->positives + figure->negatives);
    }
}

static enum km_code print_json(const char *model, const struct km_dataset *dataset,
                               const struct km_evaluation *evaluation, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *root = km_json_new_object();
    km_json_set_string(root, "model", model);
    km_json_set_string(root, "data", km_dataset_digest(dataset));
    km_json_set(root, "metrics", figures_to_json(evaluation));
    return km_document_print(root, err);
}

static enum km_code record(const char *path, const struct km_modelfolder *model, const struct km_dataset *dataset,
                           const struct km_evaluation *evaluation, const struct km_json *seeds, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return km_fail(err, KM_IO, "cannot open %s", path);
    struct km_buf text;
    km_buf_init(&text, KM_MODELFOLDER_CARD_BYTES);
    enum km_code code = km_json_format(km_modelfolder_card(model), 0, &text, err);
    KM_CLEANUP(km_json_cleanup)
    struct km_json *card =
        code == KM_OK ? km_json_parse(km_buf_text(&text), text.length, KM_MODELFOLDER_CARD_BYTES, err) : NULL;
    km_buf_done(&text);
    if (!card)
        return err->code;
    km_json_set_string(card, "judged_on", km_dataset_digest(dataset));
    km_json_set(card, "metrics", figures_to_json(evaluation));
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < km_json_size(seeds); i++)
        km_json_append(list, km_json_new_integer(km_json_integer(km_json_at(seeds, i), "", 0)));
    km_json_set(card, "seeds", list);
    return km_modelfolder_write_card(folder, card, err);
}

/* The same samples judged by models of other seeds; their seeds join the card. */
static enum km_code judge_seeds(const struct km_options *options, const struct km_dataset *dataset,
                                const struct km_evaluation_options *work, struct km_json *seeds,
                                struct km_evaluation *evaluation, struct km_err *err)
{
    const char *const *paths;
    size_t count = km_options_texts(options, "seeds", &paths);
    KM_CLEANUP(km_cleanup_free) struct km_evaluation *others = km_calloc(count + 1, sizeof *others, SIZE_MAX, err);
    if (!others)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++) {
        KM_CLEANUP(km_modelfolder_cleanup) struct km_modelfolder *model = NULL;
        struct km_evaluation_options brief = *work;
        brief.brief = true;
        code = km_modelfolder_open(paths[i], &model, err);
        if (code == KM_OK)
            code = km_evaluation_run(dataset, km_modelfolder_parts(model), &brief, &others[i], err);
        if (code == KM_OK)
            km_json_append(seeds, km_json_new_integer(km_json_integer(km_modelfolder_card(model), "seeds.0", 0)));
    }
    return code == KM_OK && count > 0 ? km_evaluation_add_seeds(evaluation, others, count, err) : code;
}

static enum km_code evaluate(const struct km_options *options, const char *path, struct km_err *err)
{
    const char *data = km_options_text(options, "data"), *format = km_options_text(options, "format");
    if (!data)
        return km_fail(err, KM_FORMAT, "needs --data DIR");
    KM_CLEANUP(km_modelfolder_cleanup) struct km_modelfolder *model = NULL;
    KM_CLEANUP(km_dataset_cleanup) struct km_dataset *dataset = NULL;
    enum km_code code = km_modelfolder_open(path, &model, err);
    if (code == KM_OK)
        code = km_dataset_open(data, &dataset, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_evaluation *evaluation = code == KM_OK ? km_calloc(1, sizeof *evaluation, sizeof *evaluation, err) : NULL;
    if (!evaluation)
        return err->code;
    struct km_progress_parts progress = {.wanted = km_options_flag(options, "progress")};
    const struct km_evaluation_options work = {
        .site = km_options_flag(options, "site"),
        .upx = km_options_text(options, "upx"),
        .threads = (unsigned)km_options_integer(options, "jobs"),
        .cancel = &km_interrupt,
        .progress = km_progress_show_part,
        .context = &progress,
    };
    code = km_evaluation_run(dataset, km_modelfolder_parts(model), &work, evaluation, err);
    KM_CLEANUP(km_json_cleanup) struct km_json *seeds = km_json_new_array();
    km_json_append(seeds, km_json_new_integer(km_json_integer(km_modelfolder_card(model), "seeds.0", 0)));
    if (code == KM_OK)
        code = judge_seeds(options, dataset, &work, seeds, evaluation, err);
    km_progress_parts_end(&progress);
    if (code == KM_OK && km_options_flag(options, "record"))
        code = record(path, model, dataset, evaluation, seeds, err);
    if (code != KM_OK)
        return code;
    if (strcmp(format, "json") == 0)
        return print_json(path, dataset, evaluation, err);
    if (strcmp(format, "bench") == 0)
        print_bench(evaluation);
    else
        print_text(evaluation);
    return KM_OK;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    km_interrupt_catch();
    struct km_err err = KM_ERR_INIT;
    enum km_code code = operand_count == 1 ? evaluate(options, operands[0], &err)
                                           : km_fail(&err, KM_FORMAT, "name one MODEL; see --help");
    if (code == KM_OK)
        return KM_EXIT_OK;
    fprintf(stderr, "komainu: evaluate: %s\n", err.text);
    return KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_evaluate = {
    .name = "evaluate",
    .operands = "MODEL",
    .summary = "judge a model by a data set's test split",
    .options = rows,
    .run = run,
};
