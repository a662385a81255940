#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/document.h"
#include "container/lab/modelfolder.h"

static const struct km_option rows[] = {
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "text|json",
     .fallback = "text",
     .help = "what info prints"},
    {0},
};

static void print_escaped(const char *label, const char *text)
{
    char line[2048];
    km_text_escape(text, strlen(text), line, sizeof line);
    printf("%s%s\n", label, line);
}

static void print_parts(const struct km_json *card)
{
    const struct km_json *parts = km_json_find(card, "parts"), *part;
    const char *name;
    for (void *cursor = NULL; (part = km_json_next(parts, &cursor, &name));) {
        char bytes[32], escaped[256];
        km_text_escape(name, strlen(name), escaped, sizeof escaped);
        km_text_format_bytes((uint64_t)km_json_integer(part, "bytes", 0), bytes, sizeof bytes);
        printf("  %-24s %s\n", escaped, bytes);
    }
}

static void print_fusion(const struct km_additive *fusion)
{
    if (!fusion)
        return;
    printf("terms\n");
    for (size_t i = 0; i < km_additive_term_count(fusion); i++)
        printf("  %-24s %.3f\n", km_additive_term(fusion, i)->name, km_additive_term(fusion, i)->weight);
    const struct km_calibration *calibration = km_additive_calibration(fusion);
    struct km_estimate rate = km_calibration_rate(calibration);
    if (calibration->negatives > 0)
        printf("alarm from %.2f log-odds: %.2f %% false alarms expected (%.2f to %.2f), by %llu benign files\n",
               calibration->threshold, 100 * rate.value, 100 * rate.interval.low, 100 * rate.interval.high,
               (unsigned long long)calibration->negatives);
}

static void print_metrics(const struct km_json *card)
{
    const struct km_json *metrics = km_json_find(card, "metrics");
    for (size_t i = 0; i < km_json_size(metrics); i++) {
        const struct km_json *row = km_json_at(metrics, i);
        char name[256];
        const char *text = km_json_string(row, "name", "");
        km_text_escape(text, strlen(text), name, sizeof name);
        printf("  %-34s %6.3f  (%.3f to %.3f)\n", name, km_json_real(row, "value", 0), km_json_real(row, "low", 0),
               km_json_real(row, "high", 0));
    }
}

static enum km_code print_card(const struct km_modelfolder *model, const char *format, struct km_err *err)
{
    const struct km_json *card = km_modelfolder_card(model);
    if (strcmp(format, "text") == 0) {
        print_escaped("", km_json_string(card, "name", "(no name)"));
        print_escaped("trained ", km_json_string(card, "created", "?"));
        print_escaped("on data set ", km_json_string(card, "data.digest", "?"));
        printf("parts\n");
        print_parts(card);
        print_fusion(km_modelfolder_parts(model)->fusion);
        printf("figures\n");
        print_metrics(card);
        print_escaped("What it cannot do: ", km_json_string(card, "cannot", "(the card does not say)"));
        return KM_OK;
    }
    return km_document_print(card, err);
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    bool info = operand_count == 2 && strcmp(operands[0], "info") == 0;
    bool verify = operand_count == 2 && strcmp(operands[0], "verify") == 0;
    KM_CLEANUP(km_modelfolder_cleanup) struct km_modelfolder *model = NULL;
    enum km_code code = info || verify ? km_modelfolder_open(operands[1], &model, &err)
                                       : km_fail(&err, KM_FORMAT, "needs info MODEL or verify MODEL");
    if (code == KM_OK && info)
        code = print_card(model, km_options_text(options, "format"), &err);
    if (code == KM_OK && verify)
        printf("%zu parts are what the card says\n", km_json_size(km_json_find(km_modelfolder_card(model), "parts")));
    if (code == KM_OK)
        return KM_EXIT_OK;
    fprintf(stderr, "komainu: model: %s\n", err.text);
    return KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_model = {
    .name = "model",
    .operands = "info|verify MODEL",
    .summary = "what a model is, how well it did, what it cannot do",
    .options = rows,
    .run = run,
};
