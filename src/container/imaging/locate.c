#include "container/imaging/locate.h"

#include <string.h>

#include "container/imaging/sheet.h"
#include "container/imaging/tarwalk.h"

const char *km_locate_part_to_string(enum km_locate_part part)
{
    switch (part) {
    case KM_LOCATE_PLAIN:
        return "plain";
    case KM_LOCATE_HEADER:
        return "header";
    case KM_LOCATE_DATA:
        return "data";
    case KM_LOCATE_PADDING:
        return "padding";
    case KM_LOCATE_TAIL:
        return "tail";
    }
    return "unknown";
}

void km_locate_place_init(struct km_locate_place *place)
{
    *place = (struct km_locate_place){0};
    km_buf_init(&place->name, KM_TARWALK_MAX_NAME);
}

void km_locate_place_done(struct km_locate_place *place)
{
    km_buf_done(&place->name);
}

static struct km_tarwalk *open_walk(struct km_input *input, struct km_err *err)
{
    struct km_tarwalk_input archive = {input, km_input_read, input->bytes};
    return km_tarwalk_new(&archive, err);
}

static enum km_code set_member(struct km_locate_place *place, const struct km_tarwalk_member *member,
                               enum km_locate_part part, uint64_t begin, struct km_err *err)
{
    km_buf_clear(&place->name);
    place->part = part;
    place->member_size = member->stored_bytes;
    place->member_offset = part == KM_LOCATE_PADDING ? 0 : place->offset - begin;
    return km_buf_append(&place->name, member->name, member->name_length, err);
}

enum km_code km_locate_byte(struct km_input *input, uint64_t offset, struct km_locate_place *out_place,
                            struct km_err *err)
{
    KM_CLEANUP(km_tarwalk_cleanup) struct km_tarwalk *walk = open_walk(input, err);
    if (!walk)
        return err->code;
    struct km_locate_place *place = out_place;
    place->offset = offset;
    place->part = KM_LOCATE_PADDING;
    place->member_offset = place->member_size = 0;
    km_buf_clear(&place->name);
    for (;;) {
        struct km_tarwalk_member member;
        bool found;
        enum km_code code = km_tarwalk_next(walk, &member, &found, err);
        if (code != KM_OK)
            return code;
        uint64_t stop_offset;
        if (!found) {
            enum km_tarwalk_stop stop = km_tarwalk_get_stop(walk, &stop_offset);
            if (stop == KM_TARWALK_NOT_TAR)
                place->part = KM_LOCATE_PLAIN;
            else if (offset >= stop_offset)
                place->part = KM_LOCATE_TAIL;
            if (place->part != KM_LOCATE_PADDING)
                km_buf_clear(&place->name);
            return KM_OK;
        }
        if (offset < member.header_begin)
            return KM_OK; /* in the padding of the one before */
        if (offset < member.data_begin)
            return set_member(place, &member, KM_LOCATE_HEADER, member.header_begin, err);
        if (offset - member.data_begin < member.stored_bytes)
            return set_member(place, &member, KM_LOCATE_DATA, member.data_begin, err);
        code = set_member(place, &member, KM_LOCATE_PADDING, member.data_begin, err);
        if (code != KM_OK)
            return code;
    }
}

enum km_code km_locate_member(struct km_input *input, const char *name, uint64_t within, uint64_t *out_offset,
                              struct km_err *err)
{
    KM_CLEANUP(km_tarwalk_cleanup) struct km_tarwalk *walk = open_walk(input, err);
    if (!walk)
        return err->code;
    size_t length = strlen(name);
    for (;;) {
        struct km_tarwalk_member member;
        bool found;
        enum km_code code = km_tarwalk_next(walk, &member, &found, err);
        if (code != KM_OK)
            return code;
        if (!found)
            return km_fail(err, KM_NOTFOUND, "no member '%s'", name);
        if (member.name_cut || member.name_length != length || memcmp(member.name, name, length) != 0)
            continue;
        if (within >= member.stored_bytes)
            return km_fail(err, KM_NOTFOUND, "'%s' has %llu bytes", name, (unsigned long long)member.stored_bytes);
        *out_offset = member.data_begin + within;
        return KM_OK;
    }
}

enum km_code km_locate_pixel_bytes(const struct km_geometry *geometry, const struct km_curve *curve,
                                   struct km_locate_pixel pixel, struct km_locate_bytes *out_bytes, struct km_err *err)
{
    if (pixel.col >= geometry->side || pixel.row >= km_geometry_get_rows(geometry))
        return km_fail(err, KM_NOTFOUND, "pixel %u,%u is outside the picture of %u x %u", pixel.col, pixel.row,
                       geometry->side, km_geometry_get_rows(geometry));
    uint64_t position = km_curve_get_position(curve, pixel.col, pixel.row % geometry->side);
    if (!km_geometry_find_bytes(geometry, pixel.row / geometry->side, position, &out_bytes->begin, &out_bytes->end))
        return km_fail(err, KM_NOTFOUND, "pixel %u,%u is behind the end of the input", pixel.col, pixel.row);
    return KM_OK;
}

enum km_code km_locate_byte_pixel(const struct km_geometry *geometry, const struct km_curve *curve, uint64_t offset,
                                  struct km_locate_pixel *out_pixel, uint64_t *out_count, struct km_err *err)
{
    uint64_t number;
    if (!km_geometry_find_pixels(geometry, offset, &number, out_count))
        return km_fail(err, KM_NOTFOUND, "byte %llu is behind the end of the input (%llu bytes)",
                       (unsigned long long)offset, (unsigned long long)geometry->bytes);
    km_curve_get_pixel(curve, number % geometry->quad_pixels, &out_pixel->col, &out_pixel->row);
    out_pixel->row += (uint32_t)(number / geometry->quad_pixels) * geometry->side;
    return KM_OK;
}

static struct km_curve *curve_of(const struct km_sheet_square *square, struct km_err *err)
{
    return km_curve_new(KM_CURVE_HILBERT, square->square.side, err);
}

enum km_code km_locate_sheet_byte(struct km_input *input, uint32_t width, struct km_locate_pixel pixel,
                                  uint64_t *out_offset, struct km_err *err)
{
    uint32_t col = pixel.col, row = pixel.row;
    KM_CLEANUP(km_sheet_cleanup) struct km_sheet *sheet = km_sheet_new(input, width, err);
    if (!sheet)
        return err->code;
    struct km_sheet_square square;
    bool found = true, inside = false;
    while (found && !inside) {
        enum km_code code = km_sheet_next(sheet, &square, &found, err);
        if (code != KM_OK)
            return code;
        inside = found && col >= square.col && row >= square.row && col - square.col < square.square.side &&
                 row - square.row < square.square.side;
    }
    if (!inside)
        return km_fail(err, KM_NOTFOUND, "pixel %u,%u belongs to no file", col, row);
    KM_CLEANUP(km_curve_cleanup) struct km_curve *curve = curve_of(&square, err);
    if (!curve)
        return err->code;
    uint64_t within;
    if (!km_fileview_find_byte(&square.square, curve, col - square.col, row - square.row, &within))
        return km_fail(err, KM_NOTFOUND, "pixel %u,%u is padding", col, row);
    *out_offset = square.data_begin + within;
    return KM_OK;
}

enum km_code km_locate_sheet_pixel(struct km_input *input, uint32_t width, uint64_t offset,
                                   struct km_locate_pixel *out_pixel, struct km_err *err)
{
    KM_CLEANUP(km_sheet_cleanup) struct km_sheet *sheet = km_sheet_new(input, width, err);
    if (!sheet)
        return err->code;
    for (;;) {
        struct km_sheet_square square;
        bool found;
        enum km_code code = km_sheet_next(sheet, &square, &found, err);
        if (code != KM_OK)
            return code;
        if (!found)
            return km_fail(err, KM_NOTFOUND, "byte %llu is not in a file's content", (unsigned long long)offset);
        uint64_t begin = square.data_begin + square.square.offset;
        if (offset < begin || offset - begin >= square.square.valid)
            continue;
        KM_CLEANUP(km_curve_cleanup) struct km_curve *curve = curve_of(&square, err);
        if (!curve)
            return err->code;
        km_curve_get_pixel(curve, offset - begin, &out_pixel->col, &out_pixel->row);
        out_pixel->col += square.col;
        out_pixel->row += square.row;
        return KM_OK;
    }
}
