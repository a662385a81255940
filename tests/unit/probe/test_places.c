#define KM_TEST_NAME "places"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "daemon/probe/bpf/probe_logic.h"
#include "daemon/probe/places.h"
#include "daemon/trace/zone.h"

static void zones_table(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum km_zone zone;
    } rows[] = {
        {"/etc/passwd", KM_ZONE_CONFIG},
        {"/etc/shadow", KM_ZONE_SENSITIVE},
        {"/mnt/backup/etc/shadow", KM_ZONE_SENSITIVE},
        {"/home/me/.ssh/authorized_keys", KM_ZONE_SENSITIVE},
        {"/var/spool/cron/crontabs/root", KM_ZONE_SENSITIVE},
        {"/var/spool/mail/root", KM_ZONE_STATE},
        {"/var/lib/x", KM_ZONE_STATE},
        {"/var/log/nginx/access.log", KM_ZONE_LOG},
        {"/var/www/html/index.html", KM_ZONE_SERVICE},
        {"/run/nginx.pid", KM_ZONE_RUN},
        {"/dev/shm/x", KM_ZONE_TEMP},
        {"/dev/null", KM_ZONE_DEVICE},
        {"/usr/bin/true", KM_ZONE_SYSTEM},
        {"/lib64/ld-linux.so", KM_ZONE_SYSTEM},
        {"/proc/12/mem", KM_ZONE_SENSITIVE},
        {"/proc/12/stat", KM_ZONE_PROC},
        {"relative", KM_ZONE_RELATIVE},
        {"", KM_ZONE_RELATIVE},
        {"/", KM_ZONE_OTHER},
        {"/varlib/x", KM_ZONE_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (km_places_zone(rows[i].path, strlen(rows[i].path)) != rows[i].zone)
            fail_msg("%s", rows[i].path);
}

static void system_places_are_for_writers(void **state)
{
    (void)state;
    assert_int_equal(km_places_of("/etc/nginx/x", 12), KM_PROBE_PLACE_SYSTEM);
    assert_int_equal(km_places_of("/etc/shadow", 11),
                     KM_PROBE_PLACE_SYSTEM | KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_NAMED);
    assert_int_equal(km_places_of("/tmp/x", 6), 0);
    assert_int_equal(km_places_of("/etc", 4), KM_PROBE_PLACE_SYSTEM);
}

static void places_and_zones_agree_on_what_counts_alone(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool read;
        bool written;
    } rows[] = {
        {"/etc/passwd", true, true},
        {"/root/notes", true, false},
        {"/etc/nginx/nginx.conf", false, true},
        {"/etc/nginx/sites-enabled/a", false, true},
        {"/etc/cron.d/x", true, true},
        {"/etc/ssh/sshd_config", true, true},
        {"/etc/pam.d/login", true, true},
        {"/etc/systemd/system/a.service", true, true},
        {"/lib/systemd/system/a.service", true, true},
        {"/run/systemd/system/a.service", true, true},
        {"/home/me/.ssh/known_hosts", true, true},
        {"/home/me/.gnupg/x", true, true},
        {"/var/lib/redis/.ssh/authorized_keys", true, true},
        {"/home/me/notes", false, false},
        {"/usr/share/doc/x", false, true},
        {"/var/lib/x/y", false, false},
        {"/tmp/x", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = strlen(rows[i].path);
        unsigned flags = km_places_of(rows[i].path, length);
        struct km_bytes path = {rows[i].path, length};
        bool root = strncmp(rows[i].path, "/root", 5) == 0; /* the kernel tells more there */
        if (km_probe_place_told(flags, 0) != rows[i].read || km_zone_names_file(path, false) != rows[i].read)
            fail_msg("%s read", rows[i].path);
        if (!root &&
            (km_probe_place_told(flags, 1) != rows[i].written || km_zone_names_file(path, true) != rows[i].written))
            fail_msg("%s written", rows[i].path);
    }
}

static void a_directorys_name_is_not_a_files(void **state)
{
    (void)state;
    assert_int_equal(km_places_of("/srv/shadow/x", 13), 0);
    assert_int_equal(km_places_of("/srv/.ssh/x/y", 13), 0);
    assert_true(km_places_of("/srv/.ssh/x", 11) & KM_PROBE_PLACE_SENSITIVE);
}

static void text_ends_at_length_nul_or_the_kernels_room(void **state)
{
    (void)state;
    char text[600];
    (void)snprintf(text, sizeof text, "/etc/%0590d", 0);
    struct km_probe_path cut;
    struct km_probe_path longer;
    km_places_scan(text, KM_PROBE_PATH_BYTES - 1, &cut);
    km_places_scan(text, sizeof text, &longer);
    assert_true(cut.whole == longer.whole);
    assert_int_equal(km_places_of("/etc/shadow\0x", 13), km_places_of("/etc/shadow", 11));
    assert_int_equal(km_places_of("/etc/shadowx", 11), km_places_of("/etc/shadow", 11));
}

static void table_ends(void **state)
{
    (void)state;
    struct km_place place;
    size_t i = 0;
    while (km_places_get(i, &place)) {
        assert_true(place.hash != 0);
        assert_true(place.flags != 0);
        i++;
    }
    assert_in_range(i, 20, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones_table),
        cmocka_unit_test(system_places_are_for_writers),
        cmocka_unit_test(places_and_zones_agree_on_what_counts_alone),
        cmocka_unit_test(a_directorys_name_is_not_a_files),
        cmocka_unit_test(text_ends_at_length_nul_or_the_kernels_room),
        cmocka_unit_test(table_ends),
    };
    return KM_RUN_TESTS(tests);
}
