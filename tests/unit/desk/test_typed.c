#define KM_TEST_NAME "typed"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "desk/triage/runbook.h"
#include "desk/triage/search.h"
#include "desk/triage/when.h"

#define SECOND INT64_C(1000000000)
#define NOW    (INT64_C(1700000000) * SECOND)

static void times_have_four_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum km_when_side side;
        int64_t seconds;
    } cases[] = {
        {"1970-01-02", KM_WHEN_PAST, 86400},
        {"1970-01-02", KM_WHEN_FUTURE, 2 * 86400},
        {"2024-02-29", KM_WHEN_PAST, 1709164800},
        {"1970-01-01T00:01:05Z", KM_WHEN_PAST, 65},
        {"1970-01-01T00:01:05Z", KM_WHEN_FUTURE, 65},
        {"30m", KM_WHEN_PAST, 1700000000 - 1800},
        {"36h", KM_WHEN_FUTURE, 1700000000 + 36 * 3600},
        {"7d", KM_WHEN_PAST, 1700000000 - 7 * 86400},
        {"2w", KM_WHEN_FUTURE, 1700000000 + 14 * 86400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        int64_t ns = 0;
        assert_ok(km_when_parse(cases[i].text, cases[i].side, NOW, &ns, &err), err);
        assert_true(ns == cases[i].seconds * SECOND);
    }
}

static void other_times_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "7",
                                        "d",
                                        "0d",
                                        "-7d",
                                        "7 d",
                                        "1234567d",
                                        "7y",
                                        "2023-02-29",
                                        "2024-13-01",
                                        "2024-1-1",
                                        "2024-01-01T00:00:00",
                                        "2024-01-01 ",
                                        "yesterday",
                                        "2024-01-01T25:00:00Z"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        int64_t ns = 5;
        if (km_when_parse(cases[i], KM_WHEN_PAST, NOW, &ns, &err) != KM_FORMAT)
            fail_msg("'%s' was taken", cases[i]);
        assert_true(ns == 5);
    }
    struct km_err err = KM_ERR_INIT;
    int64_t ns = 5;
    assert_int_equal(km_when_parse("9999-01-01", KM_WHEN_PAST, NOW, &ns, &err), KM_LIMIT);
    assert_int_equal(km_when_parse("100000w", KM_WHEN_PAST, NOW, &ns, &err), KM_LIMIT);
}

static void searches_become_quoted_expressions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"nginx", "(\"nginx\"*)"},
        {" a  b ", "(\"a\"* AND \"b\"*)"},
        {"\"etc shadow\"", "(\"etc shadow\")"},
        {"a -b -c", "(\"a\"*) NOT (\"b\"* OR \"c\"*)"},
        {"path:etc", "(path : \"etc\"*)"},
        {"daemon:\"ng inx\"", "(unit : \"ng inx\")"},
        {"a OR b", "(\"a\"* AND \"OR\"* AND \"b\"*)"},
        {"NEAR(a)", "(\"NEAR(a)\"*)"},
        {"a\"b\"", "(\"a\"* AND \"b\")"},
        {"a ... *", "(\"a\"*)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_buf out;
        km_buf_init(&out, 4096);
        assert_ok(km_search_format(cases[i][0], &out, &err), err);
        char expected[256];
        snprintf(expected, sizeof expected, "{image path unit package dominant sha256} : (%s)", cases[i][1]);
        assert_string_equal(km_buf_text(&out), expected);
        km_buf_done(&out);
    }
}

static void a_search_for_nothing_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "   ", "-a", "\"open", "...", "path:"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_buf out;
        km_buf_init(&out, 4096);
        assert_int_equal(km_search_format(cases[i], &out, &err), KM_FORMAT);
        assert_int_equal(out.length, 0);
        km_buf_done(&out);
    }
}

static void a_search_is_limited(void **state)
{
    (void)state;
    char text[KM_SEARCH_MAX_BYTES + 2];
    struct km_err err = KM_ERR_INIT;
    struct km_buf out;
    km_buf_init(&out, 16384);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(km_search_format(text, &out, &err), KM_LIMIT);
    for (size_t i = 0; i < 2 * (KM_SEARCH_MAX_TERMS + 1); i++)
        text[i] = i % 2 ? ' ' : 'a';
    text[(size_t)2 * (KM_SEARCH_MAX_TERMS + 1)] = '\0';
    assert_int_equal(km_search_format(text, &out, &err), KM_LIMIT);
    km_buf_done(&out);
}

static void every_kind_of_finding_has_a_runbook(void **state)
{
    (void)state;
    assert_string_equal(km_runbook_find("file", "package.changed")->evidence, "package.changed");
    assert_string_equal(km_runbook_find("daemon", "first.exec /bin/sh")->evidence, "first.exec");
    assert_string_equal(km_runbook_find("daemon", "first.bind x")->evidence, "first.");
    assert_non_null(strstr(km_runbook_find("file", "unheard.of")->title, "file"));
    assert_non_null(strstr(km_runbook_find("daemon", "unheard.of")->title, "daemon"));
    size_t count = 0;
    for (const struct km_runbook *runbook; (runbook = km_runbook_get(count)); count++) {
        assert_non_null(runbook->title);
        assert_non_null(runbook->look[0]);
        assert_non_null(runbook->recover[0]);
        assert_non_null(runbook->tell);
    }
    assert_true(count > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_have_four_forms),
        cmocka_unit_test(other_times_are_refused),
        cmocka_unit_test(searches_become_quoted_expressions),
        cmocka_unit_test(a_search_for_nothing_is_refused),
        cmocka_unit_test(a_search_is_limited),
        cmocka_unit_test(every_kind_of_finding_has_a_runbook),
    };
    return KM_RUN_TESTS(tests);
}
