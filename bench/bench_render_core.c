/* usage: bench_render_core FILE LAYOUT STEP
 * Draws a file at size 1024 in the service's colours to nowhere: what a picture costs without its PNG. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container/imaging/render.h"

#define SIDE 1024U

static uint64_t sum; /* so that the pixels have to be there */

static enum km_code begin(void *context, uint32_t width, uint32_t height, struct km_err *err)
{
    (void)context;
    (void)width;
    (void)height;
    (void)err;
    return KM_OK;
}

static enum km_code rows(void *context, const uint8_t *rgb, uint32_t count, struct km_err *err)
{
    (void)context;
    (void)err;
    for (size_t i = 0; i < (size_t)count * 3 * SIDE; i += SIDE)
        sum += rgb[i];
    return KM_OK;
}

static enum km_code draw(char **argv, struct km_err *err)
{
    bool all = strcmp(argv[2], "unrolled_n") == 0;
    struct km_input input = KM_INPUT_CLOSED;
    enum km_code code = km_input_open(&input, open(argv[1], O_RDONLY | O_CLOEXEC), NULL, err);
    if (code != KM_OK)
        return code;
    struct km_geometry geometry;
    code = km_geometry_init(&geometry, all ? KM_GEOMETRY_UNROLLED_N : KM_GEOMETRY_UNROLLED, SIDE,
                            (uint32_t)strtoul(argv[3], NULL, 10), input.bytes, err);
    struct km_render_options options = {
        .geometry = &geometry,
        .maps = {KM_COLOUR_CLASS, KM_COLOUR_MAGNITUDE, KM_COLOUR_STRUCTURE},
        .map_count = 3,
    };
    const struct km_row_sink sink = {NULL, begin, rows};
    if (code == KM_OK)
        code = km_render_run(&input, &options, &sink, NULL, err);
    km_input_close(&input);
    return code;
}

int main(int argc, char **argv)
{
    struct km_err err = KM_ERR_INIT;
    if (argc != 4) {
        fprintf(stderr, "usage: %s FILE LAYOUT STEP\n", argv[0]);
        return 1;
    }
    if (draw(argv, &err) != KM_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
        return 1;
    }
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
