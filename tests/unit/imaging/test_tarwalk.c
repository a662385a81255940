#define KM_TEST_NAME "tarwalk"
#include "../cm.h"

#include "tarfake.h"

static struct tarfake fake;

static struct km_tarwalk *open_walk(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_tarwalk_input input = tarfake_input(&fake);
    struct km_tarwalk *walk = km_tarwalk_new(&input, &err);
    assert_non_null(walk);
    return walk;
}

static struct km_tarwalk_member next(struct km_tarwalk *walk)
{
    struct km_tarwalk_member member = {0};
    struct km_err err = KM_ERR_INIT;
    bool found;
    assert_ok(km_tarwalk_next(walk, &member, &found, &err), err);
    assert_true(found);
    return member;
}

static void assert_stop(struct km_tarwalk *walk, enum km_tarwalk_stop stop, uint64_t offset)
{
    struct km_tarwalk_member member;
    struct km_err err = KM_ERR_INIT;
    bool found = true;
    uint64_t where;
    for (int again = 0; again < 2; again++) { /* a walk that is over stays so */
        assert_ok(km_tarwalk_next(walk, &member, &found, &err), err);
        assert_false(found);
        assert_string_equal(km_tarwalk_stop_to_string(km_tarwalk_get_stop(walk, &where)),
                            km_tarwalk_stop_to_string(stop));
        assert_int_equal(where, offset);
    }
    km_tarwalk_free(walk);
}

static void members_have_their_offsets(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_file(&fake, "a", "alpha");
    tarfake_header(&fake, "dir/", '5', 0);
    tarfake_header(&fake, "link", '2', 700); /* the size of a link is no data */
    tarfake_header(&fake, "odd", 'Z', 3);    /* an unknown type has data */
    tarfake_data(&fake, "xyz", 3);
    tarfake_end(&fake);
    struct km_tarwalk *walk = open_walk();
    struct km_tarwalk_member member = next(walk);
    assert_string_equal(member.name, "a");
    assert_int_equal(member.header_begin, 0);
    assert_int_equal(member.data_begin, 512);
    assert_int_equal(member.size, 5);
    assert_int_equal(member.stored_bytes, 5);
    assert_true(km_tarwalk_is_file(&member));
    member = next(walk);
    assert_string_equal(member.name, "dir");
    assert_int_equal(member.header_begin, 1024);
    member = next(walk);
    assert_int_equal(member.size, 700);
    assert_int_equal(member.stored_bytes, 0);
    member = next(walk);
    assert_int_equal(member.header_begin, 2048);
    assert_int_equal(member.stored_bytes, 3);
    assert_int_equal(member.number, 3);
    assert_stop(walk, KM_TARWALK_END_MARK, 3072);
}

static void long_names_belong_to_their_member(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_file(&fake, "first", "1");
    tarfake_header(&fake, "././@LongLink", 'L', 6);
    tarfake_data(&fake, "long/\0", 6);
    tarfake_header(&fake, "short", '5', 0);
    tarfake_end(&fake);
    struct km_tarwalk *walk = open_walk();
    next(walk);
    struct km_tarwalk_member member = next(walk);
    assert_string_equal(member.name, "long");
    assert_int_equal(member.header_begin, 1024);
    assert_int_equal(member.data_begin, 2560);
    assert_stop(walk, KM_TARWALK_END_MARK, 2560);
}

static void pax_records_win_and_global_ones_belong_to_nobody(void **state)
{
    (void)state;
    static const char global[] = "16 path=globals\n";
    static const char local[] = "12 path=abc\n12 path=pax\n9 size=5\n"; /* of two paths, the last counts */
    fake.length = 0;
    tarfake_header(&fake, "g", 'g', strlen(global));
    tarfake_data(&fake, global, strlen(global));
    tarfake_file(&fake, "own", "1");
    tarfake_header(&fake, "x", 'x', strlen(local));
    tarfake_data(&fake, local, strlen(local));
    tarfake_header(&fake, "own", '0', 0);
    tarfake_data(&fake, "12345", 5);
    tarfake_end(&fake);
    struct km_tarwalk *walk = open_walk();
    struct km_tarwalk_member member = next(walk);
    assert_string_equal(member.name, "globals");
    assert_int_equal(member.header_begin, 1024);
    member = next(walk);
    assert_string_equal(member.name, "pax");
    assert_int_equal(member.size, 5);
    assert_int_equal(member.stored_bytes, 5);
    assert_int_equal(member.header_begin, 2048);
    assert_stop(walk, KM_TARWALK_END_MARK, 4096);
}

static void malformed_records_end_the_walk(void **state)
{
    (void)state;
    static const char *const records[] = {"path=x\n",      "4 a=\n",      "99 path=x\n",
                                          "11 path=abc\n", "9 size=-5\n", "99999999999999999999999 a=b\n",
                                          "8 pathx\n"};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        fake.length = 0;
        tarfake_file(&fake, "a", "1");
        tarfake_header(&fake, "x", 'x', strlen(records[i]));
        tarfake_data(&fake, records[i], strlen(records[i]));
        tarfake_file(&fake, "b", "2");
        tarfake_end(&fake);
        struct km_tarwalk *walk = open_walk();
        next(walk);
        struct km_tarwalk_member member;
        struct km_err err = KM_ERR_INIT;
        bool found = true;
        uint64_t where;
        assert_ok(km_tarwalk_next(walk, &member, &found, &err), err);
        if (found || km_tarwalk_get_stop(walk, &where) != KM_TARWALK_DAMAGED)
            fail_msg("record %s", records[i]);
        km_tarwalk_free(walk);
    }
}

static void walks_stop_where_tarfile_does(void **state)
{
    (void)state;
    fake.length = 0;
    assert_stop(open_walk(), KM_TARWALK_END_BYTES, 0);
    fake.length = 300;
    assert_stop(open_walk(), KM_TARWALK_NOT_TAR, 0);
    fake.length = 0;
    tarfake_header(&fake, "a", '0', 0)[0] ^= 1;
    assert_stop(open_walk(), KM_TARWALK_NOT_TAR, 0);
    fake.length = 0;
    tarfake_file(&fake, "a", "1");
    struct km_tarwalk *walk = open_walk();
    next(walk);
    assert_stop(walk, KM_TARWALK_END_BYTES, 1024);
    fake.length = 700; /* inside the data */
    walk = open_walk();
    next(walk);
    assert_stop(walk, KM_TARWALK_TRUNCATED, 1024);
    fake.length = 1024;
    tarfake_header(&fake, "b", '0', 0)[10] = 'x';
    walk = open_walk();
    next(walk);
    assert_stop(walk, KM_TARWALK_DAMAGED, 1024);
}

static void numbers_of_all_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *field; /* 12 bytes */
        bool valid;
        uint64_t size;
    } rows[] = {
        {"00000000012\0", true, 10},
        {"         12 ", true, 10},
        {"12\0garbage!!", true, 10},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", true, 0},
        {"0o12\0       ", true, 10},
        {"1_2\0        ", true, 10},
        {"0000000001z\0", false, 0},
        {"9\0\0\0\0\0\0\0\0\0\0\0", false, 0},
        {"-1\0\0\0\0\0\0\0\0\0\0", false, 0},
        {"\x80\0\0\0\0\0\0\0\0\0\x01\x02", true, 258},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false, 0},
        {"\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", true, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fake.length = 0;
        uint8_t *header = tarfake_header(&fake, "a", '1', 0);
        memcpy(header + 124, rows[i].field, 12);
        tarfake_checksum(header);
        tarfake_end(&fake);
        struct km_tarwalk *walk = open_walk();
        if (!rows[i].valid) {
            assert_stop(walk, KM_TARWALK_NOT_TAR, 0);
            continue;
        }
        assert_int_equal(next(walk).size, rows[i].size);
        km_tarwalk_free(walk);
    }
}

static void signed_checksums_hold_too(void **state)
{
    (void)state;
    fake.length = 0;
    uint8_t *header = tarfake_header(&fake, "\xc3\xbc", '0', 0);
    int sum = 0;
    memset(header + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        sum += (int8_t)header[i];
    tarfake_octal(header + 148, 6, (unsigned long)sum);
    struct km_tarwalk *walk = open_walk();
    assert_string_equal(next(walk).name, "\xc3\xbc");
    km_tarwalk_free(walk);
}

static void endless_names_are_cut(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_header(&fake, "L", 'L', KM_TARWALK_MAX_NAME + 1024);
    memset(fake.bytes + fake.length, 'n', KM_TARWALK_MAX_NAME + 1024);
    fake.length += KM_TARWALK_MAX_NAME + 1024;
    tarfake_header(&fake, "f", '0', 0);
    struct km_tarwalk *walk = open_walk();
    struct km_tarwalk_member member = next(walk);
    assert_true(member.name_cut);
    assert_int_equal(member.name_length, KM_TARWALK_MAX_NAME);
    assert_int_equal(member.header_begin, 0);
    km_tarwalk_free(walk);
}

static enum km_code broken_read(void *context, uint64_t offset, void *out, size_t length, struct km_err *err)
{
    (void)context, (void)offset, (void)out, (void)length;
    return km_fail(err, KM_IO, "broken disk");
}

static void read_errors_come_through(void **state)
{
    (void)state;
    struct km_tarwalk_input input = {NULL, broken_read, 4096};
    struct km_err err = KM_ERR_INIT;
    struct km_tarwalk *walk = km_tarwalk_new(&input, &err);
    struct km_tarwalk_member member;
    bool found;
    assert_int_equal(km_tarwalk_next(walk, &member, &found, &err), KM_IO);
    assert_string_equal(err.text, "broken disk");
    km_tarwalk_free(walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_have_their_offsets),
        cmocka_unit_test(long_names_belong_to_their_member),
        cmocka_unit_test(pax_records_win_and_global_ones_belong_to_nobody),
        cmocka_unit_test(malformed_records_end_the_walk),
        cmocka_unit_test(walks_stop_where_tarfile_does),
        cmocka_unit_test(numbers_of_all_kinds),
        cmocka_unit_test(signed_checksums_hold_too),
        cmocka_unit_test(endless_names_are_cut),
        cmocka_unit_test(read_errors_come_through),
    };
    return KM_RUN_TESTS(tests);
}
