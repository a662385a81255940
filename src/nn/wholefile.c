#include "nn/wholefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum km_code km_wholefile_read(int fd, size_t max_bytes, uint8_t **out_bytes, size_t *out_length, struct km_err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "cannot look at the file");
    if (!S_ISREG(status.st_mode))
        return km_fail(err, KM_UNSUPPORTED, "not a regular file");
    if ((uint64_t)status.st_size > max_bytes)
        return km_fail(err, KM_LIMIT, "a file of %lld bytes is above the limit of %zu", (long long)status.st_size,
                       max_bytes);
    size_t length = (size_t)status.st_size, have = 0;
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = malloc(length ? length : 1);
    if (!bytes)
        return km_fail(err, KM_NOMEM, "out of memory (a file of %zu bytes)", length);
    while (have < length) {
        ssize_t got = pread(fd, bytes + have, length - have, (off_t)have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read the file");
        if (got == 0)
            return km_fail(err, KM_IO, "the file shrank while it was read");
        have += (size_t)got;
    }
    *out_bytes = km_steal(bytes);
    *out_length = length;
    return KM_OK;
}

enum km_code km_wholefile_write(int fd, const void *bytes, size_t length, struct km_err *err)
{
    const char *next = bytes;
    while (length > 0) {
        ssize_t written = write(fd, next, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return km_fail_errno(err, written < 0 ? errno : ENOSPC, "cannot write the file");
        next += written;
        length -= (size_t)written;
    }
    return KM_OK;
}

enum km_code km_replacement_begin(struct km_replacement *replacement, int folder, const char *name, struct km_err *err)
{
    replacement->fd = -1;
    if (strlen(name) >= sizeof replacement->name)
        return km_fail(err, KM_LIMIT, "a file name is too long");
    if (name[0] == '\0' || strchr(name, '/'))
        return km_fail(err, KM_FORMAT, "not a file name: '%s'", name);
    replacement->folder = folder;
    (void)snprintf(replacement->name, sizeof replacement->name, "%s", name);
    (void)snprintf(replacement->temporary, sizeof replacement->temporary, ".%s.%ld.new", name, (long)getpid());
    replacement->fd =
        openat(folder, replacement->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (replacement->fd < 0)
        return km_fail_errno(err, errno, "cannot create a file beside %s", name);
    return KM_OK;
}

enum km_code km_replacement_commit(struct km_replacement *replacement, struct km_err *err)
{
    int why = fsync(replacement->fd) != 0 ? errno : 0;
    if (close(km_steal_fd(&replacement->fd)) != 0 && why == 0)
        why = errno;
    if (why == 0 && renameat(replacement->folder, replacement->temporary, replacement->folder, replacement->name) != 0)
        why = errno;
    if (why == 0) {
        (void)fsync(replacement->folder); /* the rename itself; the data is safe either way */
        return KM_OK;
    }
    (void)unlinkat(replacement->folder, replacement->temporary, 0);
    return km_fail_errno(err, why, "cannot write %s", replacement->name);
}

void km_replacement_abort(struct km_replacement *replacement)
{
    if (replacement->fd < 0)
        return;
    (void)close(km_steal_fd(&replacement->fd));
    (void)unlinkat(replacement->folder, replacement->temporary, 0);
}
