#define KM_TEST_NAME "store"
#include "../cm.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "desk/store/audit_chain.h"
#include "deskfile.h"

static int set_up(void **state)
{
    static struct deskfile file;
    deskfile_init(&file);
    *state = &file;
    return 0;
}

static int tear_down(void **state)
{
    deskfile_done(*state);
    return 0;
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static char *read_text(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void a_new_store_has_the_newest_schema(void **state)
{
    struct km_desk *desk = deskfile_open(*state);
    assert_int_equal(desk_number(desk, "PRAGMA user_version"), km_desk_schema_newest());
    assert_int_equal(desk_number(desk, "PRAGMA application_id"), KM_DESK_APPLICATION_ID);
    assert_string_equal(desk_text(desk, "PRAGMA journal_mode"), "wal");
    assert_int_equal(desk_number(desk, "PRAGMA synchronous"), 2);
    assert_int_equal(desk_number(desk, "PRAGMA foreign_keys"), 1);
    /* every table of ours is STRICT; FTS5's own are not ours */
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM pragma_table_list WHERE schema='main' AND type='table'"
                                       " AND strict=0 AND name NOT LIKE 'sqlite%'"),
                     0);
    km_desk_close(desk);
}

static void tables_of(struct km_desk *desk, char *out, size_t out_bytes)
{
    struct km_err err = KM_ERR_INIT;
    bool row;
    struct km_query *query =
        km_query_open_once(desk,
                           "SELECT type||' '||name||' '||coalesce(replace(replace(sql, char(10), ''), '; ', ';'),"
                           " '') FROM sqlite_master ORDER BY type, name",
                           &err);
    assert_non_null(query);
    size_t length = 0;
    while (km_query_step(query, &row, &err) == KM_OK && row)
        length += (size_t)snprintf(out + length, out_bytes - length, "%s\n", km_query_text(query, 0));
    assert_true(length < out_bytes);
    km_query_close(query);
}

/* An upgraded store and a new one are the same, and nothing in it was lost. */
static void every_earlier_schema_is_upgraded(void **state)
{
    struct deskfile *file = *state;
    static char fresh[65536], upgraded[65536];
    struct km_err err = KM_ERR_INIT;
    struct km_desk *memory = km_desk_open(":memory:", &err);
    assert_non_null(memory);
    tables_of(memory, fresh, sizeof fresh);
    km_desk_close(memory);
    for (unsigned schema = 1; schema < km_desk_schema_newest(); schema++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tests/data/desk/schema-%u.sql", KM_SOURCE_ROOT, schema);
        run_sql(file->path, read_text(path));
        struct km_desk *desk = deskfile_open(file);
        tables_of(desk, upgraded, sizeof upgraded);
        assert_string_equal(upgraded, fresh);
        assert_int_equal(desk_number(desk, "PRAGMA user_version"), km_desk_schema_newest());
        assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 1);
        assert_int_equal(desk_number(desk, "SELECT count(*) FROM gap"), 1);
        assert_int_equal(desk_number(desk, "SELECT kind FROM decision"), 4);
        /* what was decided by name still is; what had no name answers nothing */
        if (schema == 4)
            assert_string_equal(desk_text(desk, "SELECT group_concat(coalesce(strange, '-')) FROM decision"),
                                "-,named,-");
        assert_string_equal(desk_text(desk, "SELECT host||' '||subject||' '||dominant FROM incident WHERE id=1"),
                            "gate opt/agent hash.listed");
        assert_int_equal(desk_number(desk, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        struct km_audit_report log;
        assert_ok(km_audit_verify(desk, NULL, NULL, NULL, &log, &err), err);
        /* rows that a script wrote have no anchor */
        assert_int_equal(log.faults, log.entries > 0);
        assert_true(log.faults == 0 || log.anchor_missing);
        /* what was there before the index can be searched */
        assert_int_equal(desk_number(desk, "SELECT rowid FROM finding_words WHERE finding_words MATCH 'vendor'"), 1);
        assert_string_equal(desk_text(desk, "PRAGMA integrity_check"), "ok");
        km_desk_close(desk);
        deskfile_done(file);
        deskfile_init(file);
    }
}

static void refuse(const char *path, enum km_code code, const char *text)
{
    struct km_err err = KM_ERR_INIT;
    assert_null(km_desk_open(path, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, text))
        fail_msg("'%s' does not say '%s'", err.text, text);
}

static void a_newer_store_is_refused_and_not_touched(void **state)
{
    struct deskfile *file = *state;
    km_desk_close(deskfile_open(file));
    run_sql(file->path, "PRAGMA user_version=999");
    refuse(file->path, KM_UNSUPPORTED, "schema 999");
}

static void another_programs_database_is_refused_and_not_touched(void **state)
{
    struct deskfile *file = *state;
    run_sql(file->path, "CREATE TABLE theirs(x)");
    refuse(file->path, KM_FORMAT, "another program");
    run_sql(file->path, "INSERT INTO theirs VALUES(1)");
    FILE *stream = fopen(file->path, "r");
    char head[32];
    assert_int_equal(fread(head, 1, sizeof head, stream), sizeof head);
    fclose(stream);
    assert_int_equal(head[18], 1); /* the header's write version: not WAL */
}

static void what_is_no_database_is_refused(void **state)
{
    struct deskfile *file = *state;
    FILE *stream = fopen(file->path, "w");
    for (int i = 0; i < 200; i++)
        fputs("no database\n", stream);
    fclose(stream);
    refuse(file->path, KM_FORMAT, "damaged or no store");
}

static void a_missing_folder_is_said(void **state)
{
    (void)state;
    refuse("/nonexistent-komainu/desk.db", KM_NOTFOUND, "/nonexistent-komainu/desk.db");
}

static void the_group_may_write_where_its_folder_says_so(void **state)
{
    struct deskfile *file = *state;
    struct stat status;
    km_desk_close(deskfile_open(file)); /* mkdtemp's 0700 */
    assert_int_equal(stat(file->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    deskfile_done(file);
    deskfile_init(file);
    assert_int_equal(chmod(file->folder, 0770), 0);
    struct km_desk *desk = deskfile_open(file);
    desk_do(desk, "INSERT INTO setting VALUES('a', 'b')");
    char wal[160];
    snprintf(wal, sizeof wal, "%s-wal", file->path);
    assert_int_equal(stat(file->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    assert_int_equal(stat(wal, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    km_desk_close(desk);
}

static void a_rollback_forgets_and_a_commit_keeps(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    char value[KM_DESK_SETTING_BYTES];
    assert_ok(km_desk_begin(desk, &err), err);
    assert_ok(km_desk_set_setting(desk, "a", "1", &err), err);
    km_desk_rollback(desk);
    assert_false(km_desk_in_transaction(desk));
    assert_ok(km_desk_get_setting(desk, "a", "none", value, &err), err);
    assert_string_equal(value, "none");
    assert_ok(km_desk_begin(desk, &err), err);
    assert_ok(km_desk_set_setting(desk, "a", "2", &err), err);
    assert_ok(km_desk_commit(desk, &err), err);
    assert_ok(km_desk_get_setting(desk, "a", "none", value, &err), err);
    assert_string_equal(value, "2");
    km_desk_close(desk);
}

static void one_statement_can_be_asked_twice_at_once(void **state)
{
    static const char sql[] = "SELECT ?1";
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    bool row = false;
    struct km_query *outer = km_query_open(desk, sql, &err);
    km_query_bind_text(outer, 1, "outer");
    assert_ok(km_query_step(outer, &row, &err), err);
    struct km_query *inner = km_query_open(desk, sql, &err);
    km_query_bind_text(inner, 1, "inner");
    assert_ok(km_query_step(inner, &row, &err), err);
    assert_string_equal(km_query_text(inner, 0), "inner");
    km_query_close(inner);
    assert_string_equal(km_query_text(outer, 0), "outer");
    km_query_close(outer);
    outer = km_query_open(desk, sql, &err); /* prepared before, and nothing is left of its parameter */
    assert_ok(km_query_step(outer, &row, &err), err);
    assert_true(km_query_is_null(outer, 0));
    assert_null(km_query_text_or_null(outer, 0));
    km_query_close(outer);
    km_desk_close(desk);
}

static void a_full_disk_is_told_apart_and_recovered_from(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count=%lld", (long long)desk_number(desk, "PRAGMA page_count"));
    desk_do(desk, sql);
    enum km_code code = km_desk_begin(desk, &err);
    for (int i = 0; i < 1000 && code == KM_OK; i++) {
        char name[32], value[KM_DESK_SETTING_BYTES];
        snprintf(name, sizeof name, "name %d", i);
        memset(value, 'x', sizeof value);
        value[sizeof value - 1] = '\0';
        code = km_desk_set_setting(desk, name, value, &err);
    }
    assert_int_equal(code, KM_IO);
    assert_true(km_desk_is_full(desk));
    assert_non_null(strstr(err.text, "full"));
    km_desk_rollback(desk);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM setting"), 0);
    desk_do(desk, "PRAGMA max_page_count=1000000");
    assert_ok(km_desk_set_setting(desk, "name", "value", &err), err);
    km_desk_close(desk);
}

static void a_second_writer_waits_its_turn(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *one = deskfile_open(*state), *two = deskfile_open(*state);
    desk_do(two, "PRAGMA busy_timeout=1");
    assert_ok(km_desk_begin(one, &err), err);
    assert_int_equal(km_desk_begin(two, &err), KM_CONFLICT);
    assert_false(km_desk_is_full(two));
    assert_int_equal(desk_number(two, "SELECT count(*) FROM run"), 0); /* readers do not wait */
    assert_ok(km_desk_commit(one, &err), err);
    assert_ok(km_desk_begin(two, &err), err);
    km_desk_rollback(two);
    km_desk_close(two);
    km_desk_close(one);
}

static void the_store_is_found_by_name_environment_and_home(void **state)
{
    struct deskfile *file = *state;
    struct km_err err = KM_ERR_INIT;
    char path[KM_DESK_PATH_BYTES];
    enum km_desk_place place;
    setenv("KOMAINU_STORE", "/from/environment.db", 1);
    assert_ok(km_desk_find_place("/given.db", path, &place, &err), err);
    assert_string_equal(path, "/given.db");
    assert_ok(km_desk_find_place(NULL, path, &place, &err), err);
    assert_string_equal(path, "/from/environment.db");
    assert_int_equal(place, KM_DESK_PLACE_NAMED);
    unsetenv("KOMAINU_STORE");
    if (geteuid() != 0) {
        setenv("XDG_STATE_HOME", file->folder, 1);
        assert_ok(km_desk_find_place(NULL, path, &place, &err), err);
        if (place == KM_DESK_PLACE_OWN)
            assert_memory_equal(path, file->folder, strlen(file->folder));
        snprintf(path, sizeof path, "%s/komainu", file->folder);
        (void)rmdir(path);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_new_store_has_the_newest_schema),
        IN_FOLDER(every_earlier_schema_is_upgraded),
        IN_FOLDER(a_newer_store_is_refused_and_not_touched),
        IN_FOLDER(another_programs_database_is_refused_and_not_touched),
        IN_FOLDER(what_is_no_database_is_refused),
        IN_FOLDER(a_missing_folder_is_said),
        IN_FOLDER(the_group_may_write_where_its_folder_says_so),
        IN_FOLDER(a_rollback_forgets_and_a_commit_keeps),
        IN_FOLDER(one_statement_can_be_asked_twice_at_once),
        IN_FOLDER(a_full_disk_is_told_apart_and_recovered_from),
        IN_FOLDER(a_second_writer_waits_its_turn),
        IN_FOLDER(the_store_is_found_by_name_environment_and_home),
    };
    return KM_RUN_TESTS(tests);
}
