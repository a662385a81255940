#include "container/scan/sitefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/newfile.h"

enum km_code km_sitefile_path(const struct km_detector *detector, char out[KM_SITEFILE_PATH_BYTES], struct km_err *err)
{
    char hex[KM_SHA256_HEX_BYTES], path[KM_SITEFILE_PATH_BYTES];
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *middle = "";
    if (!(state && state[0] == '/')) {
        state = geteuid() == 0 ? "/var/lib" : home;
        middle = geteuid() == 0 ? "" : "/.local/state";
    }
    if (!state || state[0] != '/')
        return km_fail(err, KM_NOTFOUND, "no home folder: XDG_STATE_HOME and HOME are not set");
    km_hex_format(km_detector_digest(detector), KM_SHA256_BYTES, hex);
    int n = snprintf(path, sizeof path, "%s%s/komainu/calibration/%s.json", state, middle, hex);
    if (n < 0 || (size_t)n >= sizeof path)
        return km_fail(err, KM_LIMIT, "the path of the calibration is too long");
    memcpy(out, path, (size_t)n + 1);
    return KM_OK;
}

static enum km_code read_all(int fd, struct km_buf *out, struct km_err *err)
{
    for (;;) {
        char block[4096];
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot read the calibration");
        if (n == 0)
            return KM_OK;
        enum km_code code = km_buf_append(out, block, (size_t)n, err);
        if (code != KM_OK)
            return code;
    }
}

enum km_code km_sitefile_load(const char *path, struct km_additive **out, struct km_err *err)
{
    struct stat status;
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode) || (status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & 022) != 0)
        return km_fail(err, KM_DENIED, "%s is not yours alone to write", path);
    struct km_buf text;
    km_buf_init(&text, KM_ADDITIVE_MAX_BYTES);
    enum km_code code = read_all(fd, &text, err);
    struct km_additive *fusion = code == KM_OK ? km_additive_parse(km_buf_text(&text), text.length, err) : NULL;
    km_buf_done(&text);
    if (!fusion)
        return km_err_wrap(err, "%s", path);
    *out = fusion;
    return KM_OK;
}

static enum km_code make_folders(const char *path, struct km_err *err)
{
    char copy[KM_SITEFILE_PATH_BYTES];
    (void)snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return km_fail_errno(err, errno, "cannot make %s", copy);
        *slash = '/';
    }
    return KM_OK;
}

enum km_code km_sitefile_save(const char *path, const struct km_additive *fusion, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_ADDITIVE_MAX_BYTES);
    enum km_code code = km_additive_format(fusion, &text, err);
    if (code == KM_OK)
        code = make_folders(path, err);
    struct km_newfile *file = code == KM_OK ? km_newfile_open(path, err) : NULL;
    if (file)
        code = km_newfile_write(file, km_buf_text(&text), text.length, err);
    else if (code == KM_OK)
        code = err->code;
    if (code == KM_OK)
        code = km_newfile_commit(file, err);
    km_newfile_cleanup(&file);
    km_buf_done(&text);
    return code;
}
