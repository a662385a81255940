/*
 * Small letters for legends: printable ASCII in a fixed grid of 5 x 7 pixels (two more below for descenders). No state.
 */
#ifndef KM_CONTAINER_IMAGING_GLYPH_H
#define KM_CONTAINER_IMAGING_GLYPH_H

#include <stddef.h>
#include <stdint.h>

#define KM_GLYPH_COLUMNS 5U
#define KM_GLYPH_ROWS    9U
#define KM_GLYPH_ADVANCE 6U /* from one letter to the next */

/* An RGB picture in memory: rows of 3 * width bytes. */
struct km_glyph_canvas {
    uint8_t *rgb;
    uint32_t width, height;
};

/* Draws text with its top left at (col, row), every dot a square of `scale` pixels; clipped at the canvas's borders.
 * Other characters than printable ASCII become a box, one for each UTF-8 sequence. Returns the column behind the
 * text. */
uint32_t km_glyph_draw_text(const struct km_glyph_canvas *canvas, uint32_t col, uint32_t row, unsigned scale,
                            const uint8_t colour[3], const char *text);

/* Columns that a text takes. */
uint32_t km_glyph_get_width(const char *text, unsigned scale);

#endif
