#include "container/scan/sitefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/folder.h"
#include "base/newfile.h"

enum km_code km_sitefile_path(const struct km_detector *detector, char out[KM_SITEFILE_PATH_BYTES], struct km_err *err)
{
    char hex[KM_SHA256_HEX_BYTES], name[KM_SHA256_HEX_BYTES + 32];
    const char *state = getenv("XDG_STATE_HOME");
    km_hex_format(km_detector_digest(detector), KM_SHA256_BYTES, hex);
    (void)snprintf(name, sizeof name, "calibration/%s.json", hex);
    if (state && state[0] == '/') /* root's, too */
        return km_folder_own(KM_FOLDER_STATE, name, out, KM_SITEFILE_PATH_BYTES, err);
    return km_folder_state(name, out, KM_SITEFILE_PATH_BYTES, err);
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

enum km_code km_sitefile_save(const char *path, const struct km_additive *fusion, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_ADDITIVE_MAX_BYTES);
    enum km_code code = km_additive_format(fusion, &text, err);
    if (code == KM_OK)
        code = km_folder_make_parents(path, err);
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
