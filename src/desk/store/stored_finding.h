/*
 * Findings as the store has them, in the form that guardians gave them.
 */
#ifndef KM_DESK_STORE_STORED_FINDING_H
#define KM_DESK_STORE_STORED_FINDING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"
#include "finding/finding.h"

struct km_stored_finding {
    int64_t id, run, at_ns;
    int64_t incident; /* 0: none */
    const char *host;
    const char *target;        /* as the user gave it, or NULL */
    struct km_finding finding; /* decision is NULL; what people said is in table decision */
};

/* Which findings: those of an incident (strongest first), or one by id, or all after an id (in order). */
struct km_stored_question {
    int64_t incident; /* 0: any */
    int64_t id;       /* 0: any */
    int64_t after_id;
    size_t limit;
};

/* Visits; everything is borrowed for the time of the call. A finding whose evidence another program damaged comes
 * without it. Codes of the store and of visit. */
enum km_code km_stored_visit(struct km_desk *desk, const struct km_stored_question *question, void *context,
                             enum km_code (*visit)(void *context, const struct km_stored_finding *stored,
                                                   struct km_err *err),
                             struct km_err *err) KM_MUST_USE;

#endif
