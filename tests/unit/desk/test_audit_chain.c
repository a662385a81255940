#define KM_TEST_NAME "audit_chain"
#include "../cm.h"

#include <fcntl.h>
#include <sqlite3.h>

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

static void add(struct km_desk *desk, const char *object, const char *note)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *detail = note ? km_json_new_object() : NULL;
    if (detail)
        km_json_set_string(detail, "note", note);
    assert_ok(km_desk_begin(desk, &err), err);
    assert_ok(km_audit_add(desk, "kato", "test.add", object, detail, &err), err);
    assert_ok(km_desk_commit(desk, &err), err);
    km_json_free(detail);
}

static struct km_desk *five(const struct deskfile *file)
{
    struct km_desk *desk = deskfile_open(file);
    add(desk, "one", NULL);
    add(desk, "two", "said kato-san");
    add(desk, "three", "x");
    add(desk, "four", NULL);
    add(desk, "five", "y");
    return desk;
}

static struct km_audit_report verify(struct km_desk *desk, const char *head)
{
    struct km_err err = KM_ERR_INIT;
    struct km_audit_report report;
    assert_ok(km_audit_verify(desk, head, NULL, NULL, &report, &err), err);
    return report;
}

/* What somebody does who can write the file: triggers are no obstacle. */
static void tamper(const struct deskfile *file, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file->path, &db), SQLITE_OK);
    char *message = NULL;
    static const char off[] = "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;"
                              "DROP TRIGGER audit_detail_no_update; DROP TRIGGER audit_detail_no_delete;";
    assert_int_equal(sqlite3_exec(db, off, NULL, NULL, &message), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_whole_log_verifies(void **state)
{
    struct km_desk *desk = five(*state);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.entries, 5);
    assert_int_equal(report.faults, 0);
    assert_int_equal(report.anchor, 5);
    assert_int_equal(strlen(report.head), 64);
    km_desk_close(desk);
    desk = deskfile_open(*state);
    assert_int_equal(verify(desk, NULL).faults, 0);
    km_desk_close(desk);
}

static void an_empty_log_verifies(void **state)
{
    struct km_desk *desk = deskfile_open(*state);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.faults, 0);
    assert_true(report.anchor_missing);
    km_desk_close(desk);
}

static void every_change_is_found(void **state)
{
    struct deskfile *file = *state;
    static const struct {
        const char *sql;
        int64_t entry;
        const char *text;
    } cases[] = {
        {"UPDATE audit SET who='sato' WHERE id=3", 3, "changed"},
        {"UPDATE audit SET action='x' WHERE id=1", 1, "changed"},
        {"UPDATE audit SET object='x' WHERE id=5", 5, "changed"},
        {"UPDATE audit SET at_ns=at_ns+1 WHERE id=2", 2, "changed"},
        {"UPDATE audit SET detail_digest=NULL WHERE id=2", 2, "changed"},
        {"UPDATE audit SET hash=zeroblob(32) WHERE id=4", 4, "changed"},
        {"UPDATE audit SET hash=zeroblob(31) WHERE id=4", 4, "changed"},
        {"UPDATE audit SET previous=zeroblob(32) WHERE id=4", 4, "does not follow"},
        {"UPDATE audit_detail SET text='{\"note\":\"z\"}' WHERE audit_id=3", 3, "detail was changed"},
        {"DELETE FROM audit_detail WHERE audit_id=3", 3, "missing"},
        {"INSERT INTO audit_detail VALUES(1, zeroblob(16), '{}')", 1, "detail was changed"},
        {"DELETE FROM audit WHERE id=4", 4, "missing"},
        {"DELETE FROM audit WHERE id=1", 1, "missing"},
        {"DELETE FROM audit_detail; DELETE FROM audit WHERE id>3", 3, ""},
        {"UPDATE audit SET id=id+100 WHERE id=5", 5, "missing"},
        {"UPDATE audit SET id=99 WHERE id=2; UPDATE audit SET id=2 WHERE id=3; UPDATE audit SET id=3 WHERE id=99", 2,
         ""},
        {"DELETE FROM audit_detail; DELETE FROM audit", 5, "which the log does not have"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        km_desk_close(five(file));
        tamper(file, cases[i].sql);
        struct km_desk *desk = deskfile_open(file);
        struct km_audit_report report = verify(desk, NULL);
        if (report.faults == 0 || (cases[i].text[0] && report.first_fault != cases[i].entry) ||
            !strstr(report.first_text, cases[i].text))
            fail_msg("%s: %lld faults, first at %lld: %s", cases[i].sql, (long long)report.faults,
                     (long long)report.first_fault, report.first_text);
        km_desk_close(desk);
        deskfile_done(file);
        deskfile_init(file);
    }
}

static void a_cut_end_is_found_by_the_anchor(void **state)
{
    struct deskfile *file = *state;
    km_desk_close(five(file));
    tamper(file, "DELETE FROM audit_detail WHERE audit_id=5; DELETE FROM audit WHERE id=5");
    struct km_desk *desk = deskfile_open(file);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.faults, 1);
    assert_non_null(strstr(report.first_text, "anchor"));
    add(desk, "another five", NULL); /* does not heal it: the anchor has another hash */
    assert_int_equal(verify(desk, NULL).faults, 1);
    km_desk_close(desk);
}

static void a_cut_end_and_anchor_are_found_by_a_kept_head(void **state)
{
    struct deskfile *file = *state;
    char head[128], path[160];
    struct km_desk *desk = five(file);
    struct km_audit_report report = verify(desk, NULL);
    snprintf(head, sizeof head, "5 %s", report.head);
    assert_int_equal(verify(desk, head).faults, 0);
    add(desk, "six", NULL);
    assert_int_equal(verify(desk, head).faults, 0); /* a log that grew is no other log */
    km_desk_close(desk);
    tamper(file, "DELETE FROM audit_detail; DELETE FROM audit");
    snprintf(path, sizeof path, "%s.anchor", file->path);
    assert_int_equal(unlink(path), 0);
    desk = deskfile_open(file);
    assert_int_equal(verify(desk, NULL).faults, 0); /* nobody kept anything: it looks like a new store */
    assert_int_equal(verify(desk, head).faults, 1);
    struct km_err err = KM_ERR_INIT;
    static const char *const wrong[] = {"", "5", "x y", "-1 00", "5 zz", "0 "};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(km_audit_verify(desk, wrong[i], NULL, NULL, &report, &err), KM_FORMAT);
    km_desk_close(desk);
}

static void a_missing_or_damaged_anchor_is_said(void **state)
{
    struct deskfile *file = *state;
    char path[160];
    struct km_desk *desk = five(file);
    snprintf(path, sizeof path, "%s.anchor", file->path);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(verify(desk, NULL).faults, 1);
    assert_int_equal(unlink(path), 0);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.faults, 1);
    assert_true(report.anchor_missing);
    km_desk_close(desk);
}

static void an_anchor_that_lags_behind_is_no_fault(void **state)
{
    struct deskfile *file = *state;
    char path[160], text[256];
    struct km_desk *desk = five(file);
    snprintf(path, sizeof path, "%s.anchor", file->path);
    FILE *stream = fopen(path, "r");
    size_t length = fread(text, 1, sizeof text, stream);
    fclose(stream);
    add(desk, "six", NULL);
    stream = fopen(path, "w"); /* the crash came between commit and anchor */
    assert_int_equal(fwrite(text, 1, length, stream), length);
    fclose(stream);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.faults, 0);
    assert_int_equal(report.anchor, 5);
    add(desk, "seven", NULL);
    assert_int_equal(verify(desk, NULL).anchor, 7);
    km_desk_close(desk);
}

static void the_log_is_only_added_to(void **state)
{
    static const char *const forbidden[] = {"UPDATE audit SET who='x'", "DELETE FROM audit WHERE id=1",
                                            "UPDATE audit_detail SET text=''", "DELETE FROM audit_detail"};
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = five(*state);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        assert_int_not_equal(km_query_execute(desk, forbidden[i], &err), KM_OK);
    assert_int_equal(verify(desk, NULL).faults, 0);
    km_desk_close(desk);
}

static void an_entry_is_not_kept_without_what_it_is_about(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = five(*state);
    assert_ok(km_desk_begin(desk, &err), err);
    assert_ok(km_audit_add(desk, "kato", "test.add", "six", NULL, &err), err);
    km_desk_rollback(desk);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.entries, 5);
    assert_int_equal(report.anchor, 5);
    km_desk_close(desk);
}

static void an_erased_detail_leaves_the_chain_whole(void **state)
{
    struct km_err err = KM_ERR_INIT;
    int64_t erased = 0;
    struct km_desk *desk = five(*state);
    assert_ok(km_desk_begin(desk, &err), err);
    assert_ok(km_audit_erase_details(desk, "kato-san", "sato", &erased, &err), err);
    assert_ok(km_desk_commit(desk, &err), err);
    assert_int_equal(erased, 1);
    struct km_audit_report report = verify(desk, NULL);
    assert_int_equal(report.faults, 0);
    assert_int_equal(report.erased, 1);
    assert_int_equal(report.entries, 6);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit_detail WHERE text LIKE '%kato-san%'"), 0);
    /* no other detail may go under cover of that entry */
    km_desk_close(desk);
    tamper(*state, "DELETE FROM audit_detail WHERE audit_id=3");
    desk = deskfile_open(*state);
    assert_int_equal(verify(desk, NULL).first_fault, 3);
    km_desk_close(desk);
}

static enum km_code see(void *context, const struct km_audit_entry *entry, struct km_err *err)
{
    (void)err;
    char *text = context;
    size_t length = strlen(text);
    snprintf(text + length, 1024 - length, "%lld %s %s %s; ", (long long)entry->id, entry->who, entry->object,
             entry->detail ? entry->detail : "-");
    return KM_OK;
}

static void entries_are_listed_in_order(void **state)
{
    struct km_err err = KM_ERR_INIT;
    char text[1024] = "";
    struct km_desk *desk = five(*state);
    assert_ok(km_audit_list(desk, 1, 2, text, see, &err), err);
    assert_string_equal(text, "2 kato two {\"note\":\"said kato-san\"}; 3 kato three {\"note\":\"x\"}; ");
    km_desk_close(desk);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_whole_log_verifies),
        IN_FOLDER(an_empty_log_verifies),
        IN_FOLDER(every_change_is_found),
        IN_FOLDER(a_cut_end_is_found_by_the_anchor),
        IN_FOLDER(a_cut_end_and_anchor_are_found_by_a_kept_head),
        IN_FOLDER(a_missing_or_damaged_anchor_is_said),
        IN_FOLDER(an_anchor_that_lags_behind_is_no_fault),
        IN_FOLDER(the_log_is_only_added_to),
        IN_FOLDER(an_entry_is_not_kept_without_what_it_is_about),
        IN_FOLDER(an_erased_detail_leaves_the_chain_whole),
        IN_FOLDER(entries_are_listed_in_order),
    };
    return KM_RUN_TESTS(tests);
}
