#define KM_TEST_NAME "zone"
#include "../cm.h"

#include <string.h>

#include "daemon/trace/zone.h"

static void zone_table(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum km_zone zone;
    } rows[] = {{"/usr/sbin/nginx", KM_ZONE_SYSTEM},
                {"/usr", KM_ZONE_SYSTEM},
                {"/usrlocal/x", KM_ZONE_OTHER},
                {"/etc/nginx/nginx.conf", KM_ZONE_CONFIG},
                {"/etc/shadow", KM_ZONE_SENSITIVE},
                {"/etc/shadow-", KM_ZONE_CONFIG},
                {"/etc/ssh/ssh_host_rsa_key", KM_ZONE_SENSITIVE},
                {"/proc/1/mem", KM_ZONE_SENSITIVE},
                {"/proc/1/maps", KM_ZONE_PROC},
                {"/home/kato/.ssh/id_rsa", KM_ZONE_SENSITIVE},
                {"/home/kato/notes", KM_ZONE_HOME},
                {"/dev/shm/x", KM_ZONE_TEMP},
                {"/dev/null", KM_ZONE_DEVICE},
                {"/var/www/index.html", KM_ZONE_SERVICE},
                {"/var/log/nginx/access.log", KM_ZONE_LOG},
                {"/usr/../etc/shadow", KM_ZONE_OTHER},
                {"/usr/..", KM_ZONE_OTHER},
                {"relative/path", KM_ZONE_RELATIVE},
                {"", KM_ZONE_RELATIVE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum km_zone zone = km_zone_of_path((struct km_bytes){rows[i].path, strlen(rows[i].path)});
        if (zone != rows[i].zone)
            fail_msg("%s is %s", rows[i].path, km_zone_to_string(zone));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(zone_table)};
    return KM_RUN_TESTS(tests);
}
