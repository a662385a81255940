#include "container/imaging/picture.h"

#include <png.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/newfile.h"

#define DEFLATE_BUFFER ((size_t)64 << 10)

struct km_picture {
    struct km_newfile *file;
    int level;
    uint32_t width;
    png_structp png;
    png_infop info;
    struct km_err *err; /* of the call in progress */
    bool failed;        /* *err holds the cause already */
};

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
    if (km_newfile_write(picture->file, bytes, length, picture->err) != KM_OK) {
        picture->failed = true;
        png_error(png, "write");
    }
}

static void on_flush(png_structp png)
{
    (void)png;
}

struct km_picture *km_picture_open(const char *path, int level, struct km_err *err)
{
    KM_CLEANUP(km_picture_cleanup) struct km_picture *picture = km_calloc(1, sizeof *picture, sizeof *picture, err);
    if (!picture)
        return NULL;
    picture->level = level;
    picture->file = km_newfile_open(path, err);
    if (!picture->file)
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
    return code == KM_OK ? km_newfile_commit(picture->file, err) : code;
}

void km_picture_close(struct km_picture *picture)
{
    if (!picture)
        return;
    png_destroy_write_struct(&picture->png, &picture->info);
    km_newfile_close(picture->file);
    free(picture);
}
