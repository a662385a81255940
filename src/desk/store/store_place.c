#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "desk/store/store.h"

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

static enum km_code own_path(char *out, struct km_err *err)
{
    if (km_folder_own(KM_FOLDER_STATE, "desk.db", out, KM_DESK_PATH_BYTES, err) != KM_OK)
        return km_err_wrap(err, "no place for the store; use --store");
    return km_folder_make_parents(out, err);
}

static bool may_use(const char *path)
{
    return access(path, R_OK | W_OK) == 0;
}

bool km_desk_is_there(void)
{
    const char *named = getenv("KOMAINU_STORE");
    char path[KM_DESK_PATH_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    if (named && *named)
        return may_use(named);
    if (geteuid() == 0 || access(KM_FOLDER_SHARED, R_OK | W_OK | X_OK) == 0)
        return may_use(KM_DESK_SHARED_PATH);
    return km_folder_own(KM_FOLDER_STATE, "desk.db", path, sizeof path, &ignored) == KM_OK && may_use(path);
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
    if (root && km_folder_make_shared(err) != KM_OK)
        return err->code;
    bool usable = access(KM_FOLDER_SHARED, R_OK | W_OK | X_OK) == 0 &&
                  (access(KM_DESK_SHARED_PATH, F_OK) != 0 || access(KM_DESK_SHARED_PATH, R_OK | W_OK) == 0);
    if (root || usable) {
        snprintf(out, KM_DESK_PATH_BYTES, "%s", KM_DESK_SHARED_PATH);
        *out_place = KM_DESK_PLACE_SHARED;
        return KM_OK;
    }
    *out_place = KM_DESK_PLACE_OWN;
    return own_path(out, err);
}
