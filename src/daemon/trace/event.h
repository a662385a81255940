/*
 * What is observed of a daemon: the events that the probe delivers, that traces hold and that profiles are made from.
 *
 * An event is plain data. Its strings are raw bytes (hostile, no NUL promised), borrowed from whoever handed the event
 * over for the time of the call. Enumerators are stored in files and shared with the probe: values never change.
 *
 * Order: events of one thread come in the order of its calls. A ROLE event precedes the first event that names the
 * role, a THREAD event the first other event of its thread.
 */
#ifndef KM_TRACE_EVENT_H
#define KM_TRACE_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/trace/window.h"

#define KM_EVENT_MAX_PATH_BYTES 4096
#define KM_EVENT_MAX_NAME_BYTES 256
#define KM_EVENT_MAX_ADDRESS    108 /* sun_path; 4 or 16 bytes for IP */
#define KM_EVENT_BUILD_ID_BYTES 20

enum km_event_kind {
    KM_EVENT_ROLE = 1,     /* introduces a role index: which daemon, which kind of thread */
    KM_EVENT_THREAD = 2,   /* a thread is watched from here on, in this role; again after an exec */
    KM_EVENT_END = 3,      /* a thread ended, or is not watched any more; its last episode is in state */
    KM_EVENT_CALL = 4,     /* one call of a full stream: while learning, tapped or escalated */
    KM_EVENT_WINDOW = 5,   /* filter: a window unknown to the role, with the state; not while its thread is streamed */
    KM_EVENT_EPISODE = 6,  /* filter: an episode that had unknown windows ended; totals in state. Before the STREAM
                              event that ends its tap */
    KM_EVENT_LANDMARK = 7, /* an act that is told always */
    KM_EVENT_STREAM = 8,   /* the full stream of a thread starts or stops */
    KM_EVENT_RATE = 9,     /* what stayed in the kernel, counted per role and interval */
    KM_EVENT_LOSS = 10,    /* events that were produced and could not be delivered */
};

/* Through which feed a full stream comes. */
enum km_feed {
    KM_FEED_NONE = 0,
    KM_FEED_LEARN = 1,
    KM_FEED_TAP = 2,
    KM_FEED_ESCALATION = 3,
    KM_FEED_IMPORT = 4, /* complete, from another tool's trace */
};

enum km_outcome_class {
    KM_OUTCOME_UNKNOWN = 0, /* not taken */
    KM_OUTCOME_OK = 1,
    KM_OUTCOME_DENIED = 2, /* EPERM, EACCES */
    KM_OUTCOME_ERROR = 3,  /* any other error */
};

/* Coarse class of a call's arguments, five bits, part of the token. 0 when nothing is said about them. */
enum km_arg_class {
    KM_ARGC_NONE = 0,
    KM_ARGC_READ = 1,   /* open for reading; + zone is in the landmark, not in the token */
    KM_ARGC_WRITE = 2,  /* open for writing */
    KM_ARGC_CREATE = 3, /* open with O_CREAT */
    KM_ARGC_FILE = 4,   /* call on a descriptor: a regular file */
    KM_ARGC_DIR = 5,
    KM_ARGC_PIPE = 6,
    KM_ARGC_SOCKET = 7,
    KM_ARGC_DEVICE = 8,
    KM_ARGC_ANON = 9,     /* epoll, eventfd, timerfd … */
    KM_ARGC_UNIX = 10,    /* socket families */
    KM_ARGC_LOCAL = 11,   /* loopback peer */
    KM_ARGC_PRIVATE = 12, /* peer in a private network */
    KM_ARGC_PUBLIC = 13,  /* any other peer */
    KM_ARGC_NETLINK = 14,
    KM_ARGC_EXEC = 15,       /* memory with PROT_EXEC */
    KM_ARGC_EXEC_WRITE = 16, /* and PROT_WRITE */
};

/* Where a path lies, by its beginning. */
enum km_zone {
    KM_ZONE_OTHER = 0,
    KM_ZONE_SYSTEM = 1,    /* /usr, /bin, /sbin, /lib*, /boot, /opt */
    KM_ZONE_CONFIG = 2,    /* /etc */
    KM_ZONE_SENSITIVE = 3, /* credentials and keys, other processes' memory, schedules (cron, systemd units) */
    KM_ZONE_STATE = 4,     /* /var/lib, /var/cache, /var/spool */
    KM_ZONE_LOG = 5,       /* /var/log */
    KM_ZONE_RUN = 6,       /* /run, /var/run */
    KM_ZONE_TEMP = 7,      /* /tmp, /var/tmp, /dev/shm */
    KM_ZONE_HOME = 8,      /* /home, /root */
    KM_ZONE_DEVICE = 9,    /* /dev */
    KM_ZONE_PROC = 10,
    KM_ZONE_SYS = 11,
    KM_ZONE_SERVICE = 12,  /* /srv, /var/www */
    KM_ZONE_RELATIVE = 13, /* not absolute: directory unknown */
};
#define KM_ZONE_COUNT 14

enum km_landmark_kind {
    KM_LANDMARK_EXEC = 1,     /* path = program, digest = arguments, zone */
    KM_LANDMARK_OPEN = 2,     /* path, flags = open flags, zone: unknown to the role, sensitive, or written in a system
                                 place. By chdir: flags = O_PATH | O_DIRECTORY | O_CLOEXEC. With path2: a link led to
                                 another directory than path names, to path2 */
    KM_LANDMARK_CONNECT = 3,  /* address */
    KM_LANDMARK_BIND = 4,     /* address */
    KM_LANDMARK_LISTEN = 5,   /* address when known */
    KM_LANDMARK_ACCEPT = 6,   /* address = the peer's */
    KM_LANDMARK_IDENTITY = 7, /* setuid, setgid and kin: value = new id, flags = folded call number */
    KM_LANDMARK_CAPABILITY = 8,   /* capset: value = permitted set */
    KM_LANDMARK_NAMESPACE = 9,    /* unshare, setns: value = CLONE_NEW… flags */
    KM_LANDMARK_EXEC_MEMORY = 10, /* mmap or mprotect to executable: flags = PROT_…, path when file-backed and known */
    KM_LANDMARK_MEMFD = 11,       /* memfd_create: path = name */
    KM_LANDMARK_MEMFD_EXEC = 12,  /* a program started from memory */
    KM_LANDMARK_PTRACE = 13,      /* value = request, peer_tid; process_vm_writev too */
    KM_LANDMARK_MODULE = 14,      /* init_module, finit_module, delete_module, bpf(PROG_LOAD) */
    KM_LANDMARK_SETUID_BIT = 15,  /* chmod +s: path, value = mode */
    KM_LANDMARK_UNLINK = 16,      /* path in a system place */
    KM_LANDMARK_RENAME = 17,      /* path = from, path2 = to, one of them in a system place */
    KM_LANDMARK_MOUNT = 18,       /* path = target */
    KM_LANDMARK_KILL = 19,        /* a signal to a process outside the daemon: value = signal, peer_tid */
};
#define KM_LANDMARK_KINDS 20

struct km_bytes {
    const char *data; /* not NULL when length > 0 */
    size_t length;
};

/* Address as the call gave it. family: AF_UNIX 1, AF_INET 2, AF_INET6 10, AF_NETLINK 16; 0 = none. */
struct km_address {
    uint16_t family;
    uint16_t port; /* host order */
    uint16_t length;
    uint8_t bytes[KM_EVENT_MAX_ADDRESS];
};

struct km_event_role {
    struct km_bytes unit;    /* "nginx.service" */
    struct km_bytes name;    /* the kind of thread: comm without its digits, one '+' for each fork since the unit's
                                main process, at most three: "nginx", "nginx+" */
    struct km_bytes exe;     /* path of the executable */
    struct km_bytes package; /* "name version" of its owner; empty when no package owns it */
    uint8_t build_id[KM_EVENT_BUILD_ID_BYTES];
    uint8_t build_id_length; /* 0 = none */
};

struct km_event_thread {
    uint32_t parent_tid; /* 0 = unknown */
    uint32_t uid;
    uint64_t cgroup;
    struct km_bytes comm;
};

struct km_event_call {
    uint16_t number;   /* folded: below KM_CALL_NUMBERS */
    uint8_t space;     /* enum km_call_space */
    uint8_t outcome;   /* enum km_outcome_class */
    uint8_t arg_class; /* enum km_arg_class */
};

struct km_event_landmark {
    uint16_t kind; /* enum km_landmark_kind */
    uint8_t zone;
    uint8_t outcome;
    uint16_t number; /* folded call number */
    uint8_t space;
    uint32_t flags;
    uint32_t peer_tid;
    uint64_t value;
    uint64_t digest; /* of the arguments; 0 = not taken */
    struct km_bytes path;
    struct km_bytes path2;
    struct km_address address;
};

struct km_event_stream {
    uint8_t feed;    /* enum km_feed */
    uint8_t started; /* 1 = starts, 0 = stops */
};

struct km_event_rate {
    uint64_t interval_ns;
    uint64_t calls;
    uint64_t episodes; /* that ended, with and without misses */
    uint64_t misses;
    uint64_t errors; /* failed calls, where outcomes were taken */
};

struct km_event_loss {
    uint64_t events; /* since the last LOSS event of this cpu and role */
    uint16_t cpu;
};

struct km_event {
    uint64_t time_ns; /* CLOCK_MONOTONIC of the recording host */
    uint32_t tid;     /* 0 for ROLE, RATE, LOSS */
    uint32_t tgid;
    uint16_t role; /* index introduced by a ROLE event */
    uint8_t kind;  /* enum km_event_kind */
    uint8_t feed;  /* enum km_feed: by which a CALL came */
    union {
        struct km_event_role role_info;
        struct km_event_thread thread;
        struct km_event_call call;
        struct km_thread_state state; /* WINDOW, EPISODE, END */
        struct km_event_landmark landmark;
        struct km_event_stream stream;
        struct km_event_rate rate;
        struct km_event_loss loss;
    };
};

/* Whoever wants events: called in order, from one thread. A failure ends the delivery. */
struct km_event_sink {
    void *context;
    enum km_code (*event)(void *context, const struct km_event *event, struct km_err *err);
};

#endif
