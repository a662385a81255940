#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "container/imaging/locate.h"
#include "container/imaging/picture.h"
#include "container/imaging/render.h"
#include "container/imaging/sheet.h"

enum view {
    VIEW_TAR,
    VIEW_FILE,
};

struct options {
    const char *file;
    const char *output;
    const char *mask_paths;
    const char *mask_output;
    const char *at;     /* COL,ROW */
    const char *byte;   /* offset in the input, or in `member` */
    const char *member; /* NULL: the input */
    enum view view;
    uint32_t side;
    uint32_t step;
    enum km_geometry_layout layout;
    enum km_curve_kind curve;
    enum km_colour_map maps[KM_COLOUR_MAX_MAPS];
    size_t map_count;
    int png_level;
    bool json;
    bool mask_null;
    bool tar_view_options; /* one was given that the file view has no use for */
};

static const struct km_option rows[] = {
    {.name = "output",
     .letter = 'o',
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "write the picture there; '-' is standard output"},
    {.name = "size",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "1024",
     .least = 1,
     .most = KM_CURVE_MAX_SIDE,
     .help = "width in pixels; a power of two for the hilbert curve"},
    {.name = "layout",
     .type = KM_OPTION_CHOICE,
     .choices = "square|unrolled|unrolled_n",
     .fallback = "unrolled",
     .help = "one square, four squares, or as many as there are bytes"},
    {.name = "step",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "0",
     .least = 0,
     .most = UINT32_MAX,
     .help = "with unrolled: show one byte in N; 0: the file fills four squares"},
    {.name = "curve",
     .type = KM_OPTION_CHOICE,
     .choices = "hilbert|zigzag",
     .fallback = "hilbert",
     .help = "the order of the pixels"},
    {.name = "colors",
     .type = KM_OPTION_TEXT,
     .argument = "LIST",
     .fallback = "class,magnitude,structure",
     .help = "one to four of class, magnitude, structure, entropy; the first three are red, green, blue"},
    {.name = "view",
     .type = KM_OPTION_CHOICE,
     .choices = "tar|file",
     .fallback = "tar",
     .help = "the file as one string of bytes, or each file of the archive from its own first byte"},
    {.name = "png-level",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "2",
     .least = 0,
     .most = KM_PICTURE_MAX_LEVEL,
     .help = "compression of the PNG, 0 for none"},
    {.name = "mask-paths",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "members to mark, one path a line; needs --mask-output"},
    {.name = "mask-output",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "write the mask there: white where a marked member lies"},
    {.name = "null",
     .type = KM_OPTION_FLAG,
     .only_flag = true,
     .help = "paths in --mask-paths end with a NUL instead of a newline"},
    {.name = "at",
     .type = KM_OPTION_TEXT,
     .argument = "COL,ROW",
     .only_flag = true,
     .help = "print which bytes of which file the pixel shows"},
    {.name = "byte",
     .type = KM_OPTION_TEXT,
     .argument = "N",
     .only_flag = true,
     .help = "print the pixel that shows byte N of FILE, or of --member"},
    {.name = "member",
     .type = KM_OPTION_TEXT,
     .argument = "PATH",
     .only_flag = true,
     .help = "with --byte: count in this member of the archive"},
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "text|json",
     .fallback = "text",
     .help = "how --at and --byte answer"},
    {0},
};

/* ---- Options ---- */

static enum km_code parse_number(const char *text, uint64_t lowest, uint64_t highest, uint64_t *out_value,
                                 struct km_err *err)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < lowest || value > highest)
        return km_fail(err, KM_FORMAT, "'%s' is not a number from %llu to %llu", text, (unsigned long long)lowest,
                       (unsigned long long)highest);
    *out_value = value;
    return KM_OK;
}

static enum km_code parse_small(const char *text, uint32_t lowest, uint32_t highest, uint32_t *out_value,
                                struct km_err *err)
{
    uint64_t value = 0;
    enum km_code code = parse_number(text, lowest, highest, &value, err);
    if (code == KM_OK)
        *out_value = (uint32_t)value;
    return code;
}

static enum km_code check_options(const struct options *options, struct km_err *err)
{
    int tasks = (options->output || options->mask_output) + (options->at != NULL) + (options->byte != NULL);
    if (tasks != 1)
        return km_fail(err, KM_FORMAT, "give one of -o PICTURE.png, --at COL,ROW and --byte N; see --help");
    if (!options->mask_paths != !options->mask_output)
        return km_fail(err, KM_FORMAT, "--mask-paths and --mask-output go together");
    if (options->member && !options->byte)
        return km_fail(err, KM_FORMAT, "--member needs --byte");
    if (options->mask_null && !options->mask_paths)
        return km_fail(err, KM_FORMAT, "--null needs --mask-paths");
    if (options->view == VIEW_FILE && (options->tar_view_options || options->mask_paths))
        return km_fail(err, KM_FORMAT, "--view file has no layout, step, curve, colors or mask");
    if (options->step != 0 && options->layout != KM_GEOMETRY_UNROLLED)
        return km_fail(err, KM_FORMAT, "--step goes with --layout unrolled only");
    return KM_OK;
}

static bool is(const struct km_options *given, const char *name, const char *word)
{
    return strcmp(km_options_text(given, name), word) == 0;
}

static enum km_code read_options(const struct km_options *given, const char *file, struct options *options,
                                 struct km_err *err)
{
    *options = (struct options){
        .file = file,
        .output = km_options_text(given, "output"),
        .mask_paths = km_options_text(given, "mask-paths"),
        .mask_output = km_options_text(given, "mask-output"),
        .at = km_options_text(given, "at"),
        .byte = km_options_text(given, "byte"),
        .member = km_options_text(given, "member"),
        .view = is(given, "view", "file") ? VIEW_FILE : VIEW_TAR,
        .side = (uint32_t)km_options_integer(given, "size"),
        .step = (uint32_t)km_options_integer(given, "step"),
        .layout = is(given, "layout", "square")     ? KM_GEOMETRY_SQUARE
                  : is(given, "layout", "unrolled") ? KM_GEOMETRY_UNROLLED
                                                    : KM_GEOMETRY_UNROLLED_N,
        .curve = is(given, "curve", "hilbert") ? KM_CURVE_HILBERT : KM_CURVE_ZIGZAG,
        .png_level = (int)km_options_integer(given, "png-level"),
        .json = is(given, "format", "json"),
        .mask_null = km_options_flag(given, "null"),
    };
    static const char *const tar_only[] = {"layout", "step", "curve", "colors"};
    for (size_t i = 0; i < sizeof tar_only / sizeof tar_only[0]; i++)
        options->tar_view_options |= km_options_is_given(given, tar_only[i]);
    enum km_code code = km_colour_parse_maps(km_options_text(given, "colors"), options->maps, &options->map_count, err);
    return code == KM_OK ? check_options(options, err) : km_err_wrap(err, "--colors");
}

/* ---- Work ---- */

static enum km_code open_input(const char *path, struct km_input *out_input, struct km_err *err)
{
    KM_ASSERT(path);
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot read %s", standard ? "standard input" : path);
    enum km_code code = km_input_open(out_input, fd, &km_interrupt, err);
    return code == KM_OK ? code : km_err_wrap(err, "%s", standard ? "standard input" : path);
}

/* A pixel's file cannot be told behind a damaged header, so that is said; the regular ends are not worth a line. */
static void print_note(const struct options *options, const struct km_render_report *report)
{
    const char *without =
        options->view == VIEW_FILE ? "files behind it are not shown" : "the picture has no structure behind it";
    if (!report->walked)
        return;
    switch (report->stop) {
    case KM_TARWALK_GOING:
    case KM_TARWALK_END_MARK:
    case KM_TARWALK_END_BYTES:
        break;
    case KM_TARWALK_TRUNCATED:
        fprintf(stderr,
                "komainu: render: note: truncated archive: the input ends before offset %llu, which it announces\n",
                (unsigned long long)report->stop_offset);
        break;
    case KM_TARWALK_DAMAGED:
        fprintf(stderr, "komainu: render: note: damaged header at offset %llu: %s\n",
                (unsigned long long)report->stop_offset, without);
        break;
    case KM_TARWALK_NOT_TAR:
        if (options->view == VIEW_TAR)
            fprintf(stderr, "komainu: render: note: not a tar archive: the picture has no structure\n");
        break;
    }
}

static enum km_code draw(struct km_input *input, const struct options *options, struct km_pathset *mask,
                         const char *output, struct km_err *err)
{
    struct km_geometry geometry;
    if (options->view == VIEW_TAR) {
        enum km_code code =
            km_geometry_init(&geometry, options->layout, options->side, options->step, input->bytes, err);
        if (code != KM_OK)
            return code;
    }
    KM_CLEANUP(km_picture_cleanup) struct km_picture *picture = km_picture_open(output, options->png_level, err);
    if (!picture)
        return err->code;
    const struct km_row_sink sink = {picture, km_picture_begin, km_picture_rows};
    struct km_render_report report = {0};
    enum km_code code;
    if (options->view == VIEW_FILE) {
        code = km_sheet_draw(input, options->side, &km_interrupt, &sink, &report, err);
    } else {
        struct km_render_options render = {
            .geometry = &geometry,
            .curve = options->curve,
            .map_count = options->map_count,
            .mask = mask,
            .cancel = &km_interrupt,
        };
        memcpy(render.maps, options->maps, sizeof render.maps);
        code = km_render_run(input, &render, &sink, &report, err);
    }
    if (code == KM_OK)
        code = km_picture_commit(picture, err);
    if (code == KM_OK)
        print_note(options, &report);
    return code;
}

static void print_unmatched(const struct km_pathset *mask)
{
    for (size_t i = 0; i < km_pathset_get_count(mask); i++) {
        bool met;
        const char *path = km_pathset_get_path(mask, i, &met);
        char text[512];
        if (met)
            continue;
        km_text_escape(path, strlen(path), text, sizeof text);
        fprintf(stderr, "komainu: render: note: no member '%s': the mask does not show it\n", text);
    }
}

static enum km_code draw_mask(struct km_input *input, const struct options *options, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open(options->mask_paths, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot read %s", options->mask_paths);
    KM_CLEANUP(km_pathset_cleanup) struct km_pathset *mask = km_pathset_load(fd, options->mask_null ? '\0' : '\n', err);
    if (!mask)
        return km_err_wrap(err, "%s", options->mask_paths);
    enum km_code code = draw(input, options, mask, options->mask_output, err);
    if (code == KM_OK)
        print_unmatched(mask);
    return code;
}

static enum km_code run_draw(struct km_input *input, const struct options *options, struct km_err *err)
{
    enum km_code code = options->output ? draw(input, options, NULL, options->output, err) : KM_OK;
    return code == KM_OK && options->mask_output ? draw_mask(input, options, err) : code;
}

/* What --at and --byte answer. */
struct answer {
    struct km_locate_pixel pixel;
    uint64_t pixels; /* that show the byte; 0: --at was asked */
    struct km_locate_bytes bytes;
    struct km_locate_place place;
};

static enum km_code print_json(const struct answer *answer, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *root = km_json_new_object();
    const struct km_locate_place *place = &answer->place;
    km_json_set_integer(root, "col", answer->pixel.col);
    km_json_set_integer(root, "row", answer->pixel.row);
    if (answer->pixels > 0)
        km_json_set_integer(root, "pixels", (int64_t)answer->pixels);
    km_json_set_integer(root, "offset", (int64_t)answer->bytes.begin);
    km_json_set_integer(root, "end", (int64_t)answer->bytes.end);
    km_json_set_string(root, "part", km_locate_part_to_string(place->part));
    if (place->name.length > 0) {
        km_json_set_string(root, "member", km_buf_text(&place->name));
        km_json_set_integer(root, "member_offset", (int64_t)place->member_offset);
        km_json_set_integer(root, "member_size", (int64_t)place->member_size);
    }
    return km_document_print(root, err);
}

static enum km_code print_text(const struct answer *answer, struct km_err *err)
{
    const struct km_locate_place *place = &answer->place;
    size_t room = KM_TEXT_ESCAPED_MAX(place->name.length);
    KM_CLEANUP(km_cleanup_free) char *name = km_calloc(room, 1, SIZE_MAX, err);
    if (!name)
        return err->code;
    km_text_escape(km_buf_text(&place->name), place->name.length, name, room);
    printf("pixel   %u,%u", answer->pixel.col, answer->pixel.row);
    if (answer->pixels > 1)
        printf(" and %llu more along the curve", (unsigned long long)answer->pixels - 1);
    printf("\nbytes   %llu to %llu\n", (unsigned long long)answer->bytes.begin,
           (unsigned long long)answer->bytes.end - 1);
    if (place->part == KM_LOCATE_DATA)
        printf("member  %s\nwithin  byte %llu of %llu\n", name, (unsigned long long)place->member_offset,
               (unsigned long long)place->member_size);
    else if (place->part == KM_LOCATE_HEADER)
        printf("member  %s\nwithin  its header, byte %llu\n", name, (unsigned long long)place->member_offset);
    else if (place->part == KM_LOCATE_PADDING && name[0] != '\0')
        printf("member  %s\nwithin  the padding behind it\n", name);
    else if (place->part == KM_LOCATE_TAIL)
        printf("member  none: behind the last one\n");
    return KM_OK;
}

static enum km_code find_answer_at(struct km_input *input, const struct options *options,
                                   const struct km_geometry *geometry, const struct km_curve *curve,
                                   struct answer *answer, struct km_err *err)
{
    char *comma = strchr(options->at, ',');
    KM_CLEANUP(km_cleanup_free)
    char *col = km_strndup(options->at, comma ? (size_t)(comma - options->at) : strlen(options->at), err);
    if (!col)
        return err->code;
    if (!comma)
        return km_fail(err, KM_FORMAT, "--at needs COL,ROW");
    enum km_code code = parse_small(col, 0, UINT32_MAX, &answer->pixel.col, err);
    if (code == KM_OK)
        code = parse_small(comma + 1, 0, UINT32_MAX, &answer->pixel.row, err);
    if (code != KM_OK)
        return km_err_wrap(err, "--at");
    if (options->view == VIEW_TAR)
        return km_locate_pixel_bytes(geometry, curve, answer->pixel, &answer->bytes, err);
    code = km_locate_sheet_byte(input, options->side, answer->pixel, &answer->bytes.begin, err);
    answer->bytes.end = answer->bytes.begin + 1;
    return code;
}

static enum km_code find_answer_byte(struct km_input *input, const struct options *options,
                                     const struct km_geometry *geometry, const struct km_curve *curve,
                                     struct answer *answer, struct km_err *err)
{
    uint64_t offset = 0;
    KM_ASSERT(options->byte);
    enum km_code code = parse_number(options->byte, 0, KM_GEOMETRY_MAX_BYTES, &offset, err);
    if (code != KM_OK)
        return km_err_wrap(err, "--byte");
    if (options->member)
        code = km_locate_member(input, options->member, offset, &offset, err);
    if (code != KM_OK)
        return code;
    answer->pixels = 1;
    if (options->view == VIEW_TAR)
        code = km_locate_byte_pixel(geometry, curve, offset, &answer->pixel, &answer->pixels, err);
    else
        code = km_locate_sheet_pixel(input, options->side, offset, &answer->pixel, err);
    answer->bytes.begin = offset;
    answer->bytes.end = offset + 1;
    return code;
}

static enum km_code run_locate(struct km_input *input, const struct options *options, struct km_err *err)
{
    struct km_geometry geometry = {0};
    KM_CLEANUP(km_curve_cleanup) struct km_curve *curve = NULL;
    if (options->view == VIEW_TAR) {
        enum km_code code =
            km_geometry_init(&geometry, options->layout, options->side, options->step, input->bytes, err);
        if (code == KM_OK && !(curve = km_curve_new(options->curve, options->side, err)))
            code = err->code;
        if (code != KM_OK)
            return code;
    }
    struct answer answer = {0};
    km_locate_place_init(&answer.place);
    enum km_code code = options->at ? find_answer_at(input, options, &geometry, curve, &answer, err)
                                    : find_answer_byte(input, options, &geometry, curve, &answer, err);
    if (code == KM_OK)
        code = km_locate_byte(input, answer.bytes.begin, &answer.place, err);
    if (code == KM_OK)
        code = options->json ? print_json(&answer, err) : print_text(&answer, err);
    km_locate_place_done(&answer.place);
    return code;
}

static int run(const struct km_options *given, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    struct options options;
    struct km_input input = KM_INPUT_CLOSED;
    enum km_code code = KM_OK;
    if (operand_count != 1)
        code = km_fail(&err, KM_FORMAT, operand_count ? "one FILE at a time" : "no FILE given; see --help");
    if (code == KM_OK)
        code = read_options(given, operands[0], &options, &err);
    km_interrupt_catch();
    if (code == KM_OK)
        code = open_input(options.file, &input, &err);
    if (code == KM_OK)
        code = options.output || options.mask_output ? run_draw(&input, &options, &err)
                                                     : run_locate(&input, &options, &err);
    km_input_close(&input);
    if (code != KM_OK)
        fprintf(stderr, "komainu: render: %s\n", err.text);
    return code == KM_OK ? KM_EXIT_OK : KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_render = {"render", "FILE", "show a container's bytes as a picture", rows, run};
