#include "base/folder.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP      "komainu"
#define PATH_BYTES 4096

enum km_code km_folder_own(enum km_folder kind, const char *name, char *out, size_t out_bytes, struct km_err *err)
{
    static const struct {
        const char *variable, *below_home;
    } kinds[] = {
        [KM_FOLDER_CONFIG] = {"XDG_CONFIG_HOME", "/.config"},
        [KM_FOLDER_STATE] = {"XDG_STATE_HOME", "/.local/state"},
        [KM_FOLDER_CACHE] = {"XDG_CACHE_HOME", "/.cache"},
    };
    const char *folder = getenv(kinds[kind].variable), *below = "";
    if (!folder || folder[0] != '/') {
        folder = getenv("HOME");
        below = kinds[kind].below_home;
    }
    if (!folder || folder[0] != '/')
        return km_fail(err, KM_NOTFOUND, "neither %s nor HOME is set", kinds[kind].variable);
    if (strlen(folder) + strlen(below) + strlen("/komainu/") + strlen(name) >= out_bytes)
        return km_fail(err, KM_LIMIT, "the path of %s is too long", name);
    (void)snprintf(out, out_bytes, "%s%s/komainu/%s", folder, below, name);
    return KM_OK;
}

enum km_code km_folder_state(const char *name, char *out, size_t out_bytes, struct km_err *err)
{
    if (geteuid() != 0)
        return km_folder_own(KM_FOLDER_STATE, name, out, out_bytes, err);
    if (strlen(KM_FOLDER_SHARED "/") + strlen(name) >= out_bytes)
        return km_fail(err, KM_LIMIT, "the path of %s is too long", name);
    (void)snprintf(out, out_bytes, "%s/%s", KM_FOLDER_SHARED, name);
    return KM_OK;
}

/* The set-group-id bit hands the group on to what is made in it, whoever makes it. */
enum km_code km_folder_make_shared(struct km_err *err)
{
    if (mkdir(KM_FOLDER_SHARED, 0750) != 0)
        return errno == EEXIST ? KM_OK : km_fail_errno(err, errno, "cannot make %s", KM_FOLDER_SHARED);
    const struct group *group = getgrnam(GROUP);
    if (!group)
        return KM_OK; /* root's alone until the group is there */
    if (chown(KM_FOLDER_SHARED, 0, group->gr_gid) != 0 || chmod(KM_FOLDER_SHARED, 02770) != 0)
        return km_fail_errno(err, errno, "cannot give %s to group %s", KM_FOLDER_SHARED, GROUP);
    return KM_OK;
}

enum km_code km_folder_make_parents(const char *path, struct km_err *err)
{
    char folder[PATH_BYTES];
    if (path[0] == '\0' || strlen(path) >= sizeof folder)
        return km_fail(err, KM_LIMIT, "the path is empty or too long");
    if (strncmp(path, KM_FOLDER_SHARED "/", strlen(KM_FOLDER_SHARED "/")) == 0 && km_folder_make_shared(err) != KM_OK)
        return err->code;
    (void)snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return km_fail_errno(err, errno, "cannot make %s", folder);
        *slash = '/';
    }
    return KM_OK;
}
