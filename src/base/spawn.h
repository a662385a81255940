/*
 * A child program whose output is pulled. No shell: arguments go as they are. The child gets /dev/null as input, no
 * other descriptor of ours, default signals, and a process group of its own, which is ended as a whole when the owner
 * closes it early. Of its error output the last part is kept for messages.
 *
 * Every wait checks the cancel token and the time limit at least five times a second. One child, one thread.
 * Lifecycle: km_spawn_start, km_spawn_read until 0, km_spawn_finish, km_spawn_close.
 */
#ifndef KM_BASE_SPAWN_H
#define KM_BASE_SPAWN_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"

struct km_spawn_options {
    const char *const *argv;        /* NULL-terminated; argv[0] is looked up in PATH unless it holds a "/" */
    const char *const *environment; /* NULL-terminated "NAME=value", set on top of ours; or NULL */
    int64_t time_limit_ms;          /* for the whole life of the child; 0: none */
    const struct km_cancel *cancel; /* or NULL; outlives the child */
};

struct km_spawn;

/* NULL with *err set: KM_NOTFOUND and KM_DENIED for the program, KM_IO, KM_NOMEM. */
struct km_spawn *km_spawn_start(const struct km_spawn_options *options, struct km_err *err) KM_MUST_USE;

/* Copies 1..size bytes of standard output; *out_length 0 is its end. KM_IO, KM_CANCELLED. */
enum km_code km_spawn_read(struct km_spawn *child, void *buffer, size_t size, size_t *out_length,
                           struct km_err *err) KM_MUST_USE;

/* Waits for the end (output that was not read is dropped). KM_OK for exit status 0; KM_IO with the status or signal
 * and the last line of error output; KM_CANCELLED. May be called again. */
enum km_code km_spawn_finish(struct km_spawn *child, struct km_err *err) KM_MUST_USE;

/* Error output so far, its last 8 KiB at most. Borrowed until the next call. */
const char *km_spawn_error_text(const struct km_spawn *child);

/* Ends the child if it still runs (SIGTERM, after two seconds SIGKILL) and releases everything. */
void km_spawn_close(struct km_spawn *child);
KM_DEFINE_CLEANUP(struct km_spawn, km_spawn_cleanup, km_spawn_close);

#endif
