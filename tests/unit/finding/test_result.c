#define KM_TEST_NAME "result"
#include "../cm.h"

#include <string.h>

#include "finding/json_output.h"
#include "finding/result.h"
#include "finding/text_output.h"

#include "base/json.h"

static const struct km_target target = {.name = "tar:a\033.tar", .scheme = "tar"};

static struct km_finding finding_of(const char *path, enum km_verdict verdict, double score)
{
    return (struct km_finding){.kind = "file",
                               .subject = {.path = path, .layer_index = -1, .size_bytes = 3},
                               .verdict = verdict,
                               .score = score,
                               .confidence = 1};
}

static struct km_results *results_of_one(const struct km_finding *findings, size_t count,
                                         const struct km_outcome *outcome)
{
    struct km_err err = KM_ERR_INIT;
    struct km_results *results = km_results_new((size_t)1 << 20, &err);
    assert_non_null(results);
    struct km_sink sink = km_results_sink(results);
    assert_ok(sink.target_begin(sink.context, &target, &err), err);
    for (size_t i = 0; i < count; i++)
        assert_ok(sink.finding(sink.context, &findings[i], &err), err);
    assert_ok(sink.target_end(sink.context, outcome, &err), err);
    return results;
}

static void strongest_findings_come_first(void **state)
{
    (void)state;
    const struct km_finding findings[] = {
        finding_of("b", KM_VERDICT_CLEAN, 0.1),
        finding_of("c", KM_VERDICT_MALICIOUS, 0.9),
        finding_of("a", KM_VERDICT_CLEAN, 0.1),
        finding_of("d", KM_VERDICT_SUSPICIOUS, 0.95),
    };
    const struct km_outcome outcome = {.verdict = KM_VERDICT_MALICIOUS};
    struct km_results *results = results_of_one(findings, 4, &outcome);
    const struct km_result *result = km_results_get(results, 0);
    assert_int_equal(result->finding_count, 4);
    assert_string_equal(result->findings[0].subject.path, "c");
    assert_string_equal(result->findings[1].subject.path, "d");
    assert_string_equal(result->findings[2].subject.path, "a");
    assert_string_equal(result->findings[3].subject.path, "b");
    km_results_free(results);
}

static void strings_are_copied(void **state)
{
    (void)state;
    char path[] = "etc/x", argument[] = "value";
    struct km_evidence evidence = {.id = "a.b", .arg_count = 1};
    evidence.args[0] = (struct km_arg){.name = "n", .type = KM_ARG_TEXT, .text = argument};
    struct km_finding finding = finding_of(path, KM_VERDICT_CLEAN, 0);
    finding.evidence = &evidence;
    finding.evidence_count = 1;
    const struct km_outcome outcome = {.verdict = KM_VERDICT_CLEAN};
    struct km_results *results = results_of_one(&finding, 1, &outcome);
    memset(path, 'z', 5);
    memset(argument, 'z', 5);
    const struct km_finding *kept = &km_results_get(results, 0)->findings[0];
    assert_string_equal(kept->subject.path, "etc/x");
    assert_string_equal(kept->evidence[0].args[0].text, "value");
    km_results_free(results);
}

static void gaps_beyond_the_list_are_counted(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_results *results = km_results_new((size_t)4 << 20, &err);
    struct km_sink sink = km_results_sink(results);
    const struct km_gap gap = {.reason = KM_GAP_DAMAGED, .where = "x", .offset = 5, .bytes = 7};
    assert_ok(sink.target_begin(sink.context, &target, &err), err);
    for (int i = 0; i < KM_RESULT_MAX_GAPS + 5; i++)
        assert_ok(sink.gap(sink.context, &gap, &err), err);
    assert_int_equal(km_results_get(results, 0)->gap_count, KM_RESULT_MAX_GAPS);
    assert_int_equal(km_results_get(results, 0)->gaps_omitted, 5);
    km_results_free(results);
}

static void copies_meet_the_limit(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_results *results = km_results_new(4096, &err);
    struct km_sink sink = km_results_sink(results);
    assert_ok(sink.target_begin(sink.context, &target, &err), err);
    const struct km_finding finding = finding_of("a/rather/long/path/that/takes/room", KM_VERDICT_CLEAN, 0);
    enum km_code code = KM_OK;
    for (int i = 0; i < 1000 && code == KM_OK; i++)
        code = sink.finding(sink.context, &finding, &err);
    assert_int_equal(code, KM_LIMIT);
    km_results_free(results);
}

static void an_unfinished_or_failed_target_is_not_clean(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_results *results = km_results_new((size_t)1 << 20, &err);
    assert_int_equal(km_results_verdict(results), KM_VERDICT_INCOMPLETE);
    struct km_sink sink = km_results_sink(results);
    assert_ok(sink.target_begin(sink.context, &target, &err), err);
    assert_int_equal(km_results_verdict(results), KM_VERDICT_INCOMPLETE);
    struct km_err cause = KM_ERR_INIT;
    km_fail(&cause, KM_IO, "gone");
    const struct km_outcome outcome = {.verdict = KM_VERDICT_CLEAN, .error = &cause};
    assert_ok(sink.target_end(sink.context, &outcome, &err), err);
    assert_int_equal(km_results_verdict(results), KM_VERDICT_INCOMPLETE);
    assert_string_equal(km_results_get(results, 0)->outcome.error->text, "gone");
    km_results_free(results);
}

static struct km_json *json_of(const struct km_results *results, bool as_list)
{
    struct km_err err = KM_ERR_INIT;
    struct km_buf buf;
    km_buf_init(&buf, (size_t)1 << 20);
    assert_ok(km_json_output_format(results, as_list, &buf, &err), err);
    struct km_json *document = km_json_parse(km_buf_text(&buf), buf.length, buf.length, &err);
    km_buf_done(&buf);
    assert_non_null(document);
    return document;
}

static void json_names_hostile_paths_escaped(void **state)
{
    (void)state;
    const struct km_finding finding = finding_of("bad\xff\n", KM_VERDICT_MALICIOUS, 1);
    const struct km_outcome outcome = {.verdict = KM_VERDICT_MALICIOUS, .score = 1, .versions = {.komainu = "0"}};
    struct km_results *results = results_of_one(&finding, 1, &outcome);
    struct km_json *document = json_of(results, false);
    assert_string_equal(km_json_string(document, "schema", ""), KM_SCAN_SCHEMA);
    assert_string_equal(km_json_string(document, "target.name", ""), "tar:a\\x1b.tar");
    assert_string_equal(km_json_string(document, "findings.0.subject.path", ""), "bad\\xff\\n");
    assert_string_equal(km_json_string(document, "verdict", ""), "malicious");
    assert_null(km_json_string(document, "findings.0.subject.layer", NULL));
    km_json_free(document);
    document = json_of(results, true);
    assert_string_equal(km_json_string(document, "schema", ""), KM_SCAN_LIST_SCHEMA);
    assert_int_equal(km_json_size(km_json_find(document, "results")), 1);
    km_json_free(document);
    km_results_free(results);
}

static void json_unknown_sizes_are_null(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_results *results = km_results_new((size_t)1 << 20, &err);
    struct km_sink sink = km_results_sink(results);
    const struct km_gap gap = {.reason = KM_GAP_ENCRYPTED, .where = "x", .offset = UINT64_MAX, .bytes = UINT64_MAX};
    const struct km_outcome outcome = {.verdict = KM_VERDICT_INCOMPLETE, .versions = {.komainu = "0"}};
    assert_ok(sink.target_begin(sink.context, &target, &err), err);
    assert_ok(sink.gap(sink.context, &gap, &err), err);
    assert_ok(sink.target_end(sink.context, &outcome, &err), err);
    struct km_json *document = json_of(results, false);
    const struct km_json *shown = km_json_find(document, "coverage.gaps.0");
    assert_string_equal(km_json_string(shown, "reason", ""), "encrypted");
    assert_true(km_json_bool(shown, "opaque", false));
    assert_int_equal(km_json_type(km_json_find(shown, "bytes")), KM_JSON_NULL);
    km_json_free(document);
    km_results_free(results);
}

static void text_of(const struct km_results *results, bool all, char *out, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    FILE *file = fmemopen(out, size, "w");
    assert_non_null(file);
    const struct km_text_options options = {.show_all = all};
    assert_ok(km_text_output_print(results, &options, file, &err), err);
    fclose(file);
}

static void text_never_rounds_up_to_everything(void **state)
{
    (void)state;
    const struct km_outcome outcome = {
        .verdict = KM_VERDICT_INCOMPLETE,
        .coverage = {
            .bytes_total = 1000000, .bytes_examined = 999999, .files_total = 1234, .files_examined = 1233, .gaps = 1}};
    struct km_results *results = results_of_one(NULL, 0, &outcome);
    char text[4096] = "";
    text_of(results, false, text, sizeof text);
    assert_non_null(strstr(text, "99.9 %"));
    assert_non_null(strstr(text, "1,233 of 1,234 files"));
    assert_non_null(strstr(text, "verdict   incomplete"));
    km_results_free(results);
}

static void text_explains_what_is_above_the_threshold(void **state)
{
    (void)state;
    struct km_evidence evidence = {.id = "package.unowned", .weight = 1.6, .arg_count = 1};
    evidence.args[0] = (struct km_arg){.name = "database", .type = KM_ARG_TEXT, .text = "dpkg"};
    struct km_finding findings[] = {finding_of("low\033", KM_VERDICT_CLEAN, 0.2),
                                    finding_of("high", KM_VERDICT_SUSPICIOUS, 0.6)};
    findings[1].evidence = &evidence;
    findings[1].evidence_count = 1;
    const struct km_outcome outcome = {.verdict = KM_VERDICT_SUSPICIOUS, .score = 0.6};
    struct km_results *results = results_of_one(findings, 2, &outcome);
    char text[4096] = "";
    text_of(results, false, text, sizeof text);
    assert_non_null(strstr(text, "suspicious 0.60  high\n"));
    assert_non_null(strstr(text, "no package of the image's dpkg database owns it (+1.6)"));
    assert_non_null(strstr(text, "what to do: Compare"));
    assert_non_null(strstr(text, "0.20  low\\x1b"));
    assert_null(strchr(text, '\033'));
    km_results_free(results);
}

static void several_images_have_their_own_packages(void **state)
{
    (void)state;
    char database[] = "unusable", detail[] = "bad\x01 line";
    struct km_image_info images[] = {
        {.name = "a:1", .layers = 1, .packages = {.database = "dpkg", .packages = 2, .files_intact = 1234}},
        {.name = "b:1", .layers = 2, .packages = {.database = database, .detail = detail}},
        {.name = "c:1", .layers = 3, .packages = {.database = "none", .packages = 1, .detail = "no lists"}},
        {.name = "d:1", .layers = 4},
    };
    const struct km_integrity sum = {.database = "unusable", .packages = 3, .files_intact = 1234};
    struct km_outcome outcome = {.integrity = &sum, .image_count = 4, .images = images, .versions = {.komainu = "0"}};
    struct km_results *results = results_of_one(NULL, 0, &outcome);
    memset(database, 'x', sizeof database - 1);
    memset(detail, 'x', sizeof detail - 1);
    struct km_json *document = json_of(results, false);
    assert_string_equal(km_json_string(document, "packages.database", ""), "unusable");
    assert_int_equal(km_json_integer(document, "target.images.0.packages.files_intact", 0), 1234);
    assert_string_equal(km_json_string(document, "target.images.1.packages.database", ""), "unusable");
    assert_string_equal(km_json_string(document, "target.images.1.packages.detail", ""), "bad\\x01 line");
    assert_int_equal(km_json_type(km_json_find(document, "target.images.3.packages")), KM_JSON_NULL);
    km_json_free(document);
    char text[4096] = "";
    text_of(results, false, text, sizeof text);
    assert_non_null(strstr(text, "  image     a:1, 1 layer\n"
                                 "  packages  dpkg, 2 packages; files: 1,234 as shipped"));
    assert_non_null(strstr(text, "  image     b:1, 2 layers\n"
                                 "  packages  the package database cannot be used: bad\\x01 line\n"
                                 "  image     c:1, 3 layers\n"
                                 "  packages  no lists; nothing to compare files with\n"
                                 "  image     d:1, 4 layers\n"
                                 "  coverage"));
    km_results_free(results);
    outcome.image_count = 1; /* one image is told by the sum */
    results = results_of_one(NULL, 0, &outcome);
    char single[4096] = "";
    text_of(results, false, single, sizeof single);
    assert_non_null(
        strstr(single, "  image     a:1, 1 layer\n  packages  the package database cannot be used\n  coverage"));
    km_results_free(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strongest_findings_come_first),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(gaps_beyond_the_list_are_counted),
        cmocka_unit_test(copies_meet_the_limit),
        cmocka_unit_test(an_unfinished_or_failed_target_is_not_clean),
        cmocka_unit_test(json_names_hostile_paths_escaped),
        cmocka_unit_test(json_unknown_sizes_are_null),
        cmocka_unit_test(text_never_rounds_up_to_everything),
        cmocka_unit_test(text_explains_what_is_above_the_threshold),
        cmocka_unit_test(several_images_have_their_own_packages),
    };
    return KM_RUN_TESTS(tests);
}
