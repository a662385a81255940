#define KM_TEST_NAME "inventory"
#include "../cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/inventory/inventory.h"

static struct km_err err;

static void write_file(const char *root, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void write_link(const char *root, const char *name, const char *target)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(symlink(target, path), 0);
}

#define STATUS(uid) "Name:\tx\nUid:\t" uid "\t" uid "\t" uid "\t" uid "\nCapEff:\t0\nNoNewPrivs:\t0\nSeccomp:\t0\n"
#define TAIL        " 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0\n"

static void a_made_up_proc_is_listed(void **state)
{
    (void)state;
    char root[] = "/tmp/komainu-inventory-XXXXXX";
    assert_non_null(mkdtemp(root));
    write_file(root, "1/stat", "1 (init) S 0" TAIL);
    write_file(root, "1/status", STATUS("0"));
    write_file(root, "1/cgroup", "0::/init.scope\n");
    write_file(root, "10/stat", "10 (web) S 1" TAIL);
    write_file(root, "10/status", STATUS("0"));
    write_file(root, "10/cgroup", "0::/system.slice/web.service\n");
    write_file(root, "11/stat", "11 (web) S 10" TAIL);
    write_file(root, "11/status", STATUS("33"));
    write_file(root, "11/cgroup", "0::/system.slice/web.service\n");
    write_file(root, "10/net/tcp", "   0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 77 1 x\n");
    write_file(root, "10/fd/none", "");
    write_link(root, "10/fd/3", "socket:[77]");
    write_file(root, "11/fd/none", "");
    write_link(root, "11/fd/3", "socket:[77]");
    write_file(root, "10/ns/none", "");
    write_link(root, "10/ns/net", "net:[1]");
    write_file(root, "11/ns/none", "");
    write_link(root, "11/ns/net", "net:[1]");
    write_file(root, "20/stat", "20 (tool\x1b[2J) S 1" TAIL);
    write_file(root, "20/status", STATUS("1000"));
    write_file(root, "20/cgroup", "0::/\n");
    write_file(root, "21/stat", "21 (child) S 20" TAIL);
    write_file(root, "21/status", STATUS("1000"));
    write_file(root, "21/cgroup", "0::/\n");
    write_file(root, "30/stat", "30 (half"); /* it ended while it was read */
    write_file(root, "40/stat", "40 (sh) S 1 1 1 34816 1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0\n");
    write_file(root, "40/status", STATUS("1000"));
    write_file(root, "etc/passwd", "root:x:0:0:::\nbroken\n:x:33:\nwww:x:33:33:::\n");
    write_file(root, "guarded", "other\nweb.service\n");
    char guarded[64];
    (void)snprintf(guarded, sizeof guarded, "%s/guarded", root);

    const struct km_inventory_options options = {.root = root, .proc_root = root, .guarded_path = guarded};
    struct km_inventory *inventory = km_inventory_read(&options, &err);
    if (!inventory)
        fail_msg("%s", err.text);
    assert_int_equal(km_inventory_count(inventory), 2);
    const struct km_daemon *web = km_inventory_get(inventory, 0);
    assert_string_equal(web->name, "web.service");
    assert_int_equal(web->kind, KM_INVENTORY_UNIT);
    assert_int_equal(web->processes, 2);
    assert_int_equal(web->main_pid, 10);
    assert_string_equal(web->user, "root");
    assert_true(web->guarded);
    assert_int_equal(web->listener_count, 1); /* shared by both processes */
    assert_int_equal(web->reach, KM_REACH_ANY);
    assert_int_equal(web->rank_points, 40 + 25 + 5);
    const struct km_daemon *tool = km_inventory_get(inventory, 1);
    assert_string_equal(tool->name, "tool\x1b[2J");
    assert_int_equal(tool->kind, KM_INVENTORY_TREE);
    assert_int_equal(tool->processes, 2);
    assert_string_equal(tool->user, "1000");
    assert_false(tool->guarded);
    assert_int_equal(tool->rank_points, 0);
    assert_non_null(km_inventory_note(inventory, 0)); /* neither systemd nor dpkg here */
    km_inventory_free(inventory);
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): our own folder
}

static void no_proc_is_an_error(void **state)
{
    (void)state;
    const struct km_inventory_options options = {.proc_root = "/nonexistent"};
    assert_null(km_inventory_read(&options, &err));
    assert_int_equal(err.code, KM_NOTFOUND);
    km_inventory_free(NULL);
}

static void rank_adds_up_its_reasons(void **state)
{
    (void)state;
    struct km_daemon daemon = {.kind = KM_INVENTORY_CONTAINER,
                               .package = "",
                               .reach = KM_REACH_ANY,
                               .capabilities = ~0ULL,
                               .setuid_program = true,
                               .deleted_program = true,
                               .package_known = true};
    km_inventory_rank(&daemon);
    int sum = 0;
    for (size_t i = 0; i < daemon.reason_count; i++)
        sum += daemon.reasons[i].points;
    assert_int_equal(sum, daemon.rank_points);
    assert_int_equal(sum, 40 + 25 + 5 + 10 + 10 + 5 + 15);
    km_inventory_rank(&daemon);
    assert_int_equal(daemon.rank_points, sum); /* again is the same */
    struct km_daemon quiet = {.package = "x", .package_known = true, .uid = 33};
    km_inventory_rank(&quiet);
    assert_int_equal(quiet.rank_points, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_made_up_proc_is_listed),
        cmocka_unit_test(no_proc_is_an_error),
        cmocka_unit_test(rank_adds_up_its_reasons),
    };
    return KM_RUN_TESTS(tests);
}
