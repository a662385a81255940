#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "container/imaging/curve.h"
#include "container/imaging/glyph.h"
#include "container/imaging/mosaic.h"
#include "container/imaging/mosaicdata.h"

#define INNER_WIDTH     1024U
#define MARGIN          16U
#define WIDTH           (INNER_WIDTH + 2 * MARGIN)
#define TITLE_ROWS      44U
#define LAYER_TEXT_ROWS 18U
#define LAYER_GAP_ROWS  10U
#define LEGEND_ROWS     34U
#define MARK_ROWS       18U
#define MIN_BAND        16U
#define MAX_BAND        128U
#define BORDER_CELLS    48U /* files with fewer pixels have no border: it would be all that one sees of them */
#define SMALL_MARK      64U /* ranges with fewer pixels are shown by a ring around them */
#define RING_RADIUS     7L
#define RING_SEAM       5L
#define RING_INSIDE     4L
#define NO_OWNER        UINT32_MAX

static const uint8_t background[3] = {24, 26, 31};
static const uint8_t ink[3] = {214, 218, 226};
static const uint8_t faint_ink[3] = {138, 145, 158};
static const uint8_t zero_colour[3] = {40, 44, 54};
static const uint8_t text_colour[3] = {70, 150, 190};
static const uint8_t code_colour[3] = {222, 168, 84};
static const uint8_t dense_colour[3] = {132, 96, 168};
static const uint8_t mark_colours[2][3] = {
    [KM_MOSAIC_SUSPICIOUS] = {255, 214, 10},
    [KM_MOSAIC_MALICIOUS] = {255, 45, 45},
};

/* Where a layer's band lies. */
struct band {
    size_t first, count; /* cells */
    uint32_t top;        /* canvas row of its text */
    uint32_t side;       /* of the squares it is made of */
    uint32_t rows;       /* of pixels */
};

struct drawing {
    const struct km_mosaic *mosaic;
    struct km_glyph_canvas canvas;
    size_t cells; /* a started last one included */
    unsigned band_count;
    struct band bands[KM_MOSAIC_MAX_LAYERS];
    struct km_curve *curves[4]; /* of MIN_BAND, twice that, … */
    uint32_t *owners;           /* file of each pixel, for borders */
    uint8_t *marked;            /* 1 + severity of each pixel inside a marked range */
};

static void done(struct drawing *drawing)
{
    for (unsigned i = 0; i < 4; i++)
        km_curve_free(drawing->curves[i]);
    free(drawing->canvas.rgb);
    free(drawing->owners);
    free(drawing->marked);
}

/* ---- Plan ---- */

static size_t cell_of(const struct km_mosaic *mosaic, uint64_t position)
{
    return (size_t)(position / mosaic->cell_bytes);
}

static void plan_band(struct band *band)
{
    band->side = MIN_BAND;
    while (band->side < MAX_BAND && band->count > (size_t)band->side * INNER_WIDTH)
        band->side *= 2;
    size_t per_row = (size_t)band->side * INNER_WIDTH;
    band->rows = band->count == 0 ? 0 : (uint32_t)((band->count - 1) / per_row + 1) * band->side;
}

static enum km_code plan(struct drawing *drawing, struct km_err *err)
{
    const struct km_mosaic *mosaic = drawing->mosaic;
    drawing->cells = mosaic->cell_count + (mosaic->sum.bytes > 0 ? 1 : 0);
    uint32_t row = TITLE_ROWS;
    for (unsigned i = 0; i < mosaic->layer_count; i++) {
        struct band *band = &drawing->bands[drawing->band_count++];
        size_t end = i + 1 < mosaic->layer_count ? cell_of(mosaic, mosaic->layers[i + 1].begin) : drawing->cells;
        band->first = cell_of(mosaic, mosaic->layers[i].begin);
        band->first = band->first < end ? band->first : end;
        band->count = end - band->first;
        band->top = row;
        plan_band(band);
        row += LAYER_TEXT_ROWS + band->rows + LAYER_GAP_ROWS;
    }
    unsigned labels = mosaic->mark_count < KM_MOSAIC_MAX_LABELS ? mosaic->mark_count : KM_MOSAIC_MAX_LABELS;
    row += LEGEND_ROWS + (labels + (mosaic->mark_total > labels ? 1 : 0)) * MARK_ROWS;
    size_t pixels = (size_t)row * WIDTH;
    drawing->canvas.width = WIDTH;
    drawing->canvas.height = row;
    for (unsigned i = 0; i < 4; i++)
        if (!(drawing->curves[i] = km_curve_new(KM_CURVE_HILBERT, MIN_BAND << i, err)))
            return err->code;
    if (!(drawing->canvas.rgb = km_calloc(pixels, 3, SIZE_MAX, err)) ||
        !(drawing->owners = km_calloc(pixels, sizeof *drawing->owners, SIZE_MAX, err)) ||
        !(drawing->marked = km_calloc(pixels, 1, SIZE_MAX, err)))
        return err->code;
    return KM_OK;
}

/* The canvas pixel of a cell. Columns and rows are exchanged, so that the curve leaves a square at the top right, where
 * the next one begins. */
static size_t pixel_of(const struct drawing *drawing, const struct band *band, size_t cell)
{
    size_t within = cell - band->first, square = (size_t)band->side * band->side;
    size_t number = within / square, per_row = INNER_WIDTH / band->side;
    unsigned curve = 0;
    while (MIN_BAND << curve != band->side)
        curve++;
    uint32_t col, row;
    km_curve_get_pixel(drawing->curves[curve], within % square, &row, &col);
    size_t x = MARGIN + number % per_row * band->side + col;
    size_t y = band->top + LAYER_TEXT_ROWS + number / per_row * band->side + row;
    return y * WIDTH + x;
}

/* ---- Pixels ---- */

static double ramp(double value, double low, double high)
{
    double x = (value - low) / (high - low);
    x = x < 0 ? 0 : x;
    return x > 1 ? 1 : x;
}

static void blend(double rgb[3], const uint8_t colour[3], double weight)
{
    for (unsigned c = 0; c < 3; c++)
        rgb[c] += (colour[c] - rgb[c]) * weight;
}

/* Text wins over code by its share of printable bytes, compressed over both by entropy (random bytes reach 7.2 bits in
 * a chunk, machine code about 6), zeros darken whatever is between them. */
static void colour_cell(struct km_mosaic_cell cell, uint8_t out[3])
{
    double zero = cell.zero / 255.0, text = cell.text / 255.0, high = cell.high / 255.0;
    double bits = cell.entropy / 255.0 * 8;
    double rgb[3] = {code_colour[0], code_colour[1], code_colour[2]};
    blend(rgb, text_colour, ramp(text, 0.55, 0.9));
    blend(rgb, dense_colour, ramp(bits, 6.5, 7.0));
    double light = 0.82 + 0.36 * ramp(high, 0.2, 0.8) + 0.18 * ramp(bits, 3, 5.5) * ramp(text, 0.55, 0.9);
    for (unsigned c = 0; c < 3; c++)
        rgb[c] *= light;
    blend(rgb, zero_colour, ramp(zero, 0.1, 0.95));
    for (unsigned c = 0; c < 3; c++)
        out[c] = rgb[c] > 255 ? 255 : (uint8_t)rgb[c];
}

static struct km_mosaic_cell cell_at(const struct km_mosaic *mosaic, size_t cell)
{
    if (cell < mosaic->cell_count)
        return mosaic->cells[cell];
    uint64_t bytes = mosaic->sum.bytes;
    return (struct km_mosaic_cell){
        (uint8_t)(mosaic->sum.zero * 255 / bytes),
        (uint8_t)(mosaic->sum.text * 255 / bytes),
        (uint8_t)(mosaic->sum.high * 255 / bytes),
        (uint8_t)(mosaic->sum.entropy / bytes),
    };
}

static void draw_band(struct drawing *drawing, const struct band *band, size_t *entry)
{
    const struct km_mosaic *mosaic = drawing->mosaic;
    for (size_t cell = band->first; cell < band->first + band->count; cell++) {
        size_t pixel = pixel_of(drawing, band, cell);
        uint64_t position = (uint64_t)cell * mosaic->cell_bytes;
        while (*entry + 1 < mosaic->entry_count && mosaic->entries[*entry + 1] <= position)
            (*entry)++;
        uint64_t begin = mosaic->entries[*entry];
        uint64_t end = *entry + 1 < mosaic->entry_count ? mosaic->entries[*entry + 1] : mosaic->position;
        uint8_t *rgb = drawing->canvas.rgb + 3 * pixel;
        colour_cell(cell_at(mosaic, cell), rgb);
        drawing->owners[pixel] = (end - begin) / mosaic->cell_bytes >= BORDER_CELLS ? (uint32_t)*entry : NO_OWNER - 1;
    }
}

/* One dark pixel at the right and lower edge of each file. */
static void draw_borders(struct drawing *drawing)
{
    for (uint32_t y = 0; y + 1 < drawing->canvas.height; y++) {
        for (uint32_t x = 0; x + 1 < WIDTH; x++) {
            size_t pixel = (size_t)y * WIDTH + x;
            uint32_t own = drawing->owners[pixel];
            if (own == NO_OWNER || (own == drawing->owners[pixel + 1] && own == drawing->owners[pixel + WIDTH]))
                continue;
            uint8_t *rgb = drawing->canvas.rgb + 3 * pixel;
            for (unsigned c = 0; c < 3; c++)
                rgb[c] = (uint8_t)(rgb[c] / 4);
        }
    }
}

/* ---- Marks ---- */

static const struct band *band_of(const struct drawing *drawing, size_t cell)
{
    for (unsigned i = 0; i < drawing->band_count; i++) {
        const struct band *band = &drawing->bands[i];
        if (cell >= band->first && cell - band->first < band->count)
            return band;
    }
    return NULL;
}

static void put(struct drawing *drawing, long x, long y, const uint8_t colour[3])
{
    if (x >= 0 && y >= 0 && x < (long)WIDTH && y < (long)drawing->canvas.height)
        memcpy(drawing->canvas.rgb + 3 * ((size_t)y * WIDTH + (size_t)x), colour, 3);
}

/* A two-pixel ring with a dark seam, so that it stands out on any ground. */
static void draw_ring(struct drawing *drawing, size_t pixel, const uint8_t colour[3])
{
    long x = (long)(pixel % WIDTH), y = (long)(pixel / WIDTH);
    for (long dy = -RING_RADIUS; dy <= RING_RADIUS; dy++) {
        for (long dx = -RING_RADIUS; dx <= RING_RADIUS; dx++) {
            long distance = dx * dx + dy * dy;
            if (distance <= RING_RADIUS * RING_RADIUS && distance > RING_SEAM * RING_SEAM)
                put(drawing, x + dx, y + dy, colour);
            else if (distance <= RING_SEAM * RING_SEAM && distance > RING_INSIDE * RING_INSIDE)
                put(drawing, x + dx, y + dy, background);
        }
    }
}

/* Paints what is within two pixels outside of a marked area; small areas have their ring. */
static void draw_outlines(struct drawing *drawing)
{
    long height = (long)drawing->canvas.height;
    for (long y = 2; y + 2 < height; y++) {
        for (long x = 2; x + 2 < (long)WIDTH; x++) {
            size_t pixel = (size_t)y * WIDTH + (size_t)x;
            if (drawing->marked[pixel] != 0)
                continue;
            uint8_t strongest = 0;
            for (long dy = -2; dy <= 2; dy++)
                for (long dx = -2; dx <= 2; dx++) {
                    uint8_t mark = drawing->marked[(size_t)(y + dy) * WIDTH + (size_t)(x + dx)];
                    strongest = mark > strongest ? mark : strongest;
                }
            if (strongest > 0)
                put(drawing, x, y, mark_colours[strongest - 1]);
        }
    }
}

static void draw_number(struct drawing *drawing, size_t pixel, unsigned number, const uint8_t colour[3])
{
    char text[12];
    snprintf(text, sizeof text, "%u", number);
    uint32_t width = km_glyph_get_width(text, 2) + 4, rows = 18;
    uint32_t x = (uint32_t)(pixel % WIDTH) + (uint32_t)RING_RADIUS + 2, y = (uint32_t)(pixel / WIDTH);
    x = x + width > WIDTH ? WIDTH - width : x;
    y = y > rows / 2 ? y - rows / 2 : 0;
    for (uint32_t dy = 0; dy < rows; dy++)
        for (uint32_t dx = 0; dx < width; dx++)
            put(drawing, x + dx, y + dy, colour);
    km_glyph_draw_text(&drawing->canvas, x + 3, y + 2, 2, background, text);
}

static void fill_mark(struct drawing *drawing, size_t first, size_t last, uint8_t value)
{
    const struct band *band = band_of(drawing, first);
    for (size_t cell = first; band && cell < last; cell++) {
        if (cell - band->first >= band->count)
            band = band_of(drawing, cell);
        size_t pixel = band ? pixel_of(drawing, band, cell) : 0;
        if (band && drawing->marked[pixel] < value)
            drawing->marked[pixel] = value;
    }
}

static void draw_sign(struct drawing *drawing, unsigned i, size_t first, size_t last)
{
    const uint8_t *colour = mark_colours[drawing->mosaic->marks[i].severity];
    size_t middle = first + (last - first) / 2;
    middle = middle < drawing->cells || middle == 0 ? middle : drawing->cells - 1;
    const struct band *band = band_of(drawing, middle);
    if (!band)
        return;
    size_t pixel = pixel_of(drawing, band, middle);
    if (last - first < SMALL_MARK)
        draw_ring(drawing, pixel, colour);
    if (i < KM_MOSAIC_MAX_LABELS)
        draw_number(drawing, pixel, i + 1, colour);
}

static void draw_marks(struct drawing *drawing)
{
    const struct km_mosaic *mosaic = drawing->mosaic;
    const struct km_mosaic_mark *marks = mosaic->marks;
    for (unsigned i = 0; i < mosaic->mark_count; i++) {
        size_t first = cell_of(mosaic, marks[i].begin), last = cell_of(mosaic, marks[i].end);
        if (last - first >= SMALL_MARK)
            fill_mark(drawing, first, last, (uint8_t)(1 + marks[i].severity));
    }
    draw_outlines(drawing);
    for (unsigned i = mosaic->mark_count; i-- > 0;)
        draw_sign(drawing, i, cell_of(mosaic, marks[i].begin), cell_of(mosaic, marks[i].end));
}

/* ---- Words ---- */

static void draw_layer_text(struct drawing *drawing, unsigned i)
{
    const struct km_mosaic *mosaic = drawing->mosaic;
    const struct km_mosaic_layer *layer = &mosaic->layers[i];
    uint64_t end = i + 1 < mosaic->layer_count ? mosaic->layers[i + 1].begin : mosaic->position;
    char size[16], text[64];
    km_text_format_bytes(end - layer->begin, size, sizeof size);
    snprintf(text, sizeof text, "  %s, %llu files", size, (unsigned long long)layer->entries);
    uint32_t row = drawing->bands[i].top + 5;
    uint32_t col = MARGIN;
    if (layer->text[0] != '\0')
        col = km_glyph_draw_text(&drawing->canvas, col, row, 1, ink, layer->text);
    km_glyph_draw_text(&drawing->canvas, col, row, 1, faint_ink, layer->text[0] != '\0' ? text : text + 2);
}

static uint32_t draw_swatch(struct drawing *drawing, uint32_t col, uint32_t row, const uint8_t colour[3],
                            const char *text)
{
    for (uint32_t y = 0; y < 11; y++)
        for (uint32_t x = 0; x < 11; x++)
            put(drawing, col + x, row + y, colour);
    return km_glyph_draw_text(&drawing->canvas, col + 17, row + 2, 1, ink, text) + 22;
}

static void draw_legend(struct drawing *drawing)
{
    const struct km_mosaic *mosaic = drawing->mosaic;
    unsigned labels = mosaic->mark_count < KM_MOSAIC_MAX_LABELS ? mosaic->mark_count : KM_MOSAIC_MAX_LABELS;
    bool more = mosaic->mark_total > labels;
    uint32_t row = drawing->canvas.height - LEGEND_ROWS - (labels + (more ? 1 : 0)) * MARK_ROWS + 4;
    uint32_t col = draw_swatch(drawing, MARGIN, row, text_colour, "text");
    col = draw_swatch(drawing, col, row, code_colour, "machine code, data");
    col = draw_swatch(drawing, col, row, dense_colour, "compressed or encrypted");
    col = draw_swatch(drawing, col, row, zero_colour, "zeros");
    col = draw_swatch(drawing, col, row, mark_colours[KM_MOSAIC_SUSPICIOUS], "suspicious");
    draw_swatch(drawing, col, row, mark_colours[KM_MOSAIC_MALICIOUS], "malicious");
    row += 22;
    for (unsigned i = 0; i < labels; i++, row += MARK_ROWS) {
        char number[12];
        snprintf(number, sizeof number, "%2u", i + 1);
        uint32_t next =
            km_glyph_draw_text(&drawing->canvas, MARGIN, row + 2, 1, mark_colours[mosaic->marks[i].severity], number);
        km_glyph_draw_text(&drawing->canvas, next + 6, row + 2, 1, ink, mosaic->labels[i]);
    }
    if (more) {
        char text[64];
        snprintf(text, sizeof text, "and %llu more", (unsigned long long)(mosaic->mark_total - labels));
        km_glyph_draw_text(&drawing->canvas, MARGIN + 18, row + 2, 1, faint_ink, text);
    }
}

static void draw_title(struct drawing *drawing, const char *title)
{
    const struct km_mosaic *mosaic = drawing->mosaic;
    char escaped[256], size[16], cell[16], text[80];
    km_text_escape(title, strlen(title), escaped, sizeof escaped);
    km_text_format_bytes(mosaic->position, size, sizeof size);
    km_text_format_bytes(mosaic->cell_bytes, cell, sizeof cell);
    snprintf(text, sizeof text, "%s, %llu files, 1 pixel = %s", size, (unsigned long long)mosaic->entry_total, cell);
    uint32_t width = km_glyph_get_width(text, 1);
    km_glyph_draw_text(&drawing->canvas, MARGIN, 16, km_glyph_get_width(escaped, 2) < 700 ? 2 : 1, ink, escaped);
    km_glyph_draw_text(&drawing->canvas, WIDTH - MARGIN - width, 22, 1, faint_ink, text);
}

static void draw_all(struct drawing *drawing, const char *title)
{
    size_t pixels = (size_t)WIDTH * drawing->canvas.height;
    KM_ASSERT(drawing->canvas.rgb && drawing->owners && drawing->marked);
    for (size_t pixel = 0; pixel < pixels; pixel++) {
        memcpy(drawing->canvas.rgb + 3 * pixel, background, 3);
        drawing->owners[pixel] = NO_OWNER;
    }
    size_t entry = 0;
    for (unsigned i = 0; i < drawing->band_count; i++) {
        draw_band(drawing, &drawing->bands[i], &entry);
        draw_layer_text(drawing, i);
    }
    draw_borders(drawing);
    draw_marks(drawing);
    draw_title(drawing, title);
    draw_legend(drawing);
}

enum km_code km_mosaic_draw(const struct km_mosaic *mosaic, const char *title, const struct km_row_sink *sink,
                            struct km_err *err)
{
    struct drawing drawing = {.mosaic = mosaic};
    enum km_code code = plan(&drawing, err);
    if (code == KM_OK) {
        draw_all(&drawing, title);
        code = sink->begin(sink->context, WIDTH, drawing.canvas.height, err);
    }
    if (code == KM_OK)
        code = sink->rows(sink->context, drawing.canvas.rgb, drawing.canvas.height, err);
    done(&drawing);
    return code;
}
