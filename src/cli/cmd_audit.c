#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/document.h"
#include "cli/option_rows.h"
#include "desk/store/audit_chain.h"

#define MAX_LISTED 100000
#define CELL_BYTES 1024

static const struct km_option rows[] = {
    KM_ROW_DESK_STORE,
    KM_ROW_FORMAT("text|json"),
    {.name = "head",
     .type = KM_OPTION_TEXT,
     .argument = "\"NUMBER HASH\"",
     .only_flag = true,
     .help = "verify: the log must have this entry; as 'audit head' printed it earlier"},
    {.name = "after",
     .type = KM_OPTION_INTEGER,
     .argument = "NUMBER",
     .fallback = "0",
     .least = 0,
     .most = 1e15,
     .only_flag = true,
     .help = "list: entries behind this one"},
    {.name = "limit",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "100",
     .least = 1,
     .most = MAX_LISTED,
     .help = "list: at most so many"},
    {0},
};

struct request {
    const struct km_options *options;
    struct km_desk *desk;
    enum km_desk_place place;
    bool json;
};

static void print_escaped(const char *text)
{
    char cell[CELL_BYTES];
    (void)km_text_escape(text, strlen(text), cell, sizeof cell);
    fputs(cell, stdout);
}

/* ---- verify ---- */

static void print_fault(void *context, int64_t id, const char *text)
{
    (void)context;
    if (id > 0)
        printf("entry %" PRId64 ": %s\n", id, text);
    else
        printf("%s\n", text);
}

static void append_fault(void *context, int64_t id, const char *text)
{
    struct km_json *fault = km_json_new_object();
    km_json_set_integer(fault, "entry", id);
    km_json_set_string(fault, "text", text);
    km_json_append(context, fault);
}

static enum km_code verify_json(const struct request *request, struct km_audit_report *report, struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *faults = km_json_new_array();
    km_json_set_string(document, "schema", "komainu.audit-verify/1");
    km_json_set(document, "faults", faults);
    enum km_code code =
        km_audit_verify(request->desk, km_options_text(request->options, "head"), faults, append_fault, report, err);
    if (code != KM_OK)
        return code;
    km_json_set_bool(document, "whole", report->faults == 0);
    km_json_set_integer(document, "entries", report->entries);
    km_json_set_integer(document, "erased_details", report->erased);
    km_json_set_integer(document, "anchor", report->anchor);
    km_json_set_string(document, "head", report->head[0] ? report->head : NULL);
    return km_document_print(document, err);
}

static enum km_code act_verify(const struct request *request, int *out_status, struct km_err *err)
{
    struct km_audit_report report;
    enum km_code code = request->json ? verify_json(request, &report, err)
                                      : km_audit_verify(request->desk, km_options_text(request->options, "head"), NULL,
                                                        print_fault, &report, err);
    if (code != KM_OK)
        return code;
    *out_status = report.faults == 0 ? KM_EXIT_OK : KM_EXIT_FINDINGS;
    if (request->json)
        return KM_OK;
    if (report.faults > 0)
        printf("the log is NOT whole: %" PRId64 " fault%s\n", report.faults, report.faults == 1 ? "" : "s");
    else
        printf("the log is whole: %" PRId64 " entries, anchor at %" PRId64 ", %" PRId64 " details erased on record\n",
               report.entries, report.anchor, report.erased);
    return KM_OK;
}

/* ---- head and list ---- */

static enum km_code act_head(const struct request *request, int *out_status, struct km_err *err)
{
    struct km_audit_report report;
    if (km_audit_verify(request->desk, NULL, NULL, NULL, &report, err) != KM_OK)
        return err->code;
    if (report.faults > 0)
        return km_fail(err, KM_CONFLICT, "the log is not whole; see 'komainu audit verify'");
    if (report.entries == 0)
        return km_fail(err, KM_NOTFOUND, "the log is empty");
    printf("%" PRId64 " %s\n", report.entries, report.head);
    *out_status = KM_EXIT_OK;
    return KM_OK;
}

static enum km_code print_entry(void *context, const struct km_audit_entry *entry, struct km_err *err)
{
    (void)err;
    (void)context;
    char at[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(entry->at_ns, at);
    printf("%" PRId64 "  %s  ", entry->id, at);
    print_escaped(entry->who);
    fputs("  ", stdout);
    print_escaped(entry->action);
    fputs("  ", stdout);
    print_escaped(entry->object);
    if (entry->detail) {
        fputs("  ", stdout);
        print_escaped(entry->detail);
    } else if (entry->erased) {
        fputs("  (detail erased)", stdout);
    }
    fputc('\n', stdout);
    return KM_OK;
}

static void set_escaped(struct km_json *object, const char *key, const char *text)
{
    char cell[CELL_BYTES];
    (void)km_text_escape(text, strlen(text), cell, sizeof cell);
    km_json_set_string(object, key, cell);
}

static enum km_code append_entry(void *context, const struct km_audit_entry *entry, struct km_err *err)
{
    (void)err;
    struct km_err ignored = KM_ERR_INIT;
    struct km_json *object = km_json_new_object();
    char at[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(entry->at_ns, at);
    km_json_append(context, object);
    km_json_set_integer(object, "number", entry->id);
    km_json_set_string(object, "at", at);
    set_escaped(object, "who", entry->who);
    set_escaped(object, "action", entry->action);
    set_escaped(object, "object", entry->object);
    struct km_json *detail =
        entry->detail ? km_json_parse(entry->detail, strlen(entry->detail), KM_AUDIT_MAX_DETAIL_BYTES, &ignored) : NULL;
    km_json_set(object, "detail", detail ? detail : km_json_new_null()); /* a damaged one is for verify to say */
    km_json_set_bool(object, "erased", entry->erased);
    km_json_set_string(object, "hash", entry->hash);
    return KM_OK;
}

static enum km_code act_list(const struct request *request, int *out_status, struct km_err *err)
{
    int64_t after = km_options_integer(request->options, "after");
    size_t limit = (size_t)km_options_integer(request->options, "limit");
    *out_status = KM_EXIT_OK;
    if (!request->json)
        return km_audit_list(request->desk, after, limit, NULL, print_entry, err);
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *list = km_json_new_array();
    km_json_set_string(document, "schema", "komainu.audit/1");
    km_json_set(document, "entries", list);
    enum km_code code = km_audit_list(request->desk, after, limit, list, append_entry, err);
    return code == KM_OK ? km_document_print(document, err) : code;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    static const struct {
        const char *name;
        enum km_code (*act)(const struct request *request, int *out_status, struct km_err *err);
    } actions[] = {{"verify", act_verify}, {"list", act_list}, {"head", act_head}};
    struct km_err err = KM_ERR_INIT;
    struct request request = {.options = options, .json = strcmp(km_options_text(options, "format"), "json") == 0};
    int status = KM_EXIT_ERROR;
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count == 1 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count != 1 || a == count) {
        fprintf(stderr, "komainu: audit: verify | list | head\n");
        return KM_EXIT_ERROR;
    }
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) =
        km_desk_link_store("audit", km_options_text(options, "store"), &request.place, &err);
    request.desk = desk;
    if (!desk || actions[a].act(&request, &status, &err) != KM_OK) {
        fprintf(stderr, "komainu: audit: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return status;
}

const struct km_cmd km_cmd_audit = {"audit", "verify | list | head", "check and read the log of what was decided", rows,
                                    run};
