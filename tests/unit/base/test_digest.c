#define KM_TEST_NAME "digest"
#include "../cm.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

static struct km_digest *new_digest(enum km_digest_kind kind)
{
    struct km_err err = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(kind, &err);
    if (!digest)
        fail_msg("%s", err.text);
    return digest;
}

static void published_vectors(void **state)
{
    (void)state;
    static const struct {
        enum km_digest_kind kind;
        const char *text;
        const char *hex;
    } rows[] = {
        {KM_DIGEST_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {KM_DIGEST_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {KM_DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
        {KM_DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {KM_DIGEST_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_digest *digest = new_digest(rows[i].kind);
        uint8_t bytes[KM_DIGEST_MAX_BYTES];
        char hex[KM_SHA256_HEX_BYTES];
        km_digest_update(digest, rows[i].text, strlen(rows[i].text));
        km_digest_finish(digest, bytes);
        km_hex_format(bytes, strlen(rows[i].hex) / 2, hex);
        assert_string_equal(hex, rows[i].hex);
        km_digest_free(digest);
    }
}

static void any_split_of_the_stream_is_the_same(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    struct km_digest *digest = new_digest(KM_DIGEST_SHA256);
    uint8_t whole[KM_SHA256_BYTES], parts[KM_SHA256_BYTES];
    km_digest_update(digest, text, sizeof text);
    km_digest_finish(digest, whole);
    for (size_t split = 0; split <= sizeof text; split += 37) {
        km_digest_reset(digest);
        km_digest_update(digest, text, split);
        km_digest_update(digest, text + split, sizeof text - split);
        km_digest_finish(digest, parts);
        assert_memory_equal(parts, whole, sizeof whole);
    }
    km_digest_free(digest);
    km_digest_free(NULL);
}

static void reset_forgets_what_was_begun(void **state)
{
    (void)state;
    struct km_digest *digest = new_digest(KM_DIGEST_MD5);
    uint8_t bytes[KM_MD5_BYTES];
    char hex[2 * KM_MD5_BYTES + 1];
    km_digest_update(digest, "begun", 5);
    km_digest_reset(digest);
    km_digest_finish(digest, bytes);
    km_hex_format(bytes, sizeof bytes, hex);
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
    km_digest_free(digest);
}

static void hexadecimal(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
    char text[2 * sizeof bytes + 1];
    km_hex_format(bytes, sizeof bytes, text);
    assert_string_equal(text, "000fa5ff");
    uint8_t parsed[sizeof bytes];
    assert_ok(km_hex_parse("000FA5fFtail", sizeof bytes, parsed, &err), err);
    assert_memory_equal(parsed, bytes, sizeof bytes);
    km_hex_format(bytes, 0, text);
    assert_string_equal(text, "");
}

static void hexadecimal_that_is_none(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "0", "000fa5f", "000fa5fg", "0x0fa5ff", "000fa5f ", "+00fa5ff"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        uint8_t parsed[4] = {1, 2, 3, 4};
        size_t length = strlen(rows[i]);
        char *exact = malloc(length + 1); /* so that a sanitizer sees a read behind the end */
        assert_non_null(exact);
        memcpy(exact, rows[i], length + 1);
        assert_int_equal(km_hex_parse(exact, sizeof parsed, parsed, &err), KM_FORMAT);
        assert_memory_equal(parsed, "\1\2\3\4", 4);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(any_split_of_the_stream_is_the_same),
        cmocka_unit_test(reset_forgets_what_was_begun),
        cmocka_unit_test(hexadecimal),
        cmocka_unit_test(hexadecimal_that_is_none),
    };
    return KM_RUN_TESTS(tests);
}
