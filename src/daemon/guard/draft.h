/*
 * A finding about a daemon while it is made: evidence with its texts, in one place of fixed size.
 */
#ifndef KM_GUARD_DRAFT_H
#define KM_GUARD_DRAFT_H

#include <stddef.h>

#include "daemon/guard/proctable.h"
#include "daemon/profile/watch.h"
#include "finding/finding.h"
#include "finding/strange.h"

#define KM_DRAFT_EVIDENCE   24
#define KM_DRAFT_TEXT_BYTES 24576 /* of all texts; what finds no room is left out */
#define KM_DRAFT_KEY_BYTES  512

struct km_draft {
    struct km_finding finding;
    struct km_evidence evidence[KM_DRAFT_EVIDENCE];
    char key[KM_DRAFT_KEY_BYTES]; /* the dominant evidence: what incidents are grouped by */
    char role[KM_EVENT_MAX_NAME_BYTES];
    struct km_strange strange; /* what a decision about it covers: all of it, named or not */
    double surprise;           /* sum of the weights */
    double act;                /* weight of the least usual act, minus log of its probability; 0: none */
    bool program;              /* foreign code runs: what ranks before all else */
    bool compared;             /* what the first act is compared with is said */
    bool held;                 /* it waits in the digest, however strong it is */
    size_t used;
    char text[KM_DRAFT_TEXT_BYTES];
};

/* Empties the draft; the subject's texts are copied. */
void km_draft_begin(struct km_draft *draft, const char *daemon, const char *role, const struct km_process *process);

/* A new piece of evidence to fill, or NULL when there is no room. */
struct km_evidence *km_draft_add(struct km_draft *draft, const char *id, double weight);

/* A copy of a text that lives as long as the draft; "" when there is no room. */
const char *km_draft_copy(struct km_draft *draft, const char *text, size_t length);

/* Everything that a judged episode says: acts never seen, the sequence, its calls, the nearest normal one. */
void km_draft_episode(struct km_draft *draft, const struct km_watch_result *result);

/* A landmark as evidence: the act that `episodes` learned ones never had. */
void km_draft_landmark(struct km_draft *draft, const struct km_event_landmark *landmark, double weight,
                       uint64_t episodes);

/* A role that is much faster than ever. */
void km_draft_pace(struct km_draft *draft, const struct km_watch_pace *pace);

/* Young profiles and lost events, which lower the confidence; nothing when neither is so. */
void km_draft_doubts(struct km_draft *draft, const struct km_profile *profile, uint64_t lost);

/* Held back for a reason (KM_EVIDENCE_STARTING, KM_EVIDENCE_UPGRADED), whose evidence is returned; NULL: no room. An
 * act keeps its key; sequences that are held for one reason share one. */
struct km_evidence *km_draft_hold(struct km_draft *draft, const char *reason);

/* The sum, and, when no key was set, the strongest evidence as the key. Call it last. */
void km_draft_end(struct km_draft *draft);

#endif
