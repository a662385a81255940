#include "container/imaging/fileview.h"

static const uint32_t sides[KM_FILEVIEW_SIZES] = {256, 128, 64, 32};

bool km_fileview_cut(uint64_t file_bytes, uint64_t offset, struct km_fileview_square *out_square)
{
    if (offset >= file_bytes)
        return false;
    uint64_t left = file_bytes - offset;
    size_t size = 0;
    while (size + 1 < KM_FILEVIEW_SIZES && left < (uint64_t)sides[size] * sides[size])
        size++;
    uint32_t whole = sides[size] * sides[size];
    *out_square = (struct km_fileview_square){
        .offset = offset,
        .side = sides[size],
        .valid = left < whole ? (uint32_t)left : whole,
    };
    return true;
}

bool km_fileview_find(uint64_t file_bytes, uint64_t offset, struct km_fileview_square *out_square)
{
    if (offset >= file_bytes)
        return false;
    uint64_t begin = offset - offset % KM_FILEVIEW_MAX_BYTES;
    struct km_fileview_square square;
    do {
        if (!km_fileview_cut(file_bytes, begin, &square))
            return false;
        begin += square.valid;
    } while (begin <= offset);
    *out_square = square;
    return true;
}

void km_fileview_fill_symbols(const struct km_fileview_square *square, const struct km_curve *curve,
                              const uint8_t *bytes, uint16_t *out)
{
    uint32_t pixels = square->side * square->side;
    for (uint32_t position = 0; position < pixels;) {
        struct km_curve_run run = km_curve_get_run(curve, position);
        for (uint32_t k = 0; k < run.length; k++, position++)
            out[run.base + run.offsets[k]] = position < square->valid ? bytes[position] : KM_FILEVIEW_PADDING;
    }
}

bool km_fileview_find_byte(const struct km_fileview_square *square, const struct km_curve *curve, uint32_t col,
                           uint32_t row, uint64_t *out_offset)
{
    uint64_t position = km_curve_get_position(curve, col, row);
    if (position >= square->valid)
        return false;
    *out_offset = square->offset + position;
    return true;
}
