#include "pilot_draw.h"

#include <math.h>
#include <stdio.h>

#define DECIDES "#0b5fa5"
#define CLOSES  "#e08214"
#define ROW     210
#define HEIGHT  150.0

struct frame {
    double left, bottom, top; /* top: the value at the upper edge */
};

/* A curve with the bars of its intervals; weeks without a value are left out. */
static void draw_curve(FILE *out, const struct km_estimate *points, unsigned count, const struct frame *frame,
                       const char *color)
{
    double shift = color[1] == '0' ? -2 : 2; /* bars must not hide each other */
    const struct km_estimate *before = NULL;
    double scale = HEIGHT / frame->top, before_x = 0;
    fprintf(out, "<g stroke=\"%s\" fill=\"none\">", color);
    for (unsigned week = 0; week < count; week++) {
        const struct km_estimate *point = &points[week];
        double x = frame->left + 20 + 240.0 / count * week + shift;
        if (isnan(point->value))
            continue;
        fprintf(out, "<path d=\"M%.1f %.1fV%.1f\"/>", x, frame->bottom - scale * point->interval.low,
                frame->bottom - scale * fmin(point->interval.high, frame->top));
        if (before)
            fprintf(out, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke-width=\"2\"/>", before_x,
                    frame->bottom - scale * before->value, x, frame->bottom - scale * point->value);
        before = point;
        before_x = x;
    }
    fputs("</g>\n", out);
}

static void draw_row(FILE *out, const struct pilot_curve *curves, unsigned row, const char *name)
{
    double top = 1, bottom = ROW * row + 180.0;
    unsigned weeks = curves[0].count;
    for (unsigned arm = 0; arm < 2; arm++)
        for (unsigned week = 0; week < weeks; week++)
            top = fmax(top, ceil(curves[arm].alarms[week].interval.high));
    fprintf(out,
            "<text x=\"20\" y=\"%.0f\">%s: false alerts a day, weeks 1 to %u (top: %.0f)</text>"
            "<text x=\"320\" y=\"%.0f\">%s: share of staged misuse shown (top: 1)</text>\n"
            "<path d=\"M20 %.0fV%.0fH280M320 %.0fV%.0fH580\" fill=\"none\" stroke=\"#999\"/>\n",
            bottom - 162, name, weeks, top, bottom - 162, name, bottom - HEIGHT, bottom, bottom - HEIGHT, bottom);
    const struct frame alarms = {20, bottom, top}, detection = {320, bottom, 1};
    draw_curve(out, curves[0].alarms, weeks, &alarms, DECIDES);
    draw_curve(out, curves[1].alarms, weeks, &alarms, CLOSES);
    draw_curve(out, curves[0].detection, weeks, &detection, DECIDES);
    draw_curve(out, curves[1].detection, weeks, &detection, CLOSES);
}

int pilot_draw(const char *path, const struct pilot_curve *curves, unsigned kinds, const char *const *names)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return -1;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 %u\" font-size=\"11\" "
            "font-family=\"sans-serif\">\n<rect width=\"600\" height=\"%u\" fill=\"#fff\"/>\n",
            ROW * kinds + 20, ROW * kinds + 20);
    for (unsigned kind = 0; kind < kinds; kind++)
        draw_row(out, &curves[(size_t)2 * kind], kind, names[kind]);
    fprintf(out,
            "<text x=\"20\" y=\"%u\" fill=\"" DECIDES "\">people decide</text>"
            "<text x=\"120\" y=\"%u\" fill=\"" CLOSES "\">people only close</text>\n</svg>\n",
            ROW * kinds + 10, ROW * kinds + 10);
    return fclose(out) == 0 ? 0 : -1;
}
