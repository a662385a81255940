/*
 * The probe in the running kernel: what is hostile, broken or refused. Each is one clear line or a count, never a crash
 * and never a silence that looks like quiet.
 */
#define KM_TEST_NAME "probe-bad-input"
#include "probe_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define CHILD_SKIP 77

/* Runs `check` in a child, which may change what it likes: 0 passes, CHILD_SKIP skips. */
static void in_child(int (*check)(void), const char *skipped)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(check());
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIP) {
        print_message("skipped: %s\n", skipped);
        skip();
    }
    assert_int_equal(status, 0);
}

static bool one_line(const char *text, const char *word)
{
    return text[0] && !strchr(text, '\n') && strstr(text, word);
}

/* ---- refused ---- */

static int open_as_nobody(void)
{
    if (geteuid() != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        return CHILD_SKIP;
    struct km_probe *probe = km_probe_open(NULL, &err);
    return !probe && err.code == KM_DENIED && one_line(err.text, "CAP_BPF") ? 0 : 1;
}

/* root without the rights: what a hardened unit may leave. */
static int open_without_rights(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {0};
    if (geteuid() != 0 || syscall(SYS_capset, &header, sets) != 0)
        return CHILD_SKIP;
    struct km_probe *probe = km_probe_open(NULL, &err);
    return !probe && err.code == KM_DENIED && one_line(err.text, "CAP_BPF") ? 0 : 1;
}

static bool hide(const char *path)
{
    return mount("none", path, "tmpfs", 0, NULL) == 0;
}

static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static int open_without_btf(void)
{
    if (!own_mounts() || !hide("/sys/kernel/btf") || (access("/boot", F_OK) == 0 && !hide("/boot")) ||
        (access("/lib/modules", F_OK) == 0 && !hide("/lib/modules")))
        return CHILD_SKIP;
    struct km_probe *probe = km_probe_open(NULL, &err);
    return !probe && err.code == KM_UNSUPPORTED && one_line(err.text, "BTF") ? 0 : 1;
}

static void refusals_are_one_clear_line(void **state)
{
    (void)state;
    in_child(open_as_nobody, "needs root to drop its rights");
    in_child(open_without_rights, "needs root to drop its rights");
    in_child(open_without_btf, "needs to mount over /sys/kernel/btf");
}

static void do_open_shadow(void)
{
    int fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

/* Without tracefs the outcomes come from every exit. */
static int guard_without_tracefs(void)
{
    if (!own_mounts() || !hide("/sys/kernel/tracing") ||
        (access("/sys/kernel/debug", F_OK) == 0 && !hide("/sys/kernel/debug")))
        return CHILD_SKIP;
    struct km_probe *probe = km_probe_open(NULL, &err);
    if (!probe)
        return err.code == KM_DENIED || err.code == KM_UNSUPPORTED ? CHILD_SKIP : 1;
    struct km_probe_status status;
    struct subject subject;
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    km_probe_get_status(probe, &status);
    subject_do(&subject, do_open_shadow);
    poll_once(probe);
    bool good = !status.single_exits && status.exit_attached && heard.landmarks[KM_LANDMARK_OPEN] == 1 &&
                heard.last[KM_LANDMARK_OPEN].outcome != KM_OUTCOME_UNKNOWN;
    subject_stop(&subject);
    km_probe_close(probe);
    return good ? 0 : 1;
}

static void without_tracefs_outcomes_are_still_taken(void **state)
{
    (void)state;
    in_child(guard_without_tracefs, "needs to mount over tracefs, and BPF");
}

/* ---- clocks ---- */

static int guard_in_another_time(void)
{
    static const char later[] = "monotonic 864000 5\n";
    int fd = -1;
    if (unshare(CLONE_NEWTIME) != 0 || (fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC)) < 0 ||
        write(fd, later, sizeof later - 1) != (ssize_t)sizeof later - 1 || close(fd) != 0)
        return CHILD_SKIP;
    pid_t child = fork(); /* the first one in it */
    if (child == 0) {
        int64_t before = km_clock_monotonic_ns();
        struct km_probe *probe = km_probe_open(NULL, &err);
        if (!probe)
            _exit(err.code == KM_DENIED || err.code == KM_UNSUPPORTED ? CHILD_SKIP : 1);
        struct subject subject;
        subject_start(&subject);
        (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
        subject_do(&subject, do_open_shadow);
        poll_once(probe);
        size_t first = heard.landmarks[KM_LANDMARK_OPEN];
        subject_do(&subject, do_open_shadow);
        poll_once(probe);
        size_t again = heard.landmarks[KM_LANDMARK_OPEN];
        if (km_probe_replace_known(probe, NULL, 0, &err) != KM_OK)
            _exit(1);
        subject_do(&subject, do_open_shadow);
        poll_once(probe);
        size_t retold = heard.landmarks[KM_LANDMARK_OPEN];
        bool within = before > 864000 * KM_NS_PER_S && heard.earliest_ns >= (uint64_t)before &&
                      heard.latest_ns <= (uint64_t)km_clock_monotonic_ns();
        subject_stop(&subject);
        km_probe_close(probe);
        _exit(within && first == 1 && again == 1 && retold == 2 ? 0 : 1);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 1;
    return WEXITSTATUS(status);
}

static void times_are_of_the_callers_clock(void **state)
{
    (void)state;
    in_child(guard_in_another_time, "needs a time namespace, and BPF");
}

/* ---- many at once ---- */

#define CHILDREN 1000

static pid_t children[CHILDREN];
static int hold[2];

static void do_living_children(void)
{
    if (pipe2(hold, O_CLOEXEC) != 0)
        return;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char byte;
            close(hold[1]);
            prctl(PR_SET_NAME, i % 2 ? "a\tb\033[31m" : "\n\001\177x");
            _exit((int)read(hold[0], &byte, 1));
        }
    }
}

static void do_end_children(void)
{
    close(hold[0]);
    close(hold[1]);
    while (wait(NULL) > 0)
        ;
}

static void a_thousand_children_live_at_once(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_living_children);
    assert_int_equal(km_probe_threads(probe, daemon), CHILDREN + 1);
    poll_once(probe);
    subject_do(&subject, do_end_children);
    poll_once(probe);
    struct km_probe_counters counters = counters_of(probe, daemon);
    assert_int_equal(counters.lost_records + counters.lost_calls + counters.storage_failed + counters.roles_full, 0);
    assert_int_equal(heard.by_kind[KM_EVENT_END], CHILDREN);
    assert_int_equal(heard.outcomes[SYS_exit_group][KM_OUTCOME_UNKNOWN], CHILDREN);
    assert_int_equal(heard.roles, 4); /* the main process, its child, and both names */
    assert_int_equal(heard.unordered, 0);
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    subject_stop(&subject);
    km_probe_close(probe);
}

#define THREADS 100

static void *wait_forever(void *none)
{
    (void)syscall(SYS_gettid); /* known to the probe from here on */
    for (;;)
        (void)pause();
    return none;
}

static void do_threads_that_stay(void)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, wait_forever, NULL) == 0)
            (void)pthread_detach(thread);
    }
}

static void threads_that_are_killed_together_are_counted_out(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_threads_that_stay);
    assert_int_equal(km_probe_threads(probe, daemon), THREADS + 1);
    assert_int_equal(kill(subject.pid, SIGKILL), 0);
    subject_stop(&subject); /* the process is gone when all its threads are */
    poll_once(probe);
    assert_int_equal(km_probe_threads(probe, daemon), 0);
    /* A thread that was ended before its first call has nothing to tell. */
    assert_in_range(heard.by_kind[KM_EVENT_END], 1, THREADS + 1);
    assert_int_equal(heard.by_kind[KM_EVENT_END], heard.by_kind[KM_EVENT_THREAD]);
    assert_int_equal(heard.unordered, 0);
    assert_int_equal(counters_of(probe, daemon).lost_records, 0);
    km_probe_close(probe);
}

/* ---- a full ring ---- */

static void do_many_children(void)
{
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        if (child == 0) {
            (void)syscall(SYS_setfsuid, 0); /* told always */
            _exit(0);
        }
        (void)waitpid(child, NULL, 0);
    }
}

static void do_few_calls(void)
{
    for (int i = 0; i < 32; i++)
        (void)syscall(SYS_getppid);
}

static void a_full_ring_loses_no_order_and_recovers(void **state)
{
    (void)state;
    struct km_probe_options options = {.ring_bytes = 4096};
    struct km_probe *probe = open_or_skip(&options);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_many_children); /* nobody reads */
    struct km_probe_counters counters = counters_of(probe, daemon);
    assert_true(counters.lost_records > 300);
    assert_true(counters.lost_calls > 300);
    poll_once(probe);
    assert_int_equal(heard.losses, counters.lost_records + counters.lost_calls);
    assert_int_equal(heard.by_kind[KM_EVENT_CALL], counters.calls);
    assert_int_equal(heard.unordered, 0);
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    forget();
    for (int i = 0; i < 20; i++) {
        subject_do(&subject, do_few_calls);
        poll_once(probe);
    }
    assert_true(heard.calls[0][SYS_getppid] >= 20 * 32 - 16);
    struct km_probe_counters after = counters_of(probe, daemon);
    assert_int_equal(after.lost_calls, counters.lost_calls);
    subject_stop(&subject);
    km_probe_close(probe);
}

/* ---- arguments ---- */

static void do_bad_pointers(void)
{
    void *wild[] = {NULL, (void *)8, (void *)-1L, (void *)(1L << 62), (void *)0xffffffff81000000UL};
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        (void)syscall(SYS_open, wild[i], O_RDONLY);
        (void)syscall(SYS_openat, 0x7fffffff, wild[i], O_WRONLY);
        (void)syscall(SYS_openat2, -2, wild[i], wild[i], 24);
        (void)syscall(SYS_execve, wild[i], wild[i], wild[i]);
        (void)syscall(SYS_renameat, -7, wild[i], -8, wild[i]);
        (void)syscall(SYS_connect, 1 << 30, wild[i], 0x7fffffff);
        (void)syscall(SYS_bind, -1, wild[i], -1);
        (void)syscall(SYS_capset, wild[i], wild[i]);
        (void)syscall(SYS_clone3, wild[i], 88);
        (void)syscall(SYS_chdir, wild[i]);
        (void)syscall(SYS_mmap, 0, 4096, 5, 2, 1 << 30, 0);
    }
    (void)open("", O_RDONLY | O_CLOEXEC);
    (void)openat(0, "relative to a pipe", O_RDONLY | O_CLOEXEC);
}

static void do_long_exec(void)
{
    static char big[100000];
    char *const arguments[] = {big, NULL};
    memset(big, '\n', sizeof big - 1);
    pid_t child = fork();
    if (child == 0) {
        (void)execve("/bin/true", arguments, NULL);
        _exit(1);
    }
    (void)waitpid(child, NULL, 0);
}

static void do_long_path(void)
{
    static char path[4000];
    memset(path, '/', sizeof path);
    (void)snprintf(path + 3000, sizeof path - 3000, "etc/komainu-nonexistent");
    (void)open(path, O_WRONLY | O_CLOEXEC);
    (void)snprintf(path + 3000, sizeof path - 3000, "etc/passwd");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

static void arguments_that_cannot_be_read_are_told_as_such(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    subject_do(&subject, do_bad_pointers);
    poll_once(probe);
    assert_true(counters_of(probe, daemon).unread >= 5);
    check_landmark(KM_LANDMARK_EXEC, "", KM_OUTCOME_ERROR);
    check_landmark(KM_LANDMARK_BIND, NULL, KM_OUTCOME_ERROR);
    assert_int_equal(counters_of(probe, daemon).lost_records, 0);
    forget();
    subject_do(&subject, do_long_exec);
    poll_once(probe);
    check_landmark(KM_LANDMARK_EXEC, "/bin/true", KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_EXEC].path2.length, KM_PROBE_PATH_BYTES - 1);
    /* A path whose end does not fit is told with where it led. */
    forget();
    subject_do(&subject, do_long_path);
    poll_once(probe);
    check_landmark(KM_LANDMARK_OPEN, NULL, KM_OUTCOME_OK);
    assert_string_equal(heard.path2[KM_LANDMARK_OPEN], "/etc/passwd");
    subject_stop(&subject);
    km_probe_close(probe);
}

/* ---- a cgroup that vanishes ---- */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool make_group(char *root, char *path, size_t bytes)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, bytes, "%s/cgroup.procs", roots[i]);
        (void)snprintf(root, bytes, "%s", roots[i]);
        if (access(path, W_OK) != 0)
            continue;
        (void)snprintf(path, bytes, "%s/komainu-vanish-%d", roots[i], (int)getpid());
        return mkdir(path, 0755) == 0;
    }
    return false;
}

static void a_cgroup_that_vanishes_is_waited_for(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    char root[200], group[200], procs[256], pid[24];
    if (!make_group(root, group, sizeof group)) {
        km_probe_close(probe);
        print_message("skipped: no writable cgroup v2 hierarchy\n");
        skip();
    }
    unsigned daemon = 0, other = 0;
    const char *name = group + strlen(root);
    struct subject subject;
    subject_start(&subject);
    (void)snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
    (void)snprintf(pid, sizeof pid, "%d", (int)subject.pid);
    assert_true(write_text(procs, pid));
    assert_ok(km_probe_guard(probe, KM_PROBE_SCOPE_CGROUP, name, KM_PROBE_LEARN, &daemon, &err), err);
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    /* It moves out and the cgroup goes: whoever was guarded stays so. */
    (void)snprintf(procs, sizeof procs, "%s/cgroup.procs", root);
    assert_true(write_text(procs, pid));
    assert_int_equal(rmdir(group), 0);
    subject_do(&subject, do_few_calls);
    poll_once(probe);
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    assert_true(heard.calls[0][SYS_getppid] >= 16);
    subject_stop(&subject);
    poll_once(probe);
    assert_int_equal(km_probe_threads(probe, daemon), 0);
    assert_int_equal(heard.by_kind[KM_EVENT_END], 1);
    /* Guarded again by a name that is not there now, it is the same daemon; its next processes are followed. */
    assert_ok(km_probe_unguard(probe, daemon, &err), err);
    assert_ok(km_probe_guard(probe, KM_PROBE_SCOPE_CGROUP, name, KM_PROBE_LEARN, &other, &err), err);
    assert_int_equal(other, daemon);
    assert_int_equal(km_probe_threads(probe, daemon), 0);
    forget();
    subject_start(&subject);
    (void)snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
    (void)snprintf(pid, sizeof pid, "%d", (int)subject.pid);
    assert_int_equal(mkdir(group, 0755), 0);
    assert_true(write_text(procs, pid));
    poll_once(probe); /* finds what moved in */
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    subject_stop(&subject);
    poll_once(probe);
    assert_int_equal(heard.by_kind[KM_EVENT_END], 1);
    assert_int_equal(rmdir(group), 0);
    km_probe_close(probe);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_are_one_clear_line),
        cmocka_unit_test(without_tracefs_outcomes_are_still_taken),
        cmocka_unit_test(times_are_of_the_callers_clock),
        cmocka_unit_test(a_thousand_children_live_at_once),
        cmocka_unit_test(threads_that_are_killed_together_are_counted_out),
        cmocka_unit_test(a_full_ring_loses_no_order_and_recovers),
        cmocka_unit_test(arguments_that_cannot_be_read_are_told_as_such),
        cmocka_unit_test(a_cgroup_that_vanishes_is_waited_for),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return KM_RUN_TESTS(tests);
}
