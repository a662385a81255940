#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define POLL_MS          200
#define GRACE_MS         2000
#define KEPT_ERROR_BYTES 8192
#define MAX_VARIABLES    4096

struct km_spawn {
    pid_t pid;
    int pidfd, out, errors;
    bool reaped;
    int status; /* as waitpid gives it, once reaped */
    int64_t time_limit_ms, give_up_ns;
    const struct km_cancel *cancel;
    char name[64];
    size_t error_length;
    char error_text[KEPT_ERROR_BYTES + 1];
};

/* ---- Starting ---- */

/* Our environment with `more` on top; the strings are borrowed. The caller frees the array. */
static char **merge_environment(const char *const *more, struct km_err *err)
{
    size_t count = 0, extra = 0;
    while (environ[count])
        count++;
    while (more && more[extra])
        extra++;
    char **merged = km_calloc(count + extra + 1, sizeof *merged, MAX_VARIABLES * sizeof *merged, err);
    size_t used = 0;
    for (size_t i = 0; merged && i < count; i++) {
        bool replaced = false;
        for (size_t j = 0; j < extra; j++)
            replaced = replaced || strncmp(environ[i], more[j], strcspn(more[j], "=") + 1) == 0;
        if (!replaced)
            merged[used++] = environ[i];
    }
    for (size_t j = 0; merged && j < extra; j++)
        merged[used++] = (char *)(uintptr_t)more[j];
    return merged;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t defaults, none;
    sigfillset(&defaults);
    sigdelset(&defaults, SIGKILL);
    sigdelset(&defaults, SIGSTOP);
    sigemptyset(&none);
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    int failed = posix_spawnattr_setflags(attributes, flags);
    failed = failed ? failed : posix_spawnattr_setpgroup(attributes, 0);
    failed = failed ? failed : posix_spawnattr_setsigdefault(attributes, &defaults);
    return failed ? failed : posix_spawnattr_setsigmask(attributes, &none);
}

static int set_actions(posix_spawn_file_actions_t *actions, int out, int errors)
{
    int failed = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    failed = failed ? failed : posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);
    failed = failed ? failed : posix_spawn_file_actions_adddup2(actions, errors, STDERR_FILENO);
    return failed ? failed : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

/* 0 or an errno. */
static int start(struct km_spawn *child, const char *const *argv, char **environment, int out, int errors)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int failed = posix_spawnattr_init(&attributes);
    if (failed)
        return failed;
    failed = posix_spawn_file_actions_init(&actions);
    if (failed) {
        (void)posix_spawnattr_destroy(&attributes);
        return failed;
    }
    failed = set_attributes(&attributes);
    failed = failed ? failed : set_actions(&actions, out, errors);
    if (!failed)
        failed = posix_spawnp(&child->pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return failed;
}

struct km_spawn *km_spawn_start(const struct km_spawn_options *options, struct km_err *err)
{
    struct km_spawn *child KM_CLEANUP(km_spawn_cleanup) = km_calloc(1, sizeof *child, SIZE_MAX, err);
    if (!child)
        return NULL;
    child->pidfd = child->out = child->errors = -1;
    child->reaped = true; /* nothing to reap yet */
    child->cancel = options->cancel;
    child->time_limit_ms = options->time_limit_ms;
    if (options->time_limit_ms)
        child->give_up_ns = km_clock_monotonic_ns() + options->time_limit_ms * KM_NS_PER_MS;
    const char *slash = strrchr(options->argv[0], '/');
    (void)snprintf(child->name, sizeof child->name, "%s", slash ? slash + 1 : options->argv[0]);
    int out[2], errors[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        km_fail_errno(err, errno, "cannot make a pipe");
        return NULL;
    }
    child->out = out[0];
    int out_end KM_CLEANUP(km_cleanup_close) = out[1];
    if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) != 0) {
        km_fail_errno(err, errno, "cannot make a pipe");
        return NULL;
    }
    child->errors = errors[0];
    int errors_end KM_CLEANUP(km_cleanup_close) = errors[1];
    /* O_NONBLOCK is of the open file, which a pipe's ends do not share: the child's end must block. */
    char **environment KM_CLEANUP(km_cleanup_free) = merge_environment(options->environment, err);
    if (!environment)
        return NULL;
    int failed = fcntl(errors_end, F_SETFL, 0) == 0 ? 0 : errno;
    failed = failed ? failed : start(child, options->argv, environment, out_end, errors_end);
    if (failed) {
        km_fail_errno(err, failed, "cannot start %s", options->argv[0]);
        return NULL;
    }
    child->reaped = false;
    child->pidfd = pidfd_open(child->pid, 0);
    if (child->pidfd < 0) {
        km_fail_errno(err, errno, "cannot watch %s", child->name);
        return NULL;
    }
    return km_steal(child);
}

/* ---- Waiting ---- */

/* Keeps the last part of the error output. */
static void drain_errors(struct km_spawn *child)
{
    while (child->errors >= 0) {
        if (child->error_length > KEPT_ERROR_BYTES / 2) {
            size_t half = child->error_length - KEPT_ERROR_BYTES / 4;
            memmove(child->error_text, child->error_text + half, child->error_length - half);
            child->error_length -= half;
        }
        ssize_t n =
            read(child->errors, child->error_text + child->error_length, KEPT_ERROR_BYTES - child->error_length);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            (void)close(km_steal_fd(&child->errors));
            break;
        }
        child->error_length += (size_t)n;
    }
    child->error_text[child->error_length] = '\0';
}

/* Waits until `fd` or the error output has something, at most POLL_MS. *out_ready is about fd. */
static enum km_code wait_for(struct km_spawn *child, int fd, bool *out_ready, struct km_err *err)
{
    enum km_code code = km_cancel_check(child->cancel, err);
    if (code != KM_OK)
        return code;
    if (child->give_up_ns && km_clock_monotonic_ns() > child->give_up_ns)
        return km_fail(err, KM_IO, "%s: not done within %lld s", child->name, (long long)(child->time_limit_ms / 1000));
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = child->errors, .events = POLLIN}};
    int n = poll(fds, 2, POLL_MS);
    if (n < 0 && errno != EINTR)
        return km_fail_errno(err, errno, "cannot wait for %s", child->name);
    *out_ready = n > 0 && fds[0].revents != 0;
    if (n > 0 && fds[1].revents != 0)
        drain_errors(child);
    return KM_OK;
}

enum km_code km_spawn_read(struct km_spawn *child, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    bool ready = child->out < 0;
    while (!ready) {
        enum km_code code = wait_for(child, child->out, &ready, err);
        if (code != KM_OK)
            return code;
    }
    ssize_t n = child->out < 0 ? 0 : read(child->out, buffer, size);
    if (n < 0)
        return km_fail_errno(err, errno, "cannot read from %s", child->name);
    if (n == 0 && child->out >= 0)
        (void)close(km_steal_fd(&child->out));
    *out_length = (size_t)n;
    return KM_OK;
}

const char *km_spawn_error_text(const struct km_spawn *child)
{
    return child->error_text;
}

/* The last line of the error output that is not empty, in place. */
static const char *last_line(struct km_spawn *child)
{
    while (child->error_length > 0 && strchr("\r\n ", child->error_text[child->error_length - 1]))
        child->error_text[--child->error_length] = '\0';
    const char *newline = strrchr(child->error_text, '\n');
    return newline ? newline + 1 : child->error_text;
}

static enum km_code explain_status(struct km_spawn *child, struct km_err *err)
{
    drain_errors(child);
    if (WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0)
        return KM_OK;
    const char *line = last_line(child);
    bool exited = WIFEXITED(child->status);
    return km_fail(err, KM_IO, "%s ended with %s %d%s%.380s", child->name, exited ? "status" : "signal",
                   exited ? WEXITSTATUS(child->status) : WTERMSIG(child->status), *line ? ": " : "", line);
}

enum km_code km_spawn_finish(struct km_spawn *child, struct km_err *err)
{
    if (child->out >= 0) /* a child that still writes is told so by a broken pipe */
        (void)close(km_steal_fd(&child->out));
    while (!child->reaped) {
        bool ready = false;
        enum km_code code = wait_for(child, child->pidfd, &ready, err);
        if (code != KM_OK)
            return code;
        child->reaped = ready && waitpid(child->pid, &child->status, WNOHANG) == child->pid;
    }
    return explain_status(child, err);
}

/* Waits for the child alone, without token or limit of its own. */
static bool reap_within(struct km_spawn *child, int timeout_ms)
{
    int64_t give_up_ns = km_clock_monotonic_ns() + timeout_ms * KM_NS_PER_MS;
    while (waitpid(child->pid, &child->status, WNOHANG) == 0) {
        int64_t left_ns = give_up_ns - km_clock_monotonic_ns();
        if (left_ns <= 0)
            return false;
        struct pollfd fd = {.fd = child->pidfd, .events = POLLIN};
        (void)poll(&fd, 1, (int)(left_ns / KM_NS_PER_MS) + 1);
    }
    return true;
}

void km_spawn_close(struct km_spawn *child)
{
    if (!child)
        return;
    if (child->out >= 0)
        (void)close(child->out);
    if (!child->reaped) {
        (void)kill(-child->pid, SIGTERM);
        if (!reap_within(child, GRACE_MS)) {
            (void)kill(-child->pid, SIGKILL);
            (void)waitpid(child->pid, &child->status, 0);
        }
    }
    if (child->errors >= 0)
        (void)close(child->errors);
    if (child->pidfd >= 0)
        (void)close(child->pidfd);
    free(child);
}
