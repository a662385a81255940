#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/inventory/inventory_internal.h"

#define PF_KTHREAD     0x00200000UL
#define MAX_TEXT_BYTES ((size_t)64 << 10)

enum km_code km_inventory_read_text(const char *path, size_t max_bytes, char **out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", path);
    KM_CLEANUP(km_cleanup_free) char *text = NULL;
    size_t capacity = 0;
    size_t used = 0;
    while (true) {
        enum km_code code = km_grow((void **)&text, &capacity, used + 4096, 1, max_bytes + 4096, err);
        if (code != KM_OK)
            return code;
        ssize_t got = read(fd, text + used, capacity - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "%s", path);
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > max_bytes)
            return km_fail(err, KM_LIMIT, "%s has more than %zu bytes", path, max_bytes);
    }
    KM_ASSERT(text != NULL);
    text[used] = '\0';
    *out = km_steal(text);
    return KM_OK;
}

bool km_inventory_read_number(const char **at, int base, unsigned long long *out)
{
    const char *text = *at + strspn(*at, " \t");
    char *end;
    if (!isxdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, base);
    if (errno != 0 || end == text)
        return false;
    *at = end;
    *out = value;
    return true;
}

/* Fields of /proc/PID/stat behind the name, from 0. */
enum {
    STAT_PARENT = 1,
    STAT_TTY = 4,
    STAT_FLAGS = 6,
    STAT_START = 19,
};

bool km_process_parse_stat(const char *text, struct km_process *out)
{
    /* The name may hold spaces and ")": it ends at the last one. */
    KM_ASSERT(text != NULL);
    const char *open = strchr(text, '(');
    const char *close = strrchr(text, ')');
    unsigned long long wanted[STAT_START + 1];
    if (!open || !close || close < open)
        return false;
    const char *at = close + 1;
    for (int i = 0; i <= STAT_START; i++) {
        at += strspn(at, " ");
        if (*at == '\0' || *at == '\n')
            return false;
        const char *word = at;
        at += strcspn(at, " \n");
        bool used = i == STAT_PARENT || i == STAT_TTY || i == STAT_FLAGS || i == STAT_START;
        if (used && !km_inventory_read_number(&word, 10, &wanted[i]))
            return false;
    }
    size_t length = (size_t)(close - open - 1);
    if (length >= sizeof out->comm)
        length = sizeof out->comm - 1;
    memcpy(out->comm, open + 1, length);
    out->comm[length] = '\0';
    out->parent = (uint32_t)wanted[STAT_PARENT];
    out->session = wanted[STAT_TTY] != 0;
    out->kernel = (wanted[STAT_FLAGS] & PF_KTHREAD) != 0;
    out->start_ticks = wanted[STAT_START];
    return true;
}

/* The value of the line that begins with `name`. The kernel escapes newlines in names, so that none can fake a line. */
static const char *find_field(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, length) == 0)
            return line + length;
    return NULL;
}

static unsigned long long number_field(const char *text, const char *name, int base)
{
    const char *at = find_field(text, name);
    unsigned long long value;
    return at && km_inventory_read_number(&at, base, &value) ? value : 0;
}

bool km_process_parse_status(const char *text, struct km_process *out)
{
    const char *at = find_field(text, "Uid:");
    unsigned long long uid;
    /* The second number is the effective one. */
    if (!at || !km_inventory_read_number(&at, 10, &uid) || !km_inventory_read_number(&at, 10, &uid))
        return false;
    out->uid = (uint32_t)uid;
    out->capabilities = number_field(text, "CapEff:", 16);
    out->no_new_privs = number_field(text, "NoNewPrivs:", 10) != 0;
    out->seccomp = number_field(text, "Seccomp:", 10) != 0;
    return true;
}

void km_process_parse_cgroup(const char *text, char *out, size_t out_bytes)
{
    static const char *const wanted[] = {"0::", ":name=systemd:"};
    out[0] = '\0';
    for (size_t i = 0; i < 2 && (out[0] == '\0' || strcmp(out, "/") == 0); i++) {
        for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            size_t length = strcspn(line, "\n");
            const char *found = i == 0 ? (strncmp(line, wanted[0], 3) == 0 ? line : NULL) : strstr(line, wanted[1]);
            if (!found || found > line + length)
                continue;
            found += strlen(wanted[i]);
            (void)snprintf(out, out_bytes, "%.*s", (int)(line + length - found), found);
            break;
        }
    }
}

/* exe and what its file says; nothing for kernel threads and what may not be read. */
static enum km_code read_program(const char *folder, struct km_process *process, struct km_arena *arena,
                                 struct km_err *err)
{
    static const char deleted[] = " (deleted)";
    char path[512];
    char target[4096];
    struct stat st;

    process->exe = "";
    (void)snprintf(path, sizeof path, "%s/exe", folder);
    ssize_t length = readlink(path, target, sizeof target);
    if (length <= 0)
        return KM_OK;
    size_t used = (size_t)length;
    if (stat(path, &st) == 0)
        process->setuid = (st.st_mode & (S_ISUID | S_ISGID)) != 0;
    if (used > sizeof deleted - 1 && memcmp(target + used - (sizeof deleted - 1), deleted, sizeof deleted - 1) == 0) {
        process->deleted = true;
        used -= sizeof deleted - 1;
    }
    process->exe = km_arena_strndup(arena, target, used, err);
    return process->exe ? KM_OK : err->code;
}

/* *out_there is false for a process that ended meanwhile. */
static enum km_code read_process(const char *proc_root, uint32_t pid, struct km_arena *arena, struct km_process *out,
                                 bool *out_there, struct km_err *err)
{
    char folder[300];
    char path[512];
    char cgroup[4096];
    struct km_err ignored;

    *out_there = false;
    memset(out, 0, sizeof *out);
    out->pid = pid;
    out->owner = SIZE_MAX;
    (void)snprintf(folder, sizeof folder, "%s/%u", proc_root, pid);
    (void)snprintf(path, sizeof path, "%s/stat", folder);
    KM_CLEANUP(km_cleanup_free) char *stat_text = NULL;
    KM_CLEANUP(km_cleanup_free) char *status_text = NULL;
    KM_CLEANUP(km_cleanup_free) char *cgroup_text = NULL;
    if (km_inventory_read_text(path, MAX_TEXT_BYTES, &stat_text, &ignored) != KM_OK ||
        !km_process_parse_stat(stat_text, out))
        return KM_OK;
    (void)snprintf(path, sizeof path, "%s/status", folder);
    if (km_inventory_read_text(path, MAX_TEXT_BYTES, &status_text, &ignored) != KM_OK ||
        !km_process_parse_status(status_text, out))
        return KM_OK;
    (void)snprintf(path, sizeof path, "%s/cgroup", folder);
    cgroup[0] = '\0';
    if (km_inventory_read_text(path, MAX_TEXT_BYTES, &cgroup_text, &ignored) == KM_OK)
        km_process_parse_cgroup(cgroup_text, cgroup, sizeof cgroup);
    out->cgroup = km_arena_strndup(arena, cgroup, strlen(cgroup), err);
    if (!out->cgroup)
        return err->code;
    *out_there = true;
    return read_program(folder, out, arena, err);
}

static int by_pid(const void *a, const void *b)
{
    const struct km_process *left = a;
    const struct km_process *right = b;
    return left->pid < right->pid ? -1 : left->pid > right->pid;
}

enum km_code km_processes_read(const char *proc_root, struct km_arena *arena, struct km_processes *out,
                               struct km_err *err)
{
    DIR *proc = opendir(proc_root);
    if (!proc)
        return km_fail_errno(err, errno, "%s", proc_root);
    const struct dirent *entry;
    enum km_code code = KM_OK;
    while (code == KM_OK && (entry = readdir(proc)) != NULL) {
        char *end;
        unsigned long pid = strtoul(entry->d_name, &end, 10);
        if (!isdigit((unsigned char)entry->d_name[0]) || *end != '\0' || pid == 0 || pid > INT32_MAX)
            continue;
        code = km_grow((void **)&out->rows, &out->capacity, out->count + 1, sizeof *out->rows,
                       KM_INVENTORY_MAX_PROCESSES, err);
        bool there = false;
        if (code == KM_OK)
            code = read_process(proc_root, (uint32_t)pid, arena, &out->rows[out->count], &there, err);
        out->count += code == KM_OK && there;
    }
    (void)closedir(proc);
    if (out->count > 0)
        qsort(out->rows, out->count, sizeof *out->rows, by_pid);
    return code;
}

size_t km_processes_find(const struct km_processes *processes, uint32_t pid)
{
    const struct km_process key = {.pid = pid};
    const struct km_process *found =
        processes->count ? bsearch(&key, processes->rows, processes->count, sizeof key, by_pid) : NULL;
    return found ? (size_t)(found - processes->rows) : SIZE_MAX;
}

/* ---- what a cgroup path says ---- */

bool km_unit_parse(const char *cgroup, char *out, size_t out_bytes)
{
    static const char suffix[] = ".service";
    bool found = false;
    while (*cgroup) {
        cgroup += strspn(cgroup, "/");
        size_t length = strcspn(cgroup, "/");
        if (length > sizeof suffix - 1 && length < out_bytes &&
            memcmp(cgroup + length - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0) {
            memcpy(out, cgroup, length);
            out[length] = '\0';
            /* user@1000.service holds the services of a person: the innermost is meant. */
            found = true;
        }
        cgroup += length;
    }
    return found;
}

static size_t hex_run(const char *text)
{
    return strspn(text, "0123456789abcdef");
}

bool km_container_parse(const char *cgroup, char *out, size_t out_bytes)
{
    static const char *const before[] = {"docker-", "libpod-", "cri-containerd-",
                                         "crio-",   "docker/", "libpod_parent/libpod-"};
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        const char *found = strstr(cgroup, before[i]);
        if (!found)
            continue;
        found += strlen(before[i]);
        size_t length = hex_run(found);
        if (length == 64 && out_bytes > 12) {
            (void)snprintf(out, out_bytes, "%.12s", found); /* as the engines print it */
            return true;
        }
    }
    const char *machine = strstr(cgroup, "/machine.slice/machine-");
    if (machine) {
        machine += strlen("/machine.slice/machine-");
        size_t length = strcspn(machine, "/");
        if (length > 6 && memcmp(machine + length - 6, ".scope", 6) == 0)
            length -= 6;
        (void)snprintf(out, out_bytes, "%.*s", (int)length, machine);
        return length > 0;
    }
    return false;
}
