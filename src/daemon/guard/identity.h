/*
 * Which package a running program comes from, and what its content is: what a profile is bound to.
 * Reads the package database of the root directory that the process sees, when it is first needed; what was read is
 * kept until km_identity_rest finds that nobody asked for a while. Not thread-safe.
 */
#ifndef KM_GUARD_IDENTITY_H
#define KM_GUARD_IDENTITY_H

#include "base/err.h"
#include "base/mem.h"
#include "daemon/trace/event.h"

struct km_identity;

/* proc_root is borrowed. NULL: KM_NOMEM. */
struct km_identity *km_identity_new(const char *proc_root, struct km_err *err) KM_MUST_USE;
void km_identity_free(struct km_identity *identity);

/* Fills in `package` ("name version"; empty when none owns the program, or the package's checksum is another one: then
 * no package explains it), and the program's content (SHA-256, cut) in place of its build id, which a changed program
 * keeps. A program of more than 256 MiB keeps its build id; one that cannot be read has none. The texts are borrowed
 * until the next call. */
void km_identity_complete(struct km_identity *identity, uint32_t tgid, struct km_event_role *role);

/* To be called now and then: forgets the database when it was not asked for some seconds. */
void km_identity_rest(struct km_identity *identity);

#endif
