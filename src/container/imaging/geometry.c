#include "container/imaging/geometry.h"

#include "container/imaging/curve.h"

#define QUADS_UNROLLED 4U

enum km_code km_geometry_init(struct km_geometry *out_geometry, enum km_geometry_layout layout, uint32_t side,
                              uint32_t step, uint64_t bytes, struct km_err *err)
{
    if (side == 0 || side > KM_CURVE_MAX_SIDE)
        return km_fail(err, KM_LIMIT, "picture size %u is not between 1 and %u", side, KM_CURVE_MAX_SIDE);
    if (step != 0 && layout != KM_GEOMETRY_UNROLLED)
        return km_fail(err, KM_FORMAT, "a step goes with the layout unrolled only");
    if (bytes > KM_GEOMETRY_MAX_BYTES)
        return km_fail(err, KM_LIMIT, "more than 2^53 bytes");
    struct km_geometry geometry = {layout, side, step, bytes, 1, (uint64_t)side * side};
    uint64_t bytes_per_quad = geometry.quad_pixels * (step != 0 ? step : 1);
    if (layout == KM_GEOMETRY_UNROLLED && step == 0)
        geometry.quads = QUADS_UNROLLED;
    else if (layout != KM_GEOMETRY_SQUARE && bytes > 0)
        geometry.quads = (bytes - 1) / bytes_per_quad + 1;
    if (geometry.quads > KM_GEOMETRY_MAX_ROWS / side)
        return km_fail(err, KM_LIMIT, "the picture would have more than %u rows: choose a larger size or a step",
                       KM_GEOMETRY_MAX_ROWS);
    *out_geometry = geometry;
    return KM_OK;
}

uint32_t km_geometry_get_rows(const struct km_geometry *geometry)
{
    return (uint32_t)(geometry->quads * geometry->side);
}

/* floor(position * scale + start): the quotient first, as the reference has it; this order decides the last bit. */
static void get_scale(const struct km_geometry *geometry, uint64_t quad, double *out_start, double *out_scale)
{
    double pixels = (double)geometry->quad_pixels, bytes = (double)geometry->bytes;
    if (geometry->layout == KM_GEOMETRY_SQUARE) {
        double end = (double)(uint64_t)(pixels * (bytes / pixels));
        *out_start = 0;
        *out_scale = end / pixels;
        return;
    }
    double unit = bytes / (double)(QUADS_UNROLLED * geometry->quad_pixels);
    uint64_t begin = (uint64_t)((double)(quad * geometry->quad_pixels) * unit);
    uint64_t end = (uint64_t)((double)((quad + 1) * geometry->quad_pixels) * unit);
    *out_start = (double)begin;
    *out_scale = (double)(end - begin) / pixels;
}

void km_geometry_get_offsets(const struct km_geometry *geometry, uint64_t quad, uint64_t first, uint32_t count,
                             uint64_t *out_offsets)
{
    if (geometry->layout == KM_GEOMETRY_UNROLLED_N || geometry->step != 0) {
        uint64_t step = geometry->step != 0 ? geometry->step : 1;
        uint64_t offset = (quad * geometry->quad_pixels + first) * step;
        for (uint32_t k = 0; k < count; k++, offset += step)
            out_offsets[k] = offset;
        return;
    }
    double start, scale;
    get_scale(geometry, quad, &start, &scale);
    for (uint32_t k = 0; k < count; k++)
        out_offsets[k] = (uint64_t)(int64_t)((double)(int64_t)(first + k) * scale + start);
}

uint64_t km_geometry_get_offset(const struct km_geometry *geometry, uint64_t quad, uint64_t position)
{
    uint64_t offset;
    km_geometry_get_offsets(geometry, quad, position, 1, &offset);
    return offset;
}

static uint64_t offset_at(const struct km_geometry *geometry, uint64_t pixel)
{
    return km_geometry_get_offset(geometry, pixel / geometry->quad_pixels, pixel % geometry->quad_pixels);
}

bool km_geometry_find_bytes(const struct km_geometry *geometry, uint64_t quad, uint64_t position, uint64_t *out_begin,
                            uint64_t *out_end)
{
    uint64_t pixel = quad * geometry->quad_pixels + position;
    uint64_t begin = offset_at(geometry, pixel);
    if (begin >= geometry->bytes)
        return false;
    uint64_t end = geometry->bytes;
    if (pixel + 1 < geometry->quads * geometry->quad_pixels) {
        uint64_t next = offset_at(geometry, pixel + 1);
        end = next < end ? next : end;
    }
    *out_begin = begin;
    *out_end = end > begin ? end : begin + 1;
    return true;
}

/* The first pixel in [0, total] that shows a byte at or behind `offset`. */
static uint64_t first_at_or_behind(const struct km_geometry *geometry, uint64_t offset)
{
    uint64_t low = 0, high = geometry->quads * geometry->quad_pixels;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (offset_at(geometry, middle) >= offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool km_geometry_find_pixels(const struct km_geometry *geometry, uint64_t offset, uint64_t *out_first,
                             uint64_t *out_count)
{
    if (offset >= geometry->bytes)
        return false;
    uint64_t behind = first_at_or_behind(geometry, offset + 1);
    if (behind == 0)
        return false;
    uint64_t first = first_at_or_behind(geometry, offset_at(geometry, behind - 1));
    bool shown = offset_at(geometry, behind - 1) == offset;
    *out_first = shown ? first : behind - 1;
    *out_count = shown ? behind - first : 1;
    return true;
}
