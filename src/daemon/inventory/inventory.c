#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/inventory/inventory_internal.h"
#include "package/package.h"

#define MAX_ARENA_BYTES  ((size_t)64 << 20)
#define MAX_DAEMONS      4096
#define MAX_NOTES        4
#define MAX_FDS          65536
#define MAX_LINE_BYTES   8192
#define MAX_PASSWD_BYTES ((size_t)4 << 20)
#define NAME_BYTES       256
#define NONE             SIZE_MAX

struct row {
    struct km_daemon daemon;
    struct km_listener listeners[KM_INVENTORY_MAX_LISTENERS];
    size_t main; /* index of the main process */
};

struct km_inventory {
    struct km_arena *arena;
    const char *proc_root;
    const char *root;
    struct row *rows;
    size_t count, capacity;
    struct km_processes processes;
    struct km_units units;
    struct km_sockets sockets;
    char sockets_of[64]; /* the network namespace that they are from */
    char *passwd;
    char *guarded;
    const char *notes[MAX_NOTES + 1];
};

static void add_note(struct km_inventory *inventory, const struct km_err *err)
{
    struct km_err ignored;
    for (size_t i = 0; i < MAX_NOTES; i++) {
        if (inventory->notes[i])
            continue;
        inventory->notes[i] = km_arena_strndup(inventory->arena, err->text, strlen(err->text), &ignored);
        return;
    }
}

/* ---- which daemon a process belongs to ---- */

static enum km_code find_or_add(struct km_inventory *inventory, enum km_inventory_kind kind, const char *name,
                                size_t *out, struct km_err *err)
{
    for (size_t i = 0; kind != KM_INVENTORY_TREE && i < inventory->count; i++)
        if (inventory->rows[i].daemon.kind == kind && strcmp(inventory->rows[i].daemon.name, name) == 0) {
            *out = i;
            return KM_OK;
        }
    enum km_code code = km_grow((void **)&inventory->rows, &inventory->capacity, inventory->count + 1,
                                sizeof *inventory->rows, MAX_DAEMONS, err);
    if (code != KM_OK)
        return code;
    struct row *row = &inventory->rows[inventory->count];
    memset(row, 0, sizeof *row);
    row->main = NONE;
    row->daemon.kind = kind;
    row->daemon.name = km_arena_strndup(inventory->arena, name, strlen(name), err);
    row->daemon.purpose = row->daemon.package = row->daemon.version = row->daemon.exe = row->daemon.cgroup = "";
    row->daemon.user = "";
    if (!row->daemon.name)
        return err->code;
    *out = inventory->count++;
    return KM_OK;
}

/* The ancestor whose parent is process 1, process 0 or gone: the root of its tree. */
static size_t root_of(const struct km_processes *processes, size_t i)
{
    for (size_t steps = 0; steps < processes->count; steps++) {
        size_t parent = processes->rows[i].parent > 1 ? km_processes_find(processes, processes->rows[i].parent) : NONE;
        if (parent == NONE || parent == i)
            break;
        i = parent;
    }
    return i;
}

static enum km_code assign(struct km_inventory *inventory, size_t i, struct km_err *err)
{
    struct km_process *process = &inventory->processes.rows[i];
    char name[NAME_BYTES];
    if (process->kernel)
        return KM_OK;
    if (km_container_parse(process->cgroup, name, sizeof name))
        return find_or_add(inventory, KM_INVENTORY_CONTAINER, name, &process->owner, err);
    if (km_unit_parse(process->cgroup, name, sizeof name))
        return find_or_add(inventory, KM_INVENTORY_UNIT, name, &process->owner, err);
    size_t root = root_of(&inventory->processes, i);
    struct km_process *top = &inventory->processes.rows[root];
    if (top->session || top->pid == 1 || process->session)
        return KM_OK;
    if (top->owner == NONE) {
        enum km_code code = find_or_add(inventory, KM_INVENTORY_TREE, top->comm, &top->owner, err);
        if (code != KM_OK)
            return code;
        inventory->rows[top->owner].main = root;
    }
    process->owner = top->owner;
    return KM_OK;
}

static enum km_code group(struct km_inventory *inventory, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < inventory->processes.count && code == KM_OK; i++)
        code = assign(inventory, i, err);
    for (size_t i = 0; i < inventory->processes.count; i++) {
        size_t owner = inventory->processes.rows[i].owner;
        if (owner == NONE)
            continue;
        inventory->rows[owner].daemon.processes++;
        /* Rows are sorted by pid: the lowest is the main process until systemd says otherwise. */
        if (inventory->rows[owner].main == NONE)
            inventory->rows[owner].main = i;
    }
    for (size_t u = 0; u < inventory->units.count; u++)
        for (size_t i = 0; i < inventory->count; i++) {
            struct row *row = &inventory->rows[i];
            if (row->daemon.kind != KM_INVENTORY_UNIT || strcmp(row->daemon.name, inventory->units.rows[u].name) != 0)
                continue;
            row->daemon.purpose = inventory->units.rows[u].description;
            size_t main = km_processes_find(&inventory->processes, inventory->units.rows[u].main_pid);
            if (main != NONE && inventory->processes.rows[main].owner == i)
                row->main = main;
        }
    return code;
}

/* ---- listeners ---- */

static void take_listener(struct km_inventory *inventory, size_t daemon, uint64_t inode)
{
    struct km_socket *socket = km_sockets_find(&inventory->sockets, inode);
    struct row *row = &inventory->rows[daemon];
    if (!socket || socket->seen_by == daemon)
        return;
    socket->seen_by = daemon;
    if (row->daemon.listener_count < KM_INVENTORY_MAX_LISTENERS)
        row->listeners[row->daemon.listener_count] = socket->listener;
    row->daemon.listener_count++;
    if (socket->listener.reach > row->daemon.reach)
        row->daemon.reach = socket->listener.reach;
}

static void read_fds(struct km_inventory *inventory, const struct km_process *process)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%u/fd", inventory->proc_root, process->pid);
    DIR *fds = opendir(path);
    if (!fds)
        return;
    const struct dirent *entry;
    for (size_t n = 0; n < MAX_FDS && (entry = readdir(fds)) != NULL; n++) {
        char target[64];
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        unsigned long long inode;
        if (length <= 0)
            continue;
        target[length] = '\0';
        const char *number = target + strlen("socket:[");
        if (strncmp(target, "socket:[", strlen("socket:[")) == 0 && km_inventory_read_number(&number, 10, &inode))
            take_listener(inventory, process->owner, inode);
    }
    (void)closedir(fds);
}

/* Processes share few network namespaces, and each has one table. */
static enum km_code read_listeners(struct km_inventory *inventory, struct km_err *err)
{
    for (size_t i = 0; i < inventory->processes.count; i++) {
        const struct km_process *process = &inventory->processes.rows[i];
        char path[400];
        char space[64];
        if (process->owner == NONE)
            continue;
        (void)snprintf(path, sizeof path, "%s/%u/ns/net", inventory->proc_root, process->pid);
        ssize_t length = readlink(path, space, sizeof space - 1);
        if (length <= 0)
            continue;
        space[length] = '\0';
        if (strcmp(space, inventory->sockets_of) != 0) {
            enum km_code code = km_sockets_read(inventory->proc_root, process->pid, &inventory->sockets, err);
            if (code != KM_OK)
                return code;
            (void)snprintf(inventory->sockets_of, sizeof inventory->sockets_of, "%s", space);
        }
        read_fds(inventory, process);
    }
    return KM_OK;
}

/* ---- users, packages, guarding ---- */

static const char *user_name(struct km_inventory *inventory, uint32_t uid, struct km_err *err)
{
    char number[16];
    const char *line = inventory->passwd ? inventory->passwd : "";
    while (*line) {
        size_t length = strcspn(line, "\n");
        size_t name = strcspn(line, ":\n");
        /* name:password:uid: */
        const char *at = name < length ? strchr(line + name + 1, ':') : NULL;
        unsigned long long value;
        if (at)
            at++;
        if (name > 0 && at && at < line + length && km_inventory_read_number(&at, 10, &value) && value == uid)
            return km_arena_strndup(inventory->arena, line, name, err);
        line += length + (line[length] == '\n');
    }
    (void)snprintf(number, sizeof number, "%u", uid);
    return km_arena_strndup(inventory->arena, number, strlen(number), err);
}

static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    while (list && *list) {
        size_t line = strcspn(list, "\n");
        if (line == length && memcmp(list, name, length) == 0)
            return true;
        list += line + (list[line] == '\n');
    }
    return false;
}

/* The first line of each Description in dpkg's status, for packages that own a daemon. */
static enum km_code read_descriptions(struct km_inventory *inventory, struct km_err *err)
{
    char path[400];
    char line[MAX_LINE_BYTES];
    char package[NAME_BYTES] = "";
    (void)snprintf(path, sizeof path, "%s/var/lib/dpkg/status", inventory->root);
    FILE *file = fopen(path, "re");
    if (!file)
        return KM_OK;
    enum km_code code = KM_OK;
    while (code == KM_OK && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "Package: ", 9) == 0)
            (void)snprintf(package, sizeof package, "%.255s", line + 9);
        if (strncmp(line, "Description: ", 13) != 0)
            continue;
        for (size_t i = 0; i < inventory->count && code == KM_OK; i++) {
            struct km_daemon *daemon = &inventory->rows[i].daemon;
            if (daemon->purpose[0] != '\0' || strcmp(daemon->package, package) != 0)
                continue;
            daemon->purpose = km_arena_strndup(inventory->arena, line + 13, strlen(line + 13), err);
            code = daemon->purpose ? KM_OK : err->code;
        }
    }
    (void)fclose(file);
    return code;
}

static enum km_code read_packages(struct km_inventory *inventory, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close)
    int root = open(inventory->root[0] ? inventory->root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = NULL;
    struct km_package_summary summary = {0};
    struct km_err why = KM_ERR_INIT;
    if (root >= 0)
        view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &why);
    if (view)
        km_package_view_summarize(view, &summary);
    if (summary.usability != KM_PACKAGE_USABLE) {
        (void)km_fail(&why, KM_UNSUPPORTED, "no package database could be used: %s",
                      view ? summary.reason : "it cannot be read");
        add_note(inventory, &why);
        return KM_OK;
    }
    for (size_t i = 0; i < inventory->count; i++) {
        struct km_daemon *daemon = &inventory->rows[i].daemon;
        struct km_package_match match;
        /* A container's files are not this host's. */
        if (daemon->kind == KM_INVENTORY_CONTAINER || daemon->exe[0] == '\0')
            continue;
        daemon->package_known = true;
        km_package_find(view, daemon->exe, NULL, &match);
        if (!match.package)
            continue;
        daemon->package = km_arena_strndup(inventory->arena, match.package->name, strlen(match.package->name), err);
        daemon->version =
            km_arena_strndup(inventory->arena, match.package->version, strlen(match.package->version), err);
        if (!daemon->package || !daemon->version)
            return err->code;
    }
    return read_descriptions(inventory, err);
}

static enum km_code describe(struct km_inventory *inventory, struct km_err *err)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    for (size_t i = 0; i < inventory->count; i++) {
        struct row *row = &inventory->rows[i];
        struct km_daemon *daemon = &row->daemon;
        const struct km_process *main = &inventory->processes.rows[row->main];
        daemon->listeners = row->listeners;
        daemon->main_pid = main->pid;
        daemon->exe = main->exe;
        daemon->cgroup = main->cgroup;
        daemon->uid = main->uid;
        daemon->capabilities = main->capabilities;
        daemon->no_new_privs = main->no_new_privs;
        daemon->seccomp = main->seccomp;
        daemon->setuid_program = main->setuid;
        daemon->deleted_program = main->deleted;
        double uptime = (double)now.tv_sec - (double)main->start_ticks / ticks;
        daemon->uptime_seconds = uptime > 0 ? uptime : 0;
        daemon->user = user_name(inventory, main->uid, err);
        if (!daemon->user)
            return err->code;
        daemon->guarded = is_listed(inventory->guarded, daemon->name);
    }
    return KM_OK;
}

static int by_rank(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;
    if (left->daemon.rank_points != right->daemon.rank_points)
        return right->daemon.rank_points - left->daemon.rank_points;
    int names = strcmp(left->daemon.name, right->daemon.name);
    return names ? names
                 : (left->daemon.main_pid > right->daemon.main_pid) - (left->daemon.main_pid < right->daemon.main_pid);
}

static enum km_code fill(struct km_inventory *inventory, const struct km_inventory_options *options, struct km_err *err)
{
    struct km_err why = KM_ERR_INIT;
    char path[400];

    enum km_code code = km_units_read(options->bus_address, inventory->arena, &inventory->units, &why);
    if (code == KM_NOMEM)
        return km_fail(err, KM_NOMEM, "no memory for the units");
    if (code != KM_OK)
        add_note(inventory, &why);
    code = km_processes_read(inventory->proc_root, inventory->arena, &inventory->processes, err);
    if (code != KM_OK)
        return code;
    (void)snprintf(path, sizeof path, "%s/etc/passwd", inventory->root);
    (void)!km_inventory_read_text(path, MAX_PASSWD_BYTES, &inventory->passwd, &why);
    (void)!km_inventory_read_text(options->guarded_path ? options->guarded_path : "/run/komainu/guarded",
                                  MAX_PASSWD_BYTES, &inventory->guarded, &why);
    code = group(inventory, err);
    if (code == KM_OK)
        code = read_listeners(inventory, err);
    if (code == KM_OK)
        code = describe(inventory, err);
    if (code == KM_OK)
        code = read_packages(inventory, err);
    if (code != KM_OK || inventory->count == 0)
        return code;
    for (size_t i = 0; i < inventory->count; i++)
        km_inventory_rank(&inventory->rows[i].daemon);
    qsort(inventory->rows, inventory->count, sizeof *inventory->rows, by_rank);
    for (size_t i = 0; i < inventory->count; i++)
        inventory->rows[i].daemon.listeners = inventory->rows[i].listeners;
    return KM_OK;
}

struct km_inventory *km_inventory_read(const struct km_inventory_options *options, struct km_err *err)
{
    static const struct km_inventory_options none;
    if (!options)
        options = &none;
    struct km_inventory *inventory = km_calloc(1, sizeof *inventory, SIZE_MAX, err);
    if (!inventory)
        return NULL;
    inventory->proc_root = options->proc_root ? options->proc_root : "/proc";
    inventory->root = options->root && strcmp(options->root, "/") != 0 ? options->root : "";
    inventory->arena = km_arena_new(MAX_ARENA_BYTES, err);
    if (!inventory->arena || fill(inventory, options, err) != KM_OK) {
        km_inventory_free(inventory);
        return NULL;
    }
    return inventory;
}

void km_inventory_free(struct km_inventory *inventory)
{
    if (!inventory)
        return;
    km_arena_free(inventory->arena);
    free(inventory->rows);
    free(inventory->processes.rows);
    free(inventory->units.rows);
    free(inventory->sockets.rows);
    free(inventory->passwd);
    free(inventory->guarded);
    free(inventory);
}

size_t km_inventory_count(const struct km_inventory *inventory)
{
    return inventory->count;
}

const struct km_daemon *km_inventory_get(const struct km_inventory *inventory, size_t i)
{
    return &inventory->rows[i].daemon;
}

const char *km_inventory_note(const struct km_inventory *inventory, size_t i)
{
    return i < MAX_NOTES ? inventory->notes[i] : NULL;
}
