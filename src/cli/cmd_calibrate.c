#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/document.h"
#include "cli/labels.h"
#include "cli/option_rows.h"
#include "cli/progress.h"
#include "cli/scan_setup.h"
#include "cli/scan_targets.h"
#include "container/scan/calibrator.h"
#include "container/scan/sitefile.h"
#include "finding/result.h"

#define MAX_RESULT_BYTES ((size_t)96 << 20)

static const struct km_option rows[] = {
    KM_ROW_FORMAT("text|json"),
    {.name = "rate",
     .type = KM_OPTION_REAL,
     .argument = "R",
     .fallback = "0.001",
     .least = 0.000001,
     .most = 0.5,
     .help = "the share of benign programs that may be false alarms"},
    {.name = "set",
     .type = KM_OPTION_TEXT,
     .argument = "TEXT",
     .fallback = "this site's images",
     .help = "what the images are, in a few words; reports name it"},
    {.name = "labels",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "what people decided ('komainu alerts labels'); suspicious and attack are not counted as benign"},
    {.name = "dry-run", .type = KM_OPTION_FLAG, .only_flag = true, .help = "say what would be chosen, keep nothing"},
    {.name = "remove",
     .type = KM_OPTION_FLAG,
     .only_flag = true,
     .help = "remove the calibration of this detector; takes no images"},
    KM_SCAN_SETUP_OPTIONS,
    KM_SCAN_ACCESS_OPTIONS,
    KM_ROW_PROGRESS,
    {0},
};

struct work {
    const struct km_options *options;
    struct km_scan_setup setup;
    struct km_scan_items items;
    struct km_calibrator *calibrator;
    struct km_labels *labels; /* or NULL */
    bool incomplete;          /* some image has gaps */
};

static void work_done(struct work *work)
{
    km_labels_free(work->labels);
    km_calibrator_free(work->calibrator);
    km_scan_items_done(&work->items);
    km_scan_setup_done(&work->setup);
}

/* A judged program: what people called suspicious or attack is no example of the benign. */
static void take_program(void *context, const struct km_case *file)
{
    struct work *work = context;
    if (!file->sha256 || km_labels_meet(work->labels, file->sha256) != KM_LABEL_BAD)
        km_calibrator_take(work->calibrator, file);
}

/* What is known to be bad must not teach the threshold what is benign. */
static enum km_code check_result(struct work *work, const struct km_results *results, struct km_err *err)
{
    const struct km_result *result = km_results_get(results, 0);
    if (result->outcome.error) {
        *err = *result->outcome.error;
        return err->code;
    }
    if (result->outcome.verdict == KM_VERDICT_MALICIOUS)
        return km_fail(err, KM_CONFLICT, "it holds what is known to be malicious: not a benign image");
    work->incomplete = work->incomplete || result->outcome.coverage.gaps > 0;
    return KM_OK;
}

static enum km_code scan_item(struct work *work, const struct km_scan_item *item, struct km_err *err)
{
    const struct km_scan_access access = km_scan_access_read(work->options, NULL);
    struct km_source *source = NULL;
    struct km_progress progress;
    struct km_scan_options options = {.progress = km_progress_show,
                                      .progress_context = &progress,
                                      .max_findings = 1,
                                      .weighed = take_program,
                                      .weighed_context = work,
                                      .versions = {.komainu = KM_VERSION}};
    km_scan_setup_apply(&work->setup, &options);
    options.baseline = NULL; /* what is known is not scored, and the site's own images are what is to be scored */
    if (!item->spec) {
        *err = item->problem;
        return err->code;
    }
    enum km_code code = km_scan_target_open(item->spec, &access, &source, err);
    struct km_results *results = code == KM_OK ? km_results_new(MAX_RESULT_BYTES, err) : NULL;
    if (!results) {
        km_source_close(source);
        return err->code;
    }
    const struct km_sink sink = km_results_sink(results);
    const struct km_target target = {.name = item->name};
    km_progress_begin(&progress, item->name, km_options_flag(work->options, "progress"));
    code = km_scan_run(source, &target, &options, &sink, NULL, err);
    km_progress_end(&progress);
    km_source_close(source);
    if (code == KM_OK)
        code = check_result(work, results, err);
    km_results_free(results);
    return code;
}

static void print_text(const struct work *work, const struct km_calibration *calibration, const char *path)
{
    const struct km_estimate rate = km_calibration_rate(calibration);
    const struct km_calibrator_file *strongest;
    size_t count = km_calibrator_strongest(work->calibrator, &strongest);
    printf("%s\n", km_detector_version(work->setup.detector));
    printf("  programs   %llu different ones of %zu target%s\n", (unsigned long long)calibration->negatives,
           work->items.count, work->items.count == 1 ? "" : "s");
    printf("  threshold  %.4f log-odds, for at most %g of them\n", calibration->threshold, calibration->wanted);
    printf("  expected   %.3g false alarms a program (95 %%: %.3g to %.3g; %llu of %llu are above)\n", rate.value,
           rate.interval.low, rate.interval.high, (unsigned long long)calibration->above,
           (unsigned long long)calibration->negatives);
    if (!km_calibration_is_enough(calibration))
        printf("  too few    a rate of %g cannot be shown with %llu programs: it takes %.0f without an alarm (3/n)\n",
               calibration->wanted, (unsigned long long)calibration->negatives, ceil(3 / calibration->wanted));
    printf("  strongest  look at these before you call all of it benign:\n");
    for (size_t i = 0; i < count; i++) {
        char name[1024];
        km_text_escape(strongest[i].path, strlen(strongest[i].path), name, sizeof name);
        printf("    %+8.3f  %s%s\n", strongest[i].log_odds, name,
               strongest[i].log_odds >= calibration->threshold ? "  (above)" : "");
    }
    printf(path ? "  kept in    %s\n" : "  not kept\n", path);
}

static enum km_code print_json(const struct work *work, const struct km_calibration *calibration, const char *path,
                               struct km_err *err)
{
    const struct km_estimate rate = km_calibration_rate(calibration);
    KM_CLEANUP(km_json_cleanup) struct km_json *object = km_json_new_object();
    km_json_set_string(object, "schema", "komainu.calibration/1");
    km_json_set_string(object, "model", km_detector_version(work->setup.detector));
    km_json_set_real(object, "threshold", calibration->threshold);
    km_json_set_real(object, "wanted", calibration->wanted);
    km_json_set_integer(object, "negatives", (int64_t)calibration->negatives);
    km_json_set_integer(object, "above", (int64_t)calibration->above);
    km_json_set_real(object, "rate", rate.value);
    km_json_set_real(object, "low", rate.interval.low);
    km_json_set_real(object, "high", rate.interval.high);
    km_json_set_bool(object, "enough", km_calibration_is_enough(calibration));
    km_json_set_string(object, "file", path);
    return km_document_print(object, err);
}

/* The bundle's fusion, with this threshold. */
static enum km_code keep(const struct work *work, const struct km_calibration *calibration, const char *path,
                         struct km_err *err)
{
    KM_CLEANUP(km_additive_cleanup)
    struct km_additive *fusion = km_additive_copy(km_detector_fusion(work->setup.detector), err);
    if (!fusion)
        return err->code;
    km_additive_set_calibration(fusion, calibration);
    return km_sitefile_save(path, fusion, err);
}

static enum km_code calibrate(struct work *work, const char *path, struct km_err *err)
{
    const struct km_options *options = work->options;
    struct km_calibration calibration;
    const char *labels = km_options_text(options, "labels");
    work->calibrator = km_calibrator_new(err);
    if (!work->calibrator)
        return err->code;
    if (labels && !(work->labels = km_labels_open(labels, err)))
        return err->code;
    for (size_t i = 0; i < work->items.count; i++)
        if (scan_item(work, &work->items.items[i], err) != KM_OK)
            return km_err_wrap(err, "%s", work->items.items[i].name);
    km_labels_report(work->labels, "calibrate");
    enum km_code code = km_calibrator_choose(work->calibrator, km_options_real(options, "rate"),
                                             km_options_text(options, "set"), &calibration, err);
    bool kept = code == KM_OK && !km_options_flag(options, "dry-run");
    if (kept)
        code = keep(work, &calibration, path, err);
    if (code != KM_OK)
        return code;
    if (kept)
        km_desk_link_audit("calibrate", "calibration.set", path, NULL);
    if (strcmp(km_options_text(options, "format"), "json") == 0)
        return print_json(work, &calibration, kept ? path : NULL, err);
    print_text(work, &calibration, kept ? path : NULL);
    return KM_OK;
}

static enum km_code remove_calibration(const char *path, struct km_err *err)
{
    if (unlink(path) != 0)
        return km_fail_errno(err, errno, "%s", path);
    km_desk_link_audit("calibrate", "calibration.remove", path, NULL);
    return KM_OK;
}

/* A name that would not be read back is refused before the work. */
static enum km_code check_set(const char *set, struct km_err *err)
{
    for (const char *at = set; *at; at++)
        if (*at < ' ' || *at > '~')
            return km_fail(err, KM_FORMAT, "--set wants printable ASCII");
    return set[0] != '\0' && strlen(set) < sizeof((struct km_calibration *)0)->set
               ? KM_OK
               : km_fail(err, KM_FORMAT, "--set is empty or too long");
}

static enum km_code run_all(struct work *work, int operand_count, char **operands, struct km_err *err)
{
    char path[KM_SITEFILE_PATH_BYTES];
    bool removes = km_options_flag(work->options, "remove");
    if (removes != (operand_count == 0))
        return km_fail(err, KM_FORMAT, removes ? "--remove takes no images" : "no IMAGE given; see --help");
    enum km_code code = check_set(km_options_text(work->options, "set"), err);
    if (code == KM_OK)
        code = km_scan_setup_open(&work->setup, work->options, "calibrate", false, err);
    if (code == KM_OK && (!work->setup.detector || !km_detector_fusion(work->setup.detector)))
        code = km_fail(err, KM_NOTFOUND, "no detector with a fusion: name one with --model");
    if (code == KM_OK)
        code = km_sitefile_path(work->setup.detector, path, err);
    if (code != KM_OK)
        return code;
    if (removes)
        return remove_calibration(path, err);
    for (int i = 0; i < operand_count; i++)
        if (km_scan_items_add(&work->items, operands[i], err) != KM_OK)
            return err->code;
    code = calibrate(work, path, err);
    km_scan_setup_report(&work->setup, "calibrate");
    return code;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    struct work work KM_CLEANUP(work_done) = {.options = options};
    if (run_all(&work, operand_count, operands, &err) != KM_OK) {
        fprintf(stderr, "komainu: calibrate: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    if (work.incomplete)
        fprintf(stderr, "komainu: calibrate: some images have gaps; what is in them was not counted\n");
    return work.incomplete ? KM_EXIT_INCOMPLETE : KM_EXIT_OK;
}

const struct km_cmd km_cmd_calibrate = {"calibrate", "IMAGE...", "choose a detector's threshold on this site's images",
                                        rows, run};
