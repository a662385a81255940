#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

void km_buf_init(struct km_buf *buf, size_t max_bytes)
{
    *buf = (struct km_buf){.max_bytes = max_bytes};
}

void km_buf_done(struct km_buf *buf)
{
    free(buf->data);
    *buf = (struct km_buf){.max_bytes = buf->max_bytes};
}

static enum km_code reserve(struct km_buf *buf, size_t more, struct km_err *err)
{
    if (more > buf->max_bytes || buf->length > buf->max_bytes - more)
        return km_fail(err, KM_LIMIT, "more than %zu bytes", buf->max_bytes);
    void *data = buf->data;
    enum km_code code = km_grow(&data, &buf->capacity, buf->length + more + 1, 1, buf->max_bytes + 1, err);
    buf->data = data;
    return code;
}

enum km_code km_buf_append(struct km_buf *buf, const void *bytes, size_t length, struct km_err *err)
{
    enum km_code code = reserve(buf, length, err);
    if (code != KM_OK)
        return code;
    if (length > 0)
        memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
    return KM_OK;
}

enum km_code km_buf_append_text(struct km_buf *buf, const char *text, struct km_err *err)
{
    return km_buf_append(buf, text, strlen(text), err);
}

enum km_code km_buf_append_format(struct km_buf *buf, struct km_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int needed = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (needed < 0)
        return km_fail(err, KM_FORMAT, "cannot format text");
    enum km_code code = reserve(buf, (size_t)needed, err);
    if (code != KM_OK)
        return code;
    va_start(args, fmt);
    vsnprintf(buf->data + buf->length, (size_t)needed + 1, fmt, args);
    va_end(args);
    buf->length += (size_t)needed;
    return KM_OK;
}

static enum km_code append_descriptor(struct km_buf *buf, int fd, const char *path, struct km_err *err)
{
    char block[16384];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot read %s", path);
        if (n == 0)
            return KM_OK;
        if (km_buf_append(buf, block, (size_t)n, err) != KM_OK)
            return km_err_wrap(err, "%s", path);
    }
}

enum km_code km_buf_append_file(struct km_buf *buf, const char *path, struct km_err *err)
{
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    if (!S_ISREG(status.st_mode))
        return km_fail(err, KM_FORMAT, "%s is not a regular file", path);
    size_t before = buf->length;
    enum km_code code = append_descriptor(buf, fd, path, err);
    if (code != KM_OK && buf->data) {
        buf->length = before;
        buf->data[before] = '\0';
    }
    return code;
}

void km_buf_clear(struct km_buf *buf)
{
    buf->length = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

const char *km_buf_text(const struct km_buf *buf)
{
    return buf->data ? buf->data : "";
}
