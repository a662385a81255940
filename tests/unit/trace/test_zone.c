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

static void ordinary_files_of_etc(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool ordinary;
    } rows[] = {
        {"/etc/resolv.conf", true},
        {"/etc/hosts", true},
        {"/etc/nsswitch.conf", true},
        {"/etc/localtime", true},
        {"/etc/host.conf", true},
        {"/etc/mime.types", true},
        {"/etc/passwd", false},
        {"/etc/passwd-", false},
        {"/etc/group", false},
        {"/etc/shadow", false},
        {"/etc/shadow-", false},
        {"/etc/gshadow-", false},
        {"/etc/sudoers", false},
        {"/etc/sudo.conf", false},
        {"/etc/crontab", false},
        {"/etc/krb5.keytab", false},
        {"/etc/server.key", false},
        {"/etc/tls.pem", false},
        {"/etc/.hidden", false},
        {"/etc/db_password", false},
        {"/etc/ld.so.preload", false},
        {"/etc/nginx/x.conf", false},
        {"/etc/../etc/hosts", false},
        {"/etc/", false},
        {"/etc", false},
        {"etc/hosts", false},
        {"/srv/etc/hosts", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (km_zone_is_ordinary((struct km_bytes){rows[i].path, strlen(rows[i].path)}) != rows[i].ordinary)
            fail_msg("%s", rows[i].path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(zone_table), cmocka_unit_test(ordinary_files_of_etc)};
    return KM_RUN_TESTS(tests);
}
