#define KM_TEST_NAME "inventory_sockets"
#include "../cm.h"

#include <stdlib.h>

#include "daemon/inventory/inventory_internal.h"

static struct km_err err;

static void inet_tables_give_listeners(void **state)
{
    (void)state;
    struct km_sockets out = {0};
    assert_ok(km_sockets_parse_inet(
                  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                  "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 x\n"
                  "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 x\n"
                  "   2: 0A01A8C0:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 x\n"
                  "   3: 0A01A8C0:0016 0B01A8C0:ABCD 01 00000000:00000000 00:00000000 00000000     0        0 444 1 x\n"
                  "garbage\n   5: zz:0050\n",
                  false, false, &out, &err),
              err);
    assert_int_equal(out.count, 3);
    assert_int_equal(out.rows[0].listener.reach, KM_REACH_ANY);
    assert_int_equal(out.rows[0].listener.port, 80);
    assert_int_equal(out.rows[0].inode, 111);
    assert_int_equal(out.rows[1].listener.reach, KM_REACH_LOOPBACK);
    assert_string_equal(out.rows[1].listener.address, "127.0.0.1");
    assert_int_equal(out.rows[2].listener.reach, KM_REACH_ADDRESS);
    assert_string_equal(out.rows[2].listener.address, "192.168.1.10");
    free(out.rows);
}

static void six_knows_loopback_and_mapped(void **state)
{
    (void)state;
    struct km_sockets out = {0};
    assert_ok(
        km_sockets_parse_inet("   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A "
                              "0:0 0:0 0 0 0 1 1 x\n"
                              "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A "
                              "0:0 0:0 0 0 0 2 1 x\n"
                              "   2: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A "
                              "0:0 0:0 0 0 0 3 1 x\n"
                              "   3: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 4 1 x\n",
                              true, false, &out, &err),
        err);
    assert_int_equal(out.count, 3); /* the last is too short for this family */
    assert_int_equal(out.rows[0].listener.reach, KM_REACH_LOOPBACK);
    assert_int_equal(out.rows[1].listener.reach, KM_REACH_ANY);
    assert_int_equal(out.rows[2].listener.reach, KM_REACH_LOOPBACK);
    free(out.rows);
}

static void udp_listens_when_it_has_no_peer(void **state)
{
    (void)state;
    struct km_sockets out = {0};
    assert_ok(km_sockets_parse_inet("   0: 00000000:0035 00000000:0000 07 0:0 0:0 0 0 0 1 1 x\n"
                                    "   1: 0100007F:C000 0100007F:0035 01 0:0 0:0 0 0 0 2 1 x\n",
                                    false, true, &out, &err),
              err);
    assert_int_equal(out.count, 1);
    assert_true(out.rows[0].listener.udp);
    free(out.rows);
}

static void unix_tables_give_accepting_sockets(void **state)
{
    (void)state;
    struct km_sockets out = {0};
    assert_ok(km_sockets_parse_unix("Num       RefCount Protocol Flags    Type St Inode Path\n"
                                    "0000000000000000: 00000002 00000000 00010000 0001 01  1234 /run/x y.sock\n"
                                    "0000000000000000: 00000003 00000000 00000000 0001 03  1235\n"
                                    "0000000000000000: 00000002 00000000 00010000 0001 01  1236\n",
                                    &out, &err),
              err);
    assert_int_equal(out.count, 2);
    assert_string_equal(out.rows[0].listener.address, "/run/x y.sock");
    assert_int_equal(out.rows[0].listener.reach, KM_REACH_UNIX);
    assert_string_equal(out.rows[1].listener.address, "");
    free(out.rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inet_tables_give_listeners),
        cmocka_unit_test(six_knows_loopback_and_mapped),
        cmocka_unit_test(udp_listens_when_it_has_no_peer),
        cmocka_unit_test(unix_tables_give_accepting_sockets),
    };
    return KM_RUN_TESTS(tests);
}
