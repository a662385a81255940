#include "desk/triage/kpi_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/words.h"

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
static void format_about(const struct km_kpi *row, char *out, size_t out_bytes)
{
    char stage[sizeof row->about];
    const char *topic = strncmp(row->id, "trust.", 6) == 0 ? strstr(row->about, ": ") : NULL;
    if (!topic) {
        snprintf(out, out_bytes, "%s", row->about);
        return;
    }
    snprintf(stage, sizeof stage, "%.*s", (int)(topic - row->about), row->about);
    snprintf(out, out_bytes, "%s: %s", km_words(stage), km_words(topic + 2));
}

void km_kpi_format_note(const struct km_kpi *row, char *out)
{
    char number[KM_KPI_VALUE_BYTES];
    snprintf(number, sizeof number, "%.0f", row->note_number);
    km_words_format(out, KM_KPI_NOTE_BYTES, row->note, "n", number, NULL);
}

void km_kpi_format_from(const struct km_kpi *row, char *out)
{
    char number[KM_KPI_VALUE_BYTES];
    snprintf(number, sizeof number, "%" PRId64, row->n);
    bool some = row->known && *row->n_of;
    km_words_format(out, KM_KPI_NOTE_BYTES, some ? "{n} {of}" : "", "n", number, "of", some ? km_words(row->n_of) : "",
                    NULL);
}

void km_kpi_format_title(const struct km_kpi *row, char *out)
{
    char about[KM_KPI_TITLE_BYTES / 2];
    format_about(row, about, sizeof about);
    snprintf(out, KM_KPI_TITLE_BYTES, "%s%s%s", km_words(row->title), *about ? ": " : "", about);
}

struct km_json *km_kpi_describe(const struct km_kpi *row)
{
    char title[KM_KPI_TITLE_BYTES], note[KM_KPI_NOTE_BYTES];
    struct km_json *object = km_json_new_object();
    bool before = km_words_pause(true);
    km_kpi_format_title(row, title);
    km_kpi_format_note(row, note);
    (void)km_words_pause(before);
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
