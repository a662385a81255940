#include "base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES     ((size_t)64 << 10)
#define NEW_FILE_MODE    0666
#define TEMPORARY_SUFFIX ".XXXXXX"

struct km_newfile {
    char *path;      /* the final name, also for messages */
    char *temporary; /* exists until commit; NULL when written in place */
    int fd;
    bool fd_owned;
    size_t buffered;
    char buffer[BUFFER_BYTES];
};

static enum km_code flush_buffer(struct km_newfile *file, struct km_err *err)
{
    size_t done = 0;
    while (done < file->buffered) {
        ssize_t written = write(file->fd, file->buffer + done, file->buffered - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return km_fail_errno(err, errno, "cannot write %s", file->path);
        done += (size_t)written;
    }
    file->buffered = 0;
    return KM_OK;
}

static enum km_code open_temporary(struct km_newfile *file, struct km_err *err)
{
    size_t length = strlen(file->path);
    file->temporary = km_calloc(length + sizeof TEMPORARY_SUFFIX, 1, SIZE_MAX, err);
    if (!file->temporary)
        return err->code;
    memcpy(file->temporary, file->path, length);
    memcpy(file->temporary + length, TEMPORARY_SUFFIX, sizeof TEMPORARY_SUFFIX);
    file->fd = mkostemp(file->temporary, O_CLOEXEC);
    if (file->fd < 0) {
        int cause = errno;
        free(file->temporary);
        file->temporary = NULL;
        return km_fail_errno(err, cause, "cannot write %s", file->path);
    }
    file->fd_owned = true;
    mode_t mask = umask(0);
    (void)umask(mask);
    (void)fchmod(file->fd, NEW_FILE_MODE & ~mask);
    return KM_OK;
}

static enum km_code open_file(struct km_newfile *file, struct km_err *err)
{
    if (strcmp(file->path, "-") == 0) {
        file->fd = STDOUT_FILENO;
        return KM_OK;
    }
    struct stat status;
    if (stat(file->path, &status) != 0 || S_ISREG(status.st_mode))
        return open_temporary(file, err);
    file->fd = open(file->path, O_WRONLY | O_CLOEXEC);
    if (file->fd < 0)
        return km_fail_errno(err, errno, "cannot write %s", file->path);
    file->fd_owned = true;
    return KM_OK;
}

struct km_newfile *km_newfile_open(const char *path, struct km_err *err)
{
    struct km_newfile *file KM_CLEANUP(km_newfile_cleanup) = km_calloc(1, sizeof *file, sizeof *file, err);
    if (!file)
        return NULL;
    file->fd = -1;
    file->path = km_strndup(path, strlen(path), err);
    if (!file->path || open_file(file, err) != KM_OK)
        return NULL;
    return km_steal(file);
}

enum km_code km_newfile_write(struct km_newfile *file, const void *bytes, size_t length, struct km_err *err)
{
    const char *from = bytes;
    while (length > 0) {
        if (file->buffered == BUFFER_BYTES && flush_buffer(file, err) != KM_OK)
            return err->code;
        size_t room = BUFFER_BYTES - file->buffered;
        size_t part = length < room ? length : room;
        memcpy(file->buffer + file->buffered, from, part);
        file->buffered += part;
        from += part;
        length -= part;
    }
    return KM_OK;
}

enum km_code km_newfile_commit(struct km_newfile *file, struct km_err *err)
{
    enum km_code code = flush_buffer(file, err);
    if (code != KM_OK || !file->fd_owned)
        return code;
    if (close(km_steal_fd(&file->fd)) != 0)
        return km_fail_errno(err, errno, "cannot write %s", file->path);
    if (!file->temporary)
        return KM_OK;
    if (rename(file->temporary, file->path) != 0)
        return km_fail_errno(err, errno, "cannot write %s", file->path);
    free(file->temporary);
    file->temporary = NULL;
    return KM_OK;
}

void km_newfile_close(struct km_newfile *file)
{
    if (!file)
        return;
    if (file->fd >= 0 && file->fd_owned)
        (void)close(file->fd);
    if (file->temporary)
        (void)unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    free(file);
}
