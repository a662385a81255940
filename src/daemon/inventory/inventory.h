/*
 * Which daemons run on this host, what an attacker would gain from each, and which to guard first.
 *
 * A daemon is a systemd unit (.service, asked of systemd over sd-bus), else a container (told by its cgroup), else a
 * process tree whose root was started by process 1 or by what is left when there is no such process. Threads of the
 * kernel and login sessions are not daemons.
 *
 * Lifecycle: km_inventory_read, then km_inventory_get for 0..count-1, km_inventory_free. The list is a photograph:
 * processes that come or go while it is taken may be missed, and what cannot be read (another user's files, a process
 * that ended) is left empty. Texts are a daemon's and hostile: raw bytes; escape before printing.
 */
#ifndef KM_INVENTORY_INVENTORY_H
#define KM_INVENTORY_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_INVENTORY_MAX_PROCESSES 65536
#define KM_INVENTORY_MAX_LISTENERS 32 /* kept per daemon */
#define KM_INVENTORY_MAX_REASONS   8

struct km_inventory;

struct km_inventory_options {
    const char *root;        /* whose packages and users are meant; NULL = "/" */
    const char *proc_root;   /* NULL = "/proc" */
    const char *bus_address; /* "unix:path=…/run/dbus/system_bus_socket"; NULL = the system bus when systemd is PID 1 */
    const char *guarded_path; /* list of guarded daemons, a name a line; NULL = /run/komainu/guarded */
};

enum km_inventory_kind {
    KM_INVENTORY_UNIT = 0,
    KM_INVENTORY_CONTAINER = 1,
    KM_INVENTORY_TREE = 2,
};

/* Whom a listening socket faces. */
enum km_reach {
    KM_REACH_NONE = 0,
    KM_REACH_UNIX = 1,     /* local programs, through a socket file */
    KM_REACH_LOOPBACK = 2, /* this host */
    KM_REACH_ADDRESS = 3,  /* one address of this host */
    KM_REACH_ANY = 4,      /* every network this host is in */
};

struct km_listener {
    enum km_reach reach;
    bool udp;
    uint16_t port;     /* 0 for unix sockets */
    char address[112]; /* printable for IP; raw path for unix */
};

struct km_reason {
    const char *id; /* "reach.any", "user.root" … : prose is made at output */
    int points;
};

struct km_daemon {
    enum km_inventory_kind kind;
    const char *name;    /* unit, container id or program name */
    const char *purpose; /* one plain sentence's worth: the unit's or the package's description; "" = unknown */
    const char *exe;     /* path of the main program; "" = unreadable */
    const char *package; /* "" = owned by none, or unknown */
    const char *version;
    const char *cgroup; /* its path as /proc tells it */
    const char *user;   /* name, or the number as text */
    uint32_t uid;
    uint32_t main_pid;
    uint32_t processes;
    uint64_t capabilities; /* effective set of the main process */
    double uptime_seconds; /* of the main process */
    bool no_new_privs;
    bool seccomp;
    bool setuid_program;  /* the main program has the setuid or setgid bit */
    bool deleted_program; /* it runs from a file that was replaced or removed */
    bool package_known;   /* a package database was readable */
    bool guarded;
    size_t listener_count; /* all; the first KM_INVENTORY_MAX_LISTENERS are kept */
    const struct km_listener *listeners;
    enum km_reach reach; /* the widest */
    int rank_points;     /* sum of the reasons; the list is sorted by it, highest first */
    size_t reason_count;
    struct km_reason reasons[KM_INVENTORY_MAX_REASONS];
};

/* NULL with *err set: KM_IO, KM_DENIED, KM_NOTFOUND (proc_root), KM_NOMEM. A bus or package database that cannot be
 * read is no failure: km_inventory_note says so. options may be NULL. */
struct km_inventory *km_inventory_read(const struct km_inventory_options *options, struct km_err *err) KM_MUST_USE;
void km_inventory_free(struct km_inventory *inventory);
KM_DEFINE_CLEANUP(struct km_inventory, km_inventory_cleanup, km_inventory_free);

size_t km_inventory_count(const struct km_inventory *inventory);
/* Borrowed until km_inventory_free; i < count. */
const struct km_daemon *km_inventory_get(const struct km_inventory *inventory, size_t i);
/* What was not available, one line for people, or NULL behind the last. */
const char *km_inventory_note(const struct km_inventory *inventory, size_t i);

/* Points and reasons of a daemon from its other fields: pure, for tests and for a second opinion. */
void km_inventory_rank(struct km_daemon *daemon);

/* "any network", "one address", "this host", "local programs", "nobody". Static storage. */
const char *km_reach_to_string(enum km_reach reach);

#endif
