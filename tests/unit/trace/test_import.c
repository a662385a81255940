#define KM_TEST_NAME "import"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "daemon/trace/calls.h"
#include "daemon/trace/import.h"

/* Events as lines of text, so that a case is a string. */
struct got {
    char text[4096];
    size_t length;
};

static void say(struct got *got, const char *fmt, ...) KM_PRINTF(2, 3);
static void say(struct got *got, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(got->text + got->length, sizeof got->text - got->length, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof got->text - got->length);
    got->length += (size_t)n;
}

static enum km_code take(void *context, const struct km_event *e, struct km_err *err)
{
    (void)err;
    struct got *got = context;
    if (e->kind == KM_EVENT_ROLE)
        say(got, "role %u %.*s;", e->role, (int)e->role_info.name.length, e->role_info.name.data);
    if (e->kind == KM_EVENT_END)
        say(got, "end %u;", e->tid);
    if (e->kind == KM_EVENT_CALL) {
        const char *name = km_call_name(e->call.space, e->call.number);
        say(got, "%u %s %u/%u;", e->tid, name ? name : "?", e->call.outcome, e->call.arg_class);
    }
    if (e->kind == KM_EVENT_LANDMARK)
        say(got, "%u mark %u zone %u %.*s %u:%u;", e->tid, e->landmark.kind, e->landmark.zone,
            (int)e->landmark.path.length, e->landmark.path.data ? e->landmark.path.data : "",
            e->landmark.address.family, e->landmark.address.port);
    return KM_OK;
}

/* Feeds the text in pieces of `piece` bytes. */
static enum km_code run(enum km_import_kind kind, const char *text, size_t piece, struct got *got,
                        struct km_import_stats *stats, struct km_err *err)
{
    memset(got, 0, sizeof *got);
    struct km_event_sink sink = {got, take};
    struct km_import *import KM_CLEANUP(km_import_cleanup) = km_import_new(kind, "unit", &sink, err);
    assert_non_null(import);
    enum km_code code = KM_OK;
    for (size_t at = 0, length = strlen(text); at < length && code == KM_OK; at += piece)
        code = km_import_text(import, text + at, at + piece < length ? piece : length - at, err);
    if (code == KM_OK)
        code = km_import_finish(import, err);
    km_import_get_stats(import, stats);
    return code;
}

static void strace_table(void **state)
{
    (void)state;
    static const struct {
        const char *log, *events;
    } rows[] = {
        {"12 1700000000.000001 getpid() = 12\n", "role 1 main;12 getpid 1/0;end 12;"},
        {"[pid   12] 1700000000.000001 close(3) = -1 EBADF (Bad file descriptor)\n",
         "role 1 main;12 close 3/0;end 12;"},
        {"1700000000.5 openat(AT_FDCWD, \"/etc/shadow\", O_RDONLY) = -1 EACCES (Permission denied)\n",
         "role 1 main;1 openat 2/1;1 mark 2 zone 3 /etc/shadow 0:0;end 1;"},
        {"7 1700000000.1 execve(\"/usr/sbin/nginx2\", [\"nginx\"], 0x7 /* 9 vars */) = 0\n",
         "role 1 main;7 execve 1/0;7 mark 1 zone 1 /usr/sbin/nginx2 0:0;role 2 nginx;end 7;"},
        {"7 1.1 clone(child_stack=NULL) = 8\n8 1.2 getpid() = 8\n7 1.3 +++ exited with 0 +++\n",
         "role 1 main;7 clone 1/0;role 2 main+;8 getpid 1/0;end 7;end 8;"},
        {"7 1.1 read(3,  <unfinished ...>\n8 1.2 getpid() = 8\n7 1.3 <... read resumed>\"x = 1\", 10) = 5\n",
         "role 1 main;8 getpid 1/0;7 read 1/0;end 7;end 8;"},
        {"7 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr(\"10.0.0.9\")}, 16) = -1 "
         "EINPROGRESS (Operation now in progress)\n",
         "role 1 main;7 connect 1/12;7 mark 3 zone 13  2:443;end 7;"},
        {"7 1.1 exit_group(0) = ?\n7 1.2 +++ exited with 0 +++\n", "role 1 main;7 exit_group 0/0;end 7;"},
        {"7 1.1 unlink(\"/tmp/x\") = 0\n7 1.2 unlink(\"/usr/bin/x\") = 0\n",
         "role 1 main;7 unlink 1/0;7 unlink 1/0;7 mark 16 zone 1 /usr/bin/x 0:0;end 7;"},
        {"7 1.1 chmod(\"/tmp/x\", 04755) = 0\n7 1.2 chmod(\"/tmp/y\", 0755) = 0\n",
         "role 1 main;7 chmod 1/0;7 mark 15 zone 7 /tmp/x 0:0;7 chmod 1/0;end 7;"},
        {"7 1.1 openat(AT_FDCWD, \"a\\\"b\\303\\274\\n\", O_WRONLY|O_CREAT, 0644) = 3",
         "role 1 main;7 openat 1/3;7 mark 2 zone 13 a\"b\xc3\xbc\n 0:0;end 7;"},
        {"7 1.1 --- SIGCHLD {si_signo=SIGCHLD} ---\n", "role 1 main;end 7;"},
        {"7 1.1 frobnicate(1) = 0\n", "role 1 main;7 ? 1/0;end 7;"},
        {"strace: Process 12 attached\nnonsense\n\n7 1.1 (((= = =\n7 1.1 read( = \n", "role 1 main;end 7;"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t piece = 1; piece < 200; piece += 61) {
            struct got got;
            struct km_import_stats stats;
            struct km_err err = KM_ERR_INIT;
            assert_ok(run(KM_IMPORT_STRACE, rows[i].log, piece, &got, &stats, &err), err);
            assert_string_equal(got.text, rows[i].events);
        }
}

static void skipped_lines_and_unknown_names_are_counted(void **state)
{
    (void)state;
    struct got got;
    struct km_import_stats stats;
    struct km_err err = KM_ERR_INIT;
    assert_ok(run(KM_IMPORT_STRACE, "what\n7 1.1 frobnicate(1) = 0\n7 1.2 <... read resumed>) = 1\n", 1000, &got,
                  &stats, &err),
              err);
    assert_int_equal(stats.lines, 3);
    assert_int_equal(stats.skipped, 2);
    assert_int_equal(stats.unknown, 1);
    assert_int_equal(stats.calls, 1);
}

static void tsv_gives_a_thread_a_line(void **state)
{
    (void)state;
    struct got got;
    struct km_import_stats stats;
    struct km_err err = KM_ERR_INIT;
    assert_ok(run(KM_IMPORT_TSV, "a\tnormal\t1 2 999\nb\tattack\t3", 3, &got, &stats, &err), err);
    assert_string_equal(got.text, "role 1 trace;1 ? 0/0;1 ? 0/0;1 ? 0/0;end 1;2 ? 0/0;end 2;");
    assert_int_equal(stats.calls, 4);
}

static void broken_tsv_names_its_line(void **state)
{
    (void)state;
    static const char *const rows[] = {"a\tb\t1\na b c\n", "a\tb\t1\na\tb\t1 x\n", "a\tb\t1\na\tb\t1,2\n",
                                       "a\tb\t1\na\tb\t99999999999999999999\n", "a\tb\t1\na\tb\t-1\n"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct got got;
        struct km_import_stats stats;
        struct km_err err = KM_ERR_INIT;
        assert_int_equal(run(KM_IMPORT_TSV, rows[i], 7, &got, &stats, &err), KM_FORMAT);
        assert_non_null(strstr(err.text, "line 2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strace_table),
        cmocka_unit_test(skipped_lines_and_unknown_names_are_counted),
        cmocka_unit_test(tsv_gives_a_thread_a_line),
        cmocka_unit_test(broken_tsv_names_its_line),
    };
    return KM_RUN_TESTS(tests);
}
