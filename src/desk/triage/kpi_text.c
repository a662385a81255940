#include "desk/triage/kpi_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/words.h"

static const char *keep_english(const char *english)
{
    return english;
}

void km_kpi_format_value(const char *unit, double value, char *out)
{
    if (strcmp(unit, "share") == 0)
        snprintf(out, KM_KPI_VALUE_BYTES, "%.*f %%", value < 0.01 && value > 0 ? 3 : 1, 100 * value);
    else if (strcmp(unit, "bytes") == 0)
        km_text_format_bytes(value > 0 ? (uint64_t)value : 0, out, KM_KPI_VALUE_BYTES);
    else
        snprintf(out, KM_KPI_VALUE_BYTES, "%.*f", value == floor(value) ? 0 : fabs(value) >= 10 ? 1 : 3, value);
}

/* Of the trust in a stage both parts are words of ours; else what it is about came from elsewhere. */
static void format_about(const struct km_kpi *row, const char *(*translate)(const char *english), char *out,
                         size_t out_bytes)
{
    char stage[sizeof row->about];
    const char *topic = strncmp(row->id, "trust.", 6) == 0 ? strstr(row->about, ": ") : NULL;
    if (!topic) {
        snprintf(out, out_bytes, "%s", row->about);
        return;
    }
    snprintf(stage, sizeof stage, "%.*s", (int)(topic - row->about), row->about);
    snprintf(out, out_bytes, "%s: %s", translate(stage), translate(topic + 2));
}

static void format_title(const struct km_kpi *row, const char *(*translate)(const char *english), char *out)
{
    char about[KM_KPI_TITLE_BYTES / 2];
    format_about(row, translate, about, sizeof about);
    snprintf(out, KM_KPI_TITLE_BYTES, "%s%s%s", translate(row->title), *about ? ": " : "", about);
}

/* Writes pattern with what its {n} and {of} stand for. */
static void fill(const char *pattern, double number, const char *of, char *out, size_t out_bytes)
{
    char digits[32];
    size_t length = 0;
    snprintf(digits, sizeof digits, "%.0f", number);
    *out = '\0';
    while (*pattern && length + 1 < out_bytes) {
        bool is_number = strncmp(pattern, "{n}", 3) == 0, is_of = strncmp(pattern, "{of}", 4) == 0;
        size_t plain = is_number || is_of ? 0 : 1 + strcspn(pattern + 1, "{");
        const char *text = is_number ? digits : is_of ? of : pattern;
        int written = snprintf(out + length, out_bytes - length, "%.*s", plain ? (int)plain : (int)strlen(text), text);
        length += written > 0 ? (size_t)written : 0;
        pattern += is_number ? 3 : is_of ? 4 : plain;
    }
}

static void format_note(const struct km_kpi *row, const char *(*translate)(const char *english), char *out)
{
    fill(*row->note ? translate(row->note) : "", row->note_number, "", out, KM_KPI_NOTE_BYTES);
}

void km_kpi_format_from(const struct km_kpi *row, char *out)
{
    bool some = row->known && *row->n_of;
    fill(some ? km_words("{n} {of}") : "", (double)row->n, some ? km_words(row->n_of) : "", out, KM_KPI_NOTE_BYTES);
}

void km_kpi_format_title(const struct km_kpi *row, char *out)
{
    format_title(row, km_words, out);
}

void km_kpi_format_note(const struct km_kpi *row, char *out)
{
    format_note(row, km_words, out);
}

struct km_json *km_kpi_describe(const struct km_kpi *row)
{
    char title[KM_KPI_TITLE_BYTES], note[KM_KPI_NOTE_BYTES];
    struct km_json *object = km_json_new_object();
    format_title(row, keep_english, title);
    format_note(row, keep_english, note);
    km_json_set_string(object, "id", row->id);
    km_json_set_string(object, "title", title);
    km_json_set_string(object, "unit", row->unit);
    km_json_set_real(object, "value", row->known ? row->value : NAN);
    km_json_set_real(object, "low", row->known && row->bounded ? row->low : NAN);
    km_json_set_real(object, "high", row->known && row->bounded ? row->high : NAN);
    km_json_set(object, "n", row->known && *row->n_of ? km_json_new_integer(row->n) : km_json_new_null());
    km_json_set_string(object, "n_of", *row->n_of ? row->n_of : NULL);
    km_json_set_bool(object, "warning", row->warned);
    km_json_set_string(object, "note", *note ? note : NULL);
    return object;
}
