/*
 * A fixed crew of threads that all do one task and wait for each other. What a member makes stays with that member's
 * thread from task to task, as networks want.
 */
#ifndef KM_NN_CREW_H
#define KM_NN_CREW_H

#include <stdint.h>

#include "base/err.h"

struct km_crew;

/* 1..64 members, their stacks and threads made here. NULL with *err set: KM_LIMIT, KM_NOMEM, KM_IO. */
struct km_crew *km_crew_new(uint32_t members, struct km_err *err) KM_MUST_USE;
/* Waits for the threads to end; no task may run. */
void km_crew_free(struct km_crew *crew);

/* Calls task(context, member) once in each member's thread and returns when all are done: KM_OK, or the failure of the
 * lowest member that failed. One caller at a time. Tasks compute; they must not wait for anything else. */
enum km_code km_crew_run(struct km_crew *crew, enum km_code (*task)(void *context, uint32_t member, struct km_err *err),
                         void *context, struct km_err *err) KM_MUST_USE;

#endif
