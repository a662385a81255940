#include "desk/triage/search.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define COLUMNS "{image path unit package dominant sha256}"

struct term {
    bool excluded;
    const char *column; /* of finding_words, or NULL: any */
    const char *text;
    size_t length;
    bool phrase;
};

static const struct {
    const char *name, *column;
} columns[] = {{"path:", "path"},       {"image:", "image"},       {"daemon:", "unit"},
               {"package:", "package"}, {"evidence:", "dominant"}, {"sha256:", "sha256"}};

/* The index keeps letters, digits and what is not ASCII; a term without any of them finds nothing to match. */
static bool has_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (isalnum((unsigned char)text[i]) || (unsigned char)text[i] >= 0x80)
            return true;
    return false;
}

/* Reads one term at *at and moves behind it; false at the end. */
static enum km_code read_term(const char **at, struct term *out, bool *out_some, struct km_err *err)
{
    const char *text = *at;
    while (isspace((unsigned char)*text))
        text++;
    *out = (struct term){0};
    *out_some = *text != '\0';
    out->excluded = *text == '-';
    text += out->excluded;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0] && !out->column; i++)
        if (strncmp(text, columns[i].name, strlen(columns[i].name)) == 0) {
            out->column = columns[i].column;
            text += strlen(columns[i].name);
        }
    out->phrase = *text == '"';
    text += out->phrase;
    out->text = text;
    if (out->phrase) {
        out->length = strcspn(text, "\"");
        if (text[out->length] != '"')
            return km_fail(err, KM_FORMAT, "the search has a quote that does not end");
        *at = text + out->length + 1;
        return KM_OK;
    }
    while (text[out->length] && !isspace((unsigned char)text[out->length]) && text[out->length] != '"')
        out->length++;
    *at = text + out->length;
    return KM_OK;
}

/* The text holds no quote: read_term ends terms at one. */
static enum km_code format_term(const struct term *term, struct km_buf *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    if (term->column)
        code = km_buf_append_format(out, err, "%s : ", term->column);
    if (code == KM_OK)
        code = km_buf_append_text(out, "\"", err);
    if (code == KM_OK)
        code = km_buf_append(out, term->text, term->length, err);
    return code == KM_OK ? km_buf_append_text(out, term->phrase ? "\"" : "\"*", err) : code;
}

/* All terms that must (or must not) occur, joined; *out_count of them. */
static enum km_code format_side(const char *text, bool excluded, struct km_buf *out, size_t *out_count,
                                struct km_err *err)
{
    struct term term;
    bool some = true;
    size_t seen = 0, count = 0;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = read_term(&text, &term, &some, err)) == KM_OK && some) {
        if (!has_word(term.text, term.length))
            continue;
        if (++seen > KM_SEARCH_MAX_TERMS)
            return km_fail(err, KM_LIMIT, "a search has at most %d words", KM_SEARCH_MAX_TERMS);
        if (term.excluded != excluded)
            continue;
        if (count++ > 0)
            code = km_buf_append_text(out, excluded ? " OR " : " AND ", err);
        if (code == KM_OK)
            code = format_term(&term, out, err);
    }
    *out_count = count;
    return code;
}

enum km_code km_search_format(const char *text, struct km_buf *out, struct km_err *err)
{
    struct km_buf wanted, unwanted;
    size_t wanted_count = 0, unwanted_count = 0;
    if (strlen(text) > KM_SEARCH_MAX_BYTES)
        return km_fail(err, KM_LIMIT, "a search is at most %d bytes long", KM_SEARCH_MAX_BYTES);
    km_buf_init(&wanted, (size_t)4 * KM_SEARCH_MAX_BYTES);
    km_buf_init(&unwanted, (size_t)4 * KM_SEARCH_MAX_BYTES);
    enum km_code code = format_side(text, false, &wanted, &wanted_count, err);
    if (code == KM_OK)
        code = format_side(text, true, &unwanted, &unwanted_count, err);
    if (code == KM_OK && wanted_count == 0)
        code = km_fail(err, KM_FORMAT, "a search needs a word to look for");
    if (code == KM_OK)
        code = km_buf_append_format(out, err, COLUMNS " : ((%s)", km_buf_text(&wanted));
    if (code == KM_OK && unwanted_count > 0)
        code = km_buf_append_format(out, err, " NOT (%s)", km_buf_text(&unwanted));
    if (code == KM_OK)
        code = km_buf_append_text(out, ")", err);
    km_buf_done(&wanted);
    km_buf_done(&unwanted);
    return code;
}
