#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "base/text.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/desk_use.h"
#include "cli/in_force.h"
#include "cli/interrupt.h"
#include "cli/option_rows.h"
#include "cli/progress.h"
#include "cli/scan_setup.h"
#include "cli/scan_targets.h"
#include "cli/scan_tarview.h"
#include "container/imaging/mosaic.h"
#include "container/imaging/picture.h"
#include "container/scan/hashlist.h"
#include "container/scan/scan.h"
#include "desk/report/report.h"
#include "finding/decision.h"
#include "finding/json_output.h"
#include "finding/result.h"
#include "finding/text_output.h"

#define MAX_RESULT_BYTES   ((size_t)96 << 20)
#define MAX_DOCUMENT_BYTES ((size_t)512 << 20)

static const struct km_option rows[] = {
    KM_ROW_FORMAT("text|json|sarif|stix|junit|ecs"),
    {.name = "output",
     .letter = 'o',
     .type = KM_OPTION_TEXTS,
     .argument = "FORMAT=FILE",
     .only_flag = true,
     .help = "write the result to a file, too, in any of these formats: json=FILE"},
    {.name = "fail-on",
     .type = KM_OPTION_CHOICE,
     .choices = "suspicious|malicious|never",
     .fallback = "malicious",
     .help = "the weakest verdict that gives exit status 2"},
    {.name = "view",
     .type = KM_OPTION_CHOICE,
     .choices = "file|tar",
     .fallback = "file",
     .help = "look at each file, or at a tar archive as one picture (needs --model NAME.json)"},
    {.name = "picture",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "write the whole container as one picture (PNG)"},
    {.name = "hash-list",
     .type = KM_OPTION_TEXTS,
     .argument = "FILE",
     .help = "SHA-256 hashes of files to be found: one \"HASH [NAME]\" a line"},
    {.name = "decisions",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .help = "what people said about findings; see komainu-decisions(5)"},
    {.name = "record",
     .type = KM_OPTION_FLAG,
     .help = "keep results in the desk's store, and ask it for decisions; unset: if it is there already"},
    {.name = "store", .type = KM_OPTION_TEXT, .argument = "FILE", .help = "the store; implies --record"},
    {.name = "lang",
     .type = KM_OPTION_CHOICE,
     .choices = "en|ja",
     .help = "language of the text; unset: by LC_ALL, LC_MESSAGES and LANG"},
    KM_SCAN_SETUP_OPTIONS,
    {.name = "all", .type = KM_OPTION_FLAG, .help = "list unowned data files, too, and explain everything"},
    {.name = "max-findings",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "1000",
     .least = 1,
     .most = KM_RESULT_MAX_FINDINGS,
     .help = "list at most so many findings, strongest first"},
    {.name = "time-limit",
     .type = KM_OPTION_INTEGER,
     .argument = "SECONDS",
     .fallback = "0",
     .least = 0,
     .most = 604800,
     .help = "stop after so long and report what was seen; 0: no limit"},
    KM_SCAN_ACCESS_OPTIONS,
    KM_ROW_PROGRESS,
    {0},
};

static int exit_of_result(const struct km_result *result, const char *fail_on)
{
    const struct km_outcome *outcome = &result->outcome;
    enum km_verdict least = strcmp(fail_on, "suspicious") == 0 ? KM_VERDICT_SUSPICIOUS : KM_VERDICT_MALICIOUS;
    if (!result->ended || outcome->error)
        return KM_EXIT_ERROR;
    if (strcmp(fail_on, "never") != 0 && outcome->verdict >= least)
        return KM_EXIT_FINDINGS;
    const struct km_coverage *coverage = &outcome->coverage;
    bool whole = coverage->gaps == 0 && coverage->bytes_examined == coverage->bytes_total &&
                 coverage->files_examined == coverage->files_total;
    return whole ? KM_EXIT_OK : KM_EXIT_INCOMPLETE;
}

/* The worst of several, in the order error, findings, incomplete. */
static int exit_of_results(const struct km_results *results, const char *fail_on)
{
    static const int order[] = {KM_EXIT_ERROR, KM_EXIT_FINDINGS, KM_EXIT_INCOMPLETE};
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        for (size_t i = 0; i < km_results_count(results); i++)
            if (exit_of_result(km_results_get(results, i), fail_on) == order[k])
                return order[k];
    return KM_EXIT_OK;
}

/* json and the formats of other tools: `report` is NULL for json. */
static enum km_code print_document(const struct km_results *results, const struct km_report_format *report,
                                   bool as_list, FILE *out, struct km_err *err)
{
    struct km_buf document;
    km_buf_init(&document, MAX_DOCUMENT_BYTES);
    enum km_code code = report ? report->write(results, km_clock_wall_ns(), &document, err)
                               : km_json_output_format(results, as_list, &document, err);
    if (code == KM_OK &&
        (fwrite(km_buf_text(&document), 1, document.length, out) != document.length || fflush(out) != 0))
        code = km_fail_errno(err, errno, "cannot write the results");
    km_buf_done(&document);
    return code;
}

static enum km_code print_text(const struct km_results *results, bool all, FILE *out, struct km_err *err)
{
    const char *no_colour = getenv("NO_COLOR");
    const struct km_text_options options = {
        .colour = isatty(fileno(out)) && !(no_colour && *no_colour),
        .show_all = all,
    };
    return km_text_output_print(results, &options, out, err);
}

struct output {
    bool is_text;
    const struct km_report_format *report; /* NULL: text or json */
    const char *path;
};

static bool read_format(const char *name, size_t length, struct output *out)
{
    out->is_text = length == 4 && strncmp(name, "text", length) == 0;
    out->report = km_report_find_format(name, length);
    return out->is_text || out->report || (length == 4 && strncmp(name, "json", length) == 0);
}

/* "json=FILE": the format before the first "=". */
static enum km_code split_output(const char *text, struct output *out, struct km_err *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals[1] == '\0' || !read_format(text, (size_t)(equals - text), out))
        return km_fail(err, KM_FORMAT,
                       "--output wants FORMAT=FILE with text, json, sarif, stix, junit or ecs, not '%s'", text);
    out->path = equals + 1;
    return KM_OK;
}

static enum km_code print_results(const struct km_results *results, const struct km_options *options, bool as_list,
                                  const struct output *output, FILE *stream, struct km_err *err)
{
    bool before = km_words_pause(!output->is_text);
    enum km_code code = output->is_text ? print_text(results, km_options_flag(options, "all"), stream, err)
                                        : print_document(results, output->report, as_list, stream, err);
    (void)km_words_pause(before);
    return code;
}

static enum km_code write_output(const struct km_results *results, const struct km_options *options, bool as_list,
                                 const char *text, struct km_err *err)
{
    struct output output = {0};
    enum km_code code = split_output(text, &output, err);
    struct km_newfile *file KM_CLEANUP(km_newfile_cleanup) = code == KM_OK ? km_newfile_open(output.path, err) : NULL;
    if (!file)
        return err->code;
    char *memory = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&memory, &length);
    if (!stream)
        return km_fail(err, KM_NOMEM, "out of memory (results)");
    code = print_results(results, options, as_list, &output, stream, err);
    if (fclose(stream) != 0 && code == KM_OK)
        code = km_fail(err, KM_NOMEM, "out of memory (results)");
    if (code == KM_OK)
        code = km_newfile_write(file, memory, length, err);
    if (code == KM_OK)
        code = km_newfile_commit(file, err);
    free(memory);
    return code;
}

struct scan {
    const struct km_options *options;
    struct km_results *results;
    struct km_hashlist *hashes;
    struct km_decision_list *decision_list; /* or NULL */
    struct km_decisions decisions;
    enum km_desk_link_use use;
    struct km_desk_link *desk; /* or NULL: nothing is recorded */
    struct km_scan_items items;
    struct km_scan_access access;
    struct km_scan_setup setup;
    struct km_patchnet *network; /* --view tar; else NULL */
};

static void scan_done(struct scan *scan)
{
    km_results_free(scan->results);
    km_hashlist_free(scan->hashes);
    km_decision_list_free(scan->decision_list);
    (void)km_desk_link_finish(scan->desk);
    km_scan_items_done(&scan->items);
    km_scan_setup_done(&scan->setup);
    km_patchnet_free(scan->network);
}

static enum km_code read_decisions(struct scan *scan, struct km_err *err)
{
    const char *path = km_options_text(scan->options, "decisions");
    struct km_buf text;
    km_buf_init(&text, KM_DECISION_LIST_MAX_BYTES);
    enum km_code code = km_buf_append_file(&text, path, err);
    if (code == KM_OK) {
        scan->decision_list = km_decision_list_parse(km_buf_text(&text), text.length, err);
        code = scan->decision_list ? KM_OK : km_err_wrap(err, "%s", path);
    }
    km_buf_done(&text);
    if (code != KM_OK)
        return code;
    scan->decisions = km_decision_list_decisions(scan->decision_list);
    size_t expired = km_decision_list_expired(scan->decision_list, km_clock_wall_ns());
    if (expired > 0)
        fprintf(stderr, "komainu: scan: %s: %zu decision%s expired; what %s said counts no more\n", path, expired,
                expired == 1 ? " has" : "s have", expired == 1 ? "it" : "they");
    return KM_OK;
}

static enum km_code open_desk(struct scan *scan, struct km_err *err)
{
    scan->use = km_desk_link_use(scan->options, "record", "store");
    if (scan->use == KM_DESK_LINK_NONE)
        return KM_OK;
    struct km_err why = KM_ERR_INIT;
    const struct km_desk_link_options options = {
        .command = "scan", .store = km_options_text(scan->options, "store"), .versions = {.komainu = KM_VERSION}};
    scan->desk = km_desk_link_open(&options, &why);
    if (!scan->desk && scan->use == KM_DESK_LINK_USUAL) {
        fprintf(stderr, "komainu: scan: nothing is recorded at the desk: %s\n", why.text);
        return KM_OK;
    }
    if (!scan->desk) {
        *err = why;
        return err->code;
    }
    scan->decisions = km_desk_link_decisions(scan->desk, scan->decision_list ? &scan->decisions : NULL);
    return KM_OK;
}

/* Nothing is told of a run that could not begin. */
static void tell_in_force(const struct scan *scan)
{
    const char *const *lists;
    size_t count = km_options_texts(scan->options, "hash-list", &lists);
    const char *version = scan->network          ? km_patchnet_version(scan->network)
                          : scan->setup.detector ? km_detector_version(scan->setup.detector)
                                                 : NULL;
    if (!scan->desk)
        return;
    if (version)
        km_in_force_model(scan->desk, version, km_options_text(scan->options, "model"));
    km_in_force_hash_lists(scan->desk, lists, count);
}

/* Everything that can be wrong with the command line is wrong before the first byte is read. */
static enum km_code prepare(struct scan *scan, int operand_count, char **operands, struct km_err *err)
{
    const struct km_options *options = scan->options;
    const char *const *texts;
    if (operand_count == 0)
        return km_fail(err, KM_FORMAT, "no TARGET given; see --help");
    if (km_words_choose(km_options_text(options, "lang"), err) != KM_OK)
        return err->code;
    for (size_t i = 0; i < km_options_texts(options, "output", &texts); i++) {
        struct output output;
        if (split_output(texts[i], &output, err) != KM_OK)
            return err->code;
    }
    bool tar_view = strcmp(km_options_text(options, "view"), "tar") == 0;
    if (tar_view && km_scan_tarview_open(options, km_scan_setup_jobs(options), &scan->network, err) != KM_OK)
        return err->code;
    scan->hashes = km_hashlist_new(err);
    if (!scan->hashes)
        return err->code;
    for (size_t i = 0; i < km_options_texts(options, "hash-list", &texts); i++)
        if (km_hashlist_add_file(scan->hashes, texts[i], err) != KM_OK)
            return err->code;
    km_hashlist_seal(scan->hashes);
    if (km_options_text(options, "decisions") && read_decisions(scan, err) != KM_OK)
        return err->code;
    if (open_desk(scan, err) != KM_OK)
        return err->code;
    if (!scan->network && km_scan_setup_open(&scan->setup, options, "scan", true, err) != KM_OK)
        return err->code;
    scan->results = km_results_new(MAX_RESULT_BYTES, err);
    if (!scan->results)
        return err->code;
    scan->access = km_scan_access_read(options, &km_interrupt);
    int64_t seconds = km_options_integer(options, "time-limit");
    if (seconds > 0)
        km_interrupt.deadline_ns = km_clock_monotonic_ns() + seconds * KM_NS_PER_S;
    for (int i = 0; i < operand_count; i++)
        if (km_scan_items_add(&scan->items, operands[i], err) != KM_OK)
            return err->code;
    tell_in_force(scan);
    return KM_OK;
}

/* "app.png" is the picture of the only target; of several, the second one's is "app-2.png". */
static void picture_path(const char *given, size_t number, size_t count, char *out, size_t out_bytes)
{
    const char *slash = strrchr(given, '/');
    const char *dot = strrchr(slash ? slash : given, '.');
    int stem = dot ? (int)(dot - given) : (int)strlen(given);
    if (count <= 1)
        snprintf(out, out_bytes, "%s", given);
    else
        snprintf(out, out_bytes, "%.*s-%zu%s", stem, given, number, dot ? dot : "");
}

static enum km_code write_picture(const struct scan *scan, const struct km_scan_item *item,
                                  const struct km_mosaic *mosaic, struct km_err *err)
{
    char path[4096];
    picture_path(km_options_text(scan->options, "picture"), (size_t)(item - scan->items.items) + 1, scan->items.count,
                 path, sizeof path);
    struct km_picture *picture KM_CLEANUP(km_picture_cleanup) = km_picture_open(path, KM_PICTURE_DEFAULT_LEVEL, err);
    if (!picture)
        return err->code;
    const struct km_row_sink sink = {picture, km_picture_begin, km_picture_rows};
    enum km_code code = km_mosaic_draw(mosaic, item->name, &sink, err);
    return code == KM_OK ? km_picture_commit(picture, err) : code;
}

static enum km_code scan_picture(struct scan *scan, const struct km_scan_item *item, const struct km_sink *sink,
                                 struct km_err *err)
{
    const struct km_target target = {.name = item->name};
    struct km_progress progress;
    const struct km_tarview_options options = {
        .network = scan->network,
        .decisions = scan->decisions.find ? &scan->decisions : NULL,
        .progress = km_progress_show,
        .progress_context = &progress,
        .versions = {.komainu = KM_VERSION},
    };
    struct km_input input = KM_INPUT_CLOSED;
    struct km_err cause = item->problem;
    if (!item->spec || km_scan_tarview_input(item->spec, &km_interrupt, &input, &cause) != KM_OK)
        return km_scan_give_failure(&target, &options.versions, &cause, sink, err);
    km_progress_begin(&progress, item->name, km_options_flag(scan->options, "progress"));
    enum km_code code = km_tarview_run(&input, &target, &options, sink, &km_interrupt, err);
    km_progress_end(&progress);
    km_input_close(&input);
    return code;
}

static enum km_code scan_one(struct scan *scan, const struct km_scan_item *item, struct km_err *err)
{
    const struct km_sink kept = km_results_sink(scan->results);
    const struct km_sink sink = scan->desk ? km_desk_link_tee(scan->desk, &kept) : kept;
    if (scan->network)
        return scan_picture(scan, item, &sink, err);
    const struct km_target target = {.name = item->name};
    struct km_progress progress;
    struct km_scan_options options = {
        .hashes = scan->hashes,
        .decisions = scan->decisions.find ? &scan->decisions : NULL,
        .max_findings = (size_t)km_options_integer(scan->options, "max-findings"),
        .all = km_options_flag(scan->options, "all"),
        .progress = km_progress_show,
        .progress_context = &progress,
        .versions = {.komainu = KM_VERSION},
    };
    km_scan_setup_apply(&scan->setup, &options);
    struct km_mosaic *mosaic KM_CLEANUP(km_mosaic_cleanup) = NULL;
    if (km_options_text(scan->options, "picture")) {
        mosaic = km_mosaic_new(KM_MOSAIC_DEFAULT_PIXELS, err);
        if (!mosaic)
            return err->code;
    }
    options.mosaic = mosaic;
    if (!item->spec)
        return km_scan_give_failure(&target, &options.versions, &item->problem, &sink, err);
    struct km_source *source = NULL;
    struct km_err cause = KM_ERR_INIT;
    if (km_scan_target_open(item->spec, &scan->access, &source, &cause) != KM_OK)
        return km_scan_give_failure(&target, &options.versions, &cause, &sink, err);
    km_progress_begin(&progress, item->name, km_options_flag(scan->options, "progress"));
    enum km_code code = km_scan_run(source, &target, &options, &sink, &km_interrupt, err);
    km_progress_end(&progress);
    km_source_close(source);
    return code == KM_OK && mosaic ? write_picture(scan, item, mosaic, err) : code;
}

static enum km_code give_results(const struct scan *scan, struct km_err *err)
{
    const struct km_options *options = scan->options;
    bool as_list = scan->items.count > 1 || scan->items.from_list;
    const char *format = km_options_text(options, "format");
    struct output output = {0};
    (void)read_format(format, strlen(format), &output); /* the option's choices are the same */
    enum km_code code = print_results(scan->results, options, as_list, &output, stdout, err);
    const char *const *texts;
    for (size_t i = 0; code == KM_OK && i < km_options_texts(options, "output", &texts); i++)
        code = write_output(scan->results, options, as_list, texts[i], err);
    return code;
}

/* The name may come from a list of images: it is escaped like any other hostile text. */
static void print_failure(const char *target, const struct km_err *error)
{
    char name[1024];
    km_text_escape(target, strlen(target), name, sizeof name);
    fprintf(stderr, "komainu: scan: %s: %s\n", name, error->text);
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    struct scan scan KM_CLEANUP(scan_done) = {.options = options};
    km_interrupt_catch();
    enum km_code code = prepare(&scan, operand_count, operands, &err);
    for (size_t i = 0; code == KM_OK && i < scan.items.count; i++)
        code = scan_one(&scan, &scan.items.items[i], &err);
    bool recorded = km_desk_link_finish(km_steal(scan.desk));
    km_scan_setup_report(&scan.setup, "scan");
    if (code == KM_OK)
        code = give_results(&scan, &err);
    if (code != KM_OK) {
        fprintf(stderr, "komainu: scan: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    /* In a list of several, the reason must not hide in the middle of a long output. */
    for (size_t i = 0; i < km_results_count(scan.results); i++) {
        const struct km_result *result = km_results_get(scan.results, i);
        if (result->outcome.error)
            print_failure(result->target.name, result->outcome.error);
    }
    int status = exit_of_results(scan.results, km_options_text(options, "fail-on"));
    bool lacks = !recorded && scan.use == KM_DESK_LINK_ASKED;
    return lacks && status == KM_EXIT_OK ? KM_EXIT_ERROR : status; /* a verdict is never replaced */
}

const struct km_cmd km_cmd_scan = {"scan", "TARGET...", "find what does not belong in containers", rows, run};
