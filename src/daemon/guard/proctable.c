#include "daemon/guard/proctable.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CALL_SETUID    105 /* of x86-64, as landmarks name them */
#define CALL_SETREUID  113
#define CALL_SETRESUID 117
#define SLOTS          (2 * KM_PROCTABLE_MAX)
#define TIDS           8192 /* thread to process, direct mapped */
#define PATH_BYTES     4096
#define STAT_BYTES     2048
#define START_FIELD    22
#define NS_PER_S       UINT64_C(1000000000)

struct km_proctable {
    const char *proc_root;
    struct km_process rows[KM_PROCTABLE_MAX];
    size_t count;
    uint16_t slots[SLOTS]; /* open addressing: row + 1 */
    uint64_t clock;
    struct {
        uint32_t tid, tgid;
    } tids[TIDS];
};

struct km_proctable *km_proctable_new(const char *proc_root, struct km_err *err)
{
    struct km_proctable *processes = km_calloc(1, sizeof *processes, SIZE_MAX, err);
    if (processes)
        processes->proc_root = proc_root;
    return processes;
}

void km_proctable_free(struct km_proctable *processes)
{
    free(processes);
}

static size_t home_of(uint32_t tgid)
{
    return (tgid * 0x9e3779b1U >> 8) & (SLOTS - 1);
}

static size_t slot_of(const struct km_proctable *p, uint32_t tgid)
{
    size_t i = home_of(tgid);
    while (p->slots[i] != 0 && p->rows[p->slots[i] - 1].tgid != tgid)
        i = (i + 1) & (SLOTS - 1);
    return i;
}

/* Removes without tombstones: what follows in the run moves up where it may. */
static void clear_slot(struct km_proctable *p, size_t hole)
{
    p->slots[hole] = 0;
    for (size_t i = (hole + 1) & (SLOTS - 1); p->slots[i] != 0; i = (i + 1) & (SLOTS - 1)) {
        size_t home = home_of(p->rows[p->slots[i] - 1].tgid);
        if (((i - home) & (SLOTS - 1)) >= ((i - hole) & (SLOTS - 1))) {
            p->slots[hole] = p->slots[i];
            p->slots[i] = 0;
            hole = i;
        }
    }
}

static size_t take_row(struct km_proctable *p)
{
    if (p->count < KM_PROCTABLE_MAX)
        return p->count++;
    size_t oldest = 0;
    for (size_t i = 1; i < p->count; i++)
        if (p->rows[i].touched < p->rows[oldest].touched)
            oldest = i;
    clear_slot(p, slot_of(p, p->rows[oldest].tgid));
    return oldest;
}

/* The process's row; *out_new tells that it was made. */
static struct km_process *obtain(struct km_proctable *p, uint32_t tgid, int *out_new)
{
    size_t slot = slot_of(p, tgid);
    *out_new = p->slots[slot] == 0;
    if (*out_new) {
        size_t row = take_row(p);
        slot = slot_of(p, tgid); /* taking a row may have moved slots */
        p->rows[row] = (struct km_process){.tgid = tgid,
                                           .uid = KM_PROCESS_UNKNOWN_UID,
                                           .role = KM_PROCESS_UNKNOWN_ROLE,
                                           .cause_role = KM_PROCESS_UNKNOWN_ROLE};
        p->slots[slot] = (uint16_t)(row + 1);
    }
    struct km_process *process = &p->rows[p->slots[slot] - 1];
    process->touched = ++p->clock;
    return process;
}

static size_t copy_bytes(struct km_bytes from, char *to, size_t room)
{
    size_t length = from.length < room - 1 ? from.length : room - 1;
    if (length > 0)
        memcpy(to, from.data, length);
    to[length] = '\0';
    return length;
}

/* ---- /proc ---- */

static size_t read_proc(const struct km_proctable *p, uint32_t tgid, const char *name, char *out, size_t room)
{
    char path[PATH_BYTES];
    out[0] = '\0';
    (void)snprintf(path, sizeof path, "%s/%u/%s", p->proc_root, tgid, name);
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd >= 0 ? read(fd, out, room - 1) : 0;
    size_t length = n > 0 ? (size_t)n : 0;
    out[length] = '\0';
    return length;
}

/* "1234 (comm) S 1 …": the name may hold anything, so the last parenthesis counts. */
static uint32_t parent_in(const char *stat)
{
    const char *end = strrchr(stat, ')');
    if (!end || end[1] != ' ' || !end[2] || end[3] != ' ')
        return 0;
    unsigned long parent = strtoul(end + 4, NULL, 10);
    return parent <= INT32_MAX ? (uint32_t)parent : 0;
}

/* The 22nd field, in ticks since the start of the host. */
static uint64_t start_in(const char *stat)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < START_FIELD; field++)
        at = strchr(at + 1, ' ');
    long ticks = sysconf(_SC_CLK_TCK);
    if (!at || ticks <= 0)
        return 0;
    return strtoull(at + 1, NULL, 10) * (NS_PER_S / (uint64_t)ticks);
}

static void look_up(const struct km_proctable *p, struct km_process *process)
{
    char path[PATH_BYTES], stat[STAT_BYTES];
    if (!p->proc_root)
        return;
    if (!process->image[0]) {
        (void)snprintf(path, sizeof path, "%s/%u/exe", p->proc_root, process->tgid);
        ssize_t length = readlink(path, process->image, sizeof process->image - 1);
        process->image[length > 0 ? length : 0] = '\0';
    }
    if (process->argument_bytes == 0)
        process->argument_bytes = read_proc(p, process->tgid, "cmdline", process->arguments, sizeof process->arguments);
    if (read_proc(p, process->tgid, "stat", stat, sizeof stat) == 0)
        return;
    process->start_ns = start_in(stat);
    if (process->parent == 0)
        process->parent = parent_in(stat);
}

/* ---- events ---- */

static void take_exec(struct km_proctable *p, const struct km_event *event)
{
    int is_new;
    if (event->landmark.outcome == KM_OUTCOME_DENIED || event->landmark.outcome == KM_OUTCOME_ERROR)
        return;
    struct km_process *process = obtain(p, event->tgid, &is_new);
    uint16_t row = process->parent ? p->slots[slot_of(p, process->parent)] : 0;
    const struct km_process *starter = process->starts++ == 0 && row ? &p->rows[row - 1] : process;
    memmove(process->before, starter->image, sizeof process->before);
    memmove(process->before_arguments, starter->arguments, sizeof process->before_arguments);
    process->before_bytes = starter->argument_bytes;
    (void)copy_bytes(event->landmark.path, process->image, sizeof process->image);
    process->argument_bytes = copy_bytes(event->landmark.path2, process->arguments, sizeof process->arguments);
}

/* The parent is told by the thread that forked. */
static uint32_t process_of(const struct km_proctable *p, uint32_t tid)
{
    size_t i = tid & (TIDS - 1);
    return p->tids[i].tid == tid ? p->tids[i].tgid : tid;
}

static void note_thread(struct km_proctable *p, uint32_t tid, uint32_t tgid)
{
    size_t i = tid & (TIDS - 1);
    p->tids[i].tid = tid;
    p->tids[i].tgid = tgid;
}

static void inherit_cause(const struct km_proctable *p, struct km_process *process)
{
    uint16_t row = process->parent ? p->slots[slot_of(p, process->parent)] : 0;
    const struct km_process *parent = row ? &p->rows[row - 1] : NULL;
    if (!parent || !parent->cause[0])
        return;
    memcpy(process->cause, parent->cause, sizeof process->cause);
    process->cause_role = parent->cause_role;
}

void km_proctable_set_cause(struct km_proctable *p, uint32_t tgid, const char *line, uint16_t role)
{
    int is_new;
    struct km_process *process = obtain(p, tgid, &is_new);
    (void)snprintf(process->cause, sizeof process->cause, "%s", line);
    process->cause_role = role;
}

/* Later events of the process are by the user that it is then; the call itself is by the one before. */
static void take_identity(struct km_proctable *p, const struct km_event *event)
{
    const struct km_event_landmark *l = &event->landmark;
    size_t slot = slot_of(p, event->tgid);
    if (p->slots[slot] == 0)
        return;
    struct km_process *process = &p->rows[p->slots[slot] - 1];
    process->uid_before = process->uid;
    bool sets_user = l->flags == CALL_SETUID || l->flags == CALL_SETREUID || l->flags == CALL_SETRESUID;
    bool failed = l->outcome == KM_OUTCOME_DENIED || l->outcome == KM_OUTCOME_ERROR;
    if (sets_user && !failed && l->value < UINT32_MAX)
        process->uid = (uint32_t)l->value;
}

void km_proctable_event(struct km_proctable *p, const struct km_event *event)
{
    int is_new;
    if (event->tgid == 0)
        return;
    if (event->kind == KM_EVENT_LANDMARK &&
        (event->landmark.kind == KM_LANDMARK_EXEC || event->landmark.kind == KM_LANDMARK_MEMFD_EXEC)) {
        take_exec(p, event);
    } else if (event->kind == KM_EVENT_THREAD) {
        note_thread(p, event->tid, event->tgid);
        struct km_process *process = obtain(p, event->tgid, &is_new);
        if (process->ended) { /* the number was given again */
            uint32_t tgid = process->tgid;
            *process = (struct km_process){.tgid = tgid,
                                           .uid = KM_PROCESS_UNKNOWN_UID,
                                           .role = KM_PROCESS_UNKNOWN_ROLE,
                                           .cause_role = KM_PROCESS_UNKNOWN_ROLE};
            process->touched = ++p->clock;
            is_new = 1;
        }
        process->uid = event->thread.uid;
        process->uid_before = event->thread.uid;
        if (event->tid == event->tgid && event->thread.parent_tid != 0)
            process->parent = process_of(p, event->thread.parent_tid);
        if (event->tid == event->tgid)
            process->role = event->role;
        (void)copy_bytes(event->thread.comm, process->comm, sizeof process->comm);
        if (!process->cause[0])
            inherit_cause(p, process);
        if (is_new)
            look_up(p, process);
    } else if (event->kind == KM_EVENT_LANDMARK && event->landmark.kind == KM_LANDMARK_IDENTITY) {
        take_identity(p, event);
    } else if (event->kind == KM_EVENT_END && event->tid == event->tgid) {
        size_t slot = slot_of(p, event->tgid);
        if (p->slots[slot] != 0) { /* the next to go; until then late findings can name it */
            p->rows[p->slots[slot] - 1].touched = 0;
            p->rows[p->slots[slot] - 1].ended = true;
        }
    }
}

void km_proctable_directory(const struct km_proctable *p, uint32_t tgid, char *out)
{
    char path[PATH_BYTES];
    out[0] = '\0';
    if (!p->proc_root)
        return;
    (void)snprintf(path, sizeof path, "%s/%u/cwd", p->proc_root, tgid);
    ssize_t length = readlink(path, out, KM_PROCESS_TEXT_BYTES - 1);
    out[length > 0 ? length : 0] = '\0';
}

const struct km_process *km_proctable_find(struct km_proctable *p, uint32_t tgid)
{
    int is_new;
    struct km_process *process = obtain(p, tgid, &is_new);
    if (is_new)
        look_up(p, process);
    return process;
}

void km_process_command(const struct km_process *process, char *out, size_t out_bytes)
{
    size_t length = process->argument_bytes < out_bytes - 1 ? process->argument_bytes : out_bytes - 1;
    while (length > 0 && process->arguments[length - 1] == '\0')
        length--;
    for (size_t i = 0; i < length; i++)
        out[i] = process->arguments[i] == '\0' ? ' ' : process->arguments[i];
    out[length] = '\0';
}
