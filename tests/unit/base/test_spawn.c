#define KM_TEST_NAME "spawn"
#include "../cm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/spawn.h"

static struct km_spawn *start(const char *const *argv)
{
    struct km_err err = KM_ERR_INIT;
    struct km_spawn *child = km_spawn_start(&(struct km_spawn_options){.argv = argv}, &err);
    if (!child)
        fail_msg("%s", err.text);
    return child;
}

static void read_all(struct km_spawn *child, struct km_buf *out)
{
    struct km_err err = KM_ERR_INIT;
    size_t length = 1;
    while (length > 0) {
        char piece[1000];
        assert_ok(km_spawn_read(child, piece, sizeof piece, &length, &err), err);
        assert_ok(km_buf_append(out, piece, length, &err), err);
    }
}

/* Standard output of a shell script; "status" appended when it does not end with 0. */
static void expect_output(const char *script, const char *expected)
{
    struct km_err err = KM_ERR_INIT;
    struct km_spawn *child = start((const char *const[]){"/bin/sh", "-c", script, NULL});
    struct km_buf out;
    km_buf_init(&out, (size_t)1 << 20);
    read_all(child, &out);
    enum km_code code = km_spawn_finish(child, &err);
    if (code != KM_OK)
        assert_ok(km_buf_append_format(&out, &err, "[%s]", err.text), err);
    assert_string_equal(km_buf_text(&out), expected);
    assert_int_equal(km_spawn_finish(child, &err), code);
    km_spawn_close(child);
    km_buf_done(&out);
}

static void output_and_status(void **state)
{
    (void)state;
    expect_output("printf hello", "hello");
    expect_output("cat", ""); /* input is empty */
    expect_output("printf a; printf 'one\\ntwo\\n\\n' >&2; exit 3", "a[sh ended with status 3: two]");
    expect_output("exit 1", "[sh ended with status 1]");
    expect_output("kill -9 $$", "[sh ended with signal 9]");
    expect_output("printf '\\033[31m' >&2; exit 1", "[sh ended with status 1: \\x1b[31m]");
    expect_output("printf 'a warning' >&2", "");
}

static void arguments_go_as_they_are(void **state)
{
    (void)state;
    struct km_buf out;
    km_buf_init(&out, 1000);
    struct km_spawn *child =
        start((const char *const[]){"printf", "%s|", "$HOME", "`id`", "a b", "; exit 9", "*", NULL});
    read_all(child, &out);
    assert_string_equal(km_buf_text(&out), "$HOME|`id`|a b|; exit 9|*|");
    km_spawn_close(child);
    km_buf_done(&out);
}

static void the_environment_is_ours_and_more(void **state)
{
    (void)state;
    assert_int_equal(setenv("KM_TEST_KEPT", "kept", 1), 0);
    assert_int_equal(setenv("KM_TEST_CHANGED", "old", 1), 0);
    static const char *const more[] = {"KM_TEST_CHANGED=new", "KM_TEST_ADDED=added", NULL};
    static const char *const argv[] = {"/bin/sh", "-c", "printf \"$KM_TEST_KEPT $KM_TEST_CHANGED $KM_TEST_ADDED\"",
                                       NULL};
    struct km_err err = KM_ERR_INIT;
    struct km_spawn *child = km_spawn_start(&(struct km_spawn_options){.argv = argv, .environment = more}, &err);
    assert_non_null(child);
    struct km_buf out;
    km_buf_init(&out, 1000);
    read_all(child, &out);
    assert_string_equal(km_buf_text(&out), "kept new added");
    km_spawn_close(child);
    km_buf_done(&out);
}

static void the_child_has_no_descriptor_of_ours(void **state)
{
    (void)state;
    int leak = open("/dev/null", O_RDONLY); /* NOLINT(android-cloexec-open): on purpose */
    assert_true(leak > 2);
    expect_output("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "); /* 3 is the folder that ls reads */
    (void)close(leak);
}

static void signals_are_default_again(void **state)
{
    (void)state;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    (void)signal(SIGPIPE, SIG_IGN);
    /* the last seven digits: the C library keeps signals 32 and 33 for itself */
    expect_output("grep -E '^Sig(Blk|Ign)' /proc/self/status | sed 's/.*\\(.......\\)$/\\1/' | tr '\\n' ' '",
                  "0000000 0000000 ");
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &blocked, NULL), 0);
    (void)signal(SIGPIPE, SIG_DFL);
}

static void error_output_is_bounded_and_never_blocks_the_child(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static const char script[] = "i=0; while [ $i -lt 20000 ]; do echo 'a line of the error output' >&2; i=$((i+1)); "
                                 "done; echo last >&2; printf done; exit 4";
    struct km_spawn *child = start((const char *const[]){"/bin/sh", "-c", script, NULL});
    struct km_buf out;
    km_buf_init(&out, 1000);
    read_all(child, &out);
    assert_string_equal(km_buf_text(&out), "done");
    assert_int_equal(km_spawn_finish(child, &err), KM_IO);
    assert_string_equal(err.text, "sh ended with status 4: last");
    assert_true(strlen(km_spawn_error_text(child)) <= 8192);
    km_spawn_close(child);
    km_buf_done(&out);
}

static void programs_that_cannot_start(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static const char *const missing[] = {"komainu-no-such-program", NULL};
    assert_null(km_spawn_start(&(struct km_spawn_options){.argv = missing}, &err));
    assert_int_equal(err.code, KM_NOTFOUND);
    assert_string_equal(err.text, "cannot start komainu-no-such-program: No such file or directory");
    static const char *const refused[] = {"/proc/self/status", NULL};
    assert_null(km_spawn_start(&(struct km_spawn_options){.argv = refused}, &err));
    assert_string_equal(err.text, "cannot start /proc/self/status: Permission denied");
    assert_int_equal(err.code, KM_DENIED);
    km_spawn_close(NULL);
}

static void limits_and_tokens_end_waiting(void **state)
{
    (void)state;
    static const char *const argv[] = {"sleep", "1000", NULL};
    struct km_err err = KM_ERR_INIT;
    char byte;
    size_t length = 7;
    struct km_spawn *child = km_spawn_start(&(struct km_spawn_options){.argv = argv, .time_limit_ms = 50}, &err);
    assert_non_null(child);
    assert_int_equal(km_spawn_read(child, &byte, 1, &length, &err), KM_IO);
    assert_string_equal(err.text, "sleep: not done within 0 s");
    assert_int_equal(length, 7);
    km_spawn_close(child);
    struct km_cancel cancel = KM_CANCEL_INIT;
    child = km_spawn_start(&(struct km_spawn_options){.argv = argv, .cancel = &cancel}, &err);
    assert_non_null(child);
    km_cancel_request(&cancel);
    assert_int_equal(km_spawn_read(child, &byte, 1, &length, &err), KM_CANCELLED);
    assert_int_equal(km_spawn_finish(child, &err), KM_CANCELLED);
    km_spawn_close(child);
}

/* Closing ends the child and what it started. */
static void closing_ends_the_whole_group(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_spawn *child = start((const char *const[]){"/bin/sh", "-c", "sleep 1000 & echo $!; wait", NULL});
    char text[32] = "";
    size_t length = 0;
    assert_ok(km_spawn_read(child, text, sizeof text - 1, &length, &err), err);
    pid_t grandchild = (pid_t)strtol(text, NULL, 10);
    assert_true(grandchild > 1);
    assert_int_equal(kill(grandchild, 0), 0);
    km_spawn_close(child);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)grandchild);
    /* Gone, or a zombie that init has not fetched yet; the signal is delivered before a zombie can be seen. */
    for (bool gone = false; !gone;) {
        char stat[256] = "";
        FILE *file = fopen(path, "re");
        gone = !file || !fgets(stat, sizeof stat, file) || strstr(stat, ") Z ");
        if (file)
            (void)fclose(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_status),
        cmocka_unit_test(arguments_go_as_they_are),
        cmocka_unit_test(the_environment_is_ours_and_more),
        cmocka_unit_test(the_child_has_no_descriptor_of_ours),
        cmocka_unit_test(signals_are_default_again),
        cmocka_unit_test(error_output_is_bounded_and_never_blocks_the_child),
        cmocka_unit_test(programs_that_cannot_start),
        cmocka_unit_test(limits_and_tokens_end_waiting),
        cmocka_unit_test(closing_ends_the_whole_group),
    };
    return KM_RUN_TESTS(tests);
}
