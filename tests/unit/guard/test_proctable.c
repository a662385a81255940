#define KM_TEST_NAME "proctable"
#include "../cm.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/guard/proctable.h"

static struct km_err err;

static struct km_proctable *new_table(const char *proc_root)
{
    struct km_proctable *table = km_proctable_new(proc_root, &err);
    assert_non_null(table);
    return table;
}

static struct km_bytes text(const char *s)
{
    return (struct km_bytes){s, strlen(s)};
}

static void thread(struct km_proctable *table, uint32_t tid, uint32_t tgid, uint32_t parent_tid)
{
    struct km_event event = {.kind = KM_EVENT_THREAD, .tid = tid, .tgid = tgid, .role = 7};
    event.thread = (struct km_event_thread){.parent_tid = parent_tid, .uid = 33, .comm = text("web")};
    km_proctable_event(table, &event);
}

static void exec(struct km_proctable *table, uint32_t tgid, const char *path, const char *arguments, size_t bytes)
{
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = tgid, .tgid = tgid, .role = 7};
    event.landmark = (struct km_event_landmark){
        .kind = KM_LANDMARK_EXEC, .outcome = KM_OUTCOME_OK, .path = text(path), .path2 = {arguments, bytes}};
    km_proctable_event(table, &event);
}

static void end(struct km_proctable *table, uint32_t tgid)
{
    struct km_event event = {.kind = KM_EVENT_END, .tid = tgid, .tgid = tgid};
    km_proctable_event(table, &event);
}

static void identify(struct km_proctable *table, unsigned call, uint32_t id, unsigned outcome)
{
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 10, .tgid = 10, .role = 7};
    event.landmark = (struct km_event_landmark){
        .kind = KM_LANDMARK_IDENTITY, .outcome = (uint8_t)outcome, .flags = call, .value = id};
    km_proctable_event(table, &event);
}

static void a_call_is_by_the_user_before_it(void **state)
{
    (void)state;
    struct km_proctable *table = new_table(NULL);
    thread(table, 10, 10, 0);
    assert_int_equal(km_proctable_find(table, 10)->uid_before, 33);
    identify(table, 105, 0, KM_OUTCOME_DENIED);
    assert_int_equal(km_proctable_find(table, 10)->uid, 33);
    identify(table, 106, 0, KM_OUTCOME_OK); /* setgid */
    assert_int_equal(km_proctable_find(table, 10)->uid, 33);
    identify(table, 117, 0, KM_OUTCOME_OK);
    assert_int_equal(km_proctable_find(table, 10)->uid, 0);
    assert_int_equal(km_proctable_find(table, 10)->uid_before, 33);
    identify(table, 113, UINT32_MAX, KM_OUTCOME_OK); /* nothing is changed */
    assert_int_equal(km_proctable_find(table, 10)->uid, 0);
    assert_int_equal(km_proctable_find(table, 10)->uid_before, 0);
    km_proctable_free(table);
}

static void programs_and_who_started_them(void **state)
{
    (void)state;
    struct km_proctable *table = new_table(NULL);
    char command[KM_PROCESS_TEXT_BYTES];
    thread(table, 10, 10, 0);
    exec(table, 10, "/usr/sbin/web", "web\0-g", 6);
    thread(table, 12, 10, 0); /* a second thread, which forks */
    thread(table, 20, 20, 12);
    const struct km_process *child = km_proctable_find(table, 20);
    assert_int_equal(child->parent, 10);
    assert_int_equal(child->uid, 33);
    assert_int_equal(child->role, 7);
    exec(table, 20, "/bin/sh", "sh\0-c\0id\0\0", 10);
    child = km_proctable_find(table, 20);
    assert_string_equal(child->image, "/bin/sh");
    assert_string_equal(child->before, "/usr/sbin/web");
    assert_int_equal(child->before_bytes, 6);
    km_process_command(child, command, sizeof command);
    assert_string_equal(command, "sh -c id");
    km_process_command(child, command, 3);
    assert_string_equal(command, "sh");
    exec(table, 20, "/bin/id", "id", 2);
    assert_string_equal(km_proctable_find(table, 20)->before, "/bin/sh");
    km_proctable_free(table);
}

static void failed_starts_change_nothing(void **state)
{
    (void)state;
    struct km_proctable *table = new_table(NULL);
    thread(table, 10, 10, 0);
    exec(table, 10, "/usr/sbin/web", "web", 3);
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 10, .tgid = 10};
    event.landmark =
        (struct km_event_landmark){.kind = KM_LANDMARK_EXEC, .outcome = KM_OUTCOME_ERROR, .path = text("/nowhere")};
    km_proctable_event(table, &event);
    assert_string_equal(km_proctable_find(table, 10)->image, "/usr/sbin/web");
    km_proctable_free(table);
}

static void causes_are_inherited(void **state)
{
    (void)state;
    struct km_proctable *table = new_table(NULL);
    thread(table, 10, 10, 0);
    thread(table, 20, 20, 10);
    km_proctable_set_cause(table, 20, "exec /bin/sh", 3);
    thread(table, 30, 30, 20);
    thread(table, 40, 40, 30);
    assert_string_equal(km_proctable_find(table, 40)->cause, "exec /bin/sh");
    assert_int_equal(km_proctable_find(table, 40)->cause_role, 3);
    assert_string_equal(km_proctable_find(table, 10)->cause, "");
    /* A number that was given again has nothing to do with its former owner. */
    end(table, 40);
    assert_string_equal(km_proctable_find(table, 40)->cause, "exec /bin/sh");
    thread(table, 40, 40, 10);
    assert_string_equal(km_proctable_find(table, 40)->cause, "");
    km_proctable_free(table);
}

static void more_processes_than_rows_are_borne(void **state)
{
    (void)state;
    struct km_proctable *table = new_table(NULL);
    char path[32];
    for (uint32_t i = 1; i <= 4 * KM_PROCTABLE_MAX; i++) {
        thread(table, i, i, 0);
        (void)snprintf(path, sizeof path, "/bin/p%u", i);
        exec(table, i, path, "", 0);
        if (i % 3 == 0)
            end(table, i);
    }
    for (uint32_t i = 4 * KM_PROCTABLE_MAX; i > 4 * KM_PROCTABLE_MAX - 100; i--)
        if (i % 3 != 0) {
            (void)snprintf(path, sizeof path, "/bin/p%u", i);
            assert_string_equal(km_proctable_find(table, i)->image, path);
        }
    assert_string_equal(km_proctable_find(table, 1)->image, "");
    km_proctable_free(table);
}

static void hostile_proc_files_are_borne(void **state)
{
    (void)state;
    char root[] = "/tmp/komainu-proc-XXXXXX", path[128];
    assert_non_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/77", root);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/77/stat", root);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs("77 (a) S 1) b (\x1b) S 4242 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 500 0", file);
    assert_int_equal(fclose(file), 0);
    struct km_proctable *table = new_table(root);
    const struct km_process *process = km_proctable_find(table, 77);
    assert_int_equal(process->parent, 4242);
    assert_true(process->start_ns > 0);
    assert_string_equal(process->image, "");
    assert_int_equal(km_proctable_find(table, 78)->parent, 0);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/77", root);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(root), 0);
    km_proctable_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_and_who_started_them),      cmocka_unit_test(failed_starts_change_nothing),
        cmocka_unit_test(a_call_is_by_the_user_before_it),    cmocka_unit_test(causes_are_inherited),
        cmocka_unit_test(more_processes_than_rows_are_borne), cmocka_unit_test(hostile_proc_files_are_borne),
    };
    return KM_RUN_TESTS(tests);
}
