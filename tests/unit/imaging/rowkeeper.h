/* A row sink that keeps the picture. */
#ifndef KM_TESTS_ROWKEEPER_H
#define KM_TESTS_ROWKEEPER_H

#include <stdlib.h>
#include <string.h>

#include "container/imaging/render.h"

struct rowkeeper {
    uint32_t width, height, rows;
    uint8_t *rgb;
    unsigned fail_after; /* calls of rows that succeed before one fails; 0: all */
};

static inline enum km_code rowkeeper_begin(void *context, uint32_t width, uint32_t height, struct km_err *err)
{
    struct rowkeeper *keeper = context;
    (void)err;
    keeper->width = width;
    keeper->height = height;
    keeper->rows = 0;
    free(keeper->rgb);
    keeper->rgb = calloc((size_t)width * height, 3);
    KM_ASSERT(keeper->rgb);
    return KM_OK;
}

static inline enum km_code rowkeeper_rows(void *context, const uint8_t *rgb, uint32_t count, struct km_err *err)
{
    struct rowkeeper *keeper = context;
    KM_ASSERT(keeper->rows + count <= keeper->height);
    memcpy(keeper->rgb + (size_t)keeper->rows * keeper->width * 3, rgb, (size_t)count * keeper->width * 3);
    keeper->rows += count;
    if (keeper->fail_after > 0 && --keeper->fail_after == 0)
        return km_fail(err, KM_IO, "enough");
    return KM_OK;
}

static inline struct km_row_sink rowkeeper_sink(struct rowkeeper *keeper)
{
    return (struct km_row_sink){keeper, rowkeeper_begin, rowkeeper_rows};
}

static inline const uint8_t *rowkeeper_pixel(const struct rowkeeper *keeper, uint32_t col, uint32_t row)
{
    return keeper->rgb + ((size_t)row * keeper->width + col) * 3;
}

#endif
