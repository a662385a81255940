/*
 * One key figure in words: for people in the language of the process (base/words.h), for programs in English.
 */
#ifndef KM_DESK_TRIAGE_KPI_TEXT_H
#define KM_DESK_TRIAGE_KPI_TEXT_H

#include <stddef.h>

#include "base/json.h"
#include "desk/triage/kpi.h"

#define KM_KPI_VALUE_BYTES 32
#define KM_KPI_TITLE_BYTES 320
#define KM_KPI_NOTE_BYTES  192

/* A value by its unit: "75.0 %", "6.2 GB", "0.167". out: KM_KPI_VALUE_BYTES. */
void km_kpi_format_value(const char *unit, double value, char *out);
/* "lost: event". out: KM_KPI_TITLE_BYTES. */
void km_kpi_format_title(const struct km_kpi *row, char *out);
/* "5 decided alerts": what it is made of, or "". out: KM_KPI_NOTE_BYTES. */
void km_kpi_format_from(const struct km_kpi *row, char *out);
/* "older than 30 days", or "". out: KM_KPI_NOTE_BYTES. */
void km_kpi_format_note(const struct km_kpi *row, char *out);

/* The figure as data/schema/kpi-1.json describes it. New; NULL: no memory (km_json's setters take that). */
struct km_json *km_kpi_describe(const struct km_kpi *row);

#endif
