#include "container/imaging/render.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/imaging/paint.h"

/* Offsets are worked out for this many pixels at a time. */
#define CHUNK 1024U

/* What one colour channel shows: a value along the curve, looked up. */
struct channel {
    const uint8_t *values;
    const uint8_t *table;
};

struct render {
    struct km_input *input;
    const struct km_render_options *options;
    const struct km_geometry *geometry;
    struct km_curve *curve;
    struct km_paint *paint; /* NULL when nothing is painted */
    struct km_paint_run run;
    struct km_input_window window;
    uint8_t first_byte;
    uint8_t zero[256];
    uint8_t identity[256];
    uint8_t class[256];
    uint8_t palette[3][256];
    struct channel channels[3];
    uint64_t *offsets; /* CHUNK */
    uint8_t *samples;  /* a quad along the curve: the bytes shown */
    uint8_t *painted;  /* the same for structure or mask; NULL when nothing is painted */
    uint8_t *entropy;  /* two of them: entropy and its square; NULL when not shown */
    uint8_t *pixels;   /* a quad in rows, RGB */
};

static void done(struct render *render)
{
    km_curve_free(render->curve);
    km_paint_free(render->paint);
    km_input_window_done(&render->window);
    free(render->offsets);
    free(render->samples);
    free(render->painted);
    free(render->entropy);
    free(render->pixels);
}

static bool shows(const struct km_render_options *options, enum km_colour_map map)
{
    size_t shown = options->map_count < 3 ? options->map_count : 3;
    for (size_t i = 0; i < shown && !options->mask; i++)
        if (options->maps[i] == map)
            return true;
    return false;
}

static uint64_t usual_distance(const struct km_geometry *geometry)
{
    if (geometry->layout == KM_GEOMETRY_UNROLLED_N)
        return 1;
    return geometry->step != 0 ? geometry->step : geometry->bytes / (geometry->quads * geometry->quad_pixels);
}

static void fill_tables(struct render *render)
{
    uint8_t palette[256][3];
    km_colour_fill_class(render->class);
    km_colour_fill_class_palette(palette);
    for (unsigned byte = 0; byte < 256; byte++) {
        render->identity[byte] = (uint8_t)byte;
        for (unsigned c = 0; c < 3; c++)
            render->palette[c][byte] = palette[byte][c];
    }
}

static struct channel channel_of(const struct render *render, enum km_colour_map map)
{
    switch (map) {
    case KM_COLOUR_CLASS:
        return (struct channel){render->samples, render->class};
    case KM_COLOUR_MAGNITUDE:
        break;
    case KM_COLOUR_STRUCTURE:
        return (struct channel){render->painted, render->identity};
    case KM_COLOUR_ENTROPY:
        return (struct channel){render->entropy, render->identity};
    }
    return (struct channel){render->samples, render->identity};
}

static void set_channels(struct render *render)
{
    const struct km_render_options *options = render->options;
    const struct channel black = {render->samples, render->zero};
    for (size_t c = 0; c < 3; c++) {
        if (options->mask)
            render->channels[c] = (struct channel){render->painted, render->identity};
        else if (options->map_count > 1)
            render->channels[c] = c < options->map_count ? channel_of(render, options->maps[c]) : black;
        else if (options->maps[0] == KM_COLOUR_CLASS)
            render->channels[c] = (struct channel){render->samples, render->palette[c]};
        else
            render->channels[c] = channel_of(render, options->maps[0]);
    }
    if (!options->mask && options->map_count == 1 && options->maps[0] == KM_COLOUR_ENTROPY) {
        render->channels[1] = black;
        render->channels[2].values = render->entropy + render->geometry->quad_pixels;
    }
}

static enum km_code init(struct render *render, struct km_input *input, const struct km_render_options *options,
                         struct km_err *err)
{
    size_t pixels = (size_t)options->geometry->quad_pixels;
    *render = (struct render){.input = input, .options = options, .geometry = options->geometry};
    fill_tables(render);
    render->curve = km_curve_new(options->curve, options->geometry->side, err);
    if (!render->curve)
        return err->code;
    if (options->mask || shows(options, KM_COLOUR_STRUCTURE)) {
        struct km_tarwalk_input archive = {input, km_input_read, input->bytes};
        render->paint = km_paint_new(&archive, options->mask, err);
        if (!render->paint || !(render->painted = km_calloc(pixels, 1, SIZE_MAX, err)))
            return err->code;
    }
    if (shows(options, KM_COLOUR_ENTROPY) && !(render->entropy = km_calloc(pixels, 2, SIZE_MAX, err)))
        return err->code;
    if (!(render->offsets = km_calloc(CHUNK, sizeof *render->offsets, SIZE_MAX, err)) ||
        !(render->samples = km_calloc(pixels, 1, SIZE_MAX, err)) ||
        !(render->pixels = km_calloc(pixels, 3, SIZE_MAX, err)))
        return err->code;
    set_channels(render);
    if (input->bytes > 0) {
        enum km_code code = km_input_read(input, 0, &render->first_byte, 1, err);
        if (code != KM_OK)
            return code;
    }
    return km_input_window_init(&render->window, input, usual_distance(options->geometry), err);
}

static enum km_code sample(struct render *render, uint32_t count, uint8_t *out, struct km_err *err)
{
    struct km_input_window *window = &render->window;
    for (uint32_t k = 0; k < count; k++) {
        uint64_t within = render->offsets[k] - window->begin;
        if (within >= window->length) {
            enum km_code code = km_input_window_move(window, render->offsets[k], err);
            if (code != KM_OK)
                return code;
            within = 0;
        }
        out[k] = window->bytes[within];
    }
    return KM_OK;
}

static enum km_code paint(struct render *render, uint32_t count, uint8_t *out, struct km_err *err)
{
    for (uint32_t k = 0; k < count; k++) {
        if (render->offsets[k] >= render->run.end) {
            enum km_code code = km_paint_next(render->paint, render->offsets[k], &render->run, err);
            if (code != KM_OK)
                return code;
        }
        out[k] = render->run.value;
    }
    return KM_OK;
}

/* Fills samples and painted for the pixels of a quad that show something: the first *out_visible along the curve. */
static enum km_code collect(struct render *render, uint64_t quad, uint64_t *out_visible, struct km_err *err)
{
    const struct km_geometry *geometry = render->geometry;
    uint64_t position = 0;
    while (position < geometry->quad_pixels) {
        uint64_t left = geometry->quad_pixels - position;
        uint32_t count = left < CHUNK ? (uint32_t)left : CHUNK;
        km_geometry_get_offsets(geometry, quad, position, count, render->offsets);
        uint32_t inside = count;
        while (inside > 0 && render->offsets[inside - 1] >= geometry->bytes)
            inside--;
        enum km_code code = KM_OK;
        if (!render->options->mask)
            code = sample(render, inside, render->samples + position, err);
        if (code == KM_OK && render->paint)
            code = paint(render, inside, render->painted + position, err);
        if (code != KM_OK)
            return code;
        position += inside;
        if (inside < count)
            break;
    }
    *out_visible = position;
    return KM_OK;
}

/* The window of the entropy reaches into what a step leaves behind the end: the reference has byte 0 of the input
 * there. Every byte shown, the sequence ends with the input. */
static void fill_entropy(struct render *render, uint64_t visible)
{
    uint64_t length = visible;
    uint8_t *squares = render->entropy + render->geometry->quad_pixels;
    if (render->geometry->step != 0) {
        length = render->geometry->quad_pixels;
        memset(render->samples + visible, render->first_byte, (size_t)(length - visible));
    }
    struct km_entropy entropy;
    km_entropy_init(&entropy, render->samples, (size_t)length);
    for (uint64_t position = 0; position < visible; position++) {
        double share = km_entropy_next(&entropy);
        render->entropy[position] = (uint8_t)(255 * share);
        squares[position] = (uint8_t)(255 * (share * share));
    }
}

static void fill_pixels(struct render *render, uint64_t visible)
{
    if (visible < render->geometry->quad_pixels)
        memset(render->pixels, 0, (size_t)render->geometry->quad_pixels * 3);
    const struct channel red = render->channels[0], green = render->channels[1], blue = render->channels[2];
    for (uint64_t position = 0; position < visible;) {
        struct km_curve_run run = km_curve_get_run(render->curve, position);
        uint32_t count = visible - position < run.length ? (uint32_t)(visible - position) : run.length;
        uint8_t *base = render->pixels + (size_t)run.base * 3;
        for (uint32_t k = 0; k < count; k++) {
            uint8_t *pixel = base + (size_t)run.offsets[k] * 3;
            pixel[0] = red.table[red.values[position + k]];
            pixel[1] = green.table[green.values[position + k]];
            pixel[2] = blue.table[blue.values[position + k]];
        }
        position += count;
    }
}

static enum km_code draw(struct render *render, const struct km_row_sink *sink, struct km_err *err)
{
    const struct km_geometry *geometry = render->geometry;
    enum km_code code = sink->begin(sink->context, geometry->side, km_geometry_get_rows(geometry), err);
    for (uint64_t quad = 0; code == KM_OK && quad < geometry->quads; quad++) {
        uint64_t visible;
        code = km_cancel_check(render->options->cancel, err);
        if (code == KM_OK)
            code = collect(render, quad, &visible, err);
        if (code != KM_OK)
            return code;
        if (render->entropy && visible > 0)
            fill_entropy(render, visible);
        fill_pixels(render, visible);
        code = sink->rows(sink->context, render->pixels, geometry->side, err);
    }
    return code == KM_OK && render->paint ? km_paint_finish(render->paint, err) : code;
}

enum km_code km_render_run(struct km_input *input, const struct km_render_options *options,
                           const struct km_row_sink *sink, struct km_render_report *out_report, struct km_err *err)
{
    struct render render;
    enum km_code code = init(&render, input, options, err);
    if (code == KM_OK)
        code = draw(&render, sink, err);
    if (code == KM_OK && out_report) {
        *out_report = (struct km_render_report){.walked = render.paint != NULL};
        if (render.paint) {
            out_report->members = km_paint_get_members(render.paint);
            out_report->stop = km_paint_get_stop(render.paint, &out_report->stop_offset);
        }
    }
    done(&render);
    return code;
}
