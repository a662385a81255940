#include "container/imaging/sheet.h"

#include <stdlib.h>
#include <string.h>

#include "container/imaging/colour.h"

/* Sides below a cell's: 128, 64, 32. */
#define LEVELS (KM_FILEVIEW_SIZES - 1)

/* A square of twice the level's side that is being divided. */
struct divided {
    uint32_t col, row;
    unsigned used; /* quarters given out: 4 = full or never opened */
};

struct km_sheet {
    struct km_input *input;
    struct km_tarwalk *walk;
    uint32_t width;
    uint32_t next_col, row; /* the next free cell */
    struct divided levels[LEVELS];
    bool begun;
    bool whole_input; /* no archive: the input is the one file */
    bool has_file;
    struct km_tarwalk_member member;
    uint64_t file_begin, file_bytes, cut;
};

struct km_sheet *km_sheet_new(struct km_input *input, uint32_t width, struct km_err *err)
{
    if (width > KM_CURVE_MAX_SIDE) {
        km_fail(err, KM_LIMIT, "picture size %u is above %u", width, KM_CURVE_MAX_SIDE);
        return NULL;
    }
    if (width == 0 || width % KM_SHEET_CELL != 0) {
        km_fail(err, KM_FORMAT, "the file view needs a size that is a multiple of %u", KM_SHEET_CELL);
        return NULL;
    }
    KM_CLEANUP(km_sheet_cleanup) struct km_sheet *sheet = km_calloc(1, sizeof *sheet, sizeof *sheet, err);
    if (!sheet)
        return NULL;
    sheet->input = input;
    sheet->width = width;
    for (unsigned level = 0; level < LEVELS; level++)
        sheet->levels[level].used = 4;
    struct km_tarwalk_input archive = {input, km_input_read, input->bytes};
    sheet->walk = km_tarwalk_new(&archive, err);
    return sheet->walk ? km_steal(sheet) : NULL;
}

void km_sheet_free(struct km_sheet *sheet)
{
    if (!sheet)
        return;
    km_tarwalk_free(sheet->walk);
    free(sheet);
}

static enum km_code take_cell(struct km_sheet *sheet, uint32_t *out_col, uint32_t *out_row, struct km_err *err)
{
    if (sheet->next_col == sheet->width) {
        if (sheet->row > KM_GEOMETRY_MAX_ROWS - 2 * KM_SHEET_CELL)
            return km_fail(err, KM_LIMIT, "the picture would have more than %u rows: choose a larger size",
                           KM_GEOMETRY_MAX_ROWS);
        sheet->next_col = 0;
        sheet->row += KM_SHEET_CELL;
        for (unsigned level = 0; level < LEVELS; level++)
            sheet->levels[level].used = 4;
    }
    *out_col = sheet->next_col;
    *out_row = sheet->row;
    sheet->next_col += KM_SHEET_CELL;
    return KM_OK;
}

/* Level 0 is half a cell. Goes up to the first level with a free quarter, or to a new cell, and divides downwards. */
static enum km_code place(struct km_sheet *sheet, uint32_t side, uint32_t *out_col, uint32_t *out_row,
                          struct km_err *err)
{
    unsigned wanted = 0;
    while (side < KM_SHEET_CELL >> wanted)
        wanted++;
    unsigned level = wanted;
    while (level > 0 && sheet->levels[level - 1].used == 4)
        level--;
    uint32_t col = 0, row = 0;
    if (level == 0) {
        enum km_code code = take_cell(sheet, &col, &row, err);
        if (code != KM_OK)
            return code;
    } else {
        level--;
    }
    /* Taking a cell may have closed levels of the row above: all below are divided anew. */
    for (; level < wanted; level++) {
        struct divided *divided = &sheet->levels[level];
        if (divided->used == 4)
            *divided = (struct divided){col, row, 0};
        uint32_t half = KM_SHEET_CELL >> (level + 1);
        col = divided->col + (divided->used & 1U) * half;
        row = divided->row + (divided->used >> 1) * half;
        divided->used++;
    }
    *out_col = col;
    *out_row = row;
    return KM_OK;
}

static void set_whole_input(struct km_sheet *sheet)
{
    sheet->whole_input = true;
    sheet->has_file = true;
    sheet->file_begin = 0;
    sheet->file_bytes = sheet->input->bytes;
    sheet->cut = 0;
}

/* The next regular file with content; has_file false at the end. */
static enum km_code next_file(struct km_sheet *sheet, struct km_err *err)
{
    sheet->has_file = false;
    while (!sheet->whole_input) {
        bool found;
        enum km_code code = km_tarwalk_next(sheet->walk, &sheet->member, &found, err);
        if (code != KM_OK)
            return code;
        if (!found) {
            uint64_t ignored;
            if (!sheet->begun && km_tarwalk_get_stop(sheet->walk, &ignored) == KM_TARWALK_NOT_TAR)
                set_whole_input(sheet);
            break;
        }
        sheet->begun = true;
        const struct km_tarwalk_member *member = &sheet->member;
        if (!km_tarwalk_is_file(member) || member->stored_bytes == 0 || member->data_begin >= sheet->input->bytes)
            continue;
        uint64_t left = sheet->input->bytes - member->data_begin;
        sheet->has_file = true;
        sheet->file_begin = member->data_begin;
        sheet->file_bytes = member->stored_bytes < left ? member->stored_bytes : left;
        sheet->cut = 0;
        break;
    }
    return KM_OK;
}

enum km_code km_sheet_next(struct km_sheet *sheet, struct km_sheet_square *out_square, bool *out_found,
                           struct km_err *err)
{
    struct km_sheet_square square = {0};
    *out_found = false;
    while (!sheet->has_file || !km_fileview_cut(sheet->file_bytes, sheet->cut, &square.square)) {
        enum km_code code = next_file(sheet, err);
        if (code != KM_OK || !sheet->has_file)
            return code;
    }
    enum km_code code = place(sheet, square.square.side, &square.col, &square.row, err);
    if (code != KM_OK)
        return code;
    sheet->cut += square.square.valid;
    square.data_begin = sheet->file_begin;
    square.name = sheet->whole_input ? NULL : sheet->member.name;
    square.name_length = sheet->whole_input ? 0 : sheet->member.name_length;
    *out_square = square;
    *out_found = true;
    return KM_OK;
}

/* ---- Drawing ---- */

struct drawing {
    struct km_input *input;
    const struct km_row_sink *sink;
    uint32_t width;
    uint32_t row; /* of the row of cells in `pixels` */
    uint8_t class[256];
    struct km_curve *curves[KM_FILEVIEW_SIZES]; /* side 256 first */
    uint8_t *bytes;                             /* of a square */
    uint16_t *symbols;
    uint8_t *pixels; /* a row of cells */
};

static void done(struct drawing *drawing)
{
    for (unsigned i = 0; i < KM_FILEVIEW_SIZES; i++)
        km_curve_free(drawing->curves[i]);
    free(drawing->bytes);
    free(drawing->symbols);
    free(drawing->pixels);
}

static enum km_code init(struct drawing *drawing, struct km_input *input, uint32_t width,
                         const struct km_row_sink *sink, struct km_err *err)
{
    *drawing = (struct drawing){.input = input, .sink = sink, .width = width};
    km_colour_fill_class(drawing->class);
    for (unsigned i = 0; i < KM_FILEVIEW_SIZES; i++)
        if (!(drawing->curves[i] = km_curve_new(KM_CURVE_HILBERT, KM_FILEVIEW_MAX_SIDE >> i, err)))
            return err->code;
    if (!(drawing->bytes = km_calloc(KM_FILEVIEW_MAX_BYTES, 1, SIZE_MAX, err)) ||
        !(drawing->symbols = km_calloc(KM_FILEVIEW_MAX_BYTES, sizeof *drawing->symbols, SIZE_MAX, err)) ||
        !(drawing->pixels = km_calloc((size_t)width * KM_SHEET_CELL, 3, SIZE_MAX, err)))
        return err->code;
    return KM_OK;
}

static void clear(struct drawing *drawing)
{
    static const uint8_t empty[3] = KM_SHEET_EMPTY;
    for (size_t pixel = 0; pixel < (size_t)drawing->width * KM_SHEET_CELL; pixel++)
        memcpy(drawing->pixels + 3 * pixel, empty, 3);
}

static enum km_code draw_square(struct drawing *drawing, const struct km_sheet_square *square, struct km_err *err)
{
    uint32_t side = square->square.side;
    unsigned size = 0;
    while (KM_FILEVIEW_MAX_SIDE >> size != side)
        size++;
    enum km_code code = km_input_read(drawing->input, square->data_begin + square->square.offset, drawing->bytes,
                                      square->square.valid, err);
    if (code != KM_OK)
        return code;
    km_fileview_fill_symbols(&square->square, drawing->curves[size], drawing->bytes, drawing->symbols);
    for (uint32_t row = 0; row < side; row++) {
        size_t line = (size_t)(square->row - drawing->row + row) * drawing->width + square->col;
        uint8_t *pixel = drawing->pixels + 3 * line;
        const uint16_t *symbol = drawing->symbols + (size_t)row * side;
        for (uint32_t col = 0; col < side; col++, pixel += 3) {
            bool inside = symbol[col] != KM_FILEVIEW_PADDING;
            pixel[0] = inside ? drawing->class[symbol[col]] : 0;
            pixel[1] = inside ? (uint8_t)symbol[col] : 0;
            pixel[2] = inside ? 255 : 0;
        }
    }
    return KM_OK;
}

static enum km_code count_rows(struct km_input *input, uint32_t width, uint32_t *out_rows, struct km_err *err)
{
    KM_CLEANUP(km_sheet_cleanup) struct km_sheet *sheet = km_sheet_new(input, width, err);
    if (!sheet)
        return err->code;
    struct km_sheet_square square;
    bool found;
    enum km_code code;
    do
        code = km_sheet_next(sheet, &square, &found, err);
    while (code == KM_OK && found);
    *out_rows = sheet->row + KM_SHEET_CELL;
    return code;
}

static enum km_code draw_all(struct drawing *drawing, struct km_sheet *sheet, const struct km_cancel *cancel,
                             struct km_err *err)
{
    clear(drawing);
    for (;;) {
        struct km_sheet_square square;
        bool found;
        enum km_code code = km_sheet_next(sheet, &square, &found, err);
        if (code != KM_OK)
            return code;
        if (!found || square.row - drawing->row >= KM_SHEET_CELL) {
            code = km_cancel_check(cancel, err);
            if (code == KM_OK)
                code = drawing->sink->rows(drawing->sink->context, drawing->pixels, KM_SHEET_CELL, err);
            if (code != KM_OK || !found)
                return code;
            clear(drawing);
            drawing->row += KM_SHEET_CELL;
        }
        code = draw_square(drawing, &square, err);
        if (code != KM_OK)
            return code;
    }
}

enum km_code km_sheet_draw(struct km_input *input, uint32_t width, const struct km_cancel *cancel,
                           const struct km_row_sink *sink, struct km_render_report *out_report, struct km_err *err)
{
    uint32_t rows = 0;
    enum km_code code = count_rows(input, width, &rows, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_sheet_cleanup) struct km_sheet *sheet = km_sheet_new(input, width, err);
    if (!sheet)
        return err->code;
    struct drawing drawing;
    code = init(&drawing, input, width, sink, err);
    if (code == KM_OK)
        code = sink->begin(sink->context, width, rows, err);
    if (code == KM_OK)
        code = draw_all(&drawing, sheet, cancel, err);
    done(&drawing);
    if (code == KM_OK) {
        *out_report =
            (struct km_render_report){.walked = true, .members = sheet->member.number + (sheet->begun ? 1 : 0)};
        out_report->stop = km_tarwalk_get_stop(sheet->walk, &out_report->stop_offset);
    }
    return code;
}
