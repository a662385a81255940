#define KM_TEST_NAME "recipe"
#include "unit/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container/lab/recipe.h"

#define HEAD "# komainu-recipe 1\n"
#define A64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void reads_a_row(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "#role\tcomment\n"
             "hard\tvalid\tlibz+1\tbookworm\tamd64\tzstd\t1:2.0~rc-1\tc\t4711\t" A64 "\tpool/main/z/zstd_1%3a2.deb\n";
    struct km_recipes recipes;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_recipe_parse(text, strlen(text), &recipes, &err), err);
    assert_int_equal(recipes.count, 1);
    const struct km_recipe *row = &recipes.rows[0];
    assert_int_equal(row->role, KM_RECIPE_HARD);
    assert_int_equal(row->split, KM_RECIPE_VALID);
    assert_string_equal(row->family, "libz+1");
    assert_string_equal(row->version, "1:2.0~rc-1");
    assert_int_equal(row->bytes, 4711);
    assert_int_equal(row->sha256[31], 0xAA);
    assert_string_equal(row->path, "pool/main/z/zstd_1%3a2.deb");
    km_recipe_done(&recipes);
}

static void refuses_what_is_no_recipe(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        enum km_code code;
    } cases[] = {
        {"", "line 1: no recipe table", KM_FORMAT},
        {"# komainu-recipe 2\n", "line 1: version '2'", KM_UNSUPPORTED},
        {HEAD, "no recipes", KM_FORMAT},
        {HEAD "evil\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\n", "'evil' is no role", KM_FORMAT},
        {HEAD "hard\tlater\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\n", "'later' is no split", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\t../p\t1\tc\t1\t" A64 "\tpool/x\n", "'../p' is no name", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\t-p\t1\tc\t1\t" A64 "\tpool/x\n", "'-p' is no name", KM_FORMAT},
        {HEAD "hard\ttrain\t\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\n", "'' is no name", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t0\t" A64 "\tpool/x\n", "no bytes", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1x\t" A64 "\tpool/x\n", "'1x' is not a number", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t99999999999999999999\t" A64 "\tpool/x\n", "is not a number", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\tabc\tpool/x\n", "is no SHA-256", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\t/etc/passwd\n", "is no path", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/../x\n", "is no path", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/a b\n", "is no path", KM_FORMAT},
        {HEAD "hard\ttrain\tf\n", "line 2: 3 fields instead of 11", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\ty\n", "more than 11 fields", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\n"
              "benign\ttest\tf\ts\ta\tq\t1\tc\t1\t" B64 "\tpool/y\n",
         "family f is in", KM_FORMAT},
        {HEAD "hard\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\n"
              "hard\ttrain\tf\ts\ta\tq\t1\tc\t1\t" A64 "\tpool/y\n",
         "is there twice", KM_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_recipes recipes = {0};
        struct km_err err = KM_ERR_INIT;
        assert_int_equal(km_recipe_parse(cases[i].text, strlen(cases[i].text), &recipes, &err), cases[i].code);
        if (!strstr(err.text, cases[i].says))
            fail_msg("case %zu: '%s' does not say '%s'", i, err.text, cases[i].says);
        assert_null(recipes.rows);
    }
}

static void a_positive_family_may_be_named_as_a_benign_one(void **state)
{
    (void)state;
    static const char text[] = HEAD "positive\ttrain\tf\ts\ta\tp\t1\tc\t1\t" A64 "\tpool/x\n"
                                    "benign\ttest\tf\ts\ta\tq\t1\tc\t1\t" B64 "\tpool/y\n";
    struct km_recipes recipes;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_recipe_parse(text, strlen(text), &recipes, &err), err);
    assert_int_equal(recipes.count, 2);
    km_recipe_done(&recipes);
}

static void a_nul_ends_nothing(void **state)
{
    (void)state;
    static const char text[] = HEAD "\0hidden";
    struct km_recipes recipes;
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_recipe_parse(text, sizeof text - 1, &recipes, &err), KM_FORMAT);
    assert_string_equal(err.text, "a NUL character");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_row),
        cmocka_unit_test(refuses_what_is_no_recipe),
        cmocka_unit_test(a_positive_family_may_be_named_as_a_benign_one),
        cmocka_unit_test(a_nul_ends_nothing),
    };
    return KM_RUN_TESTS(tests);
}
