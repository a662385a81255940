#define KM_TEST_NAME "strange"
#include "../cm.h"

#include <stdlib.h>

#include "finding/strange.h"

static const char *formatted(const char *const *names, char *out)
{
    struct km_strange strange = {0};
    for (; *names; names++)
        km_strange_add(&strange, "act", *names);
    km_strange_format(&strange, out);
    return out;
}
#define KEYS(out, ...) formatted((const char *const[]){__VA_ARGS__, NULL}, out)

static void order_and_repetition_do_not_matter(void **state)
{
    (void)state;
    char a[KM_STRANGE_TEXT_BYTES], b[KM_STRANGE_TEXT_BYTES];
    assert_string_equal(KEYS(a, "x", "y", "x"), KEYS(b, "y", "x"));
    assert_int_equal(strlen(a), 2 * KM_STRANGE_KEY_DIGITS + 1);
    struct km_strange other = {0};
    km_strange_add(&other, "rule", "x"); /* of another kind */
    km_strange_add(&other, "role", "x");
    km_strange_format(&other, b);
    assert_false(km_strange_covers(b, KEYS(a, "x", "y")));
}

static void the_key_is_the_first_half_of_a_sha256(void **state)
{
    (void)state;
    char a[KM_STRANGE_TEXT_BYTES];
    assert_string_equal(KEYS(a, "exec /bin/sh"), "64e516c8d04d5092");
}

static void a_part_is_covered_and_an_addition_is_not(void **state)
{
    (void)state;
    char decided[KM_STRANGE_TEXT_BYTES], found[KM_STRANGE_TEXT_BYTES];
    (void)KEYS(decided, "a", "b", "c");
    assert_true(km_strange_covers(decided, decided));
    assert_true(km_strange_covers(decided, KEYS(found, "a")));
    assert_true(km_strange_covers(decided, KEYS(found, "b", "c")));
    assert_false(km_strange_covers(decided, KEYS(found, "a", "d")));
    assert_false(km_strange_covers(decided, KEYS(found, "a", "b", "c", "d")));
    assert_false(km_strange_covers(decided, KEYS(found, "d")));
}

static void nothing_and_damage_cover_nothing(void **state)
{
    (void)state;
    char keys[KM_STRANGE_TEXT_BYTES];
    static const char *const damaged[] = {
        "", "named", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdef,0123456789abcdef"};
    (void)KEYS(keys, "a");
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        assert_false(km_strange_covers(damaged[i], keys));
        assert_false(km_strange_covers(keys, damaged[i]));
        assert_false(km_strange_covers(damaged[i], damaged[i]));
    }
}

static void steps_cover_as_many_and_fewer(void **state)
{
    (void)state;
    char few[KM_STRANGE_TEXT_BYTES], many[KM_STRANGE_TEXT_BYTES];
    struct km_strange a = {0}, b = {0};
    km_strange_add_steps(&a, "rate", 3);
    km_strange_add_steps(&b, "rate", 4);
    km_strange_format(&a, few);
    km_strange_format(&b, many);
    assert_true(km_strange_covers(many, few));
    assert_false(km_strange_covers(few, many));
}

static void fill(struct km_strange *strange, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%u", i);
        km_strange_add(strange, "window", name);
    }
}

static void beyond_the_limit_only_the_same_is_covered(void **state)
{
    (void)state;
    static struct km_strange full, over, again, further;
    char a[KM_STRANGE_TEXT_BYTES], b[KM_STRANGE_TEXT_BYTES], c[KM_STRANGE_TEXT_BYTES], d[KM_STRANGE_TEXT_BYTES];
    fill(&full, KM_STRANGE_MAX);
    fill(&over, KM_STRANGE_MAX + 5);
    fill(&again, KM_STRANGE_MAX + 5);
    fill(&further, KM_STRANGE_MAX + 6);
    km_strange_format(&full, a);
    km_strange_format(&over, b);
    km_strange_format(&again, c);
    km_strange_format(&further, d);
    assert_int_equal(strlen(b), KM_STRANGE_TEXT_BYTES - 1);
    assert_true(km_strange_covers(b, c));
    assert_true(km_strange_covers(b, a));
    assert_false(km_strange_covers(a, b));
    assert_false(km_strange_covers(b, d));
    assert_false(km_strange_covers(d, b));
}

static void what_failed_is_not_told(void **state)
{
    (void)state;
    char text[KM_STRANGE_TEXT_BYTES] = "x";
    struct km_strange strange = {0};
    km_strange_add(&strange, "act", "a");
    strange.failed = true;
    km_strange_format(&strange, text);
    assert_string_equal(text, "");
}

static void salted_keys_cover_alike_and_tell_nothing(void **state)
{
    (void)state;
    static const uint8_t salt[16] = {1}, other[16] = {2};
    struct km_err err = KM_ERR_INIT;
    char plain[KM_STRANGE_TEXT_BYTES], a[KM_STRANGE_TEXT_BYTES], b[KM_STRANGE_TEXT_BYTES], c[KM_STRANGE_TEXT_BYTES];
    assert_ok(km_strange_salt(KEYS(plain, "a", "b"), salt, sizeof salt, a, &err), err);
    assert_ok(km_strange_salt(KEYS(plain, "b"), salt, sizeof salt, b, &err), err);
    assert_ok(km_strange_salt(plain, other, sizeof other, c, &err), err);
    assert_true(km_strange_covers(a, b));
    assert_false(km_strange_covers(b, a));
    assert_false(km_strange_covers(a, plain));
    assert_string_not_equal(b, c);
    assert_int_equal(km_strange_salt("named", salt, sizeof salt, a, &err), KM_FORMAT);
    assert_true(km_strange_covers(a, b)); /* untouched */
    assert_ok(km_strange_salt("", salt, sizeof salt, a, &err), err);
    assert_string_equal(a, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_repetition_do_not_matter),
        cmocka_unit_test(the_key_is_the_first_half_of_a_sha256),
        cmocka_unit_test(a_part_is_covered_and_an_addition_is_not),
        cmocka_unit_test(nothing_and_damage_cover_nothing),
        cmocka_unit_test(steps_cover_as_many_and_fewer),
        cmocka_unit_test(beyond_the_limit_only_the_same_is_covered),
        cmocka_unit_test(what_failed_is_not_told),
        cmocka_unit_test(salted_keys_cover_alike_and_tell_nothing),
    };
    return KM_RUN_TESTS(tests);
}
