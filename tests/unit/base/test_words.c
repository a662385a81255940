#define KM_TEST_NAME "words"
#include "../cm.h"

#include <stdlib.h>

#include "base/words.h"

static void names_are_replaced_and_the_rest_stays(void **state)
{
    (void)state;
    static const struct {
        const char *english, *wanted;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"{a}", "one"},
        {"{a}{b}{a}", "onetwoone"},
        {"x {b} y {c} z", "x two y {c} z"},
        {"open { and {a", "open { and {a"},
        {"100 % {a} %s", "100 % one %s"},
        {"{}{a}", "{}one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        km_words_format(out, sizeof out, cases[i].english, "a", "one", "b", "two", NULL);
        assert_string_equal(out, cases[i].wanted);
    }
}

/* What a text brings is not looked at again. */
static void a_text_with_names_in_it_stays_text(void **state)
{
    (void)state;
    char out[64];
    km_words_format(out, sizeof out, "{a} {b}", "a", "{b}", "b", "%s{a}", NULL);
    assert_string_equal(out, "{b} %s{a}");
}

static void what_is_too_long_is_cut(void **state)
{
    (void)state;
    char out[8] = "";
    km_words_format(out, sizeof out, "{a}{a}{a}", "a", "12345", NULL);
    assert_string_equal(out, "1234512");
    char one[1] = {'x'};
    km_words_format(one, sizeof one, "{a}", "a", "12345", NULL);
    assert_int_equal(one[0], '\0');
}

static void a_pause_is_english(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_words_choose("en", &err), err);
    assert_false(km_words_pause(true));
    assert_string_equal(km_words("decisions"), "decisions");
    assert_true(km_words_pause(false));
    assert_int_equal(km_words_choose("fr", &err), KM_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_replaced_and_the_rest_stays),
        cmocka_unit_test(a_text_with_names_in_it_stays_text),
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(a_pause_is_english),
    };
    return KM_RUN_TESTS(tests);
}
