/*
 * Who the processes of guarded daemons are: program, arguments, parent, user; from their events, and from /proc where
 * those say nothing. Texts are a daemon's and hostile. At most KM_PROCTABLE_MAX; the one that was untouched longest is
 * forgotten. Not thread-safe.
 */
#ifndef KM_GUARD_PROCTABLE_H
#define KM_GUARD_PROCTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "daemon/profile/entity.h"
#include "daemon/trace/event.h"

#define KM_PROCTABLE_MAX        4096
#define KM_PROCESS_TEXT_BYTES   512
#define KM_PROCESS_UNKNOWN_UID  UINT32_MAX
#define KM_PROCESS_COMM_BYTES   16
#define KM_PROCESS_UNKNOWN_ROLE UINT16_MAX

struct km_process {
    uint32_t tgid; /* 0: free */
    uint32_t parent;
    uint32_t uid;        /* the real one, after its newest event */
    uint32_t uid_before; /* and before the newest setuid or kin that succeeded */
    uint16_t role;       /* of its main thread, latest; KM_PROCESS_UNKNOWN_ROLE */
    uint16_t cause_role; /* of the known thread that all began with */
    bool ended;
    char cause[KM_ENTITY_TEXT_BYTES];  /* the strange act that this process comes from: an entity's line; "" = none */
    char image[KM_PROCESS_TEXT_BYTES]; /* "" = not known */
    size_t argument_bytes;
    char arguments[KM_PROCESS_TEXT_BYTES]; /* NULs between */
    char comm[KM_PROCESS_COMM_BYTES];
    uint64_t start_ns; /* by the monotonic clock; 0 = not known */
    unsigned starts;   /* programs that it started by itself */
    char
        before[KM_PROCESS_TEXT_BYTES]; /* the program that started the one that runs: its own before, or its parent's */
    size_t before_bytes;
    char before_arguments[KM_PROCESS_TEXT_BYTES];
    uint64_t touched;
};

struct km_proctable;

/* proc_root NULL: nothing is looked up. It is borrowed. NULL: KM_NOMEM. */
struct km_proctable *km_proctable_new(const char *proc_root, struct km_err *err) KM_MUST_USE;
void km_proctable_free(struct km_proctable *processes);
KM_DEFINE_CLEANUP(struct km_proctable, km_proctable_cleanup, km_proctable_free);

/* Learns from an event. */
void km_proctable_event(struct km_proctable *processes, const struct km_event *event);

/* The process, looked up when it is new. Never NULL for tgid > 0; borrowed until the next call. */
const struct km_process *km_proctable_find(struct km_proctable *processes, uint32_t tgid);

/* Whatever a process's children do from now on comes from this act of a thread of `role`. */
void km_proctable_set_cause(struct km_proctable *processes, uint32_t tgid, const char *line, uint16_t role);

/* Its current directory, as /proc has it now; "" when that cannot be read. out holds KM_PROCESS_TEXT_BYTES. */
void km_proctable_directory(const struct km_proctable *processes, uint32_t tgid, char *out);

/* The arguments with spaces between, raw. out_bytes >= 1. */
void km_process_command(const struct km_process *process, char *out, size_t out_bytes);

#endif
