#define KM_TEST_NAME "tarhead"
#include "../cm.h"

#include <string.h>

#include "container/source/tarhead.h"

static void numbers_are_octal_or_base_256(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        size_t length;
        bool good;
        uint64_t value;
    } cases[] = {
        {"00000000644\0", 12, true, 0644},
        {"  644 \0\0\0\0\0\0", 12, true, 0644},
        {"77777777777 ", 12, true, 077777777777},
        {"777777777777", 12, true, 0777777777777}, /* no end: all twelve digits count */
        {"\0\0\0\0\0\0\0\0\0\0\0\0", 12, true, 0},
        {"12\0garbage\0\0", 12, true, 012}, /* Go reads up to the NUL */
        {"12 34\0\0\0\0\0\0\0", 12, false, 0},
        {"0000000064x\0", 12, false, 0},
        {"00000000089\0", 12, false, 0},
        {"-0000000001\0", 12, false, 0},
        {"\x80\0\0\0\0\0\0\2\0\0\0\0", 12, true, UINT64_C(8589934592)},
        {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, INT64_MAX},
        {"\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, false, 0},
        {"\x80\1\0\0\0\0\0\0\0\0\0\0", 12, false, 0},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 7777;
        bool good = km_tar_number((const uint8_t *)cases[i].field, cases[i].length, &value);
        if (good != cases[i].good || value != (good ? cases[i].value : 7777))
            fail_msg("case %zu: %d %llu", i, good, (unsigned long long)value);
    }
}

static void blocks_are_told_by_their_checksum(void **state)
{
    (void)state;
    uint8_t block[KM_TAR_BLOCK] = {0};
    assert_int_equal(km_tar_classify(block), KM_TAR_ZERO);
    block[511] = 1;
    assert_int_equal(km_tar_classify(block), KM_TAR_BAD);
    block[511] = 0;
    block[0] = 0xe9;                     /* 'é' in Latin-1: signed and unsigned sums differ */
    memcpy(block + 148, "000751\0 ", 8); /* 0xe9 + 8 * 32 */
    assert_int_equal(km_tar_classify(block), KM_TAR_HEADER);
    memcpy(block + 148, "000351\0 ", 8); /* (signed char)0xe9 + 8 * 32, as old writers did */
    assert_int_equal(km_tar_classify(block), KM_TAR_HEADER);
    memcpy(block + 148, "000352\0 ", 8);
    assert_int_equal(km_tar_classify(block), KM_TAR_BAD);
    memcpy(block + 148, "0003x1\0 ", 8);
    assert_int_equal(km_tar_classify(block), KM_TAR_BAD);
}

static void put(uint8_t *field, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        field[i] = (uint8_t)text[i];
}

static void names_fill_their_fields_to_the_brim(void **state)
{
    (void)state;
    uint8_t block[KM_TAR_BLOCK] = {0};
    struct km_tar_header header;
    memset(block, 'n', 100);
    memset(block + 157, 'l', 100);
    put(block + 257, "ustar\00000", 8);
    memset(block + 345, 'p', 155);
    km_tar_header_read(block, &header);
    assert_int_equal(strlen(header.path), 155 + 1 + 100);
    assert_int_equal(header.path[155], '/');
    assert_int_equal(strlen(header.link), 100);
    put(block + 257, "ustar  \0", 8); /* GNU keeps other things where the prefix is */
    km_tar_header_read(block, &header);
    assert_int_equal(strlen(header.path), 100);
    assert_true(header.gnu);
}

static enum km_code read_pax(struct km_tar_pax *pax, const char *text, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    km_tar_pax_clear(pax);
    return km_tar_pax_read(pax, text, length, &err);
}

static void pax_records_are_read(void **state)
{
    (void)state;
    struct km_tar_pax pax;
    km_tar_pax_init(&pax);
    static const char good[] = "12 path=a/b\n18 size=123456789\n20 mtime=-12.345678\n13 uid=70000\n11 path=x\xff\n";
    assert_int_equal(read_pax(&pax, good, sizeof good - 1), KM_OK);
    assert_string_equal(pax.path.data, "x\xff"); /* the last one wins */
    assert_true(pax.has_size);
    assert_int_equal(pax.size, 123456789);
    assert_int_equal(pax.mtime_s, -12);
    assert_int_equal(pax.uid, 70000);
    assert_int_equal(read_pax(&pax, "", 0), KM_OK);
    assert_int_equal(pax.path.length, 0);
    km_tar_pax_done(&pax);
}

static void malformed_pax_records_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "12 path=a/b",   /* no newline */
        "13 path=a/b\n", /* longer than the text */
        "11 path=a/b\n", /* ends in the middle */
        "path=a\n",      /* no length */
        " 9 path=a\n",   /* not a number */
        "6 =abc\n",      /* no key */
        "4 \n\n",        /* no equals sign */
        "0 path=a\n",    /* zero */
        "99999999999999999999999 path=a\n",
        "10 size=x\n", /* a size must be a number: it decides where the next header is */
        "26 size=9999999999999999999\n",
        "27 GNU.sparse.numbytes=12\n",
        "22 GNU.sparse.map=1,\n",
        "24 GNU.sparse.map=1,2,3\n",
        "22 GNU.sparse.map=a,b\n",
        "22 GNU.sparse.size=-1\n",
    };
    struct km_tar_pax pax;
    km_tar_pax_init(&pax);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (read_pax(&pax, bad[i], strlen(bad[i])) != KM_FORMAT)
            fail_msg("accepted: %s", bad[i]);
    km_tar_pax_done(&pax);
}

static void sparse_maps_must_ascend_within_the_size(void **state)
{
    (void)state;
    static const struct {
        struct km_tar_region regions[3];
        size_t count;
        uint64_t size;
        bool good;
        uint64_t stored;
    } cases[] = {
        {{{0, 0}}, 0, 100, true, 0},
        {{{0, 10}, {20, 5}}, 2, 100, true, 15},
        {{{0, 10}, {10, 5}}, 2, 15, true, 15},
        {{{0, 10}, {9, 5}}, 2, 100, false, 0},
        {{{20, 5}, {0, 10}}, 2, 100, false, 0},
        {{{90, 11}}, 1, 100, false, 0},
        {{{101, 0}}, 1, 100, false, 0},
        {{{100, 0}}, 1, 100, true, 0},
        {{{50, UINT64_MAX}}, 1, 100, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_tar_region regions[3];
        memcpy(regions, cases[i].regions, sizeof regions);
        const struct km_tar_sparse sparse = {regions, cases[i].count, 3};
        uint64_t stored = 0;
        if (km_tar_sparse_valid(&sparse, cases[i].size, &stored) != cases[i].good || stored != cases[i].stored)
            fail_msg("case %zu", i);
    }
}

static void sparse_maps_have_a_limit(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_tar_pax pax;
    km_tar_pax_init(&pax);
    for (uint64_t i = 0; i < KM_TAR_MAX_SPARSE; i++)
        assert_ok(km_tar_sparse_add(&pax.map, i, 1, &err), err);
    assert_int_equal(km_tar_sparse_add(&pax.map, KM_TAR_MAX_SPARSE, 1, &err), KM_LIMIT);
    km_tar_pax_done(&pax);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_octal_or_base_256),
        cmocka_unit_test(blocks_are_told_by_their_checksum),
        cmocka_unit_test(names_fill_their_fields_to_the_brim),
        cmocka_unit_test(pax_records_are_read),
        cmocka_unit_test(malformed_pax_records_are_refused),
        cmocka_unit_test(sparse_maps_must_ascend_within_the_size),
        cmocka_unit_test(sparse_maps_have_a_limit),
    };
    return KM_RUN_TESTS(tests);
}
