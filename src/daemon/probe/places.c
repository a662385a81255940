#include <string.h>

#include "daemon/probe/places.h"

enum kind {
    FIRST = 0,  /* a directory below the root and all in it */
    ZONE = 1,   /* a directory of two or three parts: the files in it, and all below one of three */
    WHOLE = 2,  /* one file */
    NAME = 3,   /* the last part, anywhere */
    FOLDER = 4, /* the last directory, anywhere */
};

static const struct {
    const char *path;
    enum kind kind;
    unsigned flags;
} table[] = {
    {"/etc", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/usr", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/bin", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/sbin", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/lib", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/lib64", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/boot", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/root", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/opt", FIRST, KM_PROBE_PLACE_SYSTEM},
    {"/etc", ZONE, KM_PROBE_PLACE_NAMED},
    {"/root", ZONE, KM_PROBE_PLACE_NAMED},
    {"/etc/cron.d", ZONE, KM_PROBE_PLACE_NAMED},
    {"/etc/cron.daily", ZONE, KM_PROBE_PLACE_NAMED},
    {"/etc/cron.hourly", ZONE, KM_PROBE_PLACE_NAMED},
    {"/etc/ssh", ZONE, KM_PROBE_PLACE_NAMED},
    {"/etc/pam.d", ZONE, KM_PROBE_PLACE_NAMED},
    {"/etc/systemd/system", ZONE, KM_PROBE_PLACE_NAMED},
    {"/lib/systemd/system", ZONE, KM_PROBE_PLACE_NAMED},
    {"/run/systemd/system", ZONE, KM_PROBE_PLACE_NAMED | KM_PROBE_PLACE_SYSTEM},
    {".ssh", FOLDER, KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM},
    {".gnupg", FOLDER, KM_PROBE_PLACE_SENSITIVE},
    {".aws", FOLDER, KM_PROBE_PLACE_SENSITIVE},
    {"/var/spool/cron", ZONE, KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM},
    {"/etc/sudoers.d", ZONE, KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM},
    {"/etc/ssl/private", ZONE, KM_PROBE_PLACE_SENSITIVE},
    {"/root/.ssh", ZONE, KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM},
    {"/root/.gnupg", ZONE, KM_PROBE_PLACE_SENSITIVE},
    {"/root/.aws", ZONE, KM_PROBE_PLACE_SENSITIVE},
    {"/etc/shadow", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"/etc/gshadow", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"/etc/sudoers", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"/etc/ld.so.preload", WHOLE, KM_PROBE_PLACE_SYSTEM},
    {"/dev/mem", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"/dev/kmem", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"/proc/kcore", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"/proc/sysrq-trigger", WHOLE, KM_PROBE_PLACE_SENSITIVE},
    {"shadow", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"gshadow", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"shadow-", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"sudoers", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"authorized_keys", NAME, KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM},
    {"authorized_keys2", NAME, KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM},
    {"id_rsa", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"id_ecdsa", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"id_ed25519", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"ssh_host_rsa_key", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"ssh_host_ecdsa_key", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"ssh_host_ed25519_key", NAME, KM_PROBE_PLACE_SENSITIVE},
    {".pgpass", NAME, KM_PROBE_PLACE_SENSITIVE},
    {".my.cnf", NAME, KM_PROBE_PLACE_SENSITIVE},
    {".netrc", NAME, KM_PROBE_PLACE_SENSITIVE},
    {".bash_history", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"mem", NAME, KM_PROBE_PLACE_SENSITIVE}, /* /proc/PID/mem */
    {"environ", NAME, KM_PROBE_PLACE_SENSITIVE},
    {"docker.sock", NAME, KM_PROBE_PLACE_SENSITIVE},
};

/* Longest beginnings first. */
static const struct {
    const char *prefix;
    enum km_zone zone;
} zones[] = {
    {"/var/lib/", KM_ZONE_STATE},   {"/var/cache/", KM_ZONE_STATE}, {"/var/spool/", KM_ZONE_STATE},
    {"/var/log/", KM_ZONE_LOG},     {"/var/run/", KM_ZONE_RUN},     {"/var/tmp/", KM_ZONE_TEMP},
    {"/var/www/", KM_ZONE_SERVICE}, {"/dev/shm/", KM_ZONE_TEMP},    {"/run/", KM_ZONE_RUN},
    {"/tmp/", KM_ZONE_TEMP},        {"/usr/", KM_ZONE_SYSTEM},      {"/bin/", KM_ZONE_SYSTEM},
    {"/sbin/", KM_ZONE_SYSTEM},     {"/lib", KM_ZONE_SYSTEM},       {"/boot/", KM_ZONE_SYSTEM},
    {"/opt/", KM_ZONE_SYSTEM},      {"/etc/", KM_ZONE_CONFIG},      {"/home/", KM_ZONE_HOME},
    {"/root/", KM_ZONE_HOME},       {"/dev/", KM_ZONE_DEVICE},      {"/proc/", KM_ZONE_PROC},
    {"/sys/", KM_ZONE_SYS},         {"/srv/", KM_ZONE_SERVICE},
};

void km_places_scan(const char *text, size_t length, struct km_probe_path *out)
{
    km_probe_path_begin(out, length > 0 ? (__u8)text[0] : 0);
    for (size_t i = 0; i < length && i < KM_PROBE_PATH_BYTES - 1 && text[i] != '\0'; i++)
        km_probe_path_step(out, (__u8)text[i]);
}

int km_places_get(size_t i, struct km_place *out)
{
    struct km_probe_path path;

    if (i >= sizeof table / sizeof table[0])
        return 0;
    km_places_scan(table[i].path, strlen(table[i].path), &path);
    out->hash = table[i].kind == NAME || table[i].kind == FOLDER ? path.name : path.whole;
    out->flags = table[i].flags | (table[i].kind == FOLDER ? KM_PROBE_PLACE_FOLDER : 0);
    return 1;
}

unsigned km_places_of(const char *text, size_t length)
{
    struct km_probe_path path;
    struct km_place place;
    unsigned first = 0;
    unsigned zone = 0;
    unsigned whole = 0;
    unsigned name = 0;
    unsigned directory = 0;

    km_places_scan(text, length, &path);
    for (size_t i = 0; km_places_get(i, &place); i++) {
        first |= place.hash == path.first ? place.flags : 0;
        zone |= place.hash == path.zone ? place.flags : 0;
        whole |= place.hash == path.whole ? place.flags : 0;
        name |= place.hash == path.name ? place.flags : 0;
        directory |= place.hash == path.directory ? place.flags : 0;
    }
    return km_probe_place_flags(first, zone, whole, name, directory);
}

enum km_zone km_places_zone(const char *text, size_t length)
{
    if (length == 0 || text[0] != '/')
        return KM_ZONE_RELATIVE;
    if (km_places_of(text, length) & KM_PROBE_PLACE_SENSITIVE)
        return KM_ZONE_SENSITIVE;
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        size_t prefix = strlen(zones[i].prefix);
        if (length >= prefix && memcmp(text, zones[i].prefix, prefix) == 0)
            return zones[i].zone;
    }
    return KM_ZONE_OTHER;
}
