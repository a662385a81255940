#define KM_TEST_NAME "yaml"
#include "../cm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

#define MAX_BYTES ((size_t)8 << 20)

/* One document as compact JSON; the caller releases the buffer. */
static void expect(const char *yaml, const char *json)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *value = km_yaml_parse(yaml, strlen(yaml), MAX_BYTES, &err);
    if (!value)
        fail_msg("%s: %s", yaml, err.text);
    struct km_buf out;
    km_buf_init(&out, MAX_BYTES);
    assert_ok(km_json_format(value, 0, &out, &err), err);
    assert_string_equal(km_buf_text(&out), json);
    km_buf_done(&out);
    km_json_free(value);
}

static void refuse(const char *yaml, enum km_code code, const char *text)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *value = km_yaml_parse(yaml, strlen(yaml), MAX_BYTES, &err);
    if (value || err.code != code || !strstr(err.text, text))
        fail_msg("%s: %s, expected '%s'", yaml, value ? "accepted" : err.text, text);
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "null"},
        {"~", "null"},
        {"NULL", "null"},
        {"nUll", "\"nUll\""},
        {"true", "true"},
        {"FALSE", "false"},
        {"yes", "\"yes\""},
        {"on", "\"on\""},
        {"0", "0"},
        {"-12", "-12"},
        {"+12", "12"},
        {"012", "12"},
        {"0o17", "15"},
        {"0x1F", "31"},
        {"-0x1F", "\"-0x1F\""},
        {"0b1", "\"0b1\""},
        {"1_000", "\"1_000\""},
        {"1.5", "1.5"},
        {"-.5", "-0.5"},
        {"1.", "1.0"},
        {"1e3", "1000.0"},
        {"1e", "\"1e\""},
        {".", "\".\""},
        {"1.2.3", "\"1.2.3\""},
        {"0x", "\"0x\""},
        {"-", "[null]"},
        {"infinity", "\"infinity\""},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "9.22337203685e18"},
        {"12:30", "\"12:30\""},
        {"2001-01-01", "\"2001-01-01\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i][0], rows[i][1]);
}

static void quotes_and_tags_decide_types(void **state)
{
    (void)state;
    expect("['12', \"true\", '']", "[\"12\",\"true\",\"\"]");
    expect("a: |\n  12\n", "{\"a\":\"12\\n\"}");
    expect("a: >-\n  x\n  y\n", "{\"a\":\"x y\"}");
    expect("[!!str 12, ! 12, !!int \"12\", !!float 3, !!bool 'true', !!null '', !other 7]",
           "[\"12\",\"12\",12,3,true,null,7]");
    refuse("a: 1\nb: !!int x", KM_FORMAT, "line 2: a value that is not what its tag says");
}

static void collections_and_keys(void **state)
{
    (void)state;
    expect("b: 1\na:\n- x\n- y: {z: []}\n", "{\"b\":1,\"a\":[\"x\",{\"y\":{\"z\":[]}}]}");
    expect("80: web\ntrue: x\n~: y\n", "{\"80\":\"web\",\"true\":\"x\",\"~\":\"y\"}");
    expect("{a: 1, b}", "{\"a\":1,\"b\":null}");
    refuse("a: 1\nb: 2\na: 3", KM_FORMAT, "line 3: the key 'a' is there twice");
    refuse("? [a]\n: 1", KM_FORMAT, "line 1: a key that is no scalar");
    refuse("? {a: b}\n: 1", KM_FORMAT, "line 1: a key that is no scalar");
    refuse("a: &x 1\n*x : 2", KM_FORMAT, "line 2: an alias as a key");
}

static void aliases_share_values(void **state)
{
    (void)state;
    expect("a: &x [1, 2]\nb: *x\nc: *x", "{\"a\":[1,2],\"b\":[1,2],\"c\":[1,2]}");
    expect("&k key: 1\nb: *k", "{\"key\":1,\"b\":\"key\"}");
    expect("a: &x 1\nb: &x 2\nc: *x", "{\"a\":1,\"b\":2,\"c\":2}");
    refuse("a: *x", KM_FORMAT, "line 1: an alias to an anchor that is not there");
    refuse("--- &x 1\n--- *x", KM_FORMAT, "line 2: an alias to an anchor"); /* anchors end with their document */
    refuse("a: &x [*x]", KM_FORMAT, "line 1: an alias within its own anchor");
    refuse("a: &x 1\nb: &x [*x]", KM_FORMAT, "line 2: an alias within its own anchor");
}

static void merge_keys(void **state)
{
    (void)state;
    expect("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"y\":3,\"x\":1}}");
    expect("a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b]}",
           "{\"a\":{\"x\":1},\"b\":{\"x\":2,\"z\":3},\"c\":{\"x\":1,\"z\":3}}");
    expect("a: {y: 3, <<: {x: 1}}", "{\"a\":{\"y\":3,\"x\":1}}");
    expect("{\"<<\": 1}", "{\"<<\":1}"); /* quoted: a key like others */
    refuse("a: {<<: 1}", KM_FORMAT, "line 1: a merge key (<<) whose value is no mapping");
    refuse("a: {<<: [{}, 1]}", KM_FORMAT, "line 1: a merge key (<<) whose value is no mapping");
}

static void documents_of_a_stream(void **state)
{
    (void)state;
    static const char text[] = "a: 1\n---\n- b\n---\n...\n---\nc\n";
    static const enum km_json_type types[] = {KM_JSON_OBJECT, KM_JSON_ARRAY, KM_JSON_NULL, KM_JSON_STRING};
    struct km_err err = KM_ERR_INIT;
    struct km_yaml *yaml = km_yaml_open(text, strlen(text), MAX_BYTES, &err);
    assert_non_null(yaml);
    struct km_json *value = NULL;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_ok(km_yaml_next(yaml, &value, &err), err);
        assert_non_null(value);
        assert_int_equal(km_json_type(value), types[i]);
        km_json_free(value);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(km_yaml_next(yaml, &value, &err), err);
        assert_null(value);
    }
    km_yaml_close(yaml);
    km_yaml_close(NULL);
    refuse("a\n---\nb", KM_FORMAT, "a second document");
    expect("# nothing\n", "null");
}

static void a_failed_stream_is_over_and_leaves_outputs_alone(void **state)
{
    (void)state;
    static const char text[] = "a: [\n---\nb: 1\n";
    struct km_err err = KM_ERR_INIT;
    struct km_yaml *yaml = km_yaml_open(text, strlen(text), MAX_BYTES, &err);
    assert_non_null(yaml);
    struct km_json *value = (struct km_json *)&err;
    assert_int_equal(km_yaml_next(yaml, &value, &err), KM_FORMAT);
    assert_ptr_equal(value, &err);
    assert_non_null(strstr(err.text, "line 2: "));
    assert_ok(km_yaml_next(yaml, &value, &err), err);
    assert_null(value);
    km_yaml_close(yaml);
}

static void broken_text_is_refused_with_its_line(void **state)
{
    (void)state;
    refuse("a: 1\n b: 2", KM_FORMAT, "line 2: ");
    refuse("a: 'x", KM_FORMAT, "line ");
    refuse("a:\n\t- b", KM_FORMAT, "line 2: ");
    refuse("x: \"a\\0b\"", KM_FORMAT, "line 1: a NUL character");
    refuse("\"a\\0b\": 1", KM_FORMAT, "line 1: a NUL character");
    refuse("a: .inf", KM_FORMAT, "line 1: a value that is no finite number");
    refuse("a: 1e999", KM_FORMAT, "line 1: a value that is no finite number");
    refuse("a: \xff", KM_FORMAT, "line ");
    refuse("a: \x01", KM_FORMAT, "line ");
    refuse("%YAML 9.0\n---\na", KM_FORMAT, "line 1: ");
}

/* Each line refers to the one before ten times. */
static void billion_laughs_meets_the_limit_of_values(void **state)
{
    (void)state;
    char text[4096] = "a0: &a0 [x, x]\n";
    size_t used = strlen(text);
    for (unsigned i = 1; i < 20; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "a%u: &a%u [*a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u]\n", i, i,
                                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    refuse(text, KM_LIMIT, "more than 100000 values");
}

static void aliases_count_for_depth(void **state)
{
    (void)state;
    char text[4096] = "a0: &a0 [x]\n";
    size_t used = strlen(text);
    for (unsigned i = 1; i < 70; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "a%u: &a%u [*a%u]\n", i, i, i - 1);
    refuse(text, KM_LIMIT, "line 64: nested deeper than 64 levels");
}

static void depth_and_values_and_bytes_are_limited(void **state)
{
    (void)state;
    char text[256];
    memset(text, '[', sizeof text);
    memset(text + KM_JSON_MAX_DEPTH, ']', KM_JSON_MAX_DEPTH);
    text[(size_t)2 * KM_JSON_MAX_DEPTH] = '\0';
    struct km_err err = KM_ERR_INIT;
    struct km_json *value = km_yaml_parse(text, strlen(text), MAX_BYTES, &err);
    assert_non_null(value);
    km_json_free(value);
    assert_null(km_yaml_parse(text, strlen(text), strlen(text) - 1, &err));
    assert_int_equal(err.code, KM_LIMIT);
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    refuse(text, KM_LIMIT, "nested deeper");
    char *many = malloc((size_t)2 * (KM_YAML_MAX_VALUES + 1) + 2);
    assert_non_null(many);
    many[0] = '[';
    for (size_t i = 0; i <= KM_YAML_MAX_VALUES; i++) {
        many[1 + 2 * i] = 'x';
        many[2 + 2 * i] = ',';
    }
    size_t end = (size_t)2 * (KM_YAML_MAX_VALUES + 1);
    many[end] = ']';
    many[end + 1] = '\0';
    refuse(many, KM_LIMIT, "more than 100000 values");
    free(many);
}

/* 100,000 anchors and as many aliases: a linear search of names would take minutes. */
static void anchors_are_found_quickly(void **state)
{
    (void)state;
    enum { COUNT = 49000 };
    char *text = malloc((size_t)COUNT * 32);
    assert_non_null(text);
    size_t used = 0;
    for (unsigned i = 0; i < COUNT; i++)
        used += (size_t)sprintf(text + used, "- &a%u x\n- *a%u\n", i, i);
    struct km_err err = KM_ERR_INIT;
    struct km_json *value = km_yaml_parse(text, used, MAX_BYTES, &err);
    assert_non_null(value);
    assert_int_equal(km_json_size(value), 2 * COUNT);
    km_json_free(value);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_follow_the_core_schema),
        cmocka_unit_test(quotes_and_tags_decide_types),
        cmocka_unit_test(collections_and_keys),
        cmocka_unit_test(aliases_share_values),
        cmocka_unit_test(merge_keys),
        cmocka_unit_test(documents_of_a_stream),
        cmocka_unit_test(a_failed_stream_is_over_and_leaves_outputs_alone),
        cmocka_unit_test(broken_text_is_refused_with_its_line),
        cmocka_unit_test(billion_laughs_meets_the_limit_of_values),
        cmocka_unit_test(aliases_count_for_depth),
        cmocka_unit_test(depth_and_values_and_bytes_are_limited),
        cmocka_unit_test(anchors_are_found_quickly),
    };
    return KM_RUN_TESTS(tests);
}
