#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/labels.h"
#include "cli/option_rows.h"
#include "cli/progress.h"
#include "cli/scan_setup.h"
#include "cli/scan_targets.h"
#include "container/scan/baseline.h"
#include "container/scan/baseline_collect.h"
#include "container/scan/baseline_edit.h"
#include "container/scan/scan.h"
#include "finding/result.h"

#define MAX_RESULT_BYTES ((size_t)96 << 20)
#define MAX_FINDINGS     20000
#define BYTES_PER_MB     UINT64_C(1000000)

static const struct km_option rows[] = {
    {.name = "store", .type = KM_OPTION_TEXT, .argument = "FOLDER", .help = "the baseline's folder"},
    {.name = "name",
     .type = KM_OPTION_TEXT,
     .argument = "NAME",
     .only_flag = true,
     .help = "with add: what the image is called in the baseline, instead of its target"},
    {.name = "force",
     .type = KM_OPTION_TEXT,
     .argument = "REASON",
     .only_flag = true,
     .help = "with add: take in an image with findings; the reason is kept"},
    {.name = "labels",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "with add: what people decided ('komainu alerts labels'); an image with suspicious or attack is refused"},
    {.name = "model",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .help = "with add: a detector's folder, that scans the image; none: without learned models"},
    {.name = "jobs",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "0",
     .least = 0,
     .most = KM_PIPELINE_MAX_JOBS,
     .help = "so many workers; 0: one for each processor"},
    {.name = "max-size",
     .type = KM_OPTION_INTEGER,
     .argument = "MEGABYTES",
     .fallback = "1000",
     .least = 1,
     .most = 1000,
     .help = "how large the file of hashes may become"},
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "text|json",
     .fallback = "text",
     .help = "with list: what to print on standard output"},
    KM_SCAN_ACCESS_OPTIONS,
    KM_ROW_PROGRESS,
    {0},
};

struct request {
    const struct km_options *options;
    const char *folder;
    int operand_count;
    char **operands;
    int *out_exit;
    const struct km_scan_setup *setup; /* of add */
    struct km_labels *labels;          /* of add, or NULL */
};

/* An image that was scanned, and what was collected on the way. */
struct heard {
    const struct request *request;
    const struct km_scan_item *item;
    const struct km_source *source;
    struct km_baseline_collect *collect;
    const struct km_result *result;
};

/* ---- The folder ---- */

static enum km_code make_folder(const char *folder, struct km_err *err)
{
    enum km_code code = km_folder_make_parents(folder, err);
    if (code != KM_OK)
        return code;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return km_fail_errno(err, errno, "cannot make %s", folder);
    return KM_OK;
}

static enum km_code open_folder(const char *folder, int *out_fd, struct km_err *err)
{
    *out_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out_fd >= 0 ? KM_OK : km_fail_errno(err, errno, "%s", folder);
}

/* ---- add ---- */

/* One scan as `komainu scan` does it; what it hears is collected on the way. */
static enum km_code scan_image(const struct request *request, const struct km_scan_item *item, struct km_source *source,
                               struct km_results *results, struct km_err *err)
{
    struct km_sink sink = km_results_sink(results);
    const struct km_target target = {.name = item->name};
    struct km_progress progress;
    struct km_scan_options options = {.max_findings = MAX_FINDINGS,
                                      .progress = km_progress_show,
                                      .progress_context = &progress,
                                      .versions = {.komainu = KM_VERSION}};
    km_scan_setup_apply(request->setup, &options);
    km_progress_begin(&progress, item->name, km_options_flag(request->options, "progress"));
    enum km_code code = km_scan_run(source, &target, &options, &sink, &km_interrupt, err);
    km_progress_end(&progress);
    return code;
}

/* An attack must not become normal in silence. */
static enum km_exit check_result(const struct request *request, const struct km_scan_item *item,
                                 const struct km_result *result)
{
    const struct km_outcome *outcome = &result->outcome;
    struct km_err cancelled = KM_ERR_INIT;
    char name[1024];
    km_text_escape(item->name, strlen(item->name), name, sizeof name);
    if (outcome->error || km_cancel_check(&km_interrupt, &cancelled) != KM_OK) {
        fprintf(stderr, "komainu: baseline: %s: not added: %s\n", name,
                outcome->error ? outcome->error->text : cancelled.text);
        return KM_EXIT_ERROR;
    }
    if (outcome->verdict < KM_VERDICT_SUSPICIOUS || km_options_text(request->options, "force"))
        return KM_EXIT_OK;
    size_t count = 0;
    for (size_t i = 0; i < result->finding_count; i++)
        count += result->findings[i].verdict >= KM_VERDICT_SUSPICIOUS;
    const char *path = result->finding_count > 0 ? result->findings[0].subject.path : NULL;
    char first[512];
    km_text_escape(path ? path : "", path ? strlen(path) : 0, first, sizeof first);
    fprintf(stderr,
            "komainu: baseline: %s: not added: %s, %zu finding%s (%s): look at them with 'komainu scan', then add it "
            "with --force REASON\n",
            name, km_verdict_to_string(outcome->verdict), count, count == 1 ? "" : "s", first);
    return KM_EXIT_FINDINGS;
}

/* Of what the image's programs say in words; the scan of a later build finds it again. */
static enum km_code attach_tokens(const struct heard *heard, int *out_fd, struct km_baseline_addition *addition,
                                  struct km_baseline_programs *out, struct km_err *err)
{
    *out_fd = memfd_create("komainu-tokens", MFD_CLOEXEC);
    if (*out_fd < 0)
        return km_fail_errno(err, errno, "cannot keep the tokens");
    enum km_code code = km_baseline_collect_save_tokens(heard->collect, *out_fd, out, err);
    if (code == KM_OK && out->kept > 0) {
        addition->part = "tokens";
        addition->part_fd = *out_fd;
    }
    return code;
}

static void tell_added(const struct km_baseline_addition *addition, size_t files, size_t layers,
                       const struct km_baseline_programs *programs)
{
    char shown[1024];
    km_text_escape(addition->image.name, strlen(addition->image.name), shown, sizeof shown);
    printf("added %s: %zu files, %zu layers, words of %llu programs\n", shown, files, layers,
           (unsigned long long)programs->kept);
    if (programs->left_out > 0)
        printf("  of %llu more programs only the hashes: too many words\n", (unsigned long long)programs->left_out);
    if (addition->image.gaps > 0)
        printf("  %llu parts of it could not be examined; 'komainu scan' says which\n",
               (unsigned long long)addition->image.gaps);
}

/* What people called suspicious or attack is refused, whatever the reason given with --force: the decision is undone
 * first. */
static enum km_code check_labels(const struct request *request, const struct km_baseline_addition *addition,
                                 struct km_err *err)
{
    for (size_t i = 0; i < addition->file_count; i++)
        if (km_labels_meet(request->labels, addition->files[i]) == KM_LABEL_BAD) {
            char hex[KM_SHA256_HEX_BYTES];
            km_hex_format(addition->files[i], KM_SHA256_BYTES, hex);
            return km_fail(err, KM_CONFLICT, "it holds content that was decided to be suspicious or an attack: %s",
                           hex);
        }
    return KM_OK;
}

static void audit(const char *image, const char *action, const char *reason)
{
    char object[1024];
    (void)snprintf(object, sizeof object, "image %s", image);
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = reason && *reason ? km_json_new_object() : NULL;
    if (detail)
        km_json_set_escaped(detail, "reason", reason);
    km_desk_link_audit("baseline", action, object, detail);
}

static enum km_code take_in(const struct heard *heard, enum km_exit *out_exit, struct km_err *err)
{
    const struct request *request = heard->request;
    const struct km_result *result = heard->result;
    char who[KM_DESK_LINK_NAME_BYTES];
    const char *name = km_options_text(request->options, "name"), *reason = km_options_text(request->options, "force");
    int fd KM_CLEANUP(km_cleanup_close) = -1;
    bool suspicious = result->outcome.verdict >= KM_VERDICT_SUSPICIOUS;
    km_desk_link_who(who);
    struct km_baseline_addition addition = {.image = {.name = name ? name : heard->item->name,
                                                      .target = heard->item->name,
                                                      .who = who,
                                                      .reason = suspicious ? reason : "", /* checked: there is one */
                                                      .added_ns = km_clock_wall_ns()},
                                            .max_bytes = (uint64_t)km_options_integer(request->options, "max-size") *
                                                         BYTES_PER_MB};
    enum km_code code = km_baseline_collect_finish(heard->collect, km_source_layout(heard->source), &addition, err);
    if (code == KM_OK)
        code = check_labels(request, &addition, err);
    int tokens_fd KM_CLEANUP(km_cleanup_close) = -1;
    struct km_baseline_programs programs = {0};
    if (code == KM_OK)
        code = attach_tokens(heard, &tokens_fd, &addition, &programs, err);
    if (code == KM_OK)
        code = make_folder(request->folder, err);
    if (code == KM_OK)
        code = open_folder(request->folder, &fd, err);
    addition.image.gaps = result->outcome.coverage.gaps;
    size_t files = addition.file_count, layers = addition.layer_count;
    if (code == KM_OK)
        code = km_baseline_add(fd, &addition, err);
    if (code != KM_OK)
        return code;
    tell_added(&addition, files, layers, &programs);
    audit(addition.image.name, "baseline.add", addition.image.reason);
    *out_exit = addition.image.gaps > 0 ? KM_EXIT_INCOMPLETE : KM_EXIT_OK;
    return KM_OK;
}

KM_DEFINE_CLEANUP(struct km_results, results_cleanup, km_results_free);
KM_DEFINE_CLEANUP(struct km_source, source_cleanup, km_source_close);

static enum km_code add_one(const struct request *request, const struct km_scan_item *item,
                            const struct km_scan_access *access, enum km_exit *out_exit, struct km_err *err)
{
    if (!item->spec) {
        *err = item->problem;
        return err->code;
    }
    KM_CLEANUP(km_baseline_collect_cleanup) struct km_baseline_collect *collect = km_baseline_collect_new(err);
    struct km_results *results KM_CLEANUP(results_cleanup) = collect ? km_results_new(MAX_RESULT_BYTES, err) : NULL;
    struct km_source *source KM_CLEANUP(source_cleanup) = NULL;
    if (!results)
        return err->code;
    enum km_code code = km_scan_target_open(item->spec, access, &source, err);
    if (code != KM_OK)
        return code;
    km_source_tap(source, km_baseline_collect_sink(collect));
    code = scan_image(request, item, source, results, err);
    if (code != KM_OK)
        return code;
    const struct km_result *result = km_results_get(results, 0);
    *out_exit = check_result(request, item, result);
    const struct heard heard = {request, item, source, collect, result};
    return *out_exit == KM_EXIT_OK ? take_in(&heard, out_exit, err) : KM_OK;
}

/* The worst, in the order error, findings, incomplete. */
static int worse(int a, int b)
{
    static const int order[] = {KM_EXIT_ERROR, KM_EXIT_FINDINGS, KM_EXIT_INCOMPLETE};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return KM_EXIT_OK;
}

static enum km_code add_all(const struct request *request, const struct km_scan_items *items,
                            const struct km_scan_access *access, struct km_err *err)
{
    for (size_t i = 0; i < items->count; i++) {
        struct km_err why = KM_ERR_INIT;
        enum km_exit status = KM_EXIT_OK;
        enum km_code code = add_one(request, &items->items[i], access, &status, &why);
        if (code == KM_NOMEM) {
            *err = why;
            return code;
        }
        if (code != KM_OK) {
            char name[1024];
            km_text_escape(items->items[i].name, strlen(items->items[i].name), name, sizeof name);
            fprintf(stderr, "komainu: baseline: %s: not added: %s\n", name, why.text);
            status = KM_EXIT_ERROR;
        }
        *request->out_exit = worse(*request->out_exit, (int)status);
    }
    return KM_OK;
}

static enum km_code act_add(const struct request *request, struct km_err *err)
{
    struct km_scan_items items KM_CLEANUP(km_scan_items_done) = {0};
    const struct km_scan_access access = km_scan_access_read(request->options, &km_interrupt);
    const char *force = km_options_text(request->options, "force");
    if (force && strspn(force, " \t") == strlen(force))
        return km_fail(err, KM_FORMAT, "--force wants a reason");
    for (int i = 0; i < request->operand_count; i++)
        if (km_scan_items_add(&items, request->operands[i], err) != KM_OK)
            return err->code;
    if (km_options_text(request->options, "name") && items.count != 1)
        return km_fail(err, KM_FORMAT, "--name goes with one image");
    km_interrupt_catch();
    struct km_scan_setup setup KM_CLEANUP(km_scan_setup_done) = {0};
    struct request with_model = *request;
    with_model.setup = &setup;
    const char *path = km_options_text(request->options, "labels");
    struct km_labels *labels KM_CLEANUP(km_labels_cleanup) = path ? km_labels_open(path, err) : NULL;
    if (path && !labels)
        return err->code;
    with_model.labels = labels;
    enum km_code code = km_scan_setup_open_model(&setup, request->options, err);
    return code == KM_OK ? add_all(&with_model, &items, &access, err) : code;
}

/* ---- list, remove ---- */

static enum km_code print_json(const struct km_baseline *baseline, struct km_err *err)
{
    struct km_json *json KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *images = km_json_new_array();
    char when[KM_CLOCK_UTC_BYTES];
    km_json_set_integer(json, "version", KM_BASELINE_VERSION);
    km_json_set_string(json, "digest", km_baseline_digest(baseline));
    km_json_set_integer(json, "files", (int64_t)km_baseline_file_count(baseline));
    km_json_set_integer(json, "layers", (int64_t)km_baseline_layer_count(baseline));
    km_json_set(json, "images", images);
    for (size_t i = 0; i < km_baseline_image_count(baseline); i++) {
        const struct km_baseline_image *image = km_baseline_image(baseline, i);
        struct km_json *one = km_json_new_object();
        km_clock_format_utc(image->added_ns, when);
        km_json_set_string(one, "name", image->name);
        km_json_set_string(one, "target", image->target);
        km_json_set_string(one, "digest", *image->digest ? image->digest : NULL);
        km_json_set_string(one, "added", when);
        km_json_set_string(one, "who", image->who);
        km_json_set_string(one, "reason", *image->reason ? image->reason : NULL);
        km_json_set_integer(one, "files", (int64_t)image->files);
        km_json_set_integer(one, "layers", (int64_t)image->layers);
        km_json_set_integer(one, "gaps", (int64_t)image->gaps);
        km_json_append(images, one);
    }
    return km_document_print(json, err);
}

static void print_text(const struct km_baseline *baseline)
{
    char when[KM_CLOCK_UTC_BYTES];
    for (size_t i = 0; i < km_baseline_image_count(baseline); i++) {
        const struct km_baseline_image *image = km_baseline_image(baseline, i);
        km_clock_format_utc(image->added_ns, when);
        printf("%s\n    %llu files, %llu layers, added %s by %s\n", image->name, (unsigned long long)image->files,
               (unsigned long long)image->layers, when, image->who);
        if (*image->digest)
            printf("    %s\n", image->digest);
        if (strcmp(image->name, image->target) != 0)
            printf("    from %s\n", image->target);
        if (*image->reason)
            printf("    in spite of findings: %s\n", image->reason);
        if (image->gaps > 0)
            printf("    %llu parts of it were not examined\n", (unsigned long long)image->gaps);
    }
    printf("%zu images, %llu different files, %llu layers\n", km_baseline_image_count(baseline),
           (unsigned long long)km_baseline_file_count(baseline), (unsigned long long)km_baseline_layer_count(baseline));
}

static enum km_code act_list(const struct request *request, struct km_err *err)
{
    struct km_baseline *baseline KM_CLEANUP(km_baseline_cleanup) = NULL;
    enum km_code code = km_baseline_open_path(request->folder, &baseline, err);
    if (code != KM_OK)
        return code;
    if (strcmp(km_options_text(request->options, "format"), "json") == 0)
        return print_json(baseline, err);
    print_text(baseline);
    return KM_OK;
}

static enum km_code act_remove(const struct request *request, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = -1;
    enum km_code code = open_folder(request->folder, &fd, err);
    for (int i = 0; code == KM_OK && i < request->operand_count; i++) {
        code = km_baseline_remove(fd, request->operands[i], err);
        if (code != KM_OK)
            break;
        printf("removed %s\n", request->operands[i]);
        audit(request->operands[i], "baseline.remove", NULL);
    }
    return code;
}

static const struct {
    const char *name;
    int least, most; /* operands behind it; -1: any number */
    enum km_code (*act)(const struct request *request, struct km_err *err);
} actions[] = {{"add", 1, -1, act_add}, {"list", 0, 0, act_list}, {"remove", 1, -1, act_remove}};

static int run(const struct km_options *options, int operand_count, char **operands)
{
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count == 0 || a == count || operand_count - 1 < actions[a].least ||
        (actions[a].most >= 0 && operand_count - 1 > actions[a].most)) {
        fprintf(stderr, "komainu: baseline: add IMAGE... | list | remove NAME...\n");
        return KM_EXIT_ERROR;
    }
    struct km_err err = KM_ERR_INIT;
    char folder[KM_BASELINE_PATH_BYTES];
    int status = KM_EXIT_OK;
    enum km_code code = km_baseline_path(km_options_text(options, "store"), folder, &err);
    const struct request request = {.options = options,
                                    .folder = folder,
                                    .operand_count = operand_count - 1,
                                    .operands = operands + 1,
                                    .out_exit = &status};
    if (code == KM_OK)
        code = actions[a].act(&request, &err);
    if (code == KM_OK)
        return status;
    fprintf(stderr, "komainu: baseline: %s\n", err.text);
    return KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_baseline = {"baseline", "ACTION [IMAGE|NAME ...]", "what this site knows as its own", rows,
                                       run};
