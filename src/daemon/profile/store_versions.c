#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/profile_file.h"
#include "daemon/profile/store_files.h"

#define MAX_VERSIONS 100000

static bool is_version(const char *name)
{
    return strlen(name) == 11 && name[0] == 'v' && strspn(name + 1, "0123456789") == 6 && strcmp(name + 7, ".kmp") == 0;
}

enum km_code km_store_list_versions(struct km_store *store, const char *unit, const char *role, unsigned **out,
                                    size_t *out_count, struct km_err *err)
{
    char path[KM_STORE_PATH_BYTES], **names = NULL;
    size_t count = 0;
    *out = NULL;
    *out_count = 0;
    enum km_code code = km_store_path(unit, role, "", path, err);
    if (code == KM_OK)
        code = km_store_list_folder(store, path, is_version, &names, &count, err);
    if (code == KM_OK) {
        *out = km_calloc(count + 1, sizeof **out, SIZE_MAX, err);
        code = *out ? KM_OK : err->code;
    }
    for (size_t i = 0; *out && names && i < count; i++)
        (*out)[(*out_count)++] = (unsigned)strtoul(names[i] + 1, NULL, 10);
    km_store_free_names(names, count);
    return code;
}

struct km_profile *km_store_load_version(struct km_store *store, const char *unit, const char *role, unsigned version,
                                         char *note, struct km_err *err)
{
    char rest[32], path[KM_STORE_PATH_BYTES];
    (void)snprintf(rest, sizeof rest, "v%06u.kmp", version);
    char *bytes KM_CLEANUP(km_cleanup_free) = NULL;
    size_t length = 0;
    if (km_store_path(unit, role, rest, path, err) != KM_OK ||
        km_store_read_file(store, path, KM_PROFILE_MAX_FILE_BYTES, &bytes, &length, err) != KM_OK)
        return NULL;
    struct km_profile *profile = km_profile_load(bytes, length, note, err);
    if (!profile)
        km_err_wrap(err, "%s", path);
    return profile;
}

struct km_profile *km_store_load_learned(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    if (km_store_list_versions(store, unit, role, &versions, &count, err) != KM_OK)
        return NULL;
    for (size_t i = count; i > 0; i--) {
        char note[KM_EVENT_MAX_NAME_BYTES] = "";
        struct km_profile *profile = km_store_load_version(store, unit, role, versions[i - 1], note, err);
        if (profile && strcmp(note, KM_STORE_LEARNED_NOTE) == 0)
            return profile;
        km_profile_free(profile);
    }
    km_fail(err, KM_NOTFOUND, "no version of %s, %s was learned from scratch", unit, role);
    return NULL;
}

struct km_profile *km_store_load(struct km_store *store, const char *unit, const char *role, unsigned version,
                                 struct km_store_loaded *out, struct km_err *err)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    memset(out, 0, sizeof *out);
    if (km_store_list_versions(store, unit, role, &versions, &count, err) != KM_OK)
        return NULL;
    for (size_t i = count; i > 0; i--) {
        if (version != 0 && versions[i - 1] != version)
            continue;
        struct km_profile *profile = km_store_load_version(store, unit, role, versions[i - 1], out->note, err);
        if (profile) {
            out->version = versions[i - 1];
            return profile;
        }
        if (out->damage.code == KM_OK)
            out->damage = *err;
        if (err->code == KM_NOMEM)
            return NULL;
    }
    if (out->damage.code != KM_OK)
        *err = out->damage;
    else
        km_fail(err, KM_NOTFOUND, "no profile of %s, %s in the store", unit, role);
    return NULL;
}

/* Old versions go, but those that were learned from scratch stay. */
static void prune(struct km_store *store, const char *unit, const char *role)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    struct km_err ignored = KM_ERR_INIT;
    if (km_store_list_versions(store, unit, role, &versions, &count, &ignored) != KM_OK)
        return;
    for (size_t i = 0; i + KM_STORE_VERSIONS < count; i++) {
        char note[KM_EVENT_MAX_NAME_BYTES] = "", rest[32];
        struct km_profile *profile KM_CLEANUP(km_profile_cleanup) =
            km_store_load_version(store, unit, role, versions[i], note, &ignored);
        if (profile && strcmp(note, KM_STORE_LEARNED_NOTE) == 0)
            continue;
        (void)snprintf(rest, sizeof rest, "v%06u.kmp", versions[i]);
        km_store_remove(store, unit, role, rest);
    }
}

enum km_code km_store_save(struct km_store *store, const struct km_profile *profile, const char *note,
                           struct km_err *err)
{
    const struct km_profile_identity *id = km_profile_get_identity(profile);
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    enum km_code code = km_store_make_role(store, id->unit, id->role, err);
    if (code == KM_OK)
        code = km_store_list_versions(store, id->unit, id->role, &versions, &count, err);
    if (code != KM_OK)
        return code;
    unsigned next = count > 0 ? versions[count - 1] + 1 : 1;
    if (next > MAX_VERSIONS)
        return km_fail(err, KM_LIMIT, "more than %d versions of a profile", MAX_VERSIONS);
    char rest[32], path[KM_STORE_PATH_BYTES];
    (void)snprintf(rest, sizeof rest, "v%06u.kmp", next);
    struct km_buf bytes;
    km_buf_init(&bytes, KM_PROFILE_MAX_FILE_BYTES);
    code = km_profile_save(profile, note, &bytes, err);
    if (code == KM_OK)
        code = km_store_path(id->unit, id->role, rest, path, err);
    if (code == KM_OK)
        code = km_store_write_file(store, path, bytes.data, bytes.length, err);
    km_buf_done(&bytes);
    if (code == KM_OK)
        prune(store, id->unit, id->role);
    return code;
}
