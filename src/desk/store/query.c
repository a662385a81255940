#include "desk/store/query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "desk/store/store_internal.h"

static enum km_code prepare(struct km_desk *desk, const char *sql, unsigned flags, sqlite3_stmt **out,
                            struct km_err *err)
{
    int result = sqlite3_prepare_v3(desk->db, sql, -1, flags, out, NULL);
    if (result == SQLITE_OK)
        return KM_OK;
    /* SQLITE_ERROR is a statement that is wrong, or a table that a damaged file has lost. */
    if (result == SQLITE_ERROR)
        return km_fail(err, KM_FORMAT, "the store %s does not take a question: %s", desk->path,
                       sqlite3_errmsg(desk->db));
    return km_desk_fail(desk, result, "prepare", err);
}

static size_t slot_of(const struct km_desk *desk, const char *sql)
{
    size_t slot = ((uintptr_t)sql >> 3) * 0x9e3779b1U & (KM_DESK_STATEMENTS - 1);
    while (desk->texts[slot] && desk->texts[slot] != sql)
        slot = (slot + 1) & (KM_DESK_STATEMENTS - 1);
    return slot;
}

struct km_query *km_query_open(struct km_desk *desk, const char *static_sql, struct km_err *err)
{
    size_t slot = slot_of(desk, static_sql);
    struct km_query *query = &desk->queries[slot];
    if (!desk->texts[slot]) {
        KM_ASSERT(desk->query_count < KM_DESK_STATEMENTS - 1); /* one stays free: it ends the search */
        if (prepare(desk, static_sql, SQLITE_PREPARE_PERSISTENT, &query->statement, err) != KM_OK)
            return NULL;
        desk->texts[slot] = static_sql;
        desk->query_count++;
        query->desk = desk;
    }
    if (query->open) /* by a caller up the stack; equal literals of two files may be one */
        return km_query_open_once(desk, static_sql, err);
    query->open = true;
    query->bind_result = SQLITE_OK;
    return query;
}

struct km_query *km_query_open_once(struct km_desk *desk, const char *sql, struct km_err *err)
{
    struct km_query *query = km_calloc(1, sizeof *query, sizeof *query, err);
    if (!query)
        return NULL;
    *query = (struct km_query){.desk = desk, .once = true, .open = true, .bind_result = SQLITE_OK};
    if (prepare(desk, sql, 0, &query->statement, err) != KM_OK) {
        free(query);
        return NULL;
    }
    return query;
}

void km_query_close(struct km_query *query)
{
    if (!query)
        return;
    query->open = false;
    if (query->once) {
        sqlite3_finalize(query->statement);
        free(query);
        return;
    }
    (void)sqlite3_reset(query->statement); /* repeats the code of the step */
    (void)sqlite3_clear_bindings(query->statement);
}

static void note_binding(struct km_query *query, int result)
{
    KM_ASSERT(result != SQLITE_RANGE); /* our own mistake */
    if (query->bind_result == SQLITE_OK)
        query->bind_result = result;
}

void km_query_bind_text(struct km_query *query, int parameter, const char *text)
{
    note_binding(query, text ? sqlite3_bind_text(query->statement, parameter, text, -1, SQLITE_TRANSIENT)
                             : sqlite3_bind_null(query->statement, parameter));
}

void km_query_bind_bytes(struct km_query *query, int parameter, const void *bytes, size_t length)
{
    note_binding(query, sqlite3_bind_blob64(query->statement, parameter, bytes, length, SQLITE_TRANSIENT));
}

void km_query_bind_integer(struct km_query *query, int parameter, int64_t number)
{
    note_binding(query, sqlite3_bind_int64(query->statement, parameter, number));
}

void km_query_bind_real(struct km_query *query, int parameter, double number)
{
    note_binding(query, isfinite(number) ? sqlite3_bind_double(query->statement, parameter, number)
                                         : sqlite3_bind_null(query->statement, parameter));
}

void km_query_bind_null(struct km_query *query, int parameter)
{
    note_binding(query, sqlite3_bind_null(query->statement, parameter));
}

enum km_code km_query_step(struct km_query *query, bool *out_row, struct km_err *err)
{
    int result = query->bind_result;
    if (result == SQLITE_OK)
        result = sqlite3_step(query->statement);
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        return km_desk_fail(query->desk, result, "statement", err);
    *out_row = result == SQLITE_ROW;
    return KM_OK;
}

enum km_code km_query_run(struct km_query *query, struct km_err *err)
{
    bool row = true;
    enum km_code code = KM_OK;
    while (row && code == KM_OK)
        code = km_query_step(query, &row, err);
    km_query_reset(query);
    return code;
}

void km_query_reset(struct km_query *query)
{
    (void)sqlite3_reset(query->statement); /* repeats the code of the step */
    query->bind_result = SQLITE_OK;
}

const char *km_query_text_or_null(struct km_query *query, int column)
{
    const void *text = sqlite3_column_text(query->statement, column);
    return text;
}

const char *km_query_text(struct km_query *query, int column)
{
    const char *text = km_query_text_or_null(query, column);
    return text ? text : "";
}

const void *km_query_bytes(struct km_query *query, int column, size_t *out_length)
{
    const void *bytes = sqlite3_column_blob(query->statement, column);
    *out_length = (size_t)sqlite3_column_bytes(query->statement, column);
    return bytes;
}

int64_t km_query_integer(struct km_query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

double km_query_real(struct km_query *query, int column)
{
    return sqlite3_column_double(query->statement, column);
}

bool km_query_is_null(struct km_query *query, int column)
{
    return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

int64_t km_query_last_id(const struct km_desk *desk)
{
    return sqlite3_last_insert_rowid(desk->db);
}

int64_t km_query_changes(const struct km_desk *desk)
{
    return sqlite3_changes64(desk->db);
}

enum km_code km_query_execute(struct km_desk *desk, const char *sql, struct km_err *err)
{
    int result = sqlite3_exec(desk->db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? KM_OK : km_desk_fail(desk, result, "statement", err);
}

enum km_code km_query_number(struct km_desk *desk, const char *static_sql, int64_t fallback, int64_t *out,
                             struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, static_sql, err);
    bool row = false;
    if (!query || km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = row && !km_query_is_null(query, 0) ? km_query_integer(query, 0) : fallback;
    return KM_OK;
}
