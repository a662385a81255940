/*
 * Inside of src/daemon/inventory: proc.c reads processes, sockets.c listening sockets, units.c asks systemd,
 * inventory.c joins them and ranks.
 */
#ifndef KM_INVENTORY_INTERNAL_H
#define KM_INVENTORY_INTERNAL_H

#include "base/arena.h"
#include "daemon/inventory/inventory.h"

struct km_process {
    uint32_t pid, parent;
    uint32_t uid;
    uint64_t capabilities;
    uint64_t start_ticks; /* since boot */
    bool kernel;
    bool session; /* has a terminal */
    bool no_new_privs;
    bool seccomp;
    bool deleted;
    bool setuid;
    char comm[64];
    const char *exe;    /* arena; "" */
    const char *cgroup; /* arena; "" */
    size_t owner;       /* index of its daemon; SIZE_MAX = none */
};

struct km_processes {
    struct km_process *rows; /* by pid, ascending */
    size_t count, capacity;
};

/* Reads a number of the given base at *at, blanks before it skipped, and moves *at behind it. False without one. */
bool km_inventory_read_number(const char **at, int base, unsigned long long *out);

/* All processes below proc_root. KM_IO, KM_DENIED, KM_NOTFOUND, KM_NOMEM, KM_LIMIT. */
enum km_code km_processes_read(const char *proc_root, struct km_arena *arena, struct km_processes *out,
                               struct km_err *err) KM_MUST_USE;
/* Index of a pid, or SIZE_MAX. */
size_t km_processes_find(const struct km_processes *processes, uint32_t pid);
/* Fields of /proc/PID/stat and status out of their texts: hostile names may hold anything. False: not that format. */
bool km_process_parse_stat(const char *text, struct km_process *out);
bool km_process_parse_status(const char *text, struct km_process *out);
/* The path in /proc/PID/cgroup: hierarchy 0 unless it is "/", then name=systemd. "" when neither. */
void km_process_parse_cgroup(const char *text, char *out, size_t out_bytes);

/* A listening socket of the network namespace of `pid`. */
struct km_socket {
    uint64_t inode;
    size_t seen_by; /* the daemon that counted it last: its processes share sockets */
    struct km_listener listener;
};

struct km_sockets {
    struct km_socket *rows;
    size_t count, capacity;
};

/* Adds the listening sockets that the text of /proc/net/{tcp,tcp6,udp,udp6} (family and protocol as said) shows. Lines
 * that break the format are left out. KM_NOMEM, KM_LIMIT. */
enum km_code km_sockets_parse_inet(const char *text, bool six, bool udp, struct km_sockets *out,
                                   struct km_err *err) KM_MUST_USE;
/* The same for /proc/net/unix. */
enum km_code km_sockets_parse_unix(const char *text, struct km_sockets *out, struct km_err *err) KM_MUST_USE;
enum km_code km_sockets_read(const char *proc_root, uint32_t pid, struct km_sockets *out,
                             struct km_err *err) KM_MUST_USE;

/* Of a table that km_sockets_read filled; NULL when it is no listener. */
struct km_socket *km_sockets_find(const struct km_sockets *sockets, uint64_t inode);

struct km_unit {
    const char *name; /* arena */
    const char *description;
    const char *cgroup; /* as systemd names it */
    uint32_t main_pid;
};

struct km_units {
    struct km_unit *rows;
    size_t count, capacity;
};

/* Running services over sd-bus. KM_UNSUPPORTED (built without libsystemd, or no systemd), KM_IO, KM_DENIED, KM_NOMEM.
 */
enum km_code km_units_read(const char *bus_address, struct km_arena *arena, struct km_units *out,
                           struct km_err *err) KM_MUST_USE;

/* The name of a container in a cgroup path ("docker-<64 hex>.scope", "libpod-<id>", "/docker/<id>", nspawn's
 * "machine-x.scope"), or false. */
bool km_container_parse(const char *cgroup, char *out, size_t out_bytes);

/* A small text file, NUL-ended; KM_LIMIT beyond max_bytes. The caller frees *out. */
enum km_code km_inventory_read_text(const char *path, size_t max_bytes, char **out, struct km_err *err) KM_MUST_USE;

/* systemd unit of a cgroup path: its last ".service" part, or false. */
bool km_unit_parse(const char *cgroup, char *out, size_t out_bytes);

#endif
