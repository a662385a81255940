#define KM_TEST_NAME "policy"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "container/scan/policy.h"

static void the_first_rule_that_fits_decides(void **state)
{
    (void)state;
    static const char text[] =
        "# comment\n\n  skip /usr/share/doc/** \nwhole usr/share/doc/x\r\nfragments\tvar/**.img\n"
        "metadata srv/*/a?c\nskip **/node_modules/**/test/*.js\nmetadata [x]*";
    static const struct {
        const char *path;
        enum km_policy_mode mode;
    } rows[] = {
        {"usr/share/doc/x", KM_POLICY_SKIP},
        {"usr/share/doc/a/b/c", KM_POLICY_SKIP},
        {"usr/share/docs", KM_POLICY_WHOLE},
        {"usr/share/doc", KM_POLICY_WHOLE},
        {"var/lib/a.img", KM_POLICY_FRAGMENTS},
        {"var/.img", KM_POLICY_FRAGMENTS},
        {"var/a.img.gz", KM_POLICY_WHOLE},
        {"srv/one/abc", KM_POLICY_METADATA},
        {"srv/one/two/abc", KM_POLICY_WHOLE},
        {"srv//abc", KM_POLICY_METADATA},
        {"srv/one/a/c", KM_POLICY_WHOLE},
        {"app/node_modules/x/y/test/z.js", KM_POLICY_SKIP},
        {"app/node_modules/x/test/y/test/z.js", KM_POLICY_SKIP},
        {"app/node_modules/x/y/test/q/z.js", KM_POLICY_WHOLE},
        {"[x]abc", KM_POLICY_METADATA}, /* brackets are nothing special */
        {"xabc", KM_POLICY_WHOLE},
        {"", KM_POLICY_WHOLE},
    };
    struct km_err err = KM_ERR_INIT;
    struct km_policy *policy = km_policy_parse("own", text, strlen(text), &err);
    assert_non_null(policy);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (km_policy_find(policy, rows[i].path) != rows[i].mode)
            fail_msg("'%s': %s", rows[i].path, km_policy_mode_to_string(km_policy_find(policy, rows[i].path)));
    km_policy_free(policy);
    assert_int_equal(km_policy_find(NULL, "x"), KM_POLICY_WHOLE);
}

static void bad_rules_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *says;
    } rows[] = {
        {"skip a\nsometimes b\n", 0, "own:2"}, {"skip\n", 0, "own:1"},      {"\n\nskip  /\n", 0, "own:3"},
        {"skip a\0b\n", 9, "own:1"},           {"skipped a", 0, "skipped"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        size_t length = rows[i].length ? rows[i].length : strlen(rows[i].text);
        assert_null(km_policy_parse("own", rows[i].text, length, &err));
        assert_int_equal(err.code, KM_FORMAT);
        if (!strstr(err.text, rows[i].says))
            fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
    }
    struct km_err err = KM_ERR_INIT;
    assert_null(km_policy_load("/nonexistent/policy", &err));
    assert_int_equal(err.code, KM_NOTFOUND);
}

/* Many stars against a long name that does not fit must end. */
static void hostile_globs_end(void **state)
{
    (void)state;
    static char text[2100], path[4096];
    size_t at = (size_t)snprintf(text, sizeof text, "skip ");
    while (at + 3 < 2000)
        at += (size_t)snprintf(text + at, sizeof text - at, at % 2 ? "**a" : "*a");
    (void)snprintf(text + at, sizeof text - at, "b");
    memset(path, 'a', sizeof path - 1);
    struct km_err err = KM_ERR_INIT;
    struct km_policy *policy = km_policy_parse("own", text, strlen(text), &err);
    assert_non_null(policy);
    assert_int_equal(km_policy_find(policy, path), KM_POLICY_WHOLE);
    km_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_fits_decides),
        cmocka_unit_test(bad_rules_name_their_line),
        cmocka_unit_test(hostile_globs_end),
    };
    return KM_RUN_TESTS(tests);
}
