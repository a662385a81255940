#define KM_TEST_NAME "inventory_proc"
#include "../cm.h"

#include <string.h>

#include "daemon/inventory/inventory_internal.h"

static void stat_names_may_hold_anything(void **state)
{
    (void)state;
    struct km_process p = {0};
    assert_true(km_process_parse_stat("12 (a) b) (c) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9\n", &p));
    assert_string_equal(p.comm, "a) b) (c");
    assert_int_equal(p.parent, 7);
    assert_int_equal(p.start_ticks, 4711);
    assert_false(p.kernel);
    assert_false(p.session);
    assert_true(km_process_parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &p));
    assert_true(p.kernel);
    assert_true(km_process_parse_stat("3 (sh) S 1 3 3 34816 3 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &p));
    assert_true(p.session);
}

static void broken_stats_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "12", "12 (a", "12 a) S 1", "12 )a( S 1 1 1", "12 (a) S", "12 (a) S x y z"};
    struct km_process p;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_false(km_process_parse_stat(rows[i], &p));
}

static void status_gives_rights(void **state)
{
    (void)state;
    struct km_process p = {0};
    assert_true(km_process_parse_status("Name:\tx\nUid:\t0\t33\t33\t33\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n"
                                        "Seccomp:\t2\n",
                                        &p));
    assert_int_equal(p.uid, 33);
    assert_int_equal(p.capabilities, 0xa80425fb);
    assert_true(p.no_new_privs);
    assert_true(p.seccomp);
    assert_false(km_process_parse_status("Name:\tUid: 0 0\n", &p));
    assert_false(km_process_parse_status("", &p));
}

static void cgroup_prefers_the_unified_hierarchy(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *path;
    } rows[] = {
        {"0::/system.slice/nginx.service\n", "/system.slice/nginx.service"},
        {"9:name=systemd:/a\n0::/b\n", "/b"},
        {"9:name=systemd:/a.service\n0::/\n", "/a.service"},
        {"9:name=systemd:/\n0::/\n", "/"},
        {"3:cpu:/x\n", ""},
        {"", ""},
        {"0::/no-newline", "/no-newline"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        km_process_parse_cgroup(rows[i].text, out, sizeof out);
        assert_string_equal(out, rows[i].path);
    }
}

static void units_are_the_innermost_service(void **state)
{
    (void)state;
    char out[32];
    assert_true(km_unit_parse("/system.slice/nginx.service", out, sizeof out));
    assert_string_equal(out, "nginx.service");
    assert_true(km_unit_parse("/user.slice/user@1000.service/app.slice/x.service/y", out, sizeof out));
    assert_string_equal(out, "x.service");
    assert_false(km_unit_parse("/system.slice/.service", out, sizeof out));
    assert_false(km_unit_parse("/system.slice/x.scope", out, sizeof out));
    assert_false(km_unit_parse("/a-very-long-name-that-does-not-fit-here.service", out, sizeof out));
    assert_false(km_unit_parse("", out, sizeof out));
}

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void containers_are_told_by_their_cgroup(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup;
        const char *name; /* NULL: none */
    } rows[] = {
        {"/docker/" ID64, "0123456789ab"},
        {"/system.slice/docker-" ID64 ".scope", "0123456789ab"},
        {"/libpod_parent/libpod-" ID64, "0123456789ab"},
        {"/kubepods/pod1/cri-containerd-" ID64 ".scope", "0123456789ab"},
        {"/machine.slice/machine-web.scope/payload", "web"},
        {"/docker/short", NULL},
        {"/docker/" ID64 "f", NULL},
        {"/system.slice/docker.service", NULL},
        {"/", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64] = "";
        bool found = km_container_parse(rows[i].cgroup, out, sizeof out);
        assert_int_equal(found, rows[i].name != NULL);
        if (found)
            assert_string_equal(out, rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_names_may_hold_anything),
        cmocka_unit_test(broken_stats_are_refused),
        cmocka_unit_test(status_gives_rights),
        cmocka_unit_test(cgroup_prefers_the_unified_hierarchy),
        cmocka_unit_test(units_are_the_innermost_service),
        cmocka_unit_test(containers_are_told_by_their_cgroup),
    };
    return KM_RUN_TESTS(tests);
}
