#define KM_TEST_NAME "json"
#include "../cm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_BYTES ((size_t)4 << 20)

static struct km_json *parse(const char *text)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *value = km_json_parse(text, strlen(text), MAX_BYTES, &err);
    if (!value)
        fail_msg("%s: %s", text, err.text);
    return value;
}

static void parse_refuses_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t max_bytes;
        enum km_code code;
    } rows[] = {
        {"", MAX_BYTES, KM_FORMAT},
        {"{", MAX_BYTES, KM_FORMAT},
        {"[1] 2", MAX_BYTES, KM_FORMAT},             /* bytes after the document */
        {"{\"a\":1,\"a\":2}", MAX_BYTES, KM_FORMAT}, /* two readers may see two values */
        {"\"\xff\"", MAX_BYTES, KM_FORMAT},          /* not UTF-8 */
        {"\"a\\u0000b\"", MAX_BYTES, KM_FORMAT},     /* a C string would end there */
        {"[1,2,3]", 6, KM_LIMIT},
        {"nul", MAX_BYTES, KM_FORMAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_null(km_json_parse(rows[i].text, strlen(rows[i].text), rows[i].max_bytes, &err));
        assert_int_equal(err.code, rows[i].code);
        assert_true(err.text[0] != '\0');
    }
}

static void a_format_error_names_line_and_column(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    const char *text = "{\n \"a\": ?\n}";
    assert_null(km_json_parse(text, strlen(text), MAX_BYTES, &err));
    assert_non_null(strstr(err.text, "line 2, column"));
}

/* `count` times `open`, then `count` times `close`. */
static char *nested(char open, char close, size_t count)
{
    char *text = malloc(2 * count + 1);
    assert_non_null(text);
    memset(text, open, count);
    memset(text + count, close, count);
    text[2 * count] = '\0';
    return text;
}

static void depth_is_limited(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char *text = nested('[', ']', KM_JSON_MAX_DEPTH);
    struct km_json *value = km_json_parse(text, strlen(text), MAX_BYTES, &err);
    assert_non_null(value);
    km_json_free(value);
    free(text);
    text = nested('[', ']', KM_JSON_MAX_DEPTH + 1);
    assert_null(km_json_parse(text, strlen(text), MAX_BYTES, &err));
    assert_int_equal(err.code, KM_LIMIT);
    free(text);
    value = parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"");
    km_json_free(value); /* brackets in a string are no depth */
}

static void the_number_of_values_is_limited(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    size_t count = KM_JSON_MAX_VALUES - 1; /* with the array itself: the limit */
    char *text = malloc(2 * count + 3);
    assert_non_null(text);
    memset(text, '0', 2 * count + 3);
    text[0] = '[';
    for (size_t i = 1; i < count; i++)
        text[2 * i] = ',';
    text[2 * count] = ']';
    struct km_json *value = km_json_parse(text, 2 * count + 1, MAX_BYTES, &err);
    assert_non_null(value);
    assert_int_equal(km_json_size(value), count);
    km_json_free(value);
    text[2 * count] = ',';
    text[2 * count + 2] = ']';
    assert_null(km_json_parse(text, 2 * count + 3, MAX_BYTES, &err));
    assert_int_equal(err.code, KM_LIMIT);
    free(text);
}

static void getters_never_fail(void **state)
{
    (void)state;
    struct km_json *value = parse("{\"a\":{\"b\":[10,{\"c\":\"x\"}],\"t\":true,\"r\":2.5,\"n\":null},\"d.e\":7}");
    assert_string_equal(km_json_string(value, "a.b.1.c", "-"), "x");
    assert_int_equal(km_json_integer(value, "a.b.0", -1), 10);
    assert_true(km_json_real(value, "a.r", 0) == 2.5);
    assert_true(km_json_real(value, "a.b.0", 0) == 10.0);
    assert_true(km_json_bool(value, "a.t", false));
    assert_true(km_json_find(value, "") == value);
    static const char *const missing[] = {"x", "a.x", "a.b.2", "a.b.-1", "a.b.1x", "a.b.9999999999", "a.n.x", "d.e"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_null(km_json_find(value, missing[i]));
        assert_int_equal(km_json_integer(value, missing[i], -5), -5);
        assert_string_equal(km_json_string(value, missing[i], "none"), "none");
    }
    assert_string_equal(km_json_string(value, "a.b.0", "none"), "none"); /* another type */
    assert_int_equal(km_json_integer(value, "a.r", -5), -5);
    assert_true(km_json_bool(value, "a.b.0", true));
    assert_int_equal(km_json_type(km_json_member(value, "d.e")), KM_JSON_INTEGER);
    assert_int_equal(km_json_type(km_json_find(value, "a.n")), KM_JSON_NULL);
    assert_null(km_json_find(NULL, "a"));
    assert_null(km_json_text(NULL));
    assert_int_equal(km_json_size(NULL), 0);
    assert_int_equal(km_json_type(NULL), KM_JSON_NULL);
    km_json_free(value);
    km_json_free(NULL);
}

static void members_keep_document_order(void **state)
{
    (void)state;
    struct km_json *value = parse("{\"z\":1,\"a\":2,\"m\":3}");
    static const char *const keys[] = {"z", "a", "m"};
    void *cursor = NULL;
    const char *key = NULL;
    for (size_t i = 0; i < 3; i++) {
        const struct km_json *member = km_json_next(value, &cursor, &key);
        assert_string_equal(key, keys[i]);
        assert_int_equal(km_json_integer(member, "", -1), i + 1);
        assert_string_equal(km_json_key_at(value, i), keys[i]);
        assert_true(km_json_at(value, i) == member);
    }
    assert_null(km_json_next(value, &cursor, &key));
    assert_null(km_json_at(value, 3));
    assert_null(km_json_key_at(value, 3));
    km_json_free(value);
    value = parse("[1]");
    cursor = NULL;
    assert_null(km_json_next(value, &cursor, &key));
    assert_null(km_json_key_at(value, 0));
    km_json_free(value);
}

static void written_documents(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf out;
    km_buf_init(&out, 4096);
    struct km_json *value = km_json_new_object();
    km_json_set_string(value, "text", "a\"\n");
    km_json_set_string(value, "none", NULL);
    km_json_set_string(value, "bytes", "\xff");
    km_json_set_integer(value, "big", INT64_MIN);
    km_json_set_real(value, "real", 0.25);
    km_json_set_real(value, "nan", NAN);
    km_json_set_bool(value, "yes", true);
    struct km_json *array = km_json_new_array();
    km_json_append(array, km_json_new_null());
    km_json_append(array, km_json_new_integer(1));
    km_json_set(value, "list", array);
    km_json_set_string(value, "text", "again");
    assert_ok(km_json_format(value, 0, &out, &err), err);
    assert_string_equal(km_buf_text(&out),
                        "{\"text\":\"again\",\"none\":null,\"bytes\":\"\\\\xff\",\"big\":-9223372036854775808,"
                        "\"real\":0.25,\"nan\":null,\"yes\":true,\"list\":[null,1]}");
    km_buf_clear(&out);
    assert_ok(km_json_format(array, 2, &out, &err), err);
    assert_string_equal(km_buf_text(&out), "[\n  null,\n  1\n]");
    km_buf_done(&out);
    km_buf_init(&out, 5);
    assert_int_equal(km_json_format(value, 0, &out, &err), KM_LIMIT);
    km_buf_done(&out);
    km_json_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_refuses_table), cmocka_unit_test(a_format_error_names_line_and_column),
        cmocka_unit_test(depth_is_limited),    cmocka_unit_test(the_number_of_values_is_limited),
        cmocka_unit_test(getters_never_fail),  cmocka_unit_test(members_keep_document_order),
        cmocka_unit_test(written_documents),
    };
    return KM_RUN_TESTS(tests);
}
