#include "desk/report/html_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define MAX_TEXT_BYTES   4096 /* of one text; what is longer is cut with "..." */
#define MAX_MARKUP_BYTES 1024
#define PLOT_WIDTH       720.0
#define PLOT_HEIGHT      160.0
#define PLOT_LEFT        48.0
#define PLOT_TOP         12.0
#define MAX_LABELS       10

static const char style[] =
    "body{font:15px/1.5 'Noto Sans','Noto Sans CJK JP',sans-serif;color:#1b1b1b;background:#fff;max-width:60rem;"
    "margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid "
    "#999}table{border-collapse:collapse;margin:.5rem 0}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem "
    ".2rem 0;border-bottom:1px solid #ddd}td{overflow-wrap:anywhere}th{font-weight:normal;color:#444}.n{font-weight:"
    "bold}svg{max-width:100%;height:auto}svg text{font-size:11px;fill:#333}.note{color:#444;font-size:.9rem}"
    ".s0{fill:#0b5fa5}.s1{fill:#e08214}.s2{fill:#777}.s3{fill:#b2182b}"
    "@media print{body{margin:0;max-width:none}h2{break-after:avoid}table,svg,figure{break-inside:avoid}}";

void km_html_raw(struct km_html *html, const char *markup)
{
    if (html->code == KM_OK)
        html->code = km_buf_append_text(html->out, markup, html->err);
}

void km_html_format(struct km_html *html, const char *markup, ...)
{
    char text[MAX_MARKUP_BYTES];
    va_list args;
    va_start(args, markup);
    int length = vsnprintf(text, sizeof text, markup, args);
    va_end(args);
    KM_ASSERT(length >= 0 && (size_t)length < sizeof text);
    km_html_raw(html, text);
}

/* One byte that is special in markup. Returns the bytes that were taken. */
static size_t write_special(struct km_html *html, const char *at)
{
    static const struct {
        const char *bytes, *written;
    } replacements[] = {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}};
    for (size_t i = 0; i < sizeof replacements / sizeof replacements[0]; i++) {
        size_t length = strlen(replacements[i].bytes);
        if (strncmp(at, replacements[i].bytes, length) == 0) {
            km_html_raw(html, replacements[i].written);
            return length;
        }
    }
    if (html->code == KM_OK)
        html->code = km_buf_append(html->out, at, 1, html->err);
    return 1;
}

void km_html_text(struct km_html *html, const char *text)
{
    char escaped[MAX_TEXT_BYTES];
    if (!text)
        text = "-";
    (void)km_text_escape(text, strlen(text), escaped, sizeof escaped);
    for (const char *at = escaped; *at && html->code == KM_OK;) {
        size_t plain = strcspn(at, "&<>\"'");
        html->code = km_buf_append(html->out, at, plain, html->err);
        at += plain;
        if (*at)
            at += write_special(html, at);
    }
}

void km_html_element(struct km_html *html, const char *tag, const char *text)
{
    km_html_format(html, "<%s>", tag);
    km_html_text(html, text);
    km_html_format(html, "</%s>\n", tag);
}

void km_html_begin(struct km_html *html, const char *title, const char *language)
{
    km_html_format(html, "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\"/>\n", language);
    /* Should a text ever come out as markup, the browser still fetches and runs nothing. */
    km_html_raw(html, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                      "'unsafe-inline'\"/>\n<meta name=\"viewport\" content=\"width=device-width\"/>\n");
    km_html_element(html, "title", title);
    km_html_raw(html, "<style>");
    km_html_raw(html, style);
    km_html_raw(html, "</style>\n</head>\n<body>\n");
    km_html_element(html, "h1", title);
}

void km_html_end(struct km_html *html)
{
    km_html_raw(html, "</body>\n</html>\n");
}

void km_html_rows_begin(struct km_html *html)
{
    km_html_raw(html, "<table>\n");
}

void km_html_rows_end(struct km_html *html)
{
    km_html_raw(html, "</table>\n");
}

void km_html_row(struct km_html *html, const char *label, const char *value)
{
    km_html_raw(html, "<tr><th>");
    km_html_text(html, label);
    km_html_raw(html, "</th><td>");
    km_html_text(html, value);
    km_html_raw(html, "</td></tr>\n");
}

void km_html_row_format(struct km_html *html, const char *label, const char *value, ...)
{
    char text[MAX_MARKUP_BYTES];
    va_list args;
    va_start(args, value);
    (void)vsnprintf(text, sizeof text, value, args);
    va_end(args);
    km_html_row(html, label, text);
}

/* ---- bars ---- */

static double highest_bar(const struct km_html_bars *bars)
{
    double highest = 0;
    for (size_t i = 0; i < bars->count; i++) {
        double sum = 0;
        for (size_t s = 0; s < bars->series; s++)
            sum += bars->values[i * bars->series + s];
        highest = sum > highest ? sum : highest;
    }
    return highest > 0 ? highest : 1;
}

static void draw_bar(struct km_html *html, const struct km_html_bars *bars, size_t i, double highest)
{
    double step = PLOT_WIDTH / (double)bars->count;
    double width = step > 3 ? step * 0.8 : step;
    double bottom = PLOT_TOP + PLOT_HEIGHT;
    for (size_t s = 0; s < bars->series; s++) {
        double value = bars->values[i * bars->series + s];
        double height = PLOT_HEIGHT * value / highest;
        if (value <= 0)
            continue;
        bottom -= height;
        km_html_format(html, "<rect class=\"s%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", s,
                       PLOT_LEFT + step * (double)i, bottom, width, height);
        km_html_text(html, bars->labels[i]);
        km_html_raw(html, ": ");
        km_html_text(html, bars->names[s]);
        km_html_format(html, " %.6g</title></rect>\n", value);
    }
    size_t every = (bars->count + MAX_LABELS - 1) / MAX_LABELS;
    if (i % every == 0) {
        km_html_format(html, "<text x=\"%.1f\" y=\"%.1f\">", PLOT_LEFT + step * (double)i, PLOT_TOP + PLOT_HEIGHT + 14);
        km_html_text(html, bars->labels[i]);
        km_html_raw(html, "</text>\n");
    }
}

static void draw_legend(struct km_html *html, const struct km_html_bars *bars)
{
    double y = PLOT_TOP + PLOT_HEIGHT + 26;
    double step = PLOT_WIDTH / KM_HTML_SERIES;
    for (size_t s = 0; s < bars->series; s++) {
        double x = PLOT_LEFT + step * (double)s;
        km_html_format(html, "<rect class=\"s%zu\" x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\"/>", s, x, y);
        km_html_format(html, "<text x=\"%.1f\" y=\"%.1f\">", x + 14, y + 9);
        km_html_text(html, bars->names[s]);
        km_html_raw(html, "</text>\n");
    }
}

void km_html_bars(struct km_html *html, const struct km_html_bars *bars)
{
    KM_ASSERT(bars->series >= 1 && bars->series <= KM_HTML_SERIES);
    double highest = highest_bar(bars);
    km_html_raw(html, "<figure>\n");
    km_html_format(html, "<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" role=\"img\">\n<title>",
                   PLOT_LEFT + PLOT_WIDTH + 12, PLOT_TOP + PLOT_HEIGHT + 42, PLOT_LEFT + PLOT_WIDTH + 12);
    km_html_text(html, bars->title);
    km_html_raw(html, "</title>\n");
    km_html_format(html, "<path d=\"M%.1f %.1fV%.1fH%.1f\" fill=\"none\" stroke=\"#999\"/>\n", PLOT_LEFT - 4, PLOT_TOP,
                   PLOT_TOP + PLOT_HEIGHT, PLOT_LEFT + PLOT_WIDTH);
    km_html_format(html, "<text x=\"2\" y=\"%.1f\">%.4g</text><text x=\"2\" y=\"%.1f\">0</text>\n", PLOT_TOP + 8,
                   highest, PLOT_TOP + PLOT_HEIGHT);
    for (size_t i = 0; i < bars->count; i++)
        draw_bar(html, bars, i, highest);
    draw_legend(html, bars);
    km_html_raw(html, "</svg>\n<figcaption class=\"note\">");
    km_html_text(html, bars->title);
    km_html_raw(html, " (");
    km_html_text(html, bars->unit);
    km_html_raw(html, ")</figcaption>\n</figure>\n");
}
