/*
 * What the files of this folder share: the connection. sqlite3.h is included here.
 */
#ifndef KM_DESK_STORE_INTERNAL_H
#define KM_DESK_STORE_INTERNAL_H

#include <sqlite3.h>

#include "desk/store/store.h"

#define KM_DESK_STATEMENTS 256 /* prepared statements kept; a power of two */

struct km_query {
    struct km_desk *desk;
    sqlite3_stmt *statement;
    int bind_result; /* the first binding that failed, or SQLITE_OK */
    bool once;       /* owned by its user */
    bool open;
};

struct km_desk {
    sqlite3 *db;
    char *path;
    bool in_memory;
    bool full;
    int64_t anchor_id; /* of an audit entry of the open transaction, 0: none */
    char anchor_hash[65];
    const char *texts[KM_DESK_STATEMENTS]; /* keyed by address */
    struct km_query queries[KM_DESK_STATEMENTS];
    size_t query_count;
};

/* Records the connection's error and says which step failed. */
enum km_code km_desk_fail(struct km_desk *desk, int result, const char *what, struct km_err *err) KM_MUST_USE;

/* After a commit with audit entries: writes the anchor. A failure is no failure of the commit: the anchor lags behind
 * and the next one overtakes it. */
void km_audit_write_anchor(const struct km_desk *desk, int64_t id, const char *hash);

#endif
