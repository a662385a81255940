#include "container/imaging/picture.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES     ((size_t)64 << 10)
#define DEFLATE_BUFFER   ((size_t)64 << 10)
#define NEW_FILE_MODE    0666
#define TEMPORARY_SUFFIX ".XXXXXX"

struct km_picture {
    char *path;      /* the final name; NULL when written in place */
    char *temporary; /* exists until commit; NULL when written in place */
    int fd;
    bool fd_owned;
    int level;
    uint32_t width;
    png_structp png;
    png_infop info;
    struct km_err *err; /* of the call in progress */
    bool failed;        /* *err holds the cause already */
    size_t buffered;
    uint8_t buffer[BUFFER_BYTES];
};

static enum km_code flush_buffer(struct km_picture *picture, struct km_err *err)
{
    size_t done = 0;
    while (done < picture->buffered) {
        ssize_t written = write(picture->fd, picture->buffer + done, picture->buffered - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return km_fail_errno(err, errno, "cannot write the picture");
        done += (size_t)written;
    }
    picture->buffered = 0;
    return KM_OK;
}

/* libpng leaves through longjmp; nothing between its call and ours owns memory. */
static void on_error(png_structp png, png_const_charp text)
{
    struct km_picture *picture = png_get_error_ptr(png);
    if (!picture->failed)
        km_fail(picture->err, KM_IO, "cannot write the picture: %s", text);
    picture->failed = true;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep bytes, size_t length)
{
    struct km_picture *picture = png_get_io_ptr(png);
    while (length > 0) {
        if (picture->buffered == BUFFER_BYTES && flush_buffer(picture, picture->err) != KM_OK) {
            picture->failed = true;
            png_error(png, "write");
        }
        size_t room = BUFFER_BYTES - picture->buffered;
        size_t part = length < room ? length : room;
        memcpy(picture->buffer + picture->buffered, bytes, part);
        picture->buffered += part;
        bytes += part;
        length -= part;
    }
}

static void on_flush(png_structp png)
{
    (void)png;
}

static enum km_code open_temporary(struct km_picture *picture, const char *path, struct km_err *err)
{
    size_t length = strlen(path);
    picture->path = km_strndup(path, length, err);
    picture->temporary = km_calloc(length + sizeof TEMPORARY_SUFFIX, 1, SIZE_MAX, err);
    if (!picture->path || !picture->temporary)
        return err->code;
    memcpy(picture->temporary, path, length);
    memcpy(picture->temporary + length, TEMPORARY_SUFFIX, sizeof TEMPORARY_SUFFIX);
    int fd = mkostemp(picture->temporary, O_CLOEXEC);
    if (fd < 0) {
        int cause = errno;
        free(picture->temporary);
        picture->temporary = NULL;
        return km_fail_errno(err, cause, "cannot write %s", path);
    }
    mode_t mask = umask(0);
    (void)umask(mask);
    (void)fchmod(fd, NEW_FILE_MODE & ~mask);
    picture->fd = fd;
    picture->fd_owned = true;
    return KM_OK;
}

static enum km_code open_file(struct km_picture *picture, const char *path, struct km_err *err)
{
    if (strcmp(path, "-") == 0) {
        picture->fd = STDOUT_FILENO;
        return KM_OK;
    }
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (!exists || S_ISREG(status.st_mode))
        return open_temporary(picture, path, err);
    picture->fd = open(path, O_WRONLY | O_CLOEXEC);
    if (picture->fd < 0)
        return km_fail_errno(err, errno, "cannot write %s", path);
    picture->fd_owned = true;
    return KM_OK;
}

struct km_picture *km_picture_open(const char *path, int level, struct km_err *err)
{
    KM_CLEANUP(km_picture_cleanup) struct km_picture *picture = km_calloc(1, sizeof *picture, sizeof *picture, err);
    if (!picture)
        return NULL;
    picture->level = level;
    picture->fd = -1;
    if (open_file(picture, path, err) != KM_OK)
        return NULL;
    picture->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, picture, on_error, on_warning);
    picture->info = picture->png ? png_create_info_struct(picture->png) : NULL;
    if (!picture->info) {
        km_fail(err, KM_NOMEM, "no memory for the picture");
        return NULL;
    }
    return km_steal(picture);
}

enum km_code km_picture_begin(void *picture, uint32_t width, uint32_t height, struct km_err *err)
{
    struct km_picture *self = picture;
    self->err = err;
    self->width = width;
    if (setjmp(png_jmpbuf(self->png)) != 0)
        return err->code;
    png_set_write_fn(self->png, self, on_write, on_flush);
    png_set_user_limits(self->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(self->png, self->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(self->png, self->level);
    png_set_compression_buffer_size(self->png, DEFLATE_BUFFER);
    png_set_filter(self->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_write_info(self->png, self->info);
    return KM_OK;
}

enum km_code km_picture_rows(void *picture, const uint8_t *rgb, uint32_t count, struct km_err *err)
{
    struct km_picture *self = picture;
    self->err = err;
    if (setjmp(png_jmpbuf(self->png)) != 0)
        return err->code;
    for (uint32_t row = 0; row < count; row++)
        png_write_row(self->png, rgb + (size_t)row * 3 * self->width);
    return KM_OK;
}

static enum km_code end_png(struct km_picture *picture, struct km_err *err)
{
    picture->err = err;
    if (setjmp(png_jmpbuf(picture->png)) != 0)
        return err->code;
    png_write_end(picture->png, picture->info);
    return KM_OK;
}

enum km_code km_picture_commit(struct km_picture *picture, struct km_err *err)
{
    enum km_code code = end_png(picture, err);
    if (code == KM_OK)
        code = flush_buffer(picture, err);
    if (code != KM_OK || !picture->fd_owned)
        return code;
    int fd = km_steal_fd(&picture->fd);
    if (close(fd) != 0)
        return km_fail_errno(err, errno, "cannot write the picture");
    if (!picture->temporary)
        return KM_OK;
    if (rename(picture->temporary, picture->path) != 0)
        return km_fail_errno(err, errno, "cannot write %s", picture->path);
    free(picture->temporary);
    picture->temporary = NULL;
    return KM_OK;
}

void km_picture_close(struct km_picture *picture)
{
    if (!picture)
        return;
    png_destroy_write_struct(&picture->png, &picture->info);
    if (picture->fd >= 0 && picture->fd_owned)
        (void)close(picture->fd);
    if (picture->temporary)
        (void)unlink(picture->temporary);
    free(picture->temporary);
    free(picture->path);
    free(picture);
}
