#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/rules/rule_internal.h"
#include "daemon/trace/calls.h"
#include "daemon/trace/zone.h"

#define BIT(source) (1u << (source))
#define OPEN_WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

static bool writes(const struct km_event_landmark *landmark)
{
    return landmark->kind == KM_LANDMARK_OPEN && (landmark->flags & OPEN_WRITES);
}

static bool is_ip(const struct km_address *address)
{
    return (address->family == AF_INET && address->length == 4) ||
           (address->family == AF_INET6 && address->length == 16);
}

static bool starts_program(const struct km_event_landmark *landmark)
{
    return landmark->kind == KM_LANDMARK_EXEC || landmark->kind == KM_LANDMARK_MEMFD_EXEC;
}

unsigned km_rule_record_sources(const struct km_event_landmark *landmark)
{
    unsigned always = BIT(KM_RULE_AUDITD) | BIT(KM_RULE_DAEMON);
    bool happened = landmark->outcome != KM_OUTCOME_DENIED && landmark->outcome != KM_OUTCOME_ERROR;
    switch ((enum km_landmark_kind)landmark->kind) {
    case KM_LANDMARK_EXEC:
    case KM_LANDMARK_MEMFD_EXEC:
        return happened ? always | BIT(KM_RULE_PROCESS_CREATION) : always;
    case KM_LANDMARK_OPEN:
        if (!writes(landmark))
            return always | BIT(KM_RULE_FILE_ACCESS);
        return happened ? always | BIT(KM_RULE_FILE_EVENT) : always;
    case KM_LANDMARK_UNLINK:
        return happened ? always | BIT(KM_RULE_FILE_DELETE) : always;
    case KM_LANDMARK_RENAME:
        return happened ? always | BIT(KM_RULE_FILE_RENAME) | BIT(KM_RULE_FILE_EVENT) : always;
    case KM_LANDMARK_CONNECT:
        return is_ip(&landmark->address) ? always | BIT(KM_RULE_NETWORK) : always;
    case KM_LANDMARK_ACCEPT:
        return is_ip(&landmark->address) && happened ? always | BIT(KM_RULE_NETWORK) : always;
    case KM_LANDMARK_BIND:
    case KM_LANDMARK_LISTEN:
    case KM_LANDMARK_IDENTITY:
    case KM_LANDMARK_CAPABILITY:
    case KM_LANDMARK_NAMESPACE:
    case KM_LANDMARK_EXEC_MEMORY:
    case KM_LANDMARK_MEMFD:
    case KM_LANDMARK_PTRACE:
    case KM_LANDMARK_MODULE:
    case KM_LANDMARK_SETUID_BIT:
    case KM_LANDMARK_MOUNT:
    case KM_LANDMARK_KILL:
        return always;
    }
    return 0;
}

/* ---- values ---- */

/* Room for `length` bytes in the record, or less when it is full. */
static char *take_room(struct km_rule_record *record, size_t *length)
{
    size_t left = sizeof record->bytes - record->used;
    if (*length > left) {
        *length = left;
        record->cut++;
    }
    char *room = record->bytes + record->used;
    record->used += *length;
    return room;
}

/* A value that outlives the matching: it is not copied. */
static void set_bytes(struct km_rule_record *record, enum km_rule_field field, const char *data, size_t length)
{
    if (length > KM_RULES_MAX_VALUE_BYTES) {
        length = KM_RULES_MAX_VALUE_BYTES;
        record->cut++;
    }
    struct km_rule_value *value = &record->values[field];
    value->lower = take_room(record, &length);
    value->bytes = (struct km_bytes){data, length};
    value->prepared = false;
    record->known |= KM_RULE_FIELD_BIT(field);
}

static void set_known(struct km_rule_record *record, enum km_rule_field field, const struct km_bytes *bytes)
{
    if (bytes->length > 0)
        set_bytes(record, field, bytes->data, bytes->length);
}

static void set_text(struct km_rule_record *record, enum km_rule_field field, const char *text)
{
    if (text)
        set_bytes(record, field, text, strlen(text)); /* texts are constants */
}

static void set_copy(struct km_rule_record *record, enum km_rule_field field, const char *text)
{
    size_t length = strlen(text);
    char *room = take_room(record, &length);
    memcpy(room, text, length); /* NOLINT(bugprone-not-null-terminated-result): values have a length */
    set_bytes(record, field, room, length);
}

static void set_number(struct km_rule_record *record, enum km_rule_field field, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    set_copy(record, field, text);
}

/* Arguments as one line. */
static void set_line(struct km_rule_record *record, enum km_rule_field field, const struct km_bytes *arguments)
{
    size_t length = arguments->length;
    while (length > 0 && arguments->data[length - 1] == '\0')
        length--;
    if (length == 0)
        return;
    if (length > KM_RULES_MAX_VALUE_BYTES) {
        length = KM_RULES_MAX_VALUE_BYTES;
        record->cut++;
    }
    char *room = take_room(record, &length);
    for (size_t i = 0; i < length; i++)
        room[i] = (char)(arguments->data[i] == '\0' ? ' ' : arguments->data[i]);
    set_bytes(record, field, room, length);
}

/* Appends the parts of a path to out[0..used), "." and empty ones left out, ".." taking one away. The kernel follows
 * links before ".."; a name that hides behind "x/.." or "//" is the likelier case here. */
static size_t append_parts(char *out, size_t used, size_t room, const struct km_bytes *path)
{
    size_t i = 0;
    while (i < path->length) {
        size_t end = i;
        while (end < path->length && path->data[end] != '/')
            end++;
        size_t length = end - i;
        if (length == 2 && path->data[i] == '.' && path->data[i + 1] == '.') {
            while (used > 0 && out[used - 1] != '/')
                used--;
            used -= used > 0;
        } else if (length > 0 && !(length == 1 && path->data[i] == '.')) {
            if (length + 1 > room - used)
                return used;
            out[used++] = '/';
            memcpy(out + used, path->data + i, length);
            used += length;
        }
        i = end + 1;
    }
    return used;
}

/* A path as it is written when absolute; a relative one is taken from the process's directory when that is known. */
static void set_path(struct km_rule_record *record, enum km_rule_field field, const struct km_bytes *path,
                     const struct km_bytes *directory)
{
    bool absolute = path->length > 0 && path->data[0] == '/';
    if (path->length == 0)
        return;
    if (!absolute && directory->length == 0) {
        set_bytes(record, field, path->data, path->length);
        return;
    }
    size_t room = path->length + directory->length + 2;
    char *out = take_room(record, &room);
    size_t used = absolute ? 0 : append_parts(out, 0, room, directory);
    used = append_parts(out, used, room, path);
    if (used == 0 && room > 0)
        out[used++] = '/';
    set_bytes(record, field, out, used);
}

static void set_address(struct km_rule_record *record, const struct km_address *address, enum km_rule_field ip,
                        enum km_rule_field port)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN] = "";
    if (!is_ip(address))
        return;
    if (address->family == AF_INET)
        (void)inet_ntop(AF_INET, address->bytes, text, sizeof text);
    else if (memcmp(address->bytes, mapped, sizeof mapped) == 0) /* the same peer must not have two names */
        (void)inet_ntop(AF_INET, address->bytes + sizeof mapped, text, sizeof text);
    else
        (void)inet_ntop(AF_INET6, address->bytes, text, sizeof text);
    set_copy(record, ip, text);
    set_number(record, port, address->port);
}

/* ---- fields ---- */

static void fill_process(struct km_rule_record *record, const struct km_rule_process *process,
                         const struct km_event *event)
{
    uint32_t pid = process->pid ? process->pid : event->tgid;
    set_known(record, KM_RULE_IMAGE, &process->image);
    set_line(record, KM_RULE_COMMAND_LINE, &process->arguments);
    set_known(record, KM_RULE_PARENT_IMAGE, &process->parent_image);
    set_line(record, KM_RULE_PARENT_COMMAND_LINE, &process->parent_arguments);
    set_known(record, KM_RULE_USER, &process->user);
    set_known(record, KM_RULE_DIRECTORY, &process->directory);
    set_known(record, KM_RULE_COMM, &process->comm);
    set_known(record, KM_RULE_UNIT, &process->unit);
    set_known(record, KM_RULE_ROLE, &process->role);
    if (pid)
        set_number(record, KM_RULE_PROCESS_ID, pid);
    if (process->parent_pid)
        set_number(record, KM_RULE_PARENT_PROCESS_ID, process->parent_pid);
    if (process->uid != KM_RULES_NO_UID)
        set_number(record, KM_RULE_UID, process->uid);
}

static void fill_namespaces(struct km_rule_record *record, uint64_t flags)
{
    static const struct {
        uint64_t flag;
        const char *name;
    } names[] = {{CLONE_NEWUSER, "user"},     {CLONE_NEWNS, "mount"}, {CLONE_NEWPID, "pid"},
                 {CLONE_NEWNET, "network"},   {CLONE_NEWIPC, "ipc"},  {CLONE_NEWUTS, "uts"},
                 {CLONE_NEWCGROUP, "cgroup"}, {0x80, "time"}};
    char text[64] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (flags & names[i].flag)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "," : "", names[i].name);
    if (used > 0)
        set_copy(record, KM_RULE_NAMESPACES, text);
}

static void fill_addresses(struct km_rule_record *record, const struct km_event_landmark *landmark)
{
    const struct km_address *address = &landmark->address;
    bool out = landmark->kind == KM_LANDMARK_CONNECT;
    /* bind, listen: this side; accept: the peer, which is where the connection comes from */
    set_address(record, address, out ? KM_RULE_DESTINATION_IP : KM_RULE_SOURCE_IP,
                out ? KM_RULE_DESTINATION_PORT : KM_RULE_SOURCE_PORT);
    if (address->family == AF_UNIX && address->length > 0)
        set_bytes(record, KM_RULE_SOCKET_PATH, (const char *)address->bytes, address->length);
    if (out || landmark->kind == KM_LANDMARK_ACCEPT)
        set_text(record, KM_RULE_INITIATED, out ? "true" : "false");
}

static void fill_zone(struct km_rule_record *record, const struct km_event_landmark *landmark)
{
    const struct km_rule_value *target = &record->values[KM_RULE_TARGET_FILENAME];
    if (!target->bytes.data)
        return;
    enum km_zone zone = km_zone_of_path(target->bytes);
    /* The probe knows more sensitive names than the zones by path do. */
    set_text(record, KM_RULE_ZONE, km_zone_to_string(landmark->zone == KM_ZONE_SENSITIVE ? KM_ZONE_SENSITIVE : zone));
}

static void fill_by_kind(struct km_rule_record *record, const struct km_rule_process *process,
                         const struct km_event_landmark *landmark)
{
    char mode[16];
    switch ((enum km_landmark_kind)landmark->kind) {
    case KM_LANDMARK_EXEC:
        if (process->image.length == 0)
            set_path(record, KM_RULE_IMAGE, &landmark->path, &process->directory);
        return;
    case KM_LANDMARK_RENAME:
        set_path(record, KM_RULE_SOURCE_FILENAME, &landmark->path, &process->directory);
        set_path(record, KM_RULE_TARGET_FILENAME, &landmark->path2, &process->directory);
        return;
    case KM_LANDMARK_SETUID_BIT:
        (void)snprintf(mode, sizeof mode, "%04o", (unsigned)landmark->value & 07777);
        set_copy(record, KM_RULE_MODE, mode);
        break;
    case KM_LANDMARK_IDENTITY:
        set_number(record, KM_RULE_NEW_ID, (int64_t)landmark->value);
        break;
    case KM_LANDMARK_NAMESPACE:
        fill_namespaces(record, landmark->value);
        break;
    case KM_LANDMARK_EXEC_MEMORY:
        set_text(record, KM_RULE_WRITABLE, landmark->flags & PROT_WRITE ? "true" : "false");
        break;
    case KM_LANDMARK_CONNECT:
    case KM_LANDMARK_BIND:
    case KM_LANDMARK_LISTEN:
    case KM_LANDMARK_ACCEPT:
        fill_addresses(record, landmark);
        break;
    case KM_LANDMARK_CAPABILITY:
    case KM_LANDMARK_PTRACE:
    case KM_LANDMARK_KILL:
    case KM_LANDMARK_MODULE:
    case KM_LANDMARK_OPEN:
    case KM_LANDMARK_MEMFD:
    case KM_LANDMARK_MEMFD_EXEC:
    case KM_LANDMARK_UNLINK:
    case KM_LANDMARK_MOUNT:
        break;
    }
    set_path(record, KM_RULE_TARGET_FILENAME, &landmark->path, &process->directory);
}

static const char *outcome_word(unsigned outcome)
{
    return outcome == KM_OUTCOME_OK       ? "ok"
           : outcome == KM_OUTCOME_DENIED ? "denied"
           : outcome == KM_OUTCOME_ERROR  ? "error"
                                          : NULL;
}

/* The first arguments, each a field of its own; argc is told only when all are there. */
static void fill_arguments(struct km_rule_record *record, const struct km_bytes *arguments)
{
    size_t count = 0, at = 0;
    while (at < arguments->length) {
        const char *text = arguments->data + at;
        size_t length = strnlen(text, arguments->length - at);
        if (count < KM_RULE_ARGUMENTS)
            set_bytes(record, (enum km_rule_field)(KM_RULE_AUDIT_A0 + count), text, length);
        count++;
        at += length + 1;
    }
    if (count > 0)
        set_number(record, KM_RULE_AUDIT_ARGC, (int64_t)count);
}

void km_rule_record_fill(struct km_rule_record *record, const struct km_rule_process *process,
                         const struct km_event *event)
{
    const struct km_event_landmark *landmark = &event->landmark;
    for (unsigned i = 0; i < KM_RULE_FIELD_COUNT; i++) {
        record->values[i].bytes = (struct km_bytes){0};
        record->values[i].prepared = false;
    }
    record->known = 0;
    record->used = 0;
    record->cut = 0;
    fill_process(record, process, event);
    fill_by_kind(record, process, landmark);
    fill_zone(record, landmark);
    set_text(record, KM_RULE_ACTION, km_rule_action_name(landmark->kind, writes(landmark)));
    set_text(record, KM_RULE_OUTCOME, outcome_word(landmark->outcome));
    set_text(record, KM_RULE_CALL, km_call_name(landmark->space, landmark->number));
    if (starts_program(landmark))
        fill_arguments(record, &process->arguments);
    if (landmark->peer_tid)
        set_number(record, KM_RULE_TARGET_PROCESS_ID, landmark->peer_tid);
    set_number(record, KM_RULE_VALUE, (int64_t)landmark->value);
}

static uint64_t audit_fields(unsigned type)
{
    uint64_t bits = 0;
    for (unsigned i = 1; i < KM_RULE_FIELD_COUNT; i++)
        if (km_rule_field_audit((enum km_rule_field)i) & type)
            bits |= KM_RULE_FIELD_BIT(i);
    return bits;
}

bool km_rule_record_audit(struct km_rule_record *record, const struct km_event_landmark *landmark, unsigned number)
{
    /* In the audit log: the call, a started program's arguments, the paths. */
    bool starts = starts_program(landmark);
    bool renames = landmark->kind == KM_LANDMARK_RENAME;
    const struct km_rule_value *target = &record->values[starts ? KM_RULE_IMAGE : KM_RULE_TARGET_FILENAME];
    const struct km_rule_value *source = &record->values[KM_RULE_SOURCE_FILENAME];
    switch (number) {
    case 0:
        set_text(record, KM_RULE_AUDIT_TYPE, "SYSCALL");
        if (landmark->outcome != KM_OUTCOME_UNKNOWN)
            set_text(record, KM_RULE_AUDIT_SUCCESS, landmark->outcome == KM_OUTCOME_OK ? "yes" : "no");
        record->visible = audit_fields(KM_RULE_AUDIT_SYSCALL);
        return true;
    case 1:
        set_text(record, KM_RULE_AUDIT_TYPE, "EXECVE");
        record->visible = audit_fields(KM_RULE_AUDIT_EXECVE);
        return starts && record->values[KM_RULE_AUDIT_ARGC].bytes.data;
    case 2:
    case 3:
        set_text(record, KM_RULE_AUDIT_TYPE, "PATH");
        if (number == 3)
            target = source;
        if (target->bytes.data)
            set_bytes(record, KM_RULE_AUDIT_NAME, target->bytes.data, target->bytes.length);
        set_text(record, KM_RULE_AUDIT_NAMETYPE,
                 landmark->kind == KM_LANDMARK_UNLINK || number == 3                              ? "DELETE"
                 : renames || (landmark->kind == KM_LANDMARK_OPEN && (landmark->flags & O_CREAT)) ? "CREATE"
                                                                                                  : "NORMAL");
        record->visible = audit_fields(KM_RULE_AUDIT_PATH);
        return target->bytes.data != NULL;
    default:
        return false;
    }
}
