/*
 * Writes HTML that is well-formed XML at the same time: one document, no resource from outside, no script.
 *
 * Text that anybody else chose goes through km_html_text, which escapes control characters and what reorders text
 * (base/text.h) and then what HTML reads as markup; everything else is our own. The first failure stays, and the calls
 * behind it do nothing.
 */
#ifndef KM_REPORT_HTML_WRITER_H
#define KM_REPORT_HTML_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct km_html {
    struct km_buf *out;
    struct km_err *err;
    enum km_code code;
};

/* From the doctype to the open body, and its end. title is escaped; language "en", "ja". */
void km_html_begin(struct km_html *html, const char *title, const char *language);
void km_html_end(struct km_html *html);

void km_html_raw(struct km_html *html, const char *markup);
void km_html_format(struct km_html *html, const char *markup, ...) KM_PRINTF(2, 3);
/* Content of an element or of a quoted attribute; NULL writes "-". */
void km_html_text(struct km_html *html, const char *text);
/* <tag>text</tag> */
void km_html_element(struct km_html *html, const char *tag, const char *text);

/* A table of two columns: begin, rows, end. The label is ours, the value escaped. */
void km_html_rows_begin(struct km_html *html);
void km_html_row(struct km_html *html, const char *label, const char *value);
void km_html_row_format(struct km_html *html, const char *label, const char *value, ...) KM_PRINTF(3, 4);
void km_html_rows_end(struct km_html *html);

/* Bars as SVG: `count` bars, each of up to KM_HTML_SERIES parts on top of each other. values[i * series + s] >= 0;
 * labels and names are escaped; labels are thinned out when there are many. */
#define KM_HTML_SERIES 4
struct km_html_bars {
    const char *title, *unit;
    size_t count, series;
    const char *names[KM_HTML_SERIES];
    const char *const *labels;
    const double *values;
};
void km_html_bars(struct km_html *html, const struct km_html_bars *bars);

#endif
