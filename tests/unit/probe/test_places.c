#define KM_TEST_NAME "places"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "daemon/probe/places.h"

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
    assert_int_equal(km_places_of("/etc/passwd", 11), KM_PROBE_PLACE_SYSTEM);
    assert_int_equal(km_places_of("/etc/shadow", 11), KM_PROBE_PLACE_SYSTEM | KM_PROBE_PLACE_SENSITIVE);
    assert_int_equal(km_places_of("/tmp/x", 6), 0);
    assert_int_equal(km_places_of("/etc", 4), KM_PROBE_PLACE_SYSTEM);
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
        cmocka_unit_test(text_ends_at_length_nul_or_the_kernels_room),
        cmocka_unit_test(table_ends),
    };
    return KM_RUN_TESTS(tests);
}
