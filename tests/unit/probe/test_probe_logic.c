#define KM_TEST_NAME "probe_logic"
#include "../cm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/probe/bpf/probe_logic.h"
#include "daemon/trace/event.h"

static struct km_probe_path scan(const char *text)
{
    struct km_probe_path path;
    km_probe_path_begin(&path, (__u8)text[0]);
    for (; *text; text++)
        km_probe_path_step(&path, (__u8)*text);
    return path;
}

static void zones_are_the_first_three_directories(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"/var/www/html/a.html", "/var/www/html/b.html", true},
        {"/var/www/html/x/a", "/var/www/html/y/z/b", true},
        {"/var/www/html/a", "/var/www/other/a", false},
        {"/var/www/a", "/var/www/html/a", false},
        {"/etc/passwd", "/etc/group", true},
        {"/etc/passwd", "/etc/nginx/x", false},
        {"/passwd", "/group", true},
        {"/passwd", "etc/group", false},
        {"x", "y", true},
        {"/proc/1/stat", "/proc/31337/stat", true},
        {"/proc/1/stat", "/proc/self/stat", false},
        {"/var//www///html/a", "/var/www/html/a", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool same = scan(rows[i].a).zone == scan(rows[i].b).zone;
        if (same != rows[i].same)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

static void paths_show_their_parts(void **state)
{
    (void)state;
    assert_true(scan("/etc/shadow").first == scan("/etc").whole);
    assert_true(scan("/etc/shadow").zone == scan("/etc").whole);
    assert_true(scan("/root/.ssh/authorized_keys").name == scan("authorized_keys").name);
    assert_true(scan("/shadow").first == 0);
    assert_true(scan("etc/shadow").first == 0);
    assert_true(scan("etc/shadow").relative);
    assert_true(scan("/tmp/../etc/x").climbs);
    assert_true(scan("../x").climbs);
    assert_false(scan("/tmp/..x/etc").climbs);
    assert_false(scan("/tmp/.../etc").climbs);
    assert_false(scan("/a/./b").climbs);
    assert_true(scan("").whole != scan("/").whole);
}

static void loose_paths_have_no_directory_of_their_own(void **state)
{
    (void)state;
    static const char *const loose[] = {"x", "", "./x", "/a/../b", "/a/..", "/a/.", "../x", ".", ".."};
    static const char *const firm[] = {"/", "/a", "/a/b/", "/..a/b", "/a.../.b", "/.a", "//a"};
    for (size_t i = 0; i < sizeof loose / sizeof loose[0]; i++) {
        struct km_probe_path path = scan(loose[i]);
        if (!km_probe_path_is_loose(&path))
            fail_msg("%s", loose[i]);
        assert_true(km_probe_path_detail(&path, 0, 0) == path.whole + 2);
    }
    for (size_t i = 0; i < sizeof firm / sizeof firm[0]; i++) {
        struct km_probe_path path = scan(firm[i]);
        if (km_probe_path_is_loose(&path))
            fail_msg("%s", firm[i]);
        assert_true(km_probe_path_detail(&path, 0, 1) == path.zone + 1);
        assert_true(km_probe_path_detail(&path, 1, 1) == path.whole + 3);
    }
    struct km_probe_path path = scan("/etc/shadow");
    assert_true(km_probe_path_directory(&path, 11) == path.directory);
    assert_true(km_probe_path_directory(&path, KM_PROBE_PATH_BYTES - 1) != path.directory);
}

static const char *tidied(const char *text, struct km_probe_tidy *tidy, char out[KM_PROBE_PATH_BYTES])
{
    km_probe_tidy_begin(tidy);
    for (; *text; text++)
        km_probe_tidy_step(tidy, out, KM_PROBE_PATH_BYTES - 1, (__u8)*text);
    km_probe_tidy_end(tidy, out, KM_PROBE_PATH_BYTES - 1);
    return out;
}

static void tidy_paths_table(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *tidy;
    } rows[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"//a///b", "/a/b"},
        {"/a/./b/.", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/b/../../c", "/c"},
        {"/a/b/..", "/a"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/.", "/"},
        {"/a/...", "/a/..."},
        {"/a/..b/.c", "/a/..b/.c"},
        {"/a/.../../b", "/a/b"},
        {"/var/lib/x/../../../etc/cron.d/y", "/etc/cron.d/y"},
        {"", "/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_probe_tidy tidy;
        char out[KM_PROBE_PATH_BYTES];
        assert_string_equal(tidied(rows[i].given, &tidy, out), rows[i].tidy);
        assert_int_equal(tidy.used, strlen(out));
        assert_int_equal(tidy.cut, 0);
    }
}

static void long_and_deep_paths_are_bounded(void **state)
{
    (void)state;
    struct km_probe_tidy tidy;
    char out[KM_PROBE_PATH_BYTES];
    char text[1024] = "/";
    memset(text + 1, 'x', 1000);
    (void)tidied(text, &tidy, out);
    assert_int_equal(tidy.used, KM_PROBE_PATH_BYTES - 1);
    assert_int_equal(strlen(out), KM_PROBE_PATH_BYTES - 1);
    assert_int_equal(tidy.cut, 1);
    /* Beyond the parts that are remembered, ".." stays, and the path is loose. */
    size_t used = 0;
    for (int i = 0; i < KM_PROBE_TIDY_PARTS + 3; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "/d");
    (void)snprintf(text + used, sizeof text - used, "/../e");
    (void)tidied(text, &tidy, out);
    assert_int_equal(tidy.deep, 1);
    struct km_probe_path path = scan(out);
    assert_true(km_probe_path_is_loose(&path));
}

static void bloom_has_no_false_negatives_and_few_false_positives(void **state)
{
    (void)state;
    __u64 *words = calloc(KM_PROBE_BLOOM_WORDS, sizeof *words);
    assert_non_null(words);
    for (__u64 i = 0; i < KM_PROBE_MAX_KEYS; i++) {
        __u64 mixed = km_probe_mix(i * 0x10001 + 7);
        words[km_probe_bloom_index(mixed)] |= km_probe_bloom_bits(mixed);
    }
    size_t wrong = 0;
    for (__u64 i = 0; i < KM_PROBE_MAX_KEYS; i++) {
        __u64 mixed = km_probe_mix(i * 0x10001 + 7);
        __u64 bits = km_probe_bloom_bits(mixed);
        assert_true((words[km_probe_bloom_index(mixed)] & bits) == bits);
        mixed = km_probe_mix(1ULL << 60 | i * 3);
        bits = km_probe_bloom_bits(mixed);
        wrong += (words[km_probe_bloom_index(mixed)] & bits) == bits;
    }
    free(words);
    assert_in_range(wrong, 0, 12); /* of 65536; about 3 expected */
}

static void entities_differ_by_role_kind_and_detail(void **state)
{
    (void)state;
    __u64 base = km_probe_entity(1, 2, 3);
    assert_true(base != 0);
    assert_true(base != km_probe_entity(2, 2, 3));
    assert_true(base != km_probe_entity(1, 3, 3));
    assert_true(base != km_probe_entity(1, 2, 4));
    assert_true(km_probe_entity(1, 2, 3) == base);
}

static void peers_table(void **state)
{
    (void)state;
    static const struct {
        __u32 address;
        __u32 peer;
    } rows[] = {
        {0, KM_PROBE_PEER_ANY},
        {0x7f000001, KM_PROBE_PEER_LOCAL},
        {0x7fffffff, KM_PROBE_PEER_LOCAL},
        {0x0a000001, KM_PROBE_PEER_PRIVATE},
        {0xac100000, KM_PROBE_PEER_PRIVATE},
        {0xac1fffff, KM_PROBE_PEER_PRIVATE},
        {0xac200000, KM_PROBE_PEER_PUBLIC},
        {0xc0a80101, KM_PROBE_PEER_PRIVATE},
        {0xc0a90101, KM_PROBE_PEER_PUBLIC},
        {0xa9fe0001, KM_PROBE_PEER_PRIVATE},
        {0x64400000, KM_PROBE_PEER_PRIVATE},
        {0x647fffff, KM_PROBE_PEER_PRIVATE},
        {0x64800000, KM_PROBE_PEER_PUBLIC},
        {0x08080808, KM_PROBE_PEER_PUBLIC},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(km_probe_peer_ipv4(rows[i].address), rows[i].peer);
    static const struct {
        const char *bytes;
        __u32 peer;
    } six[] = {
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", KM_PROBE_PEER_ANY},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", KM_PROBE_PEER_LOCAL},
        {"\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", KM_PROBE_PEER_LOCAL},
        {"\0\0\0\0\0\0\0\0\0\0\xff\xff\x08\x08\x08\x08", KM_PROBE_PEER_PUBLIC},
        {"\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", KM_PROBE_PEER_PRIVATE},
        {"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", KM_PROBE_PEER_PRIVATE},
        {"\x20\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\1", KM_PROBE_PEER_PUBLIC},
    };
    for (size_t i = 0; i < sizeof six / sizeof six[0]; i++)
        assert_int_equal(km_probe_peer_ipv6((const __u8 *)six[i].bytes), six[i].peer);
}

static void short_addresses_say_nothing(void **state)
{
    (void)state;
    static const __u8 inet[] = {2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(km_probe_address_detail(inet, 0, 1), 0);
    assert_int_equal(km_probe_address_detail(inet, 2, 1), 2ULL << 32);
    assert_int_equal(km_probe_address_detail(inet, 7, 1), 2ULL << 32 | 80);
    assert_int_equal(km_probe_address_detail(inet, 16, 1), 2ULL << 32 | KM_PROBE_PEER_LOCAL << 16 | 80);
    assert_int_equal(km_probe_address_detail(inet, 16, 0), 2ULL << 32 | KM_PROBE_PEER_LOCAL << 16);
}

static void outcomes_table(void **state)
{
    (void)state;
    assert_int_equal(km_probe_outcome(0), KM_OUTCOME_OK);
    assert_int_equal(km_probe_outcome(4711), KM_OUTCOME_OK);
    assert_int_equal(km_probe_outcome(-1), KM_OUTCOME_DENIED);
    assert_int_equal(km_probe_outcome(-13), KM_OUTCOME_DENIED);
    assert_int_equal(km_probe_outcome(-2), KM_OUTCOME_ERROR);
    assert_int_equal(km_probe_outcome(-4095), KM_OUTCOME_ERROR);
    assert_int_equal(km_probe_outcome(-4096), KM_OUTCOME_OK); /* an address, as mmap returns */
    assert_int_equal(km_probe_outcome(-115), KM_OUTCOME_OK);  /* connect goes on */
}

static void buckets_refill_up_to_their_burst(void **state)
{
    (void)state;
    struct km_probe_bucket bucket = {0};
    __u64 now = 1000000000;
    for (int i = 0; i < 3; i++)
        assert_true(km_probe_bucket_take(&bucket, now, 2, 3));
    assert_false(km_probe_bucket_take(&bucket, now, 2, 3));
    assert_false(km_probe_bucket_take(&bucket, now + 499999999, 2, 3));
    assert_true(km_probe_bucket_take(&bucket, now + 500000000, 2, 3));
    assert_false(km_probe_bucket_take(&bucket, now + 500000001, 2, 3));
    now += 3600000000000;
    for (int i = 0; i < 3; i++)
        assert_true(km_probe_bucket_take(&bucket, now, 2, 3));
    assert_false(km_probe_bucket_take(&bucket, now, 2, 3));
    struct km_probe_bucket never = {0};
    assert_false(km_probe_bucket_take(&never, now, 0, 0));
}

static void roles_ignore_digits_in_names(void **state)
{
    (void)state;
    char a[KM_PROBE_COMM_BYTES] = "worker-12";
    char b[KM_PROBE_COMM_BYTES] = "worker-7";
    char c[KM_PROBE_COMM_BYTES] = "master-7";
    char full[KM_PROBE_COMM_BYTES] = {'0', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'};
    assert_true(km_probe_role_signature(1, 0, a) == km_probe_role_signature(1, 0, b));
    assert_true(km_probe_role_signature(1, 0, a) != km_probe_role_signature(1, 1, a));
    assert_true(km_probe_role_signature(1, 0, a) != km_probe_role_signature(2, 0, a));
    assert_true(km_probe_role_signature(1, 0, a) != km_probe_role_signature(1, 0, c));
    assert_true(km_probe_role_signature(1, 0, full) != 0); /* no NUL in it */
}

static void names_differ_by_what_they_name(void **state)
{
    (void)state;
    assert_true(km_probe_name_hash("nginx", 6, KM_PROBE_NAME_COMMAND) !=
                km_probe_name_hash("nginx", 6, KM_PROBE_NAME_CGROUP));
    assert_true(km_probe_name_hash("php7.4", 7, KM_PROBE_NAME_CGROUP) !=
                km_probe_name_hash("php8.2", 7, KM_PROBE_NAME_CGROUP));
    assert_true(km_probe_name_hash("abcdef", 3, KM_PROBE_NAME_CGROUP) ==
                km_probe_name_hash("abc", 4, KM_PROBE_NAME_CGROUP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones_are_the_first_three_directories),
        cmocka_unit_test(paths_show_their_parts),
        cmocka_unit_test(loose_paths_have_no_directory_of_their_own),
        cmocka_unit_test(tidy_paths_table),
        cmocka_unit_test(long_and_deep_paths_are_bounded),
        cmocka_unit_test(bloom_has_no_false_negatives_and_few_false_positives),
        cmocka_unit_test(entities_differ_by_role_kind_and_detail),
        cmocka_unit_test(peers_table),
        cmocka_unit_test(short_addresses_say_nothing),
        cmocka_unit_test(outcomes_table),
        cmocka_unit_test(buckets_refill_up_to_their_burst),
        cmocka_unit_test(roles_ignore_digits_in_names),
        cmocka_unit_test(names_differ_by_what_they_name),
    };
    return KM_RUN_TESTS(tests);
}
