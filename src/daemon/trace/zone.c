#include "daemon/trace/zone.h"

#include <string.h>

/* The first row that fits decides. A name without a slash at its end is a whole path or a directory. */
static const struct {
    const char *prefix;
    enum km_zone zone;
} places[] = {
    {"/etc/shadow", KM_ZONE_SENSITIVE},
    {"/etc/gshadow", KM_ZONE_SENSITIVE},
    {"/etc/sudoers", KM_ZONE_SENSITIVE},
    {"/etc/sudoers.d", KM_ZONE_SENSITIVE},
    {"/etc/ssh", KM_ZONE_SENSITIVE},
    {"/etc/ssl/private", KM_ZONE_SENSITIVE},
    {"/etc/crontab", KM_ZONE_SENSITIVE},
    {"/etc/cron.d", KM_ZONE_SENSITIVE},
    {"/etc/cron.daily", KM_ZONE_SENSITIVE},
    {"/etc/cron.hourly", KM_ZONE_SENSITIVE},
    {"/etc/systemd", KM_ZONE_SENSITIVE},
    {"/etc/ld.so.preload", KM_ZONE_SENSITIVE},
    {"/etc/pam.d", KM_ZONE_SENSITIVE},
    {"/etc/krb5.keytab", KM_ZONE_SENSITIVE},
    {"/root/.ssh", KM_ZONE_SENSITIVE},
    {"/root/.gnupg", KM_ZONE_SENSITIVE},
    {"/var/spool/cron", KM_ZONE_SENSITIVE},
    {"/lib/systemd/system", KM_ZONE_SENSITIVE},
    {"/run/systemd/system", KM_ZONE_SENSITIVE},
    {"/dev/mem", KM_ZONE_SENSITIVE},
    {"/dev/kmem", KM_ZONE_SENSITIVE},
    {"/proc/kcore", KM_ZONE_SENSITIVE},
    {"/dev/shm", KM_ZONE_TEMP},
    {"/tmp", KM_ZONE_TEMP},
    {"/var/tmp", KM_ZONE_TEMP},
    {"/run/shm", KM_ZONE_TEMP},
    {"/usr", KM_ZONE_SYSTEM},
    {"/bin", KM_ZONE_SYSTEM},
    {"/sbin", KM_ZONE_SYSTEM},
    {"/lib", KM_ZONE_SYSTEM},
    {"/lib32", KM_ZONE_SYSTEM},
    {"/lib64", KM_ZONE_SYSTEM},
    {"/libx32", KM_ZONE_SYSTEM},
    {"/boot", KM_ZONE_SYSTEM},
    {"/opt", KM_ZONE_SYSTEM},
    {"/etc", KM_ZONE_CONFIG},
    {"/var/lib", KM_ZONE_STATE},
    {"/var/cache", KM_ZONE_STATE},
    {"/var/spool", KM_ZONE_STATE},
    {"/var/log", KM_ZONE_LOG},
    {"/var/run", KM_ZONE_RUN},
    {"/run", KM_ZONE_RUN},
    {"/var/www", KM_ZONE_SERVICE},
    {"/srv", KM_ZONE_SERVICE},
    {"/home", KM_ZONE_HOME},
    {"/root", KM_ZONE_HOME},
    {"/dev", KM_ZONE_DEVICE},
    {"/proc", KM_ZONE_PROC},
    {"/sys", KM_ZONE_SYS},
};

static bool lies_in(struct km_bytes path, const char *place)
{
    size_t length = strlen(place);
    return path.length >= length && memcmp(path.data, place, length) == 0 &&
           (path.length == length || path.data[length] == '/');
}

static bool climbs(struct km_bytes path)
{
    for (size_t i = 0; i + 3 <= path.length; i++)
        if (path.data[i] == '/' && path.data[i + 1] == '.' && path.data[i + 2] == '.' &&
            (i + 3 == path.length || path.data[i + 3] == '/'))
            return true;
    return false;
}

/* Another process's memory, and keys in anyone's home: a daemon's is anywhere. */
static bool is_sensitive_by_end(struct km_bytes path)
{
    static const char mem[] = "/mem", ssh[] = "/.ssh/", gnupg[] = "/.gnupg/";
    if (lies_in(path, "/proc") && path.length > sizeof mem - 1 &&
        memcmp(path.data + path.length - (sizeof mem - 1), mem, sizeof mem - 1) == 0)
        return true;
    return path.data && (memmem(path.data, path.length, ssh, sizeof ssh - 1) ||
                         memmem(path.data, path.length, gnupg, sizeof gnupg - 1));
}

enum km_zone km_zone_of_path(struct km_bytes path)
{
    if (path.length == 0 || path.data[0] != '/')
        return KM_ZONE_RELATIVE;
    if (climbs(path))
        return KM_ZONE_OTHER;
    if (is_sensitive_by_end(path))
        return KM_ZONE_SENSITIVE;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (lies_in(path, places[i].prefix))
            return places[i].zone;
    return KM_ZONE_OTHER;
}

bool km_zone_names_file(struct km_bytes path, bool writes)
{
    static const char *const directories[] = {"/etc", "/root"};
    enum km_zone zone = km_zone_of_path(path);
    size_t length = path.length;

    if (zone == KM_ZONE_SENSITIVE || (writes && (zone == KM_ZONE_CONFIG || zone == KM_ZONE_SYSTEM)))
        return true;
    while (length > 0 && path.data[length - 1] != '/')
        length--;
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++)
        if (length == strlen(directories[i]) + 1 && memcmp(path.data, directories[i], length - 1) == 0)
            return true;
    return false;
}

bool km_zone_is_ordinary(struct km_bytes path)
{
    static const char etc[] = "/etc/";
    static const char *const telling[] = {"passw",  "shadow", "sudo",  "group", "secret", "credential",
                                          "keytab", "sasldb", ".key",  ".pem",  ".p12",   ".pfx",
                                          ".jks",   ".kdbx",  "netrc", "token", "private"};
    if (km_zone_of_path(path) != KM_ZONE_CONFIG || path.length < sizeof etc ||
        memcmp(path.data, etc, sizeof etc - 1) != 0)
        return false;
    const char *name = path.data + sizeof etc - 1;
    size_t length = path.length - (sizeof etc - 1);
    if (memchr(name, '/', length) || name[0] == '.')
        return false;
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
        if (memmem(name, length, telling[i], strlen(telling[i])))
            return false;
    return true;
}

const char *km_zone_to_string(enum km_zone zone)
{
    static const char *const names[KM_ZONE_COUNT] = {
        [KM_ZONE_OTHER] = "other",     [KM_ZONE_SYSTEM] = "system",
        [KM_ZONE_CONFIG] = "config",   [KM_ZONE_SENSITIVE] = "sensitive",
        [KM_ZONE_STATE] = "state",     [KM_ZONE_LOG] = "log",
        [KM_ZONE_RUN] = "run",         [KM_ZONE_TEMP] = "temporary",
        [KM_ZONE_HOME] = "home",       [KM_ZONE_DEVICE] = "device",
        [KM_ZONE_PROC] = "proc",       [KM_ZONE_SYS] = "sys",
        [KM_ZONE_SERVICE] = "service", [KM_ZONE_RELATIVE] = "relative",
    };
    return (unsigned)zone < KM_ZONE_COUNT ? names[zone] : "unknown";
}
