#define KM_TEST_NAME "decision"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "finding/decision.h"

#define DAY_NS (24 * 3600 * KM_NS_PER_S)

static struct km_decision_list *list_of(const char *text)
{
    struct km_err err = KM_ERR_INIT;
    struct km_decision_list *list = km_decision_list_parse(text, strlen(text), &err);
    if (!list)
        fail_msg("%s", err.text);
    return list;
}

static const struct km_decision *find(struct km_decision_list *list, const char *path, const char *sha256, int64_t now)
{
    const struct km_finding finding = {.subject = {.path = path, .sha256 = sha256}};
    struct km_decisions decisions = km_decision_list_decisions(list);
    return decisions.find(decisions.context, &finding, now);
}

static void a_date_includes_its_day(void **state)
{
    (void)state;
    struct km_decision_list *list =
        list_of("- {path: 'a*', decision: benign-until, until: 1970-01-10, who: w, note: n}");
    assert_non_null(find(list, "abc", NULL, 10 * DAY_NS - 1));
    assert_null(find(list, "abc", NULL, 10 * DAY_NS));
    assert_null(find(list, "xyz", NULL, 0));
    assert_int_equal(km_decision_list_expired(list, 10 * DAY_NS - 1), 0);
    assert_int_equal(km_decision_list_expired(list, 10 * DAY_NS), 1);
    km_decision_list_free(list);
}

static void content_is_pinned(void **state)
{
    (void)state;
    char hex[65], text[256];
    memset(hex, 'A', 64);
    hex[64] = '\0';
    snprintf(text, sizeof text, "- {path: p, decision: benign-once, who: w, note: n, sha256: %s}", hex);
    struct km_decision_list *list = list_of(text);
    memset(hex, 'a', 64);
    assert_non_null(find(list, "p", hex, 0));
    hex[10] = 'b';
    assert_null(find(list, "p", hex, 0));
    assert_null(find(list, "p", NULL, 0));
    km_decision_list_free(list);
}

static void the_first_that_fits_counts(void **state)
{
    (void)state;
    struct km_decision_list *list = list_of("- {path: 'usr/*', decision: attack, who: w, note: first}\n"
                                            "- {path: '*', decision: suspicious, who: w, note: second}\n");
    assert_string_equal(find(list, "usr/bin/x", NULL, 0)->note, "first");
    assert_int_equal(find(list, "opt/x", NULL, 0)->kind, KM_DECISION_SUSPICIOUS);
    km_decision_list_free(list);
}

static void an_empty_file_decides_nothing(void **state)
{
    (void)state;
    struct km_decision_list *list = list_of("");
    assert_null(find(list, "x", NULL, 0));
    km_decision_list_free(list);
}

static void what_is_incomplete_is_refused_and_named(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a: b", "a list of decisions"},
        {"- text", "decision 1: a mapping"},
        {"- {path: p, decision: attack, who: w, note: n}\n- {decision: attack, who: w, note: n}",
         "decision 2: 'path' is missing"},
        {"- {path: p, decision: attack, who: w}", "'note' is missing"},
        {"- {path: p, decision: attack, note: n}", "'who' is missing"},
        {"- {path: p, decision: maybe, who: w, note: n}", "'maybe' is no decision"},
        {"- {path: p, decision: benign-until, who: w, note: n}", "needs 'until'"},
        {"- {path: p, decision: benign-until, who: w, note: n, until: tomorrow}", "'tomorrow' is no date"},
        {"- {path: p, decision: benign-until, who: w, note: n, until: 2027-1-1}", "is no date"},
        {"- {path: p, decision: benign-learn, who: w, note: n}", "needs 'sha256'"},
        {"- {path: p, decision: attack, who: w, note: n, sha256: abc}", "64 hexadecimal digits"},
        {"- {path: p, decision: attack, who: w, note: 5}", "'note' is no text"},
        {"- {path: p, decision: attack, who: w, note: n, why: x}", "'why' is not known"},
        {"- [", "line"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_null(km_decision_list_parse(bad[i][0], strlen(bad[i][0]), &err));
        if (!strstr(err.text, bad[i][1]))
            fail_msg("'%s' says '%s', not '%s'", bad[i][0], err.text, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_date_includes_its_day),
        cmocka_unit_test(content_is_pinned),
        cmocka_unit_test(the_first_that_fits_counts),
        cmocka_unit_test(an_empty_file_decides_nothing),
        cmocka_unit_test(what_is_incomplete_is_refused_and_named),
    };
    return KM_RUN_TESTS(tests);
}
