#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/trace/calls.h"
#include "daemon/trace/import_internal.h"
#include "daemon/trace/span.h"
#include "daemon/trace/zone.h"

#define LARGEST_PID       (1U << 30)
#define LARGEST_SECONDS   UINT64_C(100000000000)
#define MAX_PENDING_BYTES 4096
#define MAX_DEPTH         3

struct thread {
    uint32_t tid;
    uint16_t role;
    uint8_t depth; /* forks since the first process */
    bool placed;   /* its parent or its program is known */
    char comm[16];
    char *pending; /* "name(arguments" of an interrupted call, or NULL */
    size_t pending_length;
};

/* "[pid 12] ", "12 " or nothing (then `1`), and "seconds.micros ". */
static bool take_prefix(struct km_span *s, uint32_t *out_pid, uint64_t *out_ns)
{
    uint64_t number, micros = 0;
    *out_pid = 1;
    if (km_span_take_word(s, "[pid")) {
        km_span_skip_spaces(s);
        if (!km_span_take_number(s, LARGEST_PID, &number) || !km_span_take_word(s, "]"))
            return false;
        *out_pid = (uint32_t)number;
    } else {
        struct km_span probe = *s;
        if (km_span_take_number(&probe, LARGEST_PID, &number) && probe.at < probe.end && *probe.at == ' ') {
            *out_pid = (uint32_t)number;
            *s = probe;
        }
    }
    km_span_skip_spaces(s);
    if (!km_span_take_number(s, LARGEST_SECONDS, &number) || !km_span_take_word(s, "."))
        return false;
    int digits = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        if (digits < 6) {
            micros = micros * 10 + (uint64_t)(*s->at - '0');
            digits++;
        }
    for (; digits < 6; digits++)
        micros *= 10;
    km_span_skip_spaces(s);
    *out_ns = number * UINT64_C(1000000000) + micros * 1000;
    return *out_pid != 0;
}

static enum km_code emit(struct km_import *import, const struct thread *thread, struct km_event *event,
                         enum km_event_kind kind, struct km_err *err)
{
    event->time_ns = import->time_ns;
    event->tid = event->tgid = thread->tid;
    event->role = thread->role;
    event->feed = KM_FEED_IMPORT;
    event->kind = (uint8_t)kind;
    return import->sink.event(import->sink.context, event, err);
}

/* Gives the thread the role of its program and depth, and announces it. */
static enum km_code assign_role(struct km_import *import, struct thread *thread, struct km_err *err)
{
    char name[32];
    size_t n = 0;
    for (const char *c = thread->comm; *c; c++)
        if (*c < '0' || *c > '9')
            name[n++] = *c;
    for (unsigned i = 0; i < thread->depth; i++)
        name[n++] = '+';
    name[n] = '\0';
    enum km_code code = km_import_obtain_role(import, name, &thread->role, err);
    if (code != KM_OK)
        return code;
    struct km_event event = {.thread = {.comm = {thread->comm, strlen(thread->comm)}}};
    return emit(import, thread, &event, KM_EVENT_THREAD, err);
}

static enum km_code obtain_thread(struct km_import *import, uint32_t tid, const struct thread *parent,
                                  struct thread **out, struct km_err *err)
{
    *out = km_tidmap_find(&import->threads, tid);
    if (*out)
        return KM_OK;
    struct thread *thread = km_calloc(1, sizeof *thread, SIZE_MAX, err);
    if (!thread)
        return err->code;
    thread->tid = tid;
    (void)snprintf(thread->comm, sizeof thread->comm, "%s", parent ? parent->comm : "main");
    thread->placed = parent != NULL;
    if (parent)
        thread->depth = parent->depth < MAX_DEPTH ? parent->depth + 1 : MAX_DEPTH;
    enum km_code code = km_tidmap_add(&import->threads, tid, thread, err);
    if (code != KM_OK) {
        free(thread);
        return code;
    }
    *out = thread;
    return assign_role(import, thread, err);
}

static void thread_free(struct thread *thread)
{
    if (thread)
        free(thread->pending);
    free(thread);
}

void km_import_strace_done(struct km_import *import)
{
    for (size_t i = 0; i < import->threads.slot_count; i++)
        thread_free(import->threads.slots[i].value);
    km_tidmap_done(&import->threads);
}

static enum km_code end_thread(struct km_import *import, struct thread *thread, struct km_err *err)
{
    struct km_event event = {0};
    enum km_code code = emit(import, thread, &event, KM_EVENT_END, err);
    thread_free(km_tidmap_remove(&import->threads, thread->tid));
    return code;
}

enum km_code km_import_strace_finish(struct km_import *import, struct km_err *err)
{
    void **threads KM_CLEANUP(km_cleanup_free) = km_tidmap_sorted(&import->threads, err);
    if (!threads)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t n = import->threads.count, i = 0; i < n && code == KM_OK; i++)
        code = end_thread(import, threads[i], err);
    return code;
}

/* The byte that an escape stands for; *c is at the backslash and moves to the escape's last character. */
static char unescape(const char **c, const char *end)
{
    const char *at = *c + 1;
    if (at >= end)
        return '\\';
    if (*at < '0' || *at > '7') {
        *c = at;
        return *at == 'n' ? '\n' : *at == 't' ? '\t' : *at;
    }
    unsigned v = 0;
    for (int i = 0; i < 3 && at < end && *at >= '0' && *at <= '7'; i++)
        v = v * 8 + (unsigned)(*at++ - '0');
    *c = at - 1;
    return (char)v;
}

/* The n-th string in quotes, unescaped, into out. Returns its length. */
static size_t quoted(struct km_span args, unsigned index, char *out, size_t room)
{
    size_t n = 0;
    bool inside = false, found = false;
    for (const char *c = args.at; c < args.end; c++) {
        if (*c == '"') {
            if (found)
                return n;
            inside = !inside;
            found = inside && index-- == 0;
            continue;
        }
        char byte = inside && *c == '\\' ? unescape(&c, args.end) : *c;
        if (found && n < room)
            out[n++] = byte;
    }
    return found ? n : 0;
}

static uint64_t number_after(struct km_span args, const char *word, uint64_t limit)
{
    struct km_span s = args;
    s.at = memmem(args.at, (size_t)(args.end - args.at), word, strlen(word));
    uint64_t v;
    if (!s.at)
        return 0;
    s.at += strlen(word);
    return km_span_take_number(&s, limit, &v) ? v : 0;
}

static void parse_address(struct km_span args, struct km_address *out)
{
    char text[KM_EVENT_MAX_ADDRESS];
    struct km_span s = args;
    if (km_span_contains(args, "sa_family=AF_UNIX")) {
        s.at = memmem(args.at, (size_t)(args.end - args.at), "sun_path=", 9);
        out->family = AF_UNIX;
        out->length = (uint16_t)(s.at ? quoted(s, 0, (char *)out->bytes, sizeof out->bytes) : 0);
        return;
    }
    bool six = km_span_contains(args, "sa_family=AF_INET6"), four = !six && km_span_contains(args, "sa_family=AF_INET");
    if (km_span_contains(args, "sa_family=AF_NETLINK"))
        out->family = AF_NETLINK;
    if (!six && !four)
        return;
    out->family = six ? AF_INET6 : AF_INET;
    out->port = (uint16_t)number_after(args, six ? "sin6_port=htons(" : "sin_port=htons(", UINT16_MAX);
    const char *mark = six ? "inet_pton(AF_INET6, " : "inet_addr(";
    s.at = memmem(args.at, (size_t)(args.end - args.at), mark, strlen(mark));
    size_t n = s.at ? quoted(s, 0, text, sizeof text - 1) : 0;
    text[n] = '\0';
    if (inet_pton(out->family, text, out->bytes) == 1)
        out->length = six ? 16 : 4;
}

static enum km_arg_class peer_class(const struct km_address *a)
{
    if (a->family == AF_UNIX)
        return KM_ARGC_UNIX;
    if (a->family == AF_NETLINK)
        return KM_ARGC_NETLINK;
    if (a->family == AF_INET && a->length == 4) {
        const uint8_t *b = a->bytes;
        bool private = b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168);
        return b[0] == 127 ? KM_ARGC_LOCAL : private ? KM_ARGC_PRIVATE : KM_ARGC_PUBLIC;
    }
    return a->family == AF_INET6 ? KM_ARGC_PUBLIC : KM_ARGC_NONE;
}

static uint32_t open_flags(struct km_span args)
{
    uint32_t flags = km_span_contains(args, "O_RDWR")     ? O_RDWR
                     : km_span_contains(args, "O_WRONLY") ? O_WRONLY
                                                          : O_RDONLY;
    return flags | (km_span_contains(args, "O_CREAT") ? O_CREAT : 0) |
           (km_span_contains(args, "O_TRUNC") ? O_TRUNC : 0);
}

static uint32_t protection(struct km_span args)
{
    return (km_span_contains(args, "PROT_READ") ? PROT_READ : 0U) |
           (km_span_contains(args, "PROT_WRITE") ? PROT_WRITE : 0U) |
           (km_span_contains(args, "PROT_EXEC") ? PROT_EXEC : 0U);
}

/* Which calls are landmarks, by name. `path` and `path2` say which quoted string; -1 = none. */
static const struct {
    const char *name;
    uint8_t kind;
    int8_t path, path2;
} landmarks[] = {
    {"execve", KM_LANDMARK_EXEC, 0, -1},
    {"execveat", KM_LANDMARK_EXEC, 0, -1},
    {"open", KM_LANDMARK_OPEN, 0, -1},
    {"openat", KM_LANDMARK_OPEN, 0, -1},
    {"openat2", KM_LANDMARK_OPEN, 0, -1},
    {"creat", KM_LANDMARK_OPEN, 0, -1},
    {"connect", KM_LANDMARK_CONNECT, -1, -1},
    {"bind", KM_LANDMARK_BIND, -1, -1},
    {"listen", KM_LANDMARK_LISTEN, -1, -1},
    {"accept", KM_LANDMARK_ACCEPT, -1, -1},
    {"accept4", KM_LANDMARK_ACCEPT, -1, -1},
    {"setuid", KM_LANDMARK_IDENTITY, -1, -1},
    {"setgid", KM_LANDMARK_IDENTITY, -1, -1},
    {"setresuid", KM_LANDMARK_IDENTITY, -1, -1},
    {"setresgid", KM_LANDMARK_IDENTITY, -1, -1},
    {"setreuid", KM_LANDMARK_IDENTITY, -1, -1},
    {"setregid", KM_LANDMARK_IDENTITY, -1, -1},
    {"capset", KM_LANDMARK_CAPABILITY, -1, -1},
    {"unshare", KM_LANDMARK_NAMESPACE, -1, -1},
    {"setns", KM_LANDMARK_NAMESPACE, -1, -1},
    {"mmap", KM_LANDMARK_EXEC_MEMORY, -1, -1},
    {"mprotect", KM_LANDMARK_EXEC_MEMORY, -1, -1},
    {"memfd_create", KM_LANDMARK_MEMFD, 0, -1},
    {"ptrace", KM_LANDMARK_PTRACE, -1, -1},
    {"init_module", KM_LANDMARK_MODULE, -1, -1},
    {"finit_module", KM_LANDMARK_MODULE, -1, -1},
    {"delete_module", KM_LANDMARK_MODULE, 0, -1},
    {"chmod", KM_LANDMARK_SETUID_BIT, 0, -1},
    {"fchmodat", KM_LANDMARK_SETUID_BIT, 0, -1},
    {"unlink", KM_LANDMARK_UNLINK, 0, -1},
    {"unlinkat", KM_LANDMARK_UNLINK, 0, -1},
    {"rename", KM_LANDMARK_RENAME, 0, 1},
    {"renameat", KM_LANDMARK_RENAME, 0, 1},
    {"renameat2", KM_LANDMARK_RENAME, 0, 1},
    {"mount", KM_LANDMARK_MOUNT, 1, -1},
};

/* A finished call. */
struct finished {
    char name[32];
    struct km_span args;
    enum km_outcome_class outcome;
    int64_t result;
};

/* Whether the landmark is worth telling: as in the probe, a harmless mprotect or unlink is not. */
static bool is_told(const struct km_event_landmark *l, struct km_span args)
{
    switch ((enum km_landmark_kind)l->kind) {
    case KM_LANDMARK_EXEC_MEMORY:
        return (l->flags & PROT_EXEC) != 0;
    case KM_LANDMARK_SETUID_BIT: {
        const char *comma = memrchr(args.at, ',', (size_t)(args.end - args.at));
        struct km_span mode = {comma ? comma + 1 : args.end, args.end};
        km_span_skip_spaces(&mode);
        unsigned bits = 0;
        for (; mode.at < mode.end && *mode.at >= '0' && *mode.at <= '7'; mode.at++)
            bits = (bits * 8 + (unsigned)(*mode.at - '0')) & 07777;
        return (bits & 06000) != 0;
    }
    case KM_LANDMARK_UNLINK:
    case KM_LANDMARK_RENAME:
        return l->zone == KM_ZONE_SYSTEM || l->zone == KM_ZONE_CONFIG || l->zone == KM_ZONE_SENSITIVE;
    case KM_LANDMARK_EXEC:
    case KM_LANDMARK_OPEN:
    case KM_LANDMARK_CONNECT:
    case KM_LANDMARK_BIND:
    case KM_LANDMARK_LISTEN:
    case KM_LANDMARK_ACCEPT:
    case KM_LANDMARK_IDENTITY:
    case KM_LANDMARK_CAPABILITY:
    case KM_LANDMARK_NAMESPACE:
    case KM_LANDMARK_MEMFD:
    case KM_LANDMARK_MEMFD_EXEC:
    case KM_LANDMARK_PTRACE:
    case KM_LANDMARK_MODULE:
    case KM_LANDMARK_MOUNT:
    case KM_LANDMARK_KILL:
        break;
    }
    return true;
}

static uint64_t digest_of(struct km_span args)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (const char *c = args.at; c < args.end; c++)
        h = (h ^ (uint8_t)*c) * 0x100000001b3ULL;
    return h;
}

static enum km_code emit_landmark(struct km_import *import, const struct thread *thread, const struct finished *call,
                                  uint16_t number, struct km_err *err)
{
    size_t row = 0, rows = sizeof landmarks / sizeof landmarks[0];
    while (row < rows && strcmp(landmarks[row].name, call->name) != 0)
        row++;
    if (row == rows)
        return KM_OK;
    char path[KM_EVENT_MAX_PATH_BYTES], path2[KM_EVENT_MAX_PATH_BYTES];
    struct km_event event = {0};
    struct km_event_landmark *l = &event.landmark;
    l->kind = landmarks[row].kind;
    l->number = number;
    l->outcome = (uint8_t)call->outcome;
    if (landmarks[row].path >= 0)
        l->path = (struct km_bytes){path, quoted(call->args, (unsigned)landmarks[row].path, path, sizeof path)};
    if (landmarks[row].path2 >= 0)
        l->path2 = (struct km_bytes){path2, quoted(call->args, (unsigned)landmarks[row].path2, path2, sizeof path2)};
    l->zone = (uint8_t)km_zone_of_path(l->path);
    if (l->kind == KM_LANDMARK_OPEN)
        l->flags = strcmp(call->name, "creat") == 0 ? O_WRONLY | O_CREAT : open_flags(call->args);
    if (l->kind == KM_LANDMARK_EXEC_MEMORY)
        l->flags = protection(call->args);
    if (l->kind == KM_LANDMARK_EXEC || l->kind == KM_LANDMARK_NAMESPACE || l->kind == KM_LANDMARK_CAPABILITY)
        l->digest = digest_of(call->args);
    if (l->kind == KM_LANDMARK_IDENTITY) {
        struct km_span first = call->args;
        (void)km_span_take_number(&first, UINT32_MAX, &l->value);
    }
    if (l->kind == KM_LANDMARK_NAMESPACE || l->kind == KM_LANDMARK_CAPABILITY)
        l->value = l->digest; /* symbolic in the log: the same set has the same digest */
    parse_address(call->args, &l->address);
    if (!is_told(l, call->args))
        return KM_OK;
    return emit(import, thread, &event, KM_EVENT_LANDMARK, err);
}

static uint8_t argument_class(const struct finished *call)
{
    const char *name = call->name;
    if (strcmp(name, "open") == 0 || strcmp(name, "openat") == 0) {
        uint32_t flags = open_flags(call->args);
        return flags & O_CREAT ? KM_ARGC_CREATE : flags & O_ACCMODE ? KM_ARGC_WRITE : KM_ARGC_READ;
    }
    if (strcmp(name, "socket") == 0)
        return km_span_contains(call->args, "AF_UNIX")      ? KM_ARGC_UNIX
               : km_span_contains(call->args, "AF_NETLINK") ? KM_ARGC_NETLINK
                                                            : KM_ARGC_SOCKET;
    if (strcmp(name, "mmap") == 0 || strcmp(name, "mprotect") == 0) {
        uint32_t prot = protection(call->args);
        return !(prot & PROT_EXEC) ? KM_ARGC_NONE : prot & PROT_WRITE ? KM_ARGC_EXEC_WRITE : KM_ARGC_EXEC;
    }
    if (strcmp(name, "connect") == 0) {
        struct km_address address = {0};
        parse_address(call->args, &address);
        return (uint8_t)peer_class(&address);
    }
    return KM_ARGC_NONE;
}

/* A successful exec gives the thread its program's name; a fork's result is a thread one deeper. */
static enum km_code follow_process(struct km_import *import, struct thread *thread, const struct finished *call,
                                   struct km_err *err)
{
    if (call->outcome != KM_OUTCOME_OK)
        return KM_OK;
    if (strcmp(call->name, "execve") == 0 || strcmp(call->name, "execveat") == 0) {
        char path[KM_EVENT_MAX_PATH_BYTES];
        size_t n = quoted(call->args, 0, path, sizeof path - 1);
        path[n] = '\0';
        const char *slash = strrchr(path, '/');
        thread->placed = true;
        (void)snprintf(thread->comm, sizeof thread->comm, "%.15s", slash ? slash + 1 : path);
        return assign_role(import, thread, err);
    }
    bool forks = strcmp(call->name, "clone") == 0 || strcmp(call->name, "clone3") == 0 ||
                 strcmp(call->name, "fork") == 0 || strcmp(call->name, "vfork") == 0;
    if (!forks || call->result <= 0 || call->result > (int64_t)LARGEST_PID)
        return KM_OK;
    struct thread *child = km_tidmap_find(&import->threads, (uint32_t)call->result);
    if (!child)
        return obtain_thread(import, (uint32_t)call->result, thread, &child, err);
    if (child == thread || child->placed)
        return KM_OK;
    /* It ran before its parent's call returned, and was taken for a first process. */
    memcpy(child->comm, thread->comm, sizeof child->comm);
    child->depth = thread->depth < MAX_DEPTH ? thread->depth + 1 : MAX_DEPTH;
    child->placed = true;
    return assign_role(import, child, err);
}

static enum km_code take_finished(struct km_import *import, struct thread *thread, const struct finished *call,
                                  struct km_err *err)
{
    int number = km_call_find(call->name);
    import->stats.calls++;
    import->stats.unknown += number < 0;
    uint16_t folded = number < 0 ? KM_CALL_OTHER : (uint16_t)km_call_fold(KM_SPACE_NATIVE, number);
    struct km_event event = {.call = {.number = folded,
                                      .space = KM_SPACE_NATIVE,
                                      .outcome = (uint8_t)call->outcome,
                                      .arg_class = argument_class(call)}};
    enum km_code code = emit(import, thread, &event, KM_EVENT_CALL, err);
    if (code == KM_OK)
        code = emit_landmark(import, thread, call, folded, err);
    return code == KM_OK ? follow_process(import, thread, call, err) : code;
}

/* "name(arguments) = result": false when it is not that. */
static bool parse_call(struct km_span text, struct finished *out)
{
    const char *open = memchr(text.at, '(', (size_t)(text.end - text.at));
    size_t length = open ? (size_t)(open - text.at) : 0;
    if (length == 0 || length >= sizeof out->name)
        return false;
    memcpy(out->name, text.at, length);
    out->name[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (!((out->name[i] >= 'a' && out->name[i] <= 'z') || out->name[i] == '_' ||
              (out->name[i] >= '0' && out->name[i] <= '9')))
            return false;
    const char *equals = NULL;
    if (text.end - open < 5) /* ") = x" */
        return false;
    for (const char *c = text.end - 4; c > open && !equals; c--)
        if (c[0] == ' ' && c[1] == '=' && c[2] == ' ')
            equals = c;
    if (!equals)
        return false;
    out->args = (struct km_span){open + 1, equals};
    struct km_span result = {equals + 3, text.end};
    uint64_t number;
    out->outcome = KM_OUTCOME_OK;
    out->result = 0;
    if (km_span_take_word(&result, "?")) {
        out->outcome = KM_OUTCOME_UNKNOWN;
    } else if (km_span_take_word(&result, "-1")) {
        bool going = km_span_contains(result, "EINPROGRESS");
        out->outcome = going                                                                     ? KM_OUTCOME_OK
                       : km_span_contains(result, "EACCES") || km_span_contains(result, "EPERM") ? KM_OUTCOME_DENIED
                                                                                                 : KM_OUTCOME_ERROR;
    } else if (km_span_take_number(&result, INT64_MAX / 16, &number)) {
        out->result = (int64_t)number;
    }
    return true;
}

static enum km_code keep_pending(struct thread *thread, struct km_span text, struct km_err *err)
{
    size_t length = (size_t)(text.end - text.at);
    length = length < MAX_PENDING_BYTES ? length : MAX_PENDING_BYTES;
    free(thread->pending);
    thread->pending = km_strndup(text.at, length, err);
    thread->pending_length = length;
    return thread->pending ? KM_OK : err->code;
}

/* "<... name resumed>rest": what was kept and the rest are one call. */
static enum km_code resume(struct km_import *import, struct thread *thread, struct km_span text, struct km_err *err)
{
    static const char mark[] = " resumed>";
    const char *rest = memmem(text.at, (size_t)(text.end - text.at), mark, sizeof mark - 1);
    if (!thread->pending || !rest) {
        import->stats.skipped++;
        return KM_OK;
    }
    rest += sizeof mark - 1;
    struct km_buf whole;
    km_buf_init(&whole, MAX_PENDING_BYTES + KM_IMPORT_MAX_LINE_BYTES);
    enum km_code code = km_buf_append(&whole, thread->pending, thread->pending_length, err);
    if (code == KM_OK)
        code = km_buf_append(&whole, rest, (size_t)(text.end - rest), err);
    free(thread->pending);
    thread->pending = NULL;
    struct finished call;
    if (code == KM_OK) {
        if (parse_call((struct km_span){whole.data, whole.data + whole.length}, &call))
            code = take_finished(import, thread, &call, err);
        else
            import->stats.skipped++;
    }
    km_buf_done(&whole);
    return code;
}

enum km_code km_import_strace_line(struct km_import *import, const char *line, size_t length, struct km_err *err)
{
    static const char unfinished[] = "<unfinished ...>";
    struct km_span text = {line, line + length};
    uint32_t pid;
    uint64_t time_ns;
    if (!take_prefix(&text, &pid, &time_ns) || text.at == text.end) {
        import->stats.skipped++;
        return KM_OK;
    }
    import->time_ns = time_ns;
    struct thread *thread;
    enum km_code code = obtain_thread(import, pid, NULL, &thread, err);
    if (code != KM_OK)
        return code;
    if (km_span_take_word(&text, "+++"))
        return end_thread(import, thread, err);
    if (km_span_take_word(&text, "---"))
        return KM_OK;
    if (km_span_take_word(&text, "<..."))
        return resume(import, thread, text, err);
    if (km_span_ends_with(text, unfinished)) {
        text.end -= sizeof unfinished - 1;
        return keep_pending(thread, text, err);
    }
    struct finished call;
    if (parse_call(text, &call))
        return take_finished(import, thread, &call, err);
    import->stats.skipped++;
    return KM_OK;
}
