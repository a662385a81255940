#define KM_TEST_NAME "entity"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "daemon/profile/entity.h"
#include "daemon/profile/nearest.h"

static void template_table(void **state)
{
    (void)state;
    static const struct {
        const char *path, *template;
    } rows[] = {{"/proc/1234/stat", "/proc/#/stat"},
                {"/tmp/sess_Ab3xY9", "/tmp/sess_*"},
                {"/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/x#_#-linux-gnu/libssl.so.#"},
                {"/etc/nginx", "/etc/nginx"},
                {"/a\nb", "/a\\nb"},
                {"", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[KM_ENTITY_TEXT_BYTES];
        km_entity_template((struct km_bytes){rows[i].path, strlen(rows[i].path)}, out, sizeof out);
        assert_string_equal(out, rows[i].template);
    }
    char hostile[5000], out[KM_ENTITY_TEXT_BYTES];
    memset(hostile, '\x1b', sizeof hostile);
    km_entity_template((struct km_bytes){hostile, sizeof hostile}, out, sizeof out);
    assert_null(strchr(out, '\x1b'));
}

static void lines_table(void **state)
{
    (void)state;
    char line[KM_ENTITY_TEXT_BYTES];
    struct km_event_landmark l = {.kind = KM_LANDMARK_OPEN, .flags = 1, .path = {"/var/lib/x/12", 13}};
    km_entity_format(&l, line);
    assert_string_equal(line, "open write /var/lib/x/");
    l = (struct km_event_landmark){
        .kind = KM_LANDMARK_OPEN, .zone = KM_ZONE_SENSITIVE, .outcome = KM_OUTCOME_DENIED, .path = {"/etc/shadow", 11}};
    km_entity_format(&l, line);
    assert_string_equal(line, "open read /etc/shadow denied");
    l = (struct km_event_landmark){.kind = KM_LANDMARK_CONNECT,
                                   .address = {.family = 2, .port = 5432, .length = 4, .bytes = {10, 1, 2, 3}}};
    km_entity_format(&l, line);
    assert_string_equal(line, "connect inet private 5432");
    l.address.port = 50000;
    l.address.bytes[0] = 8;
    km_entity_format(&l, line);
    assert_string_equal(line, "connect inet public");
    l = (struct km_event_landmark){.kind = KM_LANDMARK_OPEN, .flags = 012200000, .path = {"/etc/cron.d", 11}};
    km_entity_format(&l, line);
    assert_string_equal(line, "open directory /etc/cron.d");
    l = (struct km_event_landmark){
        .kind = KM_LANDMARK_OPEN, .path = {"/var/www/html/a.txt", 19}, .path2 = {"etc/hostname", 12}};
    km_entity_format(&l, line);
    assert_string_equal(line, "open link /var/www/html/ to etc/");
    l = (struct km_event_landmark){.kind = KM_LANDMARK_OPEN, .zone = KM_ZONE_CONFIG, .path = {"/etc/passwd", 11}};
    km_entity_format(&l, line);
    assert_string_equal(line, "open read /etc/passwd");
    l.path = (struct km_bytes){"/etc/nginx/nginx.conf", 21};
    km_entity_format(&l, line);
    assert_string_equal(line, "open read /etc/nginx/");
    l.flags = 1;
    km_entity_format(&l, line);
    assert_string_equal(line, "open write /etc/nginx/nginx.conf");
    l.kind = KM_LANDMARK_UNLINK;
    km_entity_format(&l, line);
    assert_string_equal(line, "unlink /etc/nginx/nginx.conf");
    l = (struct km_event_landmark){
        .kind = KM_LANDMARK_RENAME, .path = {"/var/lib/x/new", 14}, .path2 = {"/etc/cron.d/dump", 16}};
    km_entity_format(&l, line);
    assert_string_equal(line, "rename /var/lib/x/ to /etc/cron.d/dump");
    l = (struct km_event_landmark){.kind = 77};
    km_entity_format(&l, line);
    assert_string_equal(line, "unknown 0");
}

static struct km_event_landmark act(enum km_landmark_kind kind, unsigned zone, unsigned outcome)
{
    return (struct km_event_landmark){.kind = (uint16_t)kind, .zone = (uint8_t)zone, .outcome = (uint8_t)outcome};
}

static void what_no_start_excuses(void **state)
{
    (void)state;
    static const struct {
        uint16_t family;
        uint8_t bytes[16];
        bool is_public;
    } peers[] = {
        {2, {8, 8, 8, 8}, true},
        {2, {127, 0, 0, 1}, false},
        {2, {10, 1, 2, 3}, false},
        {2, {172, 15, 0, 1}, true},
        {2, {172, 16, 0, 1}, false},
        {2, {172, 31, 255, 1}, false},
        {2, {172, 32, 0, 1}, true},
        {2, {192, 168, 9, 9}, false},
        {2, {192, 169, 9, 9}, true},
        {2, {169, 254, 1, 1}, false},
        {2, {100, 64, 0, 1}, false},
        {2, {100, 128, 0, 1}, true},
        {2, {198, 51, 100, 7}, false},
        {2, {239, 1, 1, 1}, false},
        {10, {0x2a, 0, 1}, true},
        {10, {[15] = 1}, false},
        {10, {0xfe, 0x80}, false},
        {10, {0xfd}, false},
        {10, {0xff, 2}, false},
        {10, {0x20, 1, 0xd, 0xb8}, false},
        {10, {[10] = 0xff, 0xff, 8, 8, 4, 4}, true},
        {10, {[10] = 0xff, 0xff, 127, 0, 0, 1}, false},
        {1, {'/'}, false},
    };
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        struct km_event_landmark l = act(KM_LANDMARK_CONNECT, 0, KM_OUTCOME_OK);
        l.address.family = peers[i].family;
        memcpy(l.address.bytes, peers[i].bytes, 16);
        assert_int_equal(km_entity_is_public(&l.address), peers[i].is_public);
        assert_int_equal(km_entity_is_inexcusable(&l), peers[i].is_public);
    }
    struct km_event_landmark l = act(KM_LANDMARK_OPEN, KM_ZONE_SENSITIVE, KM_OUTCOME_OK);
    assert_true(km_entity_is_inexcusable(&l));
    l = act(KM_LANDMARK_OPEN, KM_ZONE_SENSITIVE, KM_OUTCOME_DENIED);
    assert_false(km_entity_is_inexcusable(&l));
    static const struct {
        enum km_landmark_kind kind;
        unsigned zone, outcome, flags;
        bool inexcusable;
    } acts[] = {
        {KM_LANDMARK_OPEN, KM_ZONE_SYSTEM, KM_OUTCOME_OK, 1, true},
        {KM_LANDMARK_OPEN, KM_ZONE_SYSTEM, KM_OUTCOME_OK, 0, false},
        {KM_LANDMARK_OPEN, KM_ZONE_LOG, KM_OUTCOME_OK, 1, false},
        {KM_LANDMARK_OPEN, KM_ZONE_SYSTEM, KM_OUTCOME_ERROR, 1, false},
        {KM_LANDMARK_UNLINK, KM_ZONE_SYSTEM, KM_OUTCOME_OK, 0, true},
        {KM_LANDMARK_UNLINK, KM_ZONE_SYSTEM, KM_OUTCOME_DENIED, 0, false},
        {KM_LANDMARK_RENAME, KM_ZONE_SYSTEM, KM_OUTCOME_OK, 0, true},
        {KM_LANDMARK_LISTEN, 0, KM_OUTCOME_OK, 0, false},
    };
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        l = act(acts[i].kind, acts[i].zone, acts[i].outcome);
        l.flags = acts[i].flags;
        if (km_entity_is_inexcusable(&l) != acts[i].inexcusable)
            fail_msg("act %zu", i);
    }
    l = act(KM_LANDMARK_OPEN, KM_ZONE_CONFIG, KM_OUTCOME_OK);
    assert_false(km_entity_is_inexcusable(&l));
    l = act(KM_LANDMARK_EXEC, KM_ZONE_SYSTEM, KM_OUTCOME_OK);
    assert_true(km_entity_is_inexcusable(&l));
    l = act(KM_LANDMARK_LISTEN, 0, KM_OUTCOME_OK);
    assert_false(km_entity_is_inexcusable(&l));
}

static void a_first_read_of_an_ordinary_file_is_slight(void **state)
{
    (void)state;
    static const struct {
        const char *path, *target;
        unsigned zone, flags;
        enum km_gravity gravity;
        bool config;
    } rows[] = {
        {"/etc/resolv.conf", "", KM_ZONE_CONFIG, 0, KM_GRAVITY_SLIGHT, true},
        {"/etc/resolv.conf", "", KM_ZONE_CONFIG, 1, KM_GRAVITY_GRAVE, false},
        {"/etc/resolv.conf", "", KM_ZONE_CONFIG, 2, KM_GRAVITY_GRAVE, false},
        {"/etc/passwd", "", KM_ZONE_CONFIG, 0, KM_GRAVITY_GRAVE, true},
        {"/etc/shadow", "", KM_ZONE_SENSITIVE, 0, KM_GRAVITY_GRAVE, false},
        {"/etc/shadow-", "", KM_ZONE_SENSITIVE, 0, KM_GRAVITY_GRAVE, false},
        {"/etc/server.key", "", KM_ZONE_CONFIG, 0, KM_GRAVITY_GRAVE, true},
        {"/etc", "", KM_ZONE_CONFIG, 010200000, KM_GRAVITY_GRAVE, false}, /* enters it */
        {"/etc/redis/redis.conf", "", KM_ZONE_CONFIG, 0, KM_GRAVITY_GRAVE, true},
        {"/etc/redis/../shadow", "", KM_ZONE_CONFIG, 0, KM_GRAVITY_GRAVE, false},
        {"/etc/localtime", "/usr/share/zoneinfo/Asia/Tokyo", KM_ZONE_CONFIG, 0, KM_GRAVITY_SLIGHT, false},
        {"/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf", KM_ZONE_CONFIG, 0, KM_GRAVITY_SLIGHT, false},
        {"/etc/hosts", "/root/.ssh/id_rsa", KM_ZONE_CONFIG, 0, KM_GRAVITY_GRAVE, false},
        {"/etc/hosts", "/etc/passwd", KM_ZONE_CONFIG, 0, KM_GRAVITY_GRAVE, true},
        {"/var/www/html/x", "/etc/hosts", KM_ZONE_SERVICE, 0, KM_GRAVITY_GRAVE, false},
        {"/home/kato/x", "", KM_ZONE_HOME, 0, KM_GRAVITY_GRAVE, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_event_landmark l = act(KM_LANDMARK_OPEN, rows[i].zone, KM_OUTCOME_OK);
        l.path = (struct km_bytes){rows[i].path, strlen(rows[i].path)};
        l.path2 = (struct km_bytes){rows[i].target, strlen(rows[i].target)};
        l.flags = rows[i].flags;
        if (km_entity_gravity(&l) != rows[i].gravity || km_entity_reads_config(&l) != rows[i].config)
            fail_msg("%s to %s: %d, %d", rows[i].path, rows[i].target, (int)km_entity_gravity(&l),
                     km_entity_reads_config(&l));
    }
    struct km_event_landmark gone = act(KM_LANDMARK_UNLINK, KM_ZONE_CONFIG, KM_OUTCOME_OK);
    gone.path = (struct km_bytes){"/etc/resolv.conf", 16};
    assert_int_equal(km_entity_gravity(&gone), KM_GRAVITY_GRAVE);
}

static void sets_find_and_count(void **state)
{
    (void)state;
    struct km_entity_set set = {0};
    struct km_err err = KM_ERR_INIT;
    assert_null(km_entity_find(&set, "x"));
    for (int i = 0; i < KM_ENTITY_MAX + 10; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "exec /bin/%d", i);
        assert_ok(km_entity_learn(&set, KM_LANDMARK_EXEC, text, 1, &err), err);
    }
    assert_int_equal(set.count, KM_ENTITY_MAX);
    assert_int_equal(set.dropped, 10);
    assert_ok(km_entity_learn(&set, KM_LANDMARK_EXEC, "exec /bin/7", 3, &err), err);
    assert_int_equal(km_entity_find(&set, "exec /bin/7")->count, 4);
    km_entity_set_done(&set);
}

static void a_rare_kind_surprises_more(void **state)
{
    (void)state;
    struct km_entity_set set = {0};
    struct km_err err = KM_ERR_INIT;
    for (int i = 0; i < 50; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "open read /%d/", i);
        assert_ok(km_entity_learn(&set, KM_LANDMARK_OPEN, text, 1, &err), err);
    }
    assert_true(km_entity_surprise(&set, KM_LANDMARK_MODULE, 1000) > km_entity_surprise(&set, KM_LANDMARK_OPEN, 1000));
    assert_true(km_entity_surprise(&set, KM_LANDMARK_OPEN, 100) > 0);
    km_entity_set_done(&set);
}

static void nearest_set_by_hand(void **state)
{
    (void)state;
    struct km_nearest nearest = {0};
    struct km_err err = KM_ERR_INIT;
    unsigned long long a[KM_CALL_SET_WORDS] = {0xf}, b[KM_CALL_SET_WORDS] = {0x3}, q[KM_CALL_SET_WORDS] = {0x7};
    struct km_nearest_result r = km_nearest_find(&nearest, q);
    assert_true(r.distance == 1 && r.index == SIZE_MAX && r.missing == 0);
    assert_ok(km_nearest_learn(&nearest, a, &err), err);
    assert_ok(km_nearest_learn(&nearest, a, &err), err);
    r = km_nearest_find(&nearest, q);
    assert_int_equal(nearest.count, 1);
    assert_true(r.distance == 0.25 && r.missing == 1);
    assert_ok(km_nearest_learn(&nearest, b, &err), err);
    r = km_nearest_find(&nearest, q);
    assert_true(r.distance == 0.25 && r.missing == 0);
    km_nearest_unlearn(&nearest, a);
    km_nearest_unlearn(&nearest, a);
    r = km_nearest_find(&nearest, q);
    assert_true(r.distance > 0.33 && r.index == 1);
    km_nearest_done(&nearest);
}

static void success_and_failure_are_one_place(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_entity_set set = {0};
    assert_ok(km_entity_learn(&set, KM_LANDMARK_OPEN, "open read /srv/ failed", 1, &err), err);
    assert_ok(km_entity_learn(&set, KM_LANDMARK_CONNECT, "connect inet loopback 80", 1, &err), err);
    assert_ok(km_entity_learn(&set, KM_LANDMARK_EXEC, "exec /bin/sh failed", 1, &err), err);
    assert_non_null(km_entity_find(&set, "open read /srv/"));
    assert_non_null(km_entity_find(&set, "connect inet loopback 80 failed"));
    assert_null(km_entity_find(&set, "open read /srv/ denied"));
    assert_null(km_entity_find(&set, "open write /srv/"));
    assert_null(km_entity_find(&set, "exec /bin/sh"));
    km_entity_set_done(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(template_table),        cmocka_unit_test(lines_table),
        cmocka_unit_test(what_no_start_excuses), cmocka_unit_test(a_first_read_of_an_ordinary_file_is_slight),
        cmocka_unit_test(sets_find_and_count),   cmocka_unit_test(a_rare_kind_surprises_more),

        cmocka_unit_test(nearest_set_by_hand),   cmocka_unit_test(success_and_failure_are_one_place),
    };
    return KM_RUN_TESTS(tests);
}
