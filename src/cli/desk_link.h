/*
 * How a command reaches the desk: which store, who asks, and for guardians' commands the sink that records and the
 * decisions that answer. In cmd_scan.c:
 *
 *     link = km_desk_link_open(&(struct km_desk_link_options){.command = "scan", .store = …, .versions = …}, &err);
 *     sink = km_desk_link_tee(link, &sink);              decisions = km_desk_link_decisions(link, &decisions);
 *     km_desk_link_finish(link);
 */
#ifndef KM_CLI_DESK_LINK_H
#define KM_CLI_DESK_LINK_H

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "desk/store/recorder.h"
#include "desk/store/store.h"
#include "finding/alert.h"
#include "finding/decision.h"
#include "finding/sink.h"

#define KM_DESK_LINK_NAME_BYTES 256

/* The store for a command that shows or decides: opened (made when it is missing) and named on standard error.
 * named: the option --store, or NULL. What is older than its retention goes. */
struct km_desk *km_desk_link_store(const char *command, const char *named, enum km_desk_place *out_place,
                                   struct km_err *err) KM_MUST_USE;

/* For commands that have changed a model, a profile or the baseline: adds an entry to the audit log of the store that
 * is used without being named, if it is there (docs/adr/0006-recording.md). action "baseline.add"; object "image x";
 * detail NULL or the caller's. Trouble is said on standard error: the change has happened. */
void km_desk_link_audit(const char *command, const char *action, const char *object, const struct km_json *detail);

/* Who runs this: the user's name; for root under sudo the one who called it. out: KM_DESK_LINK_NAME_BYTES. */
void km_desk_link_who(char *out);
/* This machine's name. out: KM_DESK_LINK_NAME_BYTES. */
void km_desk_link_host(char *out);

struct km_desk_link_options {
    const char *command; /* "scan", "guard", "replay": kind of the run, and name of the guardian */
    const char *store;   /* --store, or NULL */
    struct km_versions versions;
};

struct km_desk_link;

/* Opens the store and begins a run. NULL: codes of the store. */
struct km_desk_link *km_desk_link_open(const struct km_desk_link_options *options, struct km_err *err) KM_MUST_USE;

/* A sink that hands everything to `first` and then to the store. Trouble with the store is said on standard error,
 * once, and never ends the guardian's work. `first` is copied; its context and the link outlive the sink. */
struct km_sink km_desk_link_tee(struct km_desk_link *link, const struct km_sink *first);

/* The same for a guard's alerts: each goes to `first` (or NULL) and, as its finding, to the store. A loop that waits
 * calls km_recorder_tick (km_desk_link_recorder) now and then, so that a lone finding does not wait for a second one.
 */
struct km_alert_sink km_desk_link_alerts(struct km_desk_link *link, const struct km_alert_sink *first);

/* Decisions of `first` (find NULL: there are none), then of the store. */
struct km_decisions km_desk_link_decisions(struct km_desk_link *link, const struct km_decisions *first);

struct km_recorder *km_desk_link_recorder(struct km_desk_link *link);
struct km_desk *km_desk_link_desk(struct km_desk_link *link);

/* Records what is left, acknowledges the decisions that were used, groups findings into incidents, says on standard
 * error how many are new and where they are, and frees. A failure is said; NULL is allowed. Returns false after one. */
bool km_desk_link_finish(struct km_desk_link *link);

#endif
