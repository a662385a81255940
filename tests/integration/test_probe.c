/*
 * The probe in the running kernel: what it tells. probe_stage.h says how.
 */
#define KM_TEST_NAME "probe-kernel"
#include "probe_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- actions ---- */

static void do_mixed_calls(void)
{
    for (int i = 0; i < 10; i++)
        (void)syscall(SYS_getppid);
    (void)open("/nonexistent/komainu", O_RDONLY | O_CLOEXEC);
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    char byte;
    (void)!read(fd, &byte, 1);
    close(fd);
    (void)syscall(600);
}

static void learning_streams_every_call(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    subject_do(&subject, do_mixed_calls);
    subject_stop(&subject);
    poll_once(probe);
    assert_int_equal(heard.calls[0][SYS_getppid], 10);
    assert_int_equal(heard.outcomes[SYS_getppid][KM_OUTCOME_OK], 10);
    assert_int_equal(heard.calls[0][SYS_openat], 2);
    assert_int_equal(heard.outcomes[SYS_openat][KM_OUTCOME_ERROR], 1);
    assert_int_equal(heard.outcomes[SYS_openat][KM_OUTCOME_OK], 1);
    assert_int_equal(heard.last_arg[SYS_openat], KM_ARGC_READ);
    assert_int_equal(heard.calls[0][KM_CALL_OTHER], 1);
    assert_int_equal(heard.calls[0][SYS_exit_group], 1);
    assert_int_equal(heard.last_arg[SYS_write], KM_ARGC_PIPE);
    assert_int_equal(heard.by_kind[KM_EVENT_THREAD], 1);
    assert_int_equal(heard.by_kind[KM_EVENT_END], 1);
    assert_int_equal(heard.by_kind[KM_EVENT_WINDOW], 0);
    assert_int_equal(heard.streams_started, 1);
    assert_int_equal(heard.unordered, 0);
    assert_int_equal(km_probe_threads(probe, daemon), 0);
    struct km_probe_counters counters = counters_of(probe, daemon);
    assert_int_equal(counters.lost_records + counters.lost_calls, 0);
    assert_int_equal(counters.calls, heard.by_kind[KM_EVENT_CALL]);
    km_probe_close(probe);
}

static void do_strange_calls(void)
{
    for (int i = 0; i < 3; i++) {
        (void)syscall(SYS_getuid);
        (void)syscall(SYS_getgid);
        (void)syscall(SYS_getegid);
    }
}

static void filter_tells_each_unknown_window_once(void **state)
{
    (void)state;
    static const struct km_episode_rule never = {.max_calls = 0};
    struct km_probe_options options = {.rule = &never};
    struct km_probe *probe = open_or_skip(&options);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    for (int i = 0; i < 8; i++)
        subject_do(&subject, do_nothing);
    poll_once(probe);
    /* read, write, read …: two windows, once each, whatever the number of repetitions */
    assert_int_equal(heard.window_count, 2);
    assert_true(counters_of(probe, daemon).repeated > 0);
    assert_ok(km_probe_replace_known(probe, heard.windows, heard.window_count, &err), err);
    uint64_t repeated = counters_of(probe, daemon).repeated;
    forget();
    for (int i = 0; i < 8; i++)
        subject_do(&subject, do_nothing);
    poll_once(probe);
    assert_int_equal(heard.window_count, 0);
    assert_int_equal(counters_of(probe, daemon).repeated, repeated);
    subject_do(&subject, do_strange_calls);
    poll_once(probe);
    assert_true(heard.window_count >= 5);
    assert_int_equal(heard.by_kind[KM_EVENT_CALL], 0);
    subject_stop(&subject);
    km_probe_close(probe);
}

static void misses_escalate_to_a_full_stream(void **state)
{
    (void)state;
    static const struct km_episode_rule rule = {.escalate_misses = 6, .escalate_calls = 50};
    struct km_probe_options options = {.rule = &rule};
    struct km_probe *probe = open_or_skip(&options);
    struct subject subject;
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    for (int i = 0; i < 4; i++) /* both windows of the pair of calls */
        subject_do(&subject, do_nothing);
    poll_once(probe);
    assert_ok(km_probe_replace_known(probe, heard.windows, heard.window_count, &err), err);
    assert_int_equal(heard.streams_started, 0);
    subject_do(&subject, do_strange_calls);
    poll_once(probe);
    struct km_probe_status status;
    km_probe_get_status(probe, &status);
    assert_int_equal(heard.streams_started, 1);
    assert_true(status.exit_attached);
    for (int i = 0; i < 60; i++)
        subject_do(&subject, do_nothing);
    poll_once(probe);
    poll_once(probe);
    /* 50 calls counted from the one that escalated, then silence and no exit tracepoint. */
    assert_in_range(heard.by_kind[KM_EVENT_CALL], 40, 50);
    assert_int_equal(heard.by_kind[KM_EVENT_STREAM], 2);
    km_probe_get_status(probe, &status);
    assert_true(!status.exit_attached || !status.single_exits);
    subject_stop(&subject);
    km_probe_close(probe);
}

/* ---- landmarks ---- */

static char workdir[] = "/tmp/komainu-probe-XXXXXX";

static void do_files(void)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s/a", workdir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    (void)open("/etc/komainu-nonexistent/passwd", O_WRONLY | O_CLOEXEC);
    fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    (void)chmod(path, 04755);
    (void)unlink("/etc/komainu-nonexistent");
    (void)rename("/etc/komainu-nonexistent", "/etc/komainu-nothing");
}

static void do_network(void)
{
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    (void)bind(server, (struct sockaddr *)&address, sizeof address);
    (void)listen(server, 5);
    (void)getsockname(server, (struct sockaddr *)&address, &length);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)connect(client, (struct sockaddr *)&address, sizeof address);
    int accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    close(accepted);
    close(client);
    close(server);
}

static void do_unix_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/komainu.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
}

static void do_rights(void)
{
    (void)syscall(SYS_setgid, getgid());
    (void)unshare(CLONE_NEWUTS);
    struct {
        unsigned version;
        int pid;
    } header = {0x20080522, 0};
    unsigned data[6] = {0};
    (void)syscall(SYS_capget, &header, data);
    (void)syscall(SYS_capset, &header, data);
}

static void do_memory(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)mprotect(page, 4096, PROT_READ | PROT_EXEC);
    (void)munmap(page, 4096);
    int fd = memfd_create("komainu\x1b[2Jname", MFD_CLOEXEC);
    close(fd);
}

static void do_processes(void)
{
    (void)ptrace(PTRACE_ATTACH, -1, 0, 0);
    (void)kill(1, SIGCONT);
    (void)syscall(SYS_delete_module, "komainu_nonexistent", O_NONBLOCK);
}

static void do_exec(void)
{
    pid_t child = fork();
    if (child == 0) {
        (void)execl("/nonexistent/program", "program", (char *)NULL);
        (void)execl("/bin/true", "true", "one",
                    "tw\x1b"
                    "o",
                    (char *)NULL);
        _exit(1);
    }
    (void)waitpid(child, NULL, 0);
}

static void landmarks_carry_what_happened(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    assert_non_null(mkdtemp(workdir));
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);

    subject_do(&subject, do_files);
    poll_once(probe);
    assert_int_equal(heard.landmarks[KM_LANDMARK_OPEN], 3);
    check_landmark(KM_LANDMARK_OPEN, "/etc/shadow", KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_OPEN].zone, KM_ZONE_SENSITIVE);
    check_landmark(KM_LANDMARK_SETUID_BIT, NULL, KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_SETUID_BIT].value, 04755);
    check_landmark(KM_LANDMARK_UNLINK, "/etc/komainu-nonexistent", KM_OUTCOME_ERROR);
    check_landmark(KM_LANDMARK_RENAME, "/etc/komainu-nonexistent", KM_OUTCOME_ERROR);
    assert_string_equal(heard.path2[KM_LANDMARK_RENAME], "/etc/komainu-nothing");

    subject_do(&subject, do_network);
    poll_once(probe);
    check_landmark(KM_LANDMARK_BIND, NULL, KM_OUTCOME_OK);
    check_landmark(KM_LANDMARK_LISTEN, NULL, KM_OUTCOME_OK);
    check_landmark(KM_LANDMARK_CONNECT, NULL, KM_OUTCOME_OK);
    check_landmark(KM_LANDMARK_ACCEPT, NULL, KM_OUTCOME_OK);
    const struct km_address *to = &heard.last[KM_LANDMARK_CONNECT].address;
    const struct km_address *at = &heard.last[KM_LANDMARK_LISTEN].address;
    assert_int_equal(to->family, AF_INET);
    assert_int_equal(to->length, 4);
    assert_memory_equal(to->bytes, "\x7f\0\0\1", 4);
    assert_int_equal(at->port, to->port);
    assert_true(to->port != 0);
    assert_memory_equal(heard.last[KM_LANDMARK_ACCEPT].address.bytes, "\x7f\0\0\1", 4);

    subject_do(&subject, do_unix_connect);
    poll_once(probe);
    check_landmark(KM_LANDMARK_CONNECT, NULL, KM_OUTCOME_ERROR);
    assert_int_equal(heard.last[KM_LANDMARK_CONNECT].address.family, AF_UNIX);
    assert_memory_equal(heard.last[KM_LANDMARK_CONNECT].address.bytes, "/nonexistent/komainu.sock", 25);
    assert_int_equal(heard.last[KM_LANDMARK_CONNECT].address.length, 25);

    subject_do(&subject, do_rights);
    poll_once(probe);
    check_landmark(KM_LANDMARK_IDENTITY, NULL, KM_OUTCOME_OK);
    check_landmark(KM_LANDMARK_NAMESPACE, NULL, KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_NAMESPACE].value, CLONE_NEWUTS);
    check_landmark(KM_LANDMARK_CAPABILITY, NULL, KM_OUTCOME_OK);
    assert_true(heard.last[KM_LANDMARK_CAPABILITY].value != 0);

    subject_do(&subject, do_memory);
    poll_once(probe);
    check_landmark(KM_LANDMARK_EXEC_MEMORY, "", KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_EXEC_MEMORY].flags, PROT_READ | PROT_EXEC);
    check_landmark(KM_LANDMARK_MEMFD, "komainu\x1b[2Jname", KM_OUTCOME_OK);

    subject_do(&subject, do_processes);
    poll_once(probe);
    check_landmark(KM_LANDMARK_PTRACE, NULL, KM_OUTCOME_ERROR);
    check_landmark(KM_LANDMARK_KILL, NULL, KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_KILL].peer_tid, 1);
    check_landmark(KM_LANDMARK_MODULE, "komainu_nonexistent", KM_OUTCOME_ERROR);

    forget();
    subject_do(&subject, do_exec);
    poll_once(probe);
    assert_int_equal(heard.landmarks[KM_LANDMARK_EXEC], 2);
    check_landmark(KM_LANDMARK_EXEC, "/bin/true", KM_OUTCOME_OK);
    assert_int_equal(heard.last[KM_LANDMARK_EXEC].path2.length, sizeof "true\0one\0tw\x1bo");
    assert_true(heard.last[KM_LANDMARK_EXEC].digest != 0);
    subject_stop(&subject);
    assert_int_equal(heard.unordered, 0);
    km_probe_close(probe);
    char path[64];
    (void)snprintf(path, sizeof path, "%s/a", workdir);
    (void)unlink(path);
    (void)rmdir(workdir);
}

static char outside[] = "/tmp/komainu-probe-XXXXXX";

static void do_links(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/link", outside);
    if (symlink("/etc/passwd", path) != 0)
        return;
    (void)open(path, O_RDONLY | O_CLOEXEC);
    (void)unlink(path);
}

static void do_directory(void)
{
    if (chdir("/usr/share") != 0)
        return;
    (void)open("/usr/share/../share/doc", O_RDONLY | O_CLOEXEC); /* by its own name */
}

static void links_and_directories_are_told(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    assert_non_null(mkdtemp(outside));
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    subject_do(&subject, do_links);
    poll_once(probe);
    assert_int_equal(heard.landmarks[KM_LANDMARK_OPEN], 2); /* the folder is new, and the link leads elsewhere */
    assert_string_equal(heard.path2[KM_LANDMARK_OPEN], "/etc/passwd");
    assert_memory_equal(heard.last[KM_LANDMARK_OPEN].path.data, outside, strlen(outside));
    subject_do(&subject, do_directory);
    poll_once(probe);
    assert_int_equal(heard.landmarks[KM_LANDMARK_OPEN], 4);
    assert_string_equal(heard.path2[KM_LANDMARK_OPEN], "");
    subject_stop(&subject);
    km_probe_close(probe);
    (void)rmdir(outside);
}

/* ---- where a relative path is ---- */

static char place[] = "/tmp/komainu-probe-XXXXXX";

static void do_relative_open(void)
{
    if (chdir("/etc") == 0)
        (void)open("komainu-nonexistent", O_WRONLY | O_CLOEXEC);
}

static void do_open_at(void)
{
    int at = open("/usr/share", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(at, "./doc/../../..//etc/shadow", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    close(at);
}

static void do_climb(void)
{
    if (chdir("/usr/share/doc") == 0)
        (void)open("../../lib/komainu-nonexistent", O_WRONLY | O_CLOEXEC);
}

static void do_climb_absolutely(void)
{
    (void)open("/tmp/../boot/./komainu-nonexistent", O_WRONLY | O_CLOEXEC);
}

static void do_open_in_root(void)
{
    uint64_t how[3] = {O_RDONLY | O_CLOEXEC, 0, 0x10}; /* RESOLVE_IN_ROOT */
    int at = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = (int)syscall(SYS_openat2, at, "/shadow", how, sizeof how);
    if (fd >= 0)
        close(fd);
    close(at);
}

static void do_relative_unlink(void)
{
    int at = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)unlinkat(at, "komainu-unlinked", 0);
    (void)renameat(at, "komainu-from", at, "cron.d/../komainu-to");
    close(at);
}

/* A file system of its own, mounted in the place; where that is not allowed, nothing happens. */
static void do_mount(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/mounted", place);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mkdir(path, 0700) != 0 ||
        mount("none", path, "tmpfs", 0, NULL) != 0 || chdir(path) != 0 || mkdir("inner", 0700) != 0 ||
        chdir("inner") != 0)
        return;
    int fd = open("new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
}

/* By its own path, which is no link though the directory is the root of a mount. */
static void do_open_mounted(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/mounted/file", place);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
}

static void do_link_to_mounted(void)
{
    char path[96];
    char link[96];
    (void)snprintf(path, sizeof path, "%s/mounted", place);
    (void)snprintf(link, sizeof link, "%s/link", place);
    if (symlink(path, link) != 0)
        return;
    (void)snprintf(path, sizeof path, "%s/link/file", place);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    (void)unlink(link);
}

static void do_relative_exec(void)
{
    pid_t child = fork();
    if (child == 0) {
        if (chdir("/usr/bin") == 0)
            (void)execl("./true", "true", (char *)NULL);
        _exit(1);
    }
    (void)waitpid(child, NULL, 0);
}

static void do_chroot(void)
{
    if (chroot(place) != 0 || chdir("/mounted/inner") != 0)
        return;
    int fd = open("other/../inside", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
}

static void do_deep(void)
{
    if (chdir("/tmp") != 0)
        return;
    for (int i = 0; i < 70; i++)
        if (mkdir("komainu-deep", 0700) != 0 || chdir("komainu-deep") != 0)
            return;
    (void)open("unresolved", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 70; i++)
        if (chdir("..") != 0 || rmdir("komainu-deep") != 0)
            return;
}

static void expect_open(struct km_probe *probe, const struct subject *subject, action *todo, const char *path,
                        enum km_zone zone)
{
    forget();
    assert_ok(km_probe_replace_known(probe, NULL, 0, &err), err); /* what was told is told again */
    subject_do(subject, todo);
    poll_once(probe);
    if (heard.landmarks[KM_LANDMARK_OPEN] == 0)
        fail_msg("no landmark for %s", path);
    assert_string_equal(heard.path[KM_LANDMARK_OPEN], path);
    assert_string_equal(heard.path2[KM_LANDMARK_OPEN], "");
    assert_int_equal(heard.last[KM_LANDMARK_OPEN].zone, zone);
}

static void a_relative_path_is_told_where_it_is(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    char path[128];
    assert_non_null(mkdtemp(place));
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    expect_open(probe, &subject, do_relative_open, "/etc/komainu-nonexistent", KM_ZONE_CONFIG);
    expect_open(probe, &subject, do_open_at, "/etc/shadow", KM_ZONE_SENSITIVE);
    expect_open(probe, &subject, do_climb, "/usr/lib/komainu-nonexistent", KM_ZONE_SYSTEM);
    expect_open(probe, &subject, do_climb_absolutely, "/boot/komainu-nonexistent", KM_ZONE_SYSTEM);
    expect_open(probe, &subject, do_open_in_root, "/etc/shadow", KM_ZONE_SENSITIVE);
    subject_do(&subject, do_relative_unlink);
    poll_once(probe);
    check_landmark(KM_LANDMARK_UNLINK, "/etc/komainu-unlinked", KM_OUTCOME_ERROR);
    check_landmark(KM_LANDMARK_RENAME, "/etc/komainu-from", KM_OUTCOME_ERROR);
    assert_string_equal(heard.path2[KM_LANDMARK_RENAME], "/etc/komainu-to");
    subject_do(&subject, do_relative_exec);
    poll_once(probe);
    check_landmark(KM_LANDMARK_EXEC, "/usr/bin/true", KM_OUTCOME_OK);
    /* A directory that cannot be walked leaves the path as it was. */
    expect_open(probe, &subject, do_deep, "..", KM_ZONE_RELATIVE);
    subject_stop(&subject);
    km_probe_close(probe);
    (void)snprintf(path, sizeof path, "%s", place);
    (void)rmdir(path);
}

static void mounts_and_roots_are_walked(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    char path[128];
    (void)snprintf(place, sizeof place, "/tmp/komainu-probe-XXXXXX");
    assert_non_null(mkdtemp(place));
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    subject_do(&subject, do_mount);
    poll_once(probe);
    if (heard.landmarks[KM_LANDMARK_MOUNT] == 0 || heard.last[KM_LANDMARK_MOUNT].outcome != KM_OUTCOME_OK) {
        subject_stop(&subject);
        km_probe_close(probe);
        print_message("skipped: mounting is not allowed here\n");
        skip();
    }
    (void)snprintf(path, sizeof path, "%s/mounted/inner/new", place);
    check_landmark(KM_LANDMARK_OPEN, path, KM_OUTCOME_OK);
    (void)snprintf(path, sizeof path, "%s/mounted/file", place);
    expect_open(probe, &subject, do_open_mounted, path, KM_ZONE_TEMP);
    subject_do(&subject, do_link_to_mounted);
    poll_once(probe);
    assert_string_equal(heard.path2[KM_LANDMARK_OPEN], path);
    expect_open(probe, &subject, do_chroot, "/mounted/inner/inside", KM_ZONE_OTHER);
    subject_stop(&subject);
    km_probe_close(probe);
    (void)snprintf(path, sizeof path, "%s/mounted", place);
    (void)rmdir(path);
    (void)rmdir(place);
}

/* Signals a child that ended and waits for it afterwards. */
static void do_signal_dead_child(void)
{
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    (void)waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    (void)kill(child, SIGUSR1);
    (void)waitpid(child, NULL, 0);
}

static void a_dead_child_is_not_foreign(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    subject_do(&subject, do_signal_dead_child);
    poll_once(probe);
    assert_int_equal(heard.landmarks[KM_LANDMARK_KILL], 0);
    subject_stop(&subject);
    km_probe_close(probe);
}

static void do_entities(void)
{
    do_links();
    do_directory();
    do_network();
    do_unix_connect();
    (void)open("/etc/komainu-nonexistent/passwd", O_WRONLY | O_CLOEXEC);
    (void)open("/usr/share/doc/komainu/nonexistent", O_RDONLY | O_CLOEXEC);
    (void)open("relative/../path", O_RDONLY | O_CLOEXEC);
    (void)open("../komainu-nonexistent", O_WRONLY | O_CLOEXEC);
    (void)unlink("/etc/komainu-nonexistent");
    (void)rename("/etc/komainu-nonexistent", "/etc/komainu-nothing");
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)mprotect(page, 4096, PROT_READ | PROT_EXEC);
    (void)munmap(page, 4096);
    (void)kill(1, SIGCONT);
}

static struct km_probe *keyed_probe;
static size_t keyed_count;
static size_t keyed_told_always;

/* Learns each landmark's key as it comes, as a guard would. */
static enum km_code learn_key(void *context, const struct km_event *event, struct km_err *error)
{
    (void)context;
    if (event->kind != KM_EVENT_LANDMARK)
        return KM_OK;
    uint64_t key = km_probe_landmark_key(event->role, &event->landmark);
    keyed_told_always += key == 0;
    keyed_count += key != 0;
    return key ? km_probe_add_known(keyed_probe, &key, 1, error) : KM_OK;
}

static void keys_of_landmarks_are_the_kernels(void **state)
{
    (void)state;
    keyed_probe = open_or_skip(NULL);
    keyed_count = 0;
    keyed_told_always = 0;
    const struct km_event_sink learner = {NULL, learn_key};
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(keyed_probe, subject.pid, KM_PROBE_GUARD);
    subject_do(&subject, do_entities);
    assert_ok(km_probe_poll(keyed_probe, 0, &learner, &err), err);
    assert_true(keyed_count >= 8);
    struct km_probe_counters before = counters_of(keyed_probe, daemon);
    size_t always = keyed_told_always;
    keyed_count = 0;
    subject_do(&subject, do_entities);
    assert_ok(km_probe_poll(keyed_probe, 0, &learner, &err), err);
    /* Known, so neither told nor held back as a repetition, but for connect's port, which is another each time. */
    assert_in_range(keyed_count, 0, 1);
    assert_int_equal(keyed_told_always, 2 * always);
    (void)before;
    subject_stop(&subject);
    km_probe_close(keyed_probe);
}

static void open_to_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

static void do_known_files(void)
{
    open_to_read("/etc/hostname");
    open_to_read("/usr/share/doc/komainu-one");
    open_to_read("/home/komainu-user/.ssh/one");
    (void)open("/etc/cron.d/komainu/../one", O_WRONLY | O_CLOEXEC);
    (void)open("/var/lib/komainu-one", O_WRONLY | O_CLOEXEC);
    (void)unlink("/etc/cron.d/komainu-one");
}

static void do_read_passwd(void)
{
    open_to_read("/etc/passwd");
}

static void do_read_key(void)
{
    open_to_read("/home/komainu-user/.ssh/two");
}

static void do_write_schedule(void)
{
    (void)open("/etc/cron.d/two", O_WRONLY | O_CLOEXEC);
}

static void do_unlink_schedule(void)
{
    (void)unlink("/etc/cron.d/komainu-two");
}

static void do_hidden_files(void)
{
    open_to_read("/usr/share/doc/komainu-two");
    (void)open("/var/lib/komainu-two", O_WRONLY | O_CLOEXEC);
}

/* Texts that are alike in all but their last bytes, or in their length, are never taken for one another. */
static void do_similar_files(void)
{
    static const char *const names[] = {"/etc/komainu-abcdefgh",  "/etc/komainu-abcdefg", "/etc/komainu-abcdefgi",
                                        "/etc/komainu-abcdefghi", "/etc/komainu-ab",      "/etc/komainu-abc"};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            open_to_read(names[k]);
}

static size_t keyed_landmarks(const struct subject *subject, action *todo)
{
    const struct km_event_sink learner = {NULL, learn_key};
    keyed_count = 0;
    subject_do(subject, todo);
    assert_ok(km_probe_poll(keyed_probe, 0, &learner, &err), err);
    return keyed_count;
}

static void a_known_directory_does_not_hide_what_counts(void **state)
{
    (void)state;
    keyed_probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    (void)guard_pid(keyed_probe, subject.pid, KM_PROBE_GUARD);
    assert_in_range(keyed_landmarks(&subject, do_known_files), 6, 7); /* a link may lie on the way */
    assert_int_equal(keyed_landmarks(&subject, do_known_files), 0);
    assert_int_equal(keyed_landmarks(&subject, do_read_passwd), 1);
    assert_int_equal(keyed_landmarks(&subject, do_read_passwd), 0);
    assert_int_equal(keyed_landmarks(&subject, do_read_key), 1);
    assert_int_equal(keyed_landmarks(&subject, do_write_schedule), 1);
    assert_int_equal(keyed_landmarks(&subject, do_unlink_schedule), 1);
    assert_int_equal(keyed_landmarks(&subject, do_hidden_files), 0);
    assert_int_equal(keyed_landmarks(&subject, do_similar_files), 6);
    subject_stop(&subject);
    km_probe_close(keyed_probe);
}

/* ---- number spaces, threads, children ---- */

static void do_compat_calls(void)
{
    for (int i = 0; i < 7; i++) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory"); /* getpid */
    }
}

static void do_compat_open(void)
{
    /* 32-bit calls take 32-bit pointers. */
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long result;
    (void)snprintf(low, 4096, "/etc/shadow");
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(5), "b"(low), "c"(O_RDONLY), "d"(0) : "memory");
    if (result >= 0)
        close((int)result);
    (void)munmap(low, 4096);
}

static void run_compat_program(void)
{
    (void)execl(COMPAT_CALLS, "compat_calls", (char *)NULL);
    _exit(1);
}

/* A kernel without 32-bit calls answers them by a signal, and does not load a 32-bit program. */
static void try_compat_call(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory"); /* getpid */
    _exit(result != getpid());
}

/* What the machine can do, asked without the probe: what the probe does not see must not be a reason to skip. */
static void skip_unless(action *succeeds, const char *reason)
{
    pid_t child = fork();
    if (child == 0)
        succeeds();
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status == 0)
        return;
    print_message("skipped: %s\n", reason);
    skip();
}

static void compat_calls_have_their_own_numbers(void **state)
{
    (void)state;
    skip_unless(try_compat_call, "this kernel has no 32-bit calls");
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_compat_calls);
    for (int i = 0; i < 16; i++) /* until the batch is full */
        subject_do(&subject, do_nothing);
    poll_once(probe);
    assert_int_equal(heard.calls[KM_SPACE_COMPAT][20], 7);
    assert_int_equal(heard.calls[KM_SPACE_NATIVE][20], 0);
    assert_ok(km_probe_set_mode(probe, daemon, KM_PROBE_GUARD, &err), err);
    forget();
    subject_do(&subject, do_compat_calls);
    poll_once(probe);
    /* A landmark by a 32-bit call leaves too, if only with the next call: open("/etc/shadow"). */
    subject_do(&subject, do_compat_open);
    subject_do(&subject, do_nothing);
    poll_once(probe);
    check_landmark(KM_LANDMARK_OPEN, "/etc/shadow", heard.last[KM_LANDMARK_OPEN].outcome);
    assert_int_equal(heard.last[KM_LANDMARK_OPEN].space, KM_SPACE_COMPAT);
    bool found = false;
    for (size_t i = 0; i < heard.window_count; i++)
        found |= (heard.windows[i] >> KM_WINDOW_BITS & 3) == KM_SPACE_COMPAT;
    assert_true(found);
    subject_stop(&subject);
    km_probe_close(probe);
}

static void do_compat_program(void)
{
    pid_t child = fork();
    if (child == 0)
        run_compat_program();
    (void)waitpid(child, NULL, 0);
}

static void a_32_bit_program_keeps_its_own_numbers(void **state)
{
    (void)state;
    skip_unless(run_compat_program, "no 32-bit program can be built or run here");
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_compat_program);
    subject_do(&subject, do_compat_calls);
    poll_once(probe);
    /* Its end is one of its calls, so that all of them were delivered; the native calls of that number are none. */
    assert_int_equal(heard.calls[KM_SPACE_COMPAT][20], 7);
    assert_int_equal(heard.calls[KM_SPACE_COMPAT][5], 2);
    assert_int_equal(heard.calls[KM_SPACE_COMPAT][12], 1);
    assert_int_equal(heard.calls[KM_SPACE_COMPAT][1], 1);
    assert_int_equal(heard.calls[KM_SPACE_NATIVE][20], 0);
    assert_int_equal(heard.calls[KM_SPACE_NATIVE][SYS_chdir], 0);
    /* While learning, outcomes come from every exit: that of a 32-bit call, too. */
    assert_int_equal(heard.outcomes[20][KM_OUTCOME_OK], 7);
    /* Its paths are read by 32-bit pointers, and its directory is walked. */
    check_landmark(KM_LANDMARK_OPEN, "/etc/komainu-nonexistent", KM_OUTCOME_ERROR);
    assert_int_equal(heard.last[KM_LANDMARK_OPEN].space, KM_SPACE_COMPAT);
    assert_int_equal(heard.last[KM_LANDMARK_OPEN].number, 5);

    /* As a guarded role, its windows are of its space, and known ones of the other space do not cover them. */
    assert_ok(km_probe_set_mode(probe, daemon, KM_PROBE_GUARD, &err), err);
    forget();
    subject_do(&subject, do_compat_program);
    poll_once(probe);
    size_t compat = 0;
    for (size_t i = 0; i < heard.window_count; i++)
        compat += (heard.windows[i] >> KM_WINDOW_BITS & 3) == KM_SPACE_COMPAT;
    assert_true(compat >= 4);
    subject_stop(&subject);
    km_probe_close(probe);
}

static void do_x32_calls(void)
{
    for (int i = 0; i < 7; i++)
        (void)syscall((long)KM_X32_BIT | SYS_getpid);
    (void)syscall((long)KM_X32_BIT | 520, "/nonexistent", NULL, NULL); /* execve's own number there */
}

/* A kernel without x32 refuses the calls; that somebody tries them is seen all the same. */
static void x32_calls_have_their_own_numbers(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_x32_calls);
    subject_stop(&subject);
    poll_once(probe);
    assert_int_equal(heard.calls[KM_SPACE_NATIVE][SYS_getpid], 0);
    assert_int_equal(heard.calls[KM_SPACE_X32][SYS_getpid], 7);
    assert_int_equal(heard.calls[KM_SPACE_X32][520 - KM_X32_FIRST + KM_X32_FOLDED], 1);
    check_landmark(KM_LANDMARK_EXEC, "/nonexistent", KM_OUTCOME_ERROR);
    assert_int_equal(heard.last[KM_LANDMARK_EXEC].space, KM_SPACE_X32);
    if (heard.outcomes[SYS_getpid][KM_OUTCOME_ERROR] == 7)
        print_message("this kernel refuses x32 calls\n");
    else
        assert_int_equal(heard.outcomes[SYS_getpid][KM_OUTCOME_OK], 7);
    km_probe_close(probe);
}

static void *thread_main(void *argument)
{
    (void)argument;
    return NULL;
}

static void do_threads(void)
{
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_main, NULL) == 0)
            (void)pthread_join(thread, NULL);
    }
}

static void do_children(void)
{
    for (int i = 0; i < 1000; i++) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_NAME, "kid\x1b[1m-7");
            _exit(0);
        }
        (void)waitpid(child, NULL, 0);
    }
}

static void children_and_threads_are_followed(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_threads);
    subject_do(&subject, do_children);
    poll_once(probe);
    struct km_probe_counters counters = counters_of(probe, daemon);
    assert_int_equal(counters.lost_records + counters.lost_calls + counters.storage_failed, 0);
    assert_int_equal(heard.by_kind[KM_EVENT_END], 1200);
    /* main; main's child; that child renamed. Each child is told again when its name, and so its role, changes. */
    assert_in_range(heard.by_kind[KM_EVENT_THREAD], 1201, 2201);
    assert_int_equal(heard.roles, 3);
    assert_int_equal(heard.outcomes[SYS_exit_group][KM_OUTCOME_UNKNOWN], 1000);
    assert_int_equal(heard.unordered, 0);
    assert_int_equal(km_probe_threads(probe, daemon), 1);
    subject_stop(&subject);
    km_probe_close(probe);
}

/* ---- loss ---- */

#define FLOOD_CALLS 100000

static void do_flood(void)
{
    for (int i = 0; i < FLOOD_CALLS; i++)
        (void)syscall(SYS_getppid);
}

static void a_full_ring_is_counted_to_the_event(void **state)
{
    (void)state;
    struct km_probe_options options = {.ring_bytes = 65536};
    struct km_probe *probe = open_or_skip(&options);
    struct subject subject;
    subject_start(&subject);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_LEARN);
    subject_do(&subject, do_flood); /* nobody reads */
    subject_stop(&subject);
    struct km_probe_counters counters = counters_of(probe, daemon);
    assert_true(counters.lost_calls > 0);
    poll_once(probe);
    assert_int_equal(heard.by_kind[KM_EVENT_CALL], counters.calls);
    /* the flood, and the reads and writes of the pipes: read write … read, exit_group */
    assert_in_range(counters.calls + counters.lost_calls, FLOOD_CALLS + 3, FLOOD_CALLS + 5);
    assert_int_equal(heard.losses, counters.lost_calls + counters.lost_records);
    int cpus = (int)sysconf(_SC_NPROCESSORS_CONF);
    uint64_t sum = 0;
    for (int cpu = 0; cpu < cpus; cpu++) {
        struct km_probe_counters one;
        assert_ok(km_probe_read_counters(probe, daemon, cpu, &one, &err), err);
        sum += one.lost_calls;
    }
    assert_int_equal(sum, counters.lost_calls);
    km_probe_close(probe);
}

/* ---- scope ---- */

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static bool cgroup_root(char *out, size_t bytes)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[128];
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/cgroup.procs", roots[i]);
        (void)snprintf(out, bytes, "%s", roots[i]);
        if (access(path, W_OK) == 0)
            return true;
    }
    return false;
}

static void run_in_cgroup(const char *group)
{
    char procs[256];
    (void)snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_text(procs, "0");
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_unit_is_followed_over_restarts(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    char root[64];
    char group[128];
    if (!cgroup_root(root, sizeof root)) {
        km_probe_close(probe);
        print_message("skipped: no writable cgroup v2 hierarchy\n");
        skip();
    }
    unsigned daemon = 0;
    (void)snprintf(group, sizeof group, "%s/komainu-test-%d.service", root, (int)getpid());
    assert_ok(km_probe_guard(probe, KM_PROBE_SCOPE_UNIT, group + strlen(root) + 1, KM_PROBE_LEARN, &daemon, &err), err);
    for (int restart = 0; restart < 3; restart++) {
        forget();
        assert_int_equal(mkdir(group, 0755), 0); /* another id each time */
        run_in_cgroup(group);
        assert_int_equal(rmdir(group), 0);
        poll_once(probe);
        assert_int_equal(heard.by_kind[KM_EVENT_END], 1);
        assert_int_equal(heard.calls[0][SYS_exit_group], 1);
    }
    /* A cgroup that vanished is no error, and one of another name is not watched. */
    forget();
    (void)snprintf(group, sizeof group, "%s/komainu-test-%d.other", root, (int)getpid());
    assert_int_equal(mkdir(group, 0755), 0);
    run_in_cgroup(group);
    assert_int_equal(rmdir(group), 0);
    poll_once(probe);
    assert_int_equal(heard.by_kind[KM_EVENT_THREAD], 0);
    km_probe_close(probe);
}

static void a_command_is_followed_by_name(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    unsigned daemon = 0;
    assert_ok(km_probe_guard(probe, KM_PROBE_SCOPE_COMMAND, "true", KM_PROBE_LEARN, &daemon, &err), err);
    do_exec();
    poll_once(probe);
    assert_int_equal(heard.by_kind[KM_EVENT_END], 1);
    km_probe_close(probe);
}

static void wrong_targets_are_refused(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    unsigned daemon = 77;
    static const struct {
        const char *target;
        enum km_probe_scope scope;
        enum km_code code;
    } rows[] = {
        {"0", KM_PROBE_SCOPE_PID, KM_FORMAT},   {"12x", KM_PROBE_SCOPE_PID, KM_FORMAT},
        {"-1", KM_PROBE_SCOPE_PID, KM_FORMAT},  {"2147483646", KM_PROBE_SCOPE_PID, KM_NOTFOUND},
        {"/", KM_PROBE_SCOPE_CGROUP, KM_LIMIT}, {"x", KM_PROBE_SCOPE_CGROUP, KM_LIMIT},
        {"", KM_PROBE_SCOPE_UNIT, KM_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(km_probe_guard(probe, rows[i].scope, rows[i].target, KM_PROBE_GUARD, &daemon, &err),
                         rows[i].code);
        assert_int_equal(daemon, 77);
    }
    struct km_probe_status status;
    km_probe_get_status(probe, &status);
    assert_false(status.attached);
    assert_int_equal(status.daemons, 0);
    km_probe_close(probe);
}

static void nothing_guarded_is_detached(void **state)
{
    (void)state;
    struct km_probe *probe = open_or_skip(NULL);
    struct km_probe_status status;
    struct subject subject;
    subject_start(&subject);
    km_probe_get_status(probe, &status);
    assert_false(status.attached);
    unsigned daemon = guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    km_probe_get_status(probe, &status);
    assert_true(status.attached);
    assert_int_equal(guard_pid(probe, subject.pid, KM_PROBE_LEARN), daemon);
    assert_ok(km_probe_unguard(probe, daemon, &err), err);
    km_probe_get_status(probe, &status);
    assert_false(status.attached);
    assert_int_equal(km_probe_threads(probe, daemon), 0);
    assert_int_equal(km_probe_unguard(probe, daemon, &err), KM_NOTFOUND);
    subject_do(&subject, do_mixed_calls);
    poll_once(probe);
    assert_int_equal(heard.by_kind[KM_EVENT_CALL], 0);
    assert_int_equal(guard_pid(probe, subject.pid, KM_PROBE_LEARN), daemon);
    subject_do(&subject, do_mixed_calls);
    poll_once(probe);
    assert_true(heard.by_kind[KM_EVENT_CALL] > 10);
    subject_stop(&subject);
    km_probe_close(probe);
}

static void tap_takes_whole_episodes(void **state)
{
    (void)state;
    static const struct km_episode_rule rule = {.max_calls = 4};
    struct km_probe_options options = {
        .rule = &rule, .tap_period_ms = 1, .tap_window_ms = 60000, .tap_share = 65536, .tap_episodes = 3};
    struct km_probe *probe = open_or_skip(&options);
    struct subject subject;
    subject_start(&subject);
    (void)guard_pid(probe, subject.pid, KM_PROBE_GUARD);
    for (int i = 0; i < 50 && heard.streams_started < 3; i++) {
        for (int k = 0; k < 20; k++)
            subject_do(&subject, do_nothing);
        poll_once(probe);
    }
    assert_true(heard.streams_started >= 3);
    assert_true(heard.by_kind[KM_EVENT_CALL] >= 3 * 4 - 4);
    subject_stop(&subject);
    km_probe_close(probe);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_streams_every_call),
        cmocka_unit_test(filter_tells_each_unknown_window_once),
        cmocka_unit_test(misses_escalate_to_a_full_stream),
        cmocka_unit_test(landmarks_carry_what_happened),
        cmocka_unit_test(links_and_directories_are_told),
        cmocka_unit_test(a_relative_path_is_told_where_it_is),
        cmocka_unit_test(mounts_and_roots_are_walked),
        cmocka_unit_test(a_dead_child_is_not_foreign),
        cmocka_unit_test(keys_of_landmarks_are_the_kernels),
        cmocka_unit_test(a_known_directory_does_not_hide_what_counts),
        cmocka_unit_test(compat_calls_have_their_own_numbers),
        cmocka_unit_test(a_32_bit_program_keeps_its_own_numbers),
        cmocka_unit_test(x32_calls_have_their_own_numbers),
        cmocka_unit_test(children_and_threads_are_followed),
        cmocka_unit_test(a_full_ring_is_counted_to_the_event),
        cmocka_unit_test(a_unit_is_followed_over_restarts),
        cmocka_unit_test(a_command_is_followed_by_name),
        cmocka_unit_test(wrong_targets_are_refused),
        cmocka_unit_test(nothing_guarded_is_detached),
        cmocka_unit_test(tap_takes_whole_episodes),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return KM_RUN_TESTS(tests);
}
