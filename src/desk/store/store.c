#include "desk/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "desk/store/query.h"
#include "desk/store/schema.h"
#include "desk/store/store_internal.h"

#define STRINGIFY(number) #number
#define TEXT_OF(number)   STRINGIFY(number)

enum km_code km_desk_fail(struct km_desk *desk, int result, const char *what, struct km_err *err)
{
    int primary = result & 0xff;
    desk->full = primary == SQLITE_FULL || (primary == SQLITE_IOERR && sqlite3_system_errno(desk->db) == ENOSPC);
    const char *path = desk->path;
    switch (primary) {
    case SQLITE_NOMEM:
        return km_fail(err, KM_NOMEM, "out of memory (store)");
    case SQLITE_FULL:
        return km_fail(err, KM_IO, "the disk of the store %s is full", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return km_fail(err, KM_CONFLICT, "the store %s is locked by another program (%s)", path, what);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return km_fail(err, KM_DENIED, "the store %s may not be written (%s)", path, what);
    case SQLITE_CANTOPEN:
        if (sqlite3_system_errno(desk->db) == EACCES)
            return km_fail(err, KM_DENIED, "the store %s may not be opened", path);
        return km_fail(err, KM_IO, "cannot open the store %s (%s)", path, what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return km_fail(err, KM_FORMAT, "the store %s is damaged or no store (%s)", path, what);
    case SQLITE_TOOBIG:
        return km_fail(err, KM_LIMIT, "a value is too large for the store (%s)", what);
    case SQLITE_CONSTRAINT:
        return km_fail(err, KM_CONFLICT, "the store %s refuses: %s", path, sqlite3_errmsg(desk->db));
    default: /* sqlite's codes, not ours */
        return km_fail(err, KM_IO, "the store %s: %s (%s)", path, sqlite3_errmsg(desk->db), what);
    }
}

/* Made by us rather than by SQLite, so that its journal files, which copy the mode, can be written by the same group.
 */
static enum km_code make_file(struct km_desk *desk, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = open(desk->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? KM_OK : km_fail_errno(err, errno, "cannot make the store %s", desk->path);
    const char *slash = strrchr(desk->path, '/');
    char folder[KM_DESK_PATH_BYTES] = ".";
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == desk->path ? 1 : (int)(slash - desk->path), desk->path);
    struct stat status;
    if (stat(folder, &status) == 0 && (status.st_mode & S_IWGRP) && fchmod(fd, 0660) != 0)
        return km_fail_errno(err, errno, "cannot give the group access to the store %s", desk->path);
    return KM_OK;
}

static enum km_code read_pragma(struct km_desk *desk, const char *sql, int64_t *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(desk, sql, err);
    bool row = false;
    if (!query || km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = row ? km_query_integer(query, 0) : 0;
    return KM_OK;
}

/* The other process of a race for the switch to WAL holds a lock that SQLite does not wait for. */
static enum km_code switch_to_wal(struct km_desk *desk, struct km_err *err)
{
    static const struct timespec pause = {0, 5000000};
    int result = SQLITE_OK;
    for (int attempt = 0; attempt < KM_DESK_BUSY_MS / 5; attempt++) {
        result = sqlite3_exec(desk->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if ((result & 0xff) != SQLITE_BUSY)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return result == SQLITE_OK ? KM_OK : km_desk_fail(desk, result, "journal mode", err);
}

static enum km_code check_identity(struct km_desk *desk, int64_t id, int64_t tables, int64_t version,
                                   struct km_err *err)
{
    if (id != KM_DESK_APPLICATION_ID && (tables > 0 || version > 0))
        return km_fail(err, KM_FORMAT, "%s is a database of another program", desk->path);
    if (version > km_schema_newest())
        return km_fail(err, KM_UNSUPPORTED, "the store %s has schema %lld; this program knows schema %u", desk->path,
                       (long long)version, km_schema_newest());
    return KM_OK;
}

/* Read in one transaction: between two of them another process may have made the store. */
static enum km_code read_identity(struct km_desk *desk, int64_t *version, struct km_err *err)
{
    int64_t id = 0, tables = 0;
    enum km_code code = km_query_execute(desk, "BEGIN", err);
    if (code == KM_OK)
        code = read_pragma(desk, "PRAGMA application_id", &id, err);
    if (code == KM_OK)
        code = read_pragma(desk, "PRAGMA user_version", version, err);
    if (code == KM_OK)
        code = read_pragma(desk, "SELECT count(*) FROM sqlite_master", &tables, err);
    km_desk_rollback(desk);
    return code == KM_OK ? check_identity(desk, id, tables, *version, err) : code;
}

static enum km_code run_steps(struct km_desk *desk, int64_t version, struct km_err *err)
{
    for (unsigned step = (unsigned)version + 1; step <= km_schema_newest(); step++) {
        char mark[64];
        snprintf(mark, sizeof mark, "PRAGMA user_version=%u", step);
        if (km_query_execute(desk, km_schema_step(step), err) != KM_OK || km_query_execute(desk, mark, err) != KM_OK)
            return km_err_wrap(err, "upgrade to schema %u", step);
    }
    return version == 0 ? km_query_execute(desk, "PRAGMA application_id=" TEXT_OF(KM_DESK_APPLICATION_ID), err) : KM_OK;
}

/* All steps in one transaction: an upgrade that fails has not happened. */
static enum km_code migrate(struct km_desk *desk, struct km_err *err)
{
    int64_t version = 0;
    enum km_code code = read_identity(desk, &version, err);
    if (code != KM_OK || version == km_schema_newest())
        return code;
    code = km_desk_begin(desk, err);
    if (code == KM_OK) /* another process may have been first */
        code = read_pragma(desk, "PRAGMA user_version", &version, err);
    if (code == KM_OK && version < km_schema_newest())
        code = run_steps(desk, version, err);
    if (code == KM_OK)
        return km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

static enum km_code open_connection(struct km_desk *desk, struct km_err *err)
{
    if (!desk->in_memory && make_file(desk, err) != KM_OK)
        return err->code;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (desk->in_memory)
        flags |= SQLITE_OPEN_CREATE;
    if (strcmp(desk->path, KM_DESK_SHARED_PATH) == 0) /* the group can put a link there, and root would follow it */
        flags |= SQLITE_OPEN_NOFOLLOW;
    int result = sqlite3_open_v2(desk->path, &desk->db, flags, NULL);
    if (result != SQLITE_OK)
        return km_desk_fail(desk, result, "open", err);
    (void)sqlite3_busy_timeout(desk->db, KM_DESK_BUSY_MS);
    (void)sqlite3_db_config(desk->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(desk->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    int64_t version = 0; /* what is no store must not be turned into a WAL file */
    if (read_identity(desk, &version, err) != KM_OK || switch_to_wal(desk, err) != KM_OK)
        return err->code;
    /* FULL: an acknowledged finding survives a power cut, not just a crash. secure_delete: what privacy erases is gone.
     */
    return km_query_execute(desk,
                            "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
                            "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY",
                            err);
}

struct km_desk *km_desk_open(const char *path, struct km_err *err)
{
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) = km_calloc(1, sizeof *desk, SIZE_MAX, err);
    if (!desk)
        return NULL;
    desk->path = km_strndup(path, strlen(path), err);
    if (!desk->path)
        return NULL;
    desk->in_memory = strcmp(path, ":memory:") == 0;
    if (open_connection(desk, err) != KM_OK || migrate(desk, err) != KM_OK)
        return NULL;
    return km_steal(desk);
}

void km_desk_close(struct km_desk *desk)
{
    if (!desk)
        return;
    for (size_t i = 0; i < KM_DESK_STATEMENTS; i++)
        sqlite3_finalize(desk->queries[i].statement);
    if (desk->db)
        KM_ASSERT(sqlite3_close(desk->db) == SQLITE_OK); /* else a query is still open: our own mistake */
    free(desk->path);
    free(desk);
}

const char *km_desk_path(const struct km_desk *desk)
{
    return desk->path;
}

unsigned km_desk_schema_newest(void)
{
    return km_schema_newest();
}

enum km_code km_desk_begin(struct km_desk *desk, struct km_err *err)
{
    KM_ASSERT(!km_desk_in_transaction(desk));
    desk->anchor_id = 0;
    return km_query_execute(desk, "BEGIN IMMEDIATE", err);
}

enum km_code km_desk_commit(struct km_desk *desk, struct km_err *err)
{
    KM_ASSERT(km_desk_in_transaction(desk));
    enum km_code code = km_query_execute(desk, "COMMIT", err);
    if (code != KM_OK) {
        km_desk_rollback(desk);
        return code;
    }
    if (desk->anchor_id > 0)
        km_audit_write_anchor(desk, desk->anchor_id, desk->anchor_hash);
    desk->anchor_id = 0;
    return KM_OK;
}

void km_desk_rollback(struct km_desk *desk)
{
    desk->anchor_id = 0;
    if (km_desk_in_transaction(desk))
        (void)sqlite3_exec(desk->db, "ROLLBACK", NULL, NULL, NULL);
}

bool km_desk_in_transaction(const struct km_desk *desk)
{
    return sqlite3_get_autocommit(desk->db) == 0;
}

bool km_desk_is_full(const struct km_desk *desk)
{
    return desk->full;
}

enum km_code km_desk_get_setting(struct km_desk *desk, const char *name, const char *fallback, char *out,
                                 struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "SELECT value FROM setting WHERE name=?1", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, name);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    snprintf(out, KM_DESK_SETTING_BYTES, "%s", row ? km_query_text(query, 0) : fallback);
    return KM_OK;
}

enum km_code km_desk_set_setting(struct km_desk *desk, const char *name, const char *value, struct km_err *err)
{
    if (strlen(value) >= KM_DESK_SETTING_BYTES)
        return km_fail(err, KM_LIMIT, "the value of %s is too long", name);
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "INSERT INTO setting VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value=excluded.value", err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, name);
    km_query_bind_text(query, 2, value);
    return km_query_run(query, err);
}
