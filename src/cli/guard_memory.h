/*
 * The incidents of a guard over its restarts: a snapshot (km_incidents_save) in the profile store's folder, replaced
 * whole. A damaged one is said in one line, and the guard begins anew; so does one that cannot be written, once.
 */
#ifndef KM_CLI_GUARD_MEMORY_H
#define KM_CLI_GUARD_MEMORY_H

#include "base/err.h"
#include "base/mem.h"
#include "finding/incident.h"

#define KM_GUARD_MEMORY_NAME      ".incidents.json"
#define KM_GUARD_MEMORY_MAX_BYTES ((size_t)16 << 20)

struct km_guard_memory;

/* folder is copied; say and its context outlive it. NULL: KM_NOMEM, KM_LIMIT. */
struct km_guard_memory *km_guard_memory_open(const char *folder, void *say_context,
                                             void (*say)(void *context, const char *line),
                                             struct km_err *err) KM_MUST_USE;
void km_guard_memory_close(struct km_guard_memory *memory);
KM_DEFINE_CLEANUP(struct km_guard_memory, km_guard_memory_cleanup, km_guard_memory_close);

/* Incidents as the snapshot has them; untouched when there is none or it is damaged. */
void km_guard_memory_load(struct km_guard_memory *memory, struct km_incidents *incidents);

/* Writes the snapshot when it differs from the one written last. */
void km_guard_memory_save(struct km_guard_memory *memory, const struct km_incidents *incidents);

#endif
