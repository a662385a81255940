#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/mem.h"
#include "daemon/probe/probe_internal.h"

#define CGROUP2_MAGIC 0x63677270
#define COMM_ROOM     16 /* the kernel's, NUL included */

void km_probe_scope_find_root(const char *wanted, char *out, size_t out_bytes)
{
    static const char *const usual[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct statfs fs;

    out[0] = '\0';
    if (wanted) {
        (void)snprintf(out, out_bytes, "%s", wanted);
        return;
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (statfs(usual[i], &fs) == 0 && fs.f_type == CGROUP2_MAGIC) {
            (void)snprintf(out, out_bytes, "%s", usual[i]);
            return;
        }
}

static void put_u64(const struct bpf_map *map, uint64_t key, unsigned daemon)
{
    __u32 value = daemon;
    (void)bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY);
}

static uint64_t hash_of(const char *text, enum km_probe_name kind)
{
    /* The kernel cuts a program's name to 15 bytes. */
    int room = kind == KM_PROBE_NAME_COMMAND ? COMM_ROOM - 1 : KM_PROBE_PATH_BYTES - 1;
    return km_probe_name_hash(text, room, kind);
}

/* Adds each cgroup whose name (whole = false) or path below the root (whole = true) is `target`, and all below it. */
static enum km_code add_cgroups(struct km_probe *probe, unsigned daemon, const char *target, bool whole,
                                struct km_err *err)
{
    char *roots[] = {probe->cgroup_root, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return km_fail_errno(err, errno, "reading %s", probe->cgroup_root);
    size_t root_length = strlen(probe->cgroup_root);
    int inside = -1; /* level of the matching cgroup that the walk is in */
    FTSENT *entry;
    while ((entry = fts_read(walk)) != NULL) {
        if (entry->fts_info == FTS_DP && entry->fts_level == inside)
            inside = -1;
        if (entry->fts_info != FTS_D)
            continue;
        const char *text = whole ? entry->fts_path + root_length : entry->fts_name;
        if (inside < 0 && entry->fts_level > 0 && strcmp(text, target) == 0)
            inside = entry->fts_level;
        if (inside >= 0)
            put_u64(probe->skeleton->maps.cgroups, entry->fts_statp->st_ino, daemon);
    }
    fts_close(walk);
    return KM_OK;
}

static bool is_pid(const char *text, __u32 *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value == 0 || value > INT32_MAX)
        return false;
    *out = (__u32)value;
    return true;
}

void km_probe_read_command(const char *proc_root, const char *pid, char *out)
{
    char path[KM_PROBE_NAME_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/%s/comm", proc_root, pid);
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (!fgets(out, KM_PROBE_COMMAND_BYTES, file))
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    (void)fclose(file);
}

static enum km_code add_commands(struct km_probe *probe, unsigned daemon, const char *target, struct km_err *err)
{
    DIR *proc = opendir(probe->proc_root);
    if (!proc)
        return km_fail_errno(err, errno, "reading %s", probe->proc_root);
    const struct dirent *entry;
    while ((entry = readdir(proc)) != NULL) {
        char comm[KM_PROBE_COMMAND_BYTES];
        __u32 pid;
        if (!is_pid(entry->d_name, &pid))
            continue;
        km_probe_read_command(probe->proc_root, entry->d_name, comm);
        if (strncmp(comm, target, COMM_ROOM - 1) == 0) {
            __u32 value = daemon;
            (void)bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.processes), &pid, &value, BPF_ANY);
        }
    }
    (void)closedir(proc);
    return KM_OK;
}

static enum km_code add_pid(struct km_probe *probe, unsigned daemon, const char *target, struct km_err *err)
{
    char path[KM_PROBE_NAME_BYTES + 32];
    __u32 pid;
    if (!is_pid(target, &pid))
        return km_fail(err, KM_FORMAT, "'%s' is not a process id", target);
    (void)snprintf(path, sizeof path, "%s/%u", probe->proc_root, pid);
    if (access(path, F_OK) != 0)
        return km_fail(err, KM_NOTFOUND, "there is no process %u", pid);
    __u32 value = daemon;
    if (bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.processes), &pid, &value, BPF_ANY) != 0)
        return km_fail_errno(err, errno, "telling the kernel about process %u", pid);
    return KM_OK;
}

enum km_code km_probe_scope_fill(struct km_probe *probe, unsigned daemon, struct km_err *err)
{
    const struct km_probe_daemon *row = &probe->daemons[daemon];
    bool cgroup = row->scope == KM_PROBE_SCOPE_UNIT || row->scope == KM_PROBE_SCOPE_CGROUP;

    if (cgroup && probe->cgroup_root[0] == '\0')
        return km_fail(
            err, KM_UNSUPPORTED,
            "no cgroup v2 hierarchy is mounted, so that units cannot be told apart; name a pid or a command");
    switch (row->scope) {
    case KM_PROBE_SCOPE_UNIT:
        put_u64(probe->skeleton->maps.names, hash_of(row->target, KM_PROBE_NAME_CGROUP), daemon);
        return add_cgroups(probe, daemon, row->target, false, err);
    case KM_PROBE_SCOPE_CGROUP:
        if (row->target[0] != '/' || row->target[1] == '\0')
            return km_fail(err, KM_LIMIT, "a cgroup is named by its path below %s; the root itself is the whole host",
                           probe->cgroup_root);
        put_u64(probe->skeleton->maps.names, hash_of(row->target, KM_PROBE_NAME_CGROUP_PATH), daemon);
        return add_cgroups(probe, daemon, row->target, true, err);
    case KM_PROBE_SCOPE_PID:
        return add_pid(probe, daemon, row->target, err);
    case KM_PROBE_SCOPE_COMMAND:
        put_u64(probe->skeleton->maps.names, hash_of(row->target, KM_PROBE_NAME_COMMAND), daemon);
        return add_commands(probe, daemon, row->target, err);
    }
    return KM_OK;
}

/* Removes the keys of a daemon from a map of 4- or 8-byte keys. */
static void clear_map(const struct bpf_map *map, unsigned daemon)
{
    int fd = bpf_map__fd(map);
    uint64_t key = 0;
    uint64_t next = 0;
    bool more = bpf_map_get_next_key(fd, NULL, &next) == 0;

    while (more) {
        __u32 value = 0;
        key = next;
        more = bpf_map_get_next_key(fd, &key, &next) == 0;
        if (bpf_map_lookup_elem(fd, &key, &value) == 0 && value == daemon)
            (void)bpf_map_delete_elem(fd, &key);
    }
}

void km_probe_scope_clear(struct km_probe *probe, unsigned daemon)
{
    clear_map(probe->skeleton->maps.cgroups, daemon);
    clear_map(probe->skeleton->maps.names, daemon);
    clear_map(probe->skeleton->maps.processes, daemon);
}
