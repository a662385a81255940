#define KM_TEST_NAME "probe-stage"
#include "probe_stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pointers are the same in the child: it was forked after them. */
static void subject_main(int hear, int tell)
{
    action *todo;
    while (read(hear, &todo, sizeof todo) == (ssize_t)sizeof todo) {
        todo();
        if (write(tell, "", 1) != 1)
            break;
    }
    _exit(0);
}

void subject_do(const struct subject *subject, action *todo)
{
    char answer;
    assert_int_equal(write(subject->tell, &todo, sizeof todo), sizeof todo);
    assert_int_equal(read(subject->hear, &answer, 1), 1);
}

void do_nothing(void)
{
}

void subject_start(struct subject *out)
{
    int down[2];
    int up[2];
    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    out->pid = fork();
    assert_true(out->pid >= 0);
    if (out->pid == 0) {
        close(down[1]);
        close(up[0]);
        subject_main(down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    out->tell = down[1];
    out->hear = up[0];
    subject_do(out, do_nothing); /* its start is over */
}

void subject_stop(struct subject *subject)
{
    close(subject->tell);
    close(subject->hear);
    assert_int_equal(waitpid(subject->pid, NULL, 0), subject->pid);
}

struct heard heard;

static enum km_code hear(void *context, const struct km_event *event, struct km_err *error)
{
    struct heard *h = context;
    (void)error;
    h->count++;
    h->by_kind[event->kind]++;
    if (event->tid != 0) {
        h->earliest_ns = h->earliest_ns && h->earliest_ns < event->time_ns ? h->earliest_ns : event->time_ns;
        h->latest_ns = h->latest_ns > event->time_ns ? h->latest_ns : event->time_ns;
    }
    if (event->kind != KM_EVENT_ROLE && !h->introduced[event->role])
        h->unordered++;
    if (event->kind == KM_EVENT_ROLE) {
        h->roles += !h->introduced[event->role];
        h->introduced[event->role] = true;
        (void)snprintf(h->role_name[event->role], sizeof h->role_name[0], "%.*s", (int)event->role_info.name.length,
                       event->role_info.name.data);
    } else if (event->kind == KM_EVENT_CALL) {
        h->calls[event->call.space][event->call.number]++;
        h->outcomes[event->call.number][event->call.outcome]++;
        h->last_arg[event->call.number] = event->call.arg_class;
        h->spaces[event->call.space]++;
    } else if (event->kind == KM_EVENT_WINDOW) {
        h->windows[h->window_count++ % 64] = km_window_key(event->state.window, event->state.space, event->role);
    } else if (event->kind == KM_EVENT_LOSS) {
        h->losses += event->loss.events;
    } else if (event->kind == KM_EVENT_STREAM) {
        h->streams_started += event->stream.started;
    } else if (event->kind == KM_EVENT_LANDMARK) {
        unsigned kind = event->landmark.kind;
        h->landmarks[kind]++;
        h->last[kind] = event->landmark;
        h->last_role[kind] = event->role;
        (void)snprintf(h->path[kind], sizeof h->path[kind], "%.*s", (int)event->landmark.path.length,
                       event->landmark.path.data ? event->landmark.path.data : "");
        (void)snprintf(h->path2[kind], sizeof h->path2[kind], "%.*s", (int)event->landmark.path2.length,
                       event->landmark.path2.data ? event->landmark.path2.data : "");
        h->last[kind].path.data = h->path[kind];
        h->last[kind].path2.data = h->path2[kind];
    }
    return KM_OK;
}

const struct km_event_sink sink = {&heard, hear};

void forget(void)
{
    bool introduced[KM_PROBE_MAX_ROLES];
    memcpy(introduced, heard.introduced, sizeof introduced);
    memset(&heard, 0, sizeof heard);
    memcpy(heard.introduced, introduced, sizeof introduced);
}

struct km_err err;

void poll_once(struct km_probe *probe)
{
    assert_ok(km_probe_poll(probe, 0, &sink, &err), err);
}

struct km_probe *open_or_skip(const struct km_probe_options *options)
{
    memset(&heard, 0, sizeof heard);
    struct km_probe *probe = km_probe_open(options, &err);
    /* A kernel that has all it takes and refuses is a fault of the programs. */
    bool able = geteuid() == 0 && access("/sys/kernel/btf/vmlinux", R_OK) == 0 && err.code != KM_DENIED;
    if (!probe && !able && (err.code == KM_DENIED || err.code == KM_UNSUPPORTED)) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    if (!probe)
        fail_msg("%s", err.text);
    return probe;
}

unsigned guard_pid(struct km_probe *probe, pid_t pid, enum km_probe_mode mode)
{
    char text[16];
    unsigned daemon = 0;
    (void)snprintf(text, sizeof text, "%d", (int)pid);
    assert_ok(km_probe_guard(probe, KM_PROBE_SCOPE_PID, text, mode, &daemon, &err), err);
    return daemon;
}

struct km_probe_counters counters_of(struct km_probe *probe, unsigned daemon)
{
    struct km_probe_counters counters;
    assert_ok(km_probe_read_counters(probe, daemon, -1, &counters, &err), err);
    return counters;
}

void check_landmark(enum km_landmark_kind kind, const char *path, uint8_t outcome)
{
    if (heard.landmarks[kind] == 0)
        fail_msg("no landmark of kind %d", (int)kind);
    if (path)
        assert_string_equal(heard.path[kind], path);
    assert_int_equal(heard.last[kind].outcome, outcome);
}
