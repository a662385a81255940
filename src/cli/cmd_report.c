#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/newfile.h"
#include "base/words.h"
#include "cli/alerts_view.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/option_rows.h"
#include "desk/report/html.h"
#include "desk/triage/triage.h"
#include "desk/triage/when.h"

#define MAX_DOCUMENT_BYTES ((size_t)64 << 20)

static const struct km_option rows[] = {
    KM_ROW_DESK_STORE,
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "html|json",
     .fallback = "html",
     .help = "form of the document; json: of the pilot's report alone"},
    {.name = "output",
     .letter = 'o',
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .fallback = "-",
     .only_flag = true,
     .help = "where to write it, at once or not at all; -: standard output"},
    {.name = "since",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .fallback = "30d",
     .only_flag = true,
     .help = "beginning of the period: 2026-11-01, 36h, 30d"},
    {.name = "until",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .only_flag = true,
     .help = "end of the period; unset: now"},
    {.name = "lang",
     .type = KM_OPTION_CHOICE,
     .choices = "en|ja",
     .help = "language; unset: by LC_ALL, LC_MESSAGES and LANG"},
    {0},
};

struct request {
    const struct km_options *options;
    struct km_desk *desk;
    int64_t now_ns;
    bool json;
    int operand_count;
    char **operands;
};

static enum km_code write_pilot(const struct request *request, struct km_buf *out, struct km_err *err)
{
    struct km_kpi_request period = {.until_ns = request->now_ns, .now_ns = request->now_ns};
    const char *until = km_options_text(request->options, "until");
    if (km_when_parse(km_options_text(request->options, "since"), KM_WHEN_PAST, request->now_ns, &period.since_ns,
                      err) != KM_OK ||
        (until && km_when_parse(until, KM_WHEN_PAST, request->now_ns, &period.until_ns, err) != KM_OK))
        return err->code;
    struct km_pilot *pilot KM_CLEANUP(km_pilot_cleanup) = km_pilot_load(request->desk, &period, err);
    if (!pilot)
        return err->code;
    return request->json ? km_report_json_pilot(pilot, request->now_ns, out, err)
                         : km_report_html_pilot(pilot, request->now_ns, out, err);
}

static enum km_code write_document(const struct request *request, struct km_buf *out, struct km_err *err)
{
    if (request->operand_count == 0)
        return write_pilot(request, out, err);
    if (request->json)
        return km_fail(err, KM_UNSUPPORTED,
                       "a page of one incident or container is HTML; as JSON see 'komainu alerts'");
    if (strcmp(request->operands[0], "container") == 0)
        return km_report_html_container(request->desk, request->operands[1], request->now_ns, out, err);
    int64_t id = 0;
    enum km_code code = km_alerts_parse_id(request->operands[1], &id, err);
    return code == KM_OK ? km_report_html_incident(request->desk, id, request->now_ns, out, err) : code;
}

static enum km_code save_document(const struct km_buf *document, const char *path, struct km_err *err)
{
    struct km_newfile *file KM_CLEANUP(km_newfile_cleanup) = km_newfile_open(path, err);
    if (!file)
        return err->code;
    enum km_code code = km_newfile_write(file, document->data, document->length, err);
    return code == KM_OK ? km_newfile_commit(file, err) : code;
}

static enum km_code make_report(struct request *request, struct km_err *err)
{
    struct km_buf document;
    km_buf_init(&document, MAX_DOCUMENT_BYTES);
    enum km_code code = km_triage_run(request->desk, request->now_ns, NULL, err);
    if (code == KM_OK)
        code = write_document(request, &document, err);
    if (code == KM_OK)
        code = save_document(&document, km_options_text(request->options, "output"), err);
    km_buf_done(&document);
    return code;
}

static bool are_operands_right(int count, char **operands)
{
    if (count == 0)
        return true;
    return count == 2 && (strcmp(operands[0], "incident") == 0 || strcmp(operands[0], "container") == 0);
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    enum km_desk_place place;
    struct request request = {.options = options,
                              .now_ns = km_clock_wall_ns(),
                              .json = strcmp(km_options_text(options, "format"), "json") == 0,
                              .operand_count = operand_count,
                              .operands = operands};
    if (!are_operands_right(operand_count, operands)) {
        fprintf(stderr, "komainu: report: nothing | incident ID | container NAME\n");
        return KM_EXIT_ERROR;
    }
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) = NULL;
    if (km_words_choose(km_options_text(options, "lang"), &err) == KM_OK)
        desk = km_desk_link_store("report", km_options_text(options, "store"), &place, &err);
    request.desk = desk;
    if (!desk || make_report(&request, &err) != KM_OK) {
        fprintf(stderr, "komainu: report: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_report = {"report", "[incident ID | container NAME]",
                                     "make a report of the pilot, an incident or a container", rows, run};
