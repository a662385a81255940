/*
 * SQL on the store, without sqlite3.h: for triage, KPIs and reports, whose questions are their own.
 *
 * Lifecycle: km_query_open, bind parameters (numbered from 1, "?1"), km_query_step until *out_row is false, read
 * columns (numbered from 0) of the present row, km_query_close. A statement opened with the same string literal again
 * is the prepared one from before, so the text must have static storage. For
 * text made at run time there is km_query_open_once. Text from people is bound, never pasted.
 *
 *     struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, "SELECT id FROM run WHERE who=?1",
 * err); if (!query) return err->code; km_query_bind_text(query, 1, who); while ((code = km_query_step(query, &row,
 * err)) == KM_OK && row) …
 */
#ifndef KM_DESK_STORE_QUERY_H
#define KM_DESK_STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "desk/store/store.h"

struct km_query;

/* NULL with *err set: KM_NOMEM; a mistake in the SQL of our own ends the program (KM_ASSERT). */
struct km_query *km_query_open(struct km_desk *desk, const char *static_sql, struct km_err *err) KM_MUST_USE;
struct km_query *km_query_open_once(struct km_desk *desk, const char *sql, struct km_err *err) KM_MUST_USE;
void km_query_close(struct km_query *query);
KM_DEFINE_CLEANUP(struct km_query, km_query_cleanup, km_query_close);

/* Bound text and bytes are copied. NULL text binds NULL. What cannot be bound (no memory) makes the next step fail. */
void km_query_bind_text(struct km_query *query, int parameter, const char *text);
void km_query_bind_bytes(struct km_query *query, int parameter, const void *bytes, size_t length);
void km_query_bind_integer(struct km_query *query, int parameter, int64_t number);
void km_query_bind_real(struct km_query *query, int parameter, double number); /* not finite: NULL */
void km_query_bind_null(struct km_query *query, int parameter);

/* Runs up to the next row. */
enum km_code km_query_step(struct km_query *query, bool *out_row, struct km_err *err) KM_MUST_USE;
/* Runs a statement that gives no rows (rows are passed over) and makes it ready for new parameters. */
enum km_code km_query_run(struct km_query *query, struct km_err *err) KM_MUST_USE;
/* Makes a statement ready to be run again; parameters keep their values. */
void km_query_reset(struct km_query *query);

/* Columns of the present row. Text and bytes are borrowed until the next step, reset or close; text is raw bytes, never
 * NULL ("" for NULL: ask km_query_is_null). */
const char *km_query_text(struct km_query *query, int column);
const char *km_query_text_or_null(struct km_query *query, int column);
const void *km_query_bytes(struct km_query *query, int column, size_t *out_length);
int64_t km_query_integer(struct km_query *query, int column);
double km_query_real(struct km_query *query, int column);
bool km_query_is_null(struct km_query *query, int column);

/* Of the newest INSERT, and of the newest statement that changed rows, on this connection. */
int64_t km_query_last_id(const struct km_desk *desk);
int64_t km_query_changes(const struct km_desk *desk);

/* One statement without parameters and rows, and the first column of the first row of one without parameters
 * (`fallback` when there is no row). */
enum km_code km_query_execute(struct km_desk *desk, const char *sql, struct km_err *err) KM_MUST_USE;
enum km_code km_query_number(struct km_desk *desk, const char *static_sql, int64_t fallback, int64_t *out,
                             struct km_err *err) KM_MUST_USE;

#endif
