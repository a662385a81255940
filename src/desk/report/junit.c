#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "desk/report/report_internal.h"

#define MAX_MESSAGE_BYTES ((size_t)64 << 10)

/* XML 1.0 has no way to write control characters: km_text_escape has turned them into printable ones before. */
static enum km_code append_xml(const char *text, struct km_buf *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (const char *c = text; *c && code == KM_OK; c++) {
        const char *entity = *c == '&'    ? "&amp;"
                             : *c == '<'  ? "&lt;"
                             : *c == '>'  ? "&gt;"
                             : *c == '"'  ? "&quot;"
                             : *c == '\'' ? "&apos;"
                                          : NULL;
        code = entity ? km_buf_append_text(out, entity, err) : km_buf_append(out, c, 1, err);
    }
    return code;
}

static enum km_code append_hostile(const char *raw, struct km_buf *out, struct km_err *err)
{
    size_t room = KM_TEXT_ESCAPED_MAX(strlen(raw));
    char *text = km_calloc(room, 1, SIZE_MAX, err);
    if (!text)
        return err->code;
    km_text_escape(raw, strlen(raw), text, room);
    enum km_code code = append_xml(text, out, err);
    free(text);
    return code;
}

static bool is_failure(const struct km_finding *finding)
{
    return finding->verdict == KM_VERDICT_SUSPICIOUS || finding->verdict == KM_VERDICT_MALICIOUS;
}

static enum km_code append_case(const struct km_finding *finding, struct km_buf *out, struct km_err *err)
{
    struct km_buf message;
    km_buf_init(&message, MAX_MESSAGE_BYTES);
    enum km_code code = km_report_append_message(finding, &message, err);
    if (code == KM_OK)
        code = km_buf_append_format(out, err, "    <testcase classname=\"komainu.%s\" name=\"", finding->kind);
    if (code == KM_OK)
        code = append_hostile(km_report_subject_name(finding), out, err);
    if (code == KM_OK)
        code = km_buf_append_format(out, err, "\">\n      <failure type=\"%s\" message=\"",
                                    km_verdict_to_string(finding->verdict));
    if (code == KM_OK)
        code = append_xml(km_buf_text(&message), out, err);
    if (code == KM_OK)
        code = km_buf_append_text(out, "\"/>\n    </testcase>\n", err);
    km_buf_done(&message);
    return code;
}

/* Whether everything was examined is a test of its own: a suite that only counts findings would call a gap success. */
static enum km_code append_coverage(const struct km_result *result, struct km_buf *out, struct km_err *err)
{
    const struct km_outcome *outcome = &result->outcome;
    enum km_code code = km_buf_append_text(out, "    <testcase classname=\"komainu\" name=\"coverage\"", err);
    if (code == KM_OK && outcome->error) {
        code = km_buf_append_text(out, ">\n      <error type=\"error\" message=\"", err);
        if (code == KM_OK)
            code = append_xml(outcome->error->text, out, err);
        return code == KM_OK ? km_buf_append_text(out, "\"/>\n    </testcase>\n", err) : code;
    }
    if (code == KM_OK && outcome->coverage.gaps > 0)
        return km_buf_append_format(out, err,
                                    ">\n      <failure type=\"incomplete\" message=\"%llu gaps: not everything was "
                                    "examined\"/>\n    </testcase>\n",
                                    (unsigned long long)outcome->coverage.gaps);
    return code == KM_OK ? km_buf_append_text(out, "/>\n", err) : code;
}

static enum km_code append_suite(const struct km_result *result, struct km_buf *out, struct km_err *err)
{
    const struct km_outcome *outcome = &result->outcome;
    bool failed = outcome->error != NULL, incomplete = !failed && outcome->coverage.gaps > 0;
    size_t failures = incomplete;
    for (size_t i = 0; i < result->finding_count; i++)
        failures += is_failure(&result->findings[i]);
    enum km_code code = km_buf_append_text(out, "  <testsuite name=\"", err);
    if (code == KM_OK)
        code = append_hostile(result->target.name, out, err);
    if (code == KM_OK)
        code = km_buf_append_format(out, err, "\" tests=\"%zu\" failures=\"%zu\" errors=\"%d\" time=\"%.3f\">\n",
                                    failures - incomplete + 1, failures, failed, outcome->seconds);
    if (code == KM_OK)
        code = append_coverage(result, out, err);
    for (size_t i = 0; i < result->finding_count && code == KM_OK; i++)
        if (is_failure(&result->findings[i]))
            code = append_case(&result->findings[i], out, err);
    return code == KM_OK ? km_buf_append_text(out, "  </testsuite>\n", err) : code;
}

static enum km_code write_junit(const struct km_results *results, int64_t now_wall_ns, struct km_buf *out,
                                struct km_err *err)
{
    (void)now_wall_ns;
    enum km_code code =
        km_buf_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"komainu\">\n", err);
    for (size_t i = 0; i < km_results_count(results) && code == KM_OK; i++)
        code = append_suite(km_results_get(results, i), out, err);
    return code == KM_OK ? km_buf_append_text(out, "</testsuites>\n", err) : code;
}

const struct km_report_format km_report_junit = {"junit", write_junit};
