/*
 * What to do about a kind of finding, in plain words: what to look at, how to recover, whom to tell. komainu never does
 * any of it by itself.
 */
#ifndef KM_DESK_TRIAGE_RUNBOOK_H
#define KM_DESK_TRIAGE_RUNBOOK_H

#include <stddef.h>

struct km_runbook {
    const char *evidence; /* beginning of the evidence ids that it is for */
    const char *title;
    const char *look[4];    /* ends with NULL */
    const char *recover[4]; /* ends with NULL */
    const char *tell;
};

/* The one for a kind of finding ("file", "daemon") and its dominant evidence; never NULL. Static storage. */
const struct km_runbook *km_runbook_find(const char *kind, const char *dominant);

/* All of them: i from 0; NULL behind the last. */
const struct km_runbook *km_runbook_get(size_t i);

#endif
