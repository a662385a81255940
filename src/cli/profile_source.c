#include "cli/profile_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/folder.h"
#include "daemon/profile/profile_file.h"

#define PATH_BYTES 4096

struct km_profile_source {
    struct km_store *store; /* NULL: a file */
    char *bytes;            /* of the file */
    size_t length;
};

enum km_code km_profile_source_usual(char *out, struct km_err *err)
{
    if (km_folder_state("profiles", out, PATH_BYTES, err) != KM_OK)
        return km_err_wrap(err, "no place for profiles; use --store");
    return km_folder_make_parents(out, err);
}

static enum km_code read_whole(int fd, struct km_profile_source *source, struct km_err *err)
{
    source->bytes = km_calloc(KM_PROFILE_MAX_FILE_BYTES + 1, 1, SIZE_MAX, err);
    while (source->bytes && source->length <= KM_PROFILE_MAX_FILE_BYTES) {
        ssize_t n = read(fd, source->bytes + source->length, KM_PROFILE_MAX_FILE_BYTES + 1 - source->length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot read the profile");
        if (n == 0)
            break;
        source->length += (size_t)n;
    }
    return source->bytes ? KM_OK : err->code;
}

/* The file is read and checked at once, so that a damaged one stops the command. */
static enum km_code open_file(const char *path, struct km_profile_source *source, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot open the profile %s", path);
    enum km_code code = read_whole(fd, source, err);
    if (code != KM_OK)
        return code;
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) =
        km_profile_load(source->bytes, source->length, NULL, err);
    return profile ? KM_OK : km_err_wrap(err, "%s", path);
}

struct km_profile_source *km_profile_source_open(const char *path, struct km_err *err)
{
    char usual[PATH_BYTES];
    if (!path) {
        if (km_profile_source_usual(usual, err) != KM_OK)
            return NULL;
        path = usual;
    }
    struct km_profile_source *source KM_CLEANUP(km_profile_source_cleanup) =
        km_calloc(1, sizeof *source, SIZE_MAX, err);
    if (!source)
        return NULL;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return open_file(path, source, err) == KM_OK ? km_steal(source) : NULL;
    source->store = km_store_open(path, err);
    return source->store ? km_steal(source) : NULL;
}

void km_profile_source_close(struct km_profile_source *source)
{
    if (!source)
        return;
    km_store_close(source->store);
    free(source->bytes);
    free(source);
}

struct km_profile *km_profile_source_find(struct km_profile_source *source, const struct km_profile_identity *identity)
{
    struct km_err err = KM_ERR_INIT;
    if (!source->store)
        return km_profile_load(source->bytes, source->length, NULL, &err);
    struct km_store_loaded loaded;
    struct km_profile *profile = km_store_load(source->store, identity->unit, identity->role, 0, &loaded, &err);
    if (loaded.damage.code != KM_OK)
        fprintf(stderr, "komainu: %s%s\n", loaded.damage.text, profile ? "; the last good version is used" : "");
    return profile;
}

enum km_code km_profile_source_quarantine(struct km_profile_source *source, const struct km_profile *profile,
                                          const struct km_episode *episode, const struct km_assessment *assessment,
                                          struct km_err *err)
{
    if (!source->store)
        return km_fail(err, KM_UNSUPPORTED, "a profile file has no quarantine; name a store");
    return km_store_quarantine(source->store, profile, episode, assessment, km_clock_wall_ns(), err);
}
