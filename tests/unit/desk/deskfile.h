/* A store in a folder of its own, for tests. */
#ifndef KM_TESTS_DESKFILE_H
#define KM_TESTS_DESKFILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "desk/store/query.h"
#include "desk/store/store.h"
#include "finding/finding.h"

struct deskfile {
    char folder[64];
    char path[128];
};

static inline void deskfile_init(struct deskfile *file)
{
    strcpy(file->folder, "/tmp/komainu-desk-XXXXXX");
    assert_non_null(mkdtemp(file->folder));
    strcpy(file->path, file->folder);
    strcat(file->path, "/desk.db");
}

static inline void deskfile_done(struct deskfile *file)
{
    static const char suffixes[][10] = {"", "-wal", "-shm", "-journal", ".anchor"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char path[sizeof file->path + sizeof suffixes[0]];
        strcpy(path, file->path);
        strcat(path, suffixes[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(file->folder), 0);
}

static inline struct km_desk *deskfile_open(const struct deskfile *file)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = km_desk_open(file->path, &err);
    if (!desk)
        fail_msg("%s", err.text);
    return desk;
}

/* The first column of the first row. */
static inline int64_t desk_number(struct km_desk *desk, const char *sql)
{
    struct km_err err = KM_ERR_INIT;
    bool row = false;
    struct km_query *query = km_query_open_once(desk, sql, &err);
    if (!query)
        fail_msg("%s: %s", sql, err.text);
    assert_ok(km_query_step(query, &row, &err), err);
    int64_t number = row ? km_query_integer(query, 0) : -1;
    km_query_close(query);
    return number;
}

/* The same as text, in one of four buffers that take turns. */
static inline const char *desk_text(struct km_desk *desk, const char *sql)
{
    static char texts[4][1024];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    struct km_err err = KM_ERR_INIT;
    bool row = false;
    struct km_query *query = km_query_open_once(desk, sql, &err);
    if (!query)
        fail_msg("%s: %s", sql, err.text);
    assert_ok(km_query_step(query, &row, &err), err);
    snprintf(text, 1024, "%s", row ? km_query_text(query, 0) : "(no row)");
    km_query_close(query);
    return text;
}

static inline void desk_do(struct km_desk *desk, const char *sql)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_query_execute(desk, sql, &err), err);
}

#endif
