#define KM_TEST_NAME "report"
#include "../cm.h"

#include <string.h>

#include "desk/report/report.h"
#include "desk/report/report_internal.h"
#include "finding/evidence.h"

static struct km_evidence evidence[2] = {
    {.id = KM_EVIDENCE_EXECUTABLE, .weight = 1, .arg_count = 1, .args = {{.name = "format", .text = "ELF"}}},
    {.id = KM_EVIDENCE_HIDDEN_NAME, .weight = 2, .arg_count = 1, .args = {{.name = "name", .text = ".x"}}},
};

static struct km_finding make_finding(void)
{
    return (struct km_finding){.kind = "file",
                               .subject = {.path = "a/.x", .sha256 = "00", .layer_index = -1, .size_bytes = 3},
                               .verdict = KM_VERDICT_SUSPICIOUS,
                               .score = 0.5,
                               .confidence = 1,
                               .evidence_count = 2,
                               .evidence = evidence};
}

static void formats_are_found_by_their_whole_name(void **state)
{
    (void)state;
    static const char *const names[] = {"sarif", "stix", "junit", "ecs"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(km_report_find_format(names[i], strlen(names[i]))->name, names[i]);
    assert_non_null(km_report_find_format("sarif=file", 5));
    assert_null(km_report_find_format("sari", 4));
    assert_null(km_report_find_format("sarifs", 6));
    assert_null(km_report_find_format("", 0));
}

static void message_says_what_and_what_to_do(void **state)
{
    (void)state;
    struct km_finding finding = make_finding();
    struct km_err err = KM_ERR_INIT;
    struct km_buf text;
    km_buf_init(&text, 4096);
    assert_ok(km_report_append_message(&finding, &text, &err), err);
    assert_string_equal(km_buf_text(&text), "a/.x: it is executable (ELF); its name is hidden (.x).");
    assert_string_equal(km_report_dominant(&finding)->id, KM_EVIDENCE_HIDDEN_NAME);
    km_buf_done(&text);
    km_buf_init(&text, 8);
    assert_int_equal(km_report_append_message(&finding, &text, &err), KM_LIMIT);
    km_buf_done(&text);
}

/* The image, the layer and the score may change: it stays the same finding. */
static void fingerprint_is_of_content_and_reason(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char first[KM_SHA256_HEX_BYTES], other[KM_SHA256_HEX_BYTES];
    struct km_finding finding = make_finding();
    assert_ok(km_report_fingerprint(&finding, first, &err), err);
    finding.score = 0.9;
    finding.subject.image = "app:2";
    finding.subject.layer = "sha256:11";
    assert_ok(km_report_fingerprint(&finding, other, &err), err);
    assert_string_equal(first, other);
    finding.subject.path = "a/.y";
    assert_ok(km_report_fingerprint(&finding, other, &err), err);
    assert_string_not_equal(first, other);
    finding = make_finding();
    finding.subject.sha256 = "01";
    assert_ok(km_report_fingerprint(&finding, other, &err), err);
    assert_string_not_equal(first, other);
    finding = make_finding();
    finding.evidence_count = 1;
    assert_ok(km_report_fingerprint(&finding, other, &err), err);
    assert_string_not_equal(first, other);
}

static void every_format_stands_no_results_and_a_small_room(void **state)
{
    (void)state;
    static const char *const names[] = {"sarif", "stix", "junit", "ecs"};
    struct km_err err = KM_ERR_INIT;
    struct km_results *results = km_results_new(4096, &err);
    assert_non_null(results);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct km_buf text;
        km_buf_init(&text, (size_t)1 << 20);
        const struct km_report_format *format = km_report_find_format(names[i], strlen(names[i]));
        assert_ok(format->write(results, 0, &text, &err), err);
        assert_true(text.length > 0 || strcmp(names[i], "ecs") == 0);
        km_buf_done(&text);
        km_buf_init(&text, 16);
        if (strcmp(names[i], "ecs") != 0)
            assert_int_equal(format->write(results, 0, &text, &err), KM_LIMIT);
        km_buf_done(&text);
    }
    km_results_free(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_found_by_their_whole_name),
        cmocka_unit_test(message_says_what_and_what_to_do),
        cmocka_unit_test(fingerprint_is_of_content_and_reason),
        cmocka_unit_test(every_format_stands_no_results_and_a_small_room),
    };
    return KM_RUN_TESTS(tests);
}
