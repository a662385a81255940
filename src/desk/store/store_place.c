#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "desk/store/store.h"

#define SHARED_FOLDER "/var/lib/komainu"
#define GROUP         "komainu"

const char *km_desk_place_to_string(enum km_desk_place place)
{
    switch (place) {
    case KM_DESK_PLACE_NAMED:
        return "named";
    case KM_DESK_PLACE_SHARED:
        return "shared";
    case KM_DESK_PLACE_OWN:
        return "own";
    }
    return "unknown";
}

/* The set-group-id bit hands the group on to the store and its journal files, whoever makes them. */
static enum km_code make_shared_folder(struct km_err *err)
{
    if (mkdir(SHARED_FOLDER, 0750) != 0)
        return errno == EEXIST ? KM_OK : km_fail_errno(err, errno, "cannot make %s", SHARED_FOLDER);
    const struct group *group = getgrnam(GROUP); /* commands have one thread at this point */
    if (!group)
        return KM_OK; /* root's alone until the group is there */
    if (chown(SHARED_FOLDER, 0, group->gr_gid) != 0 || chmod(SHARED_FOLDER, 02770) != 0)
        return km_fail_errno(err, errno, "cannot give %s to group %s", SHARED_FOLDER, GROUP);
    return KM_OK;
}

static enum km_code make_own_folder(char *path, struct km_err *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0700);
        int why = errno;
        if (made != 0 && why != EEXIST)
            km_fail_errno(err, why, "cannot make %s", path);
        *slash = '/';
        if (made != 0 && why != EEXIST)
            return err->code;
    }
    return KM_OK;
}

static enum km_code own_path(char *out, struct km_err *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int length;
    if (state && *state == '/')
        length = snprintf(out, KM_DESK_PATH_BYTES, "%s/komainu/desk.db", state);
    else if (home && *home == '/')
        length = snprintf(out, KM_DESK_PATH_BYTES, "%s/.local/state/komainu/desk.db", home);
    else
        return km_fail(err, KM_NOTFOUND, "neither XDG_STATE_HOME nor HOME says where the store is; use --store");
    if (length >= KM_DESK_PATH_BYTES)
        return km_fail(err, KM_LIMIT, "the path of the store is too long");
    return make_own_folder(out, err);
}

enum km_code km_desk_find_place(const char *named, char *out, enum km_desk_place *out_place, struct km_err *err)
{
    const char *environment = getenv("KOMAINU_STORE");
    if (!named || !*named)
        named = environment;
    if (named && *named) {
        if (strlen(named) >= KM_DESK_PATH_BYTES)
            return km_fail(err, KM_LIMIT, "the path of the store is too long");
        snprintf(out, KM_DESK_PATH_BYTES, "%s", named);
        *out_place = KM_DESK_PLACE_NAMED;
        return KM_OK;
    }
    bool root = geteuid() == 0;
    if (root && make_shared_folder(err) != KM_OK)
        return err->code;
    bool usable = access(SHARED_FOLDER, R_OK | W_OK | X_OK) == 0 &&
                  (access(KM_DESK_SHARED_PATH, F_OK) != 0 || access(KM_DESK_SHARED_PATH, R_OK | W_OK) == 0);
    if (root || usable) {
        snprintf(out, KM_DESK_PATH_BYTES, "%s", KM_DESK_SHARED_PATH);
        *out_place = KM_DESK_PLACE_SHARED;
        return KM_OK;
    }
    *out_place = KM_DESK_PLACE_OWN;
    return own_path(out, err);
}
