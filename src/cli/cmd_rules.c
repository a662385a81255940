#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cmd.h"
#include "cli/document.h"
#include "cli/option_rows.h"
#include "cli/rules_bench.h"
#include "cli/rules_import.h"
#include "cli/rules_source.h"

static const struct km_option rows[] = {
    KM_ROW_FORMAT("text|json"),
    {.name = "to",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .only_flag = true,
     .help = "with import: the folder that rules are copied to"},
    {.name = "force", .type = KM_OPTION_FLAG, .only_flag = true, .help = "with import: replace rules of the same id"},
    {.name = "trace",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "with bench: the events of a recorded trace"},
    {0},
};

struct request {
    bool json, force;
    const char *to, *trace;
    const char *const *paths;
    size_t path_count;
};

/* ---- check ---- */

struct checking {
    struct km_json *reports; /* NULL: as text */
};

static void print_report(const struct km_rule_report *report)
{
    const char *what = report->outcome == KM_RULE_HIDDEN ? "hidden" : "refused";
    printf("%s", report->file);
    if (report->line > 0)
        printf(":%u", report->line);
    printf(": %s: %s%s%s\n", what, report->title, *report->title ? ": " : "", report->reason->text);
}

static void check_one(void *context, const struct km_rule_report *report)
{
    struct checking *checking = context;
    if (report->outcome == KM_RULE_LOADED)
        return;
    if (!checking->reports) {
        print_report(report);
        return;
    }
    struct km_json *row = km_json_new_object();
    km_json_set_string(row, "file", report->file);
    km_json_set_integer(row, "line", report->line);
    km_json_set_string(row, "id", report->id);
    km_json_set_string(row, "title", report->title);
    km_json_set_string(row, "outcome", report->outcome == KM_RULE_HIDDEN ? "hidden" : "refused");
    km_json_set_string(row, "code", km_code_to_string(report->reason->code));
    km_json_set_string(row, "reason", report->reason->text);
    km_json_append(checking->reports, row);
}

static enum km_code act_check(const struct request *request, int *out_status, struct km_err *err)
{
    struct km_json *root KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct checking checking = {request->json ? km_json_new_array() : NULL};
    struct km_rules_listener listener = {&checking, check_one};
    if (checking.reports)
        km_json_set(root, "not_loaded", checking.reports);
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) =
        km_rules_source_load(request->paths, request->path_count, &listener, err);
    if (!rules)
        return err->code;
    struct km_rules_stats stats;
    char digest[KM_RULES_DIGEST_BYTES];
    km_rules_get_stats(rules, &stats);
    if (km_rules_digest(rules, digest, err) != KM_OK)
        return err->code;
    *out_status = stats.refused > 0 ? KM_EXIT_ERROR : KM_EXIT_OK;
    if (!request->json) {
        printf("%zu files: %zu rules loaded, %zu refused, %zu hidden by an earlier rule of their id\n", stats.files,
               stats.loaded, stats.refused, stats.hidden);
        return KM_OK;
    }
    km_json_set_integer(root, "files", (int64_t)stats.files);
    km_json_set_integer(root, "loaded", (int64_t)stats.loaded);
    km_json_set_integer(root, "refused", (int64_t)stats.refused);
    km_json_set_integer(root, "hidden", (int64_t)stats.hidden);
    km_json_set_string(root, "digest", digest);
    return km_document_print(root, err);
}

/* ---- list ---- */

static void warn_one(void *context, const struct km_rule_report *report)
{
    (void)context;
    if (report->outcome == KM_RULE_REFUSED)
        fprintf(stderr, "komainu: rules: %s: refused: %s\n", report->file, report->reason->text);
}

static struct km_json *describe(const struct km_rule *rule)
{
    struct km_json *row = km_json_new_object(), *tags = km_json_new_array(), *benign = km_json_new_array();
    km_json_set_string(row, "id", rule->id);
    km_json_set_string(row, "level", km_rule_level_to_string(rule->level));
    km_json_set_string(row, "title", rule->title);
    km_json_set_string(row, "description", rule->description);
    km_json_set_string(row, "logsource", rule->logsource);
    km_json_set_string(row, "status", rule->status);
    km_json_set_string(row, "file", rule->file);
    km_json_set_integer(row, "line", rule->line);
    for (size_t i = 0; i < rule->tag_count; i++)
        km_json_append(tags, km_json_new_string(rule->tags[i]));
    for (size_t i = 0; i < rule->falsepositive_count; i++)
        km_json_append(benign, km_json_new_string(rule->falsepositives[i]));
    km_json_set(row, "tags", tags);
    km_json_set(row, "falsepositives", benign);
    return row;
}

static enum km_code act_list(const struct request *request, int *out_status, struct km_err *err)
{
    *out_status = KM_EXIT_OK;
    struct km_rules_listener listener = {NULL, warn_one};
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) =
        km_rules_source_load(request->paths, request->path_count, &listener, err);
    if (!rules)
        return err->code;
    struct km_json *all KM_CLEANUP(km_json_cleanup) = km_json_new_array();
    for (size_t i = 0; i < km_rules_count(rules); i++) {
        const struct km_rule *rule = km_rules_get(rules, i);
        if (request->json)
            km_json_append(all, describe(rule));
        else
            printf("%-36s  %-13s  %-25s  %-12s  %s\n", rule->id, km_rule_level_to_string(rule->level), rule->logsource,
                   *rule->status ? rule->status : "-", rule->title);
    }
    return request->json ? km_document_print(all, err) : KM_OK;
}

/* ---- import, bench ---- */

static enum km_code act_import(const struct request *request, int *out_status, struct km_err *err)
{
    *out_status = KM_EXIT_OK;
    if (!request->to || request->path_count != 1)
        return km_fail(err, KM_FORMAT, "import FOLDER --to DIR: name one folder and where to");
    return km_rules_import(request->paths[0], request->to, request->force, err);
}

static enum km_code act_bench(const struct request *request, int *out_status, struct km_err *err)
{
    *out_status = KM_EXIT_OK;
    struct km_rules_listener listener = {NULL, warn_one};
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) =
        km_rules_source_load(request->paths, request->path_count, &listener, err);
    return rules ? km_rules_bench(rules, request->trace, err) : err->code;
}

static const struct {
    const char *name;
    enum km_code (*act)(const struct request *request, int *out_status, struct km_err *err);
    const char *options; /* that belong to it alone */
} actions[] = {{"check", act_check, ""},
               {"list", act_list, ""},
               {"import", act_import, "to force"},
               {"bench", act_bench, "trace"}};

/* An option of another action would be passed over in silence. */
static enum km_code check_options(const struct km_options *options, size_t action, struct km_err *err)
{
    static const char *const names[] = {"to", "force", "trace"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (km_options_is_given(options, names[i]) && !strstr(actions[action].options, names[i]))
            return km_fail(err, KM_FORMAT, "--%s does not go with '%s'", names[i], actions[action].name);
    return KM_OK;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count == 0 || a == count) {
        fprintf(stderr,
                "komainu: rules: check [PATH...] | list [PATH...] | import FOLDER --to DIR | bench [PATH...]\n");
        return KM_EXIT_ERROR;
    }
    struct km_err err = KM_ERR_INIT;
    int status = KM_EXIT_OK;
    struct request request = {.json = strcmp(km_options_text(options, "format"), "json") == 0,
                              .force = km_options_flag(options, "force"),
                              .to = km_options_text(options, "to"),
                              .trace = km_options_text(options, "trace"),
                              .paths = (const char *const *)operands + 1,
                              .path_count = (size_t)operand_count - 1};
    if (check_options(options, a, &err) != KM_OK || actions[a].act(&request, &status, &err) != KM_OK) {
        fprintf(stderr, "komainu: rules: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return status;
}

const struct km_cmd km_cmd_rules = {"rules", "ACTION [PATH...]", "check, list, import and time Sigma rules for daemons",
                                    rows, run};
