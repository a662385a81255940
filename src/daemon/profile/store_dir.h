/*
 * Profiles on disk: a folder per unit and role that holds numbered versions (v000001.kmp …), the quarantine and what
 * was accepted out of it.
 *
 * A version is written whole (temporary file, fsync, rename) and never changed. The highest readable one is in force; a
 * damaged one is named and passed over. The newest KM_STORE_VERSIONS are kept, and every version that was learned from
 * scratch, which expired decisions are undone from.
 *
 * Alarms wait in quarantine as JSON, one file each, until a person accepts them or KM_STORE_QUARANTINE_DAYS have
 * passed. Nothing gets from there into a profile by itself. One writer at a time is the caller's business.
 */
#ifndef KM_PROFILE_STORE_DIR_H
#define KM_PROFILE_STORE_DIR_H

#include "base/json.h"
#include "daemon/profile/explain.h"
#include "daemon/profile/profile.h"

#define KM_STORE_VERSIONS        8
#define KM_STORE_QUARANTINE_DAYS 30
#define KM_STORE_MAX_QUARANTINE  1000 /* per role; more alarms are not kept */
#define KM_STORE_ID_BYTES        17   /* sixteen hexadecimal digits and NUL */

struct km_store;

/* Opens the folder, made when it is missing (0750). NULL: KM_IO, KM_DENIED, KM_NOMEM. */
struct km_store *km_store_open(const char *path, struct km_err *err) KM_MUST_USE;
void km_store_close(struct km_store *store);
KM_DEFINE_CLEANUP(struct km_store, km_store_cleanup, km_store_close);

struct km_store_entry {
    char unit[KM_EVENT_MAX_NAME_BYTES];
    char role[KM_EVENT_MAX_NAME_BYTES];
    unsigned version;     /* in force; 0: none is readable */
    unsigned quarantined; /* waiting */
};

/* Visits the roles in the order of their folders' names. */
enum km_code km_store_list(struct km_store *store, void *context,
                           enum km_code (*visit)(void *context, const struct km_store_entry *entry, struct km_err *err),
                           struct km_err *err) KM_MUST_USE;

struct km_store_loaded {
    unsigned version;
    char note[KM_EVENT_MAX_NAME_BYTES]; /* why this version exists */
    struct km_err damage;               /* of the newest version that was passed over; KM_OK: none */
};

/* The version in force, or the one asked for (0: the one in force). NULL: KM_NOTFOUND, KM_FORMAT (no version is
 * readable), KM_IO, KM_NOMEM. */
struct km_profile *km_store_load(struct km_store *store, const char *unit, const char *role, unsigned version,
                                 struct km_store_loaded *out, struct km_err *err) KM_MUST_USE;

/* Writes the next version. note as in km_profile_save. */
enum km_code km_store_save(struct km_store *store, const struct km_profile *profile, const char *note,
                           struct km_err *err) KM_MUST_USE;

/* Puts an alarm into quarantine; the id is made from what was new in it, so the same novelty waits once and is counted.
 */
enum km_code km_store_quarantine(struct km_store *store, const struct km_profile *profile,
                                 const struct km_episode *episode, const struct km_assessment *assessment,
                                 int64_t wall_ns, struct km_err *err) KM_MUST_USE;

/* Puts a single act into quarantine, of a thread that `profile` does not describe and that comes from one that it does.
 */
enum km_code km_store_quarantine_act(struct km_store *store, const struct km_profile *profile,
                                     const struct km_event_landmark *act, int64_t wall_ns,
                                     struct km_err *err) KM_MUST_USE;

/* The id of what was put into quarantine last; "" when that failed. Borrowed until the next. */
const char *km_store_quarantined(const struct km_store *store);

/* The waiting alarms of a role as a JSON array, oldest first; the caller frees it. NULL: KM_IO, KM_NOMEM. */
struct km_json *km_store_waiting(struct km_store *store, const char *unit, const char *role,
                                 struct km_err *err) KM_MUST_USE;

struct km_store_acceptance {
    const char *id;
    int64_t until_ns; /* when the decision ends (wall clock); 0 = never */
    int64_t decision; /* the desk's; 0 = none */
};

/* Learns a waiting alarm and writes a new version. What was accepted before is in the profile already: the decision is
 * added to those that hold it there, no version is written and *out_learned is false. KM_NOTFOUND: no such alarm. */
enum km_code km_store_accept(struct km_store *store, const char *unit, const char *role,
                             const struct km_store_acceptance *given, bool *out_learned,
                             struct km_err *err) KM_MUST_USE;

/* What was accepted of a role as a JSON array, oldest first; the caller frees it. NULL: KM_IO, KM_NOMEM. */
struct km_json *km_store_accepted(struct km_store *store, const char *unit, const char *role,
                                  struct km_err *err) KM_MUST_USE;

/* Takes back what was accepted by a decision of the desk and by no other: the last learned version with all decisions
 * that still hold becomes the next version, and the alarms wait again. KM_NOTFOUND: nothing was accepted by it. */
enum km_code km_store_withdraw(struct km_store *store, const char *unit, const char *role, int64_t decision,
                               struct km_err *err) KM_MUST_USE;

/* Takes the version in force away; the one before it is in force again, and what it had accepted waits again.
 * KM_NOTFOUND: there is none before it. */
enum km_code km_store_rollback(struct km_store *store, const char *unit, const char *role, unsigned *out_version,
                               struct km_err *err) KM_MUST_USE;

/* Ends decisions whose time is over: the last learned version with all decisions that still hold becomes the next
 * version. Forgets alarms that waited too long. */
enum km_code km_store_expire(struct km_store *store, const char *unit, const char *role, int64_t wall_ns,
                             unsigned *out_ended, struct km_err *err) KM_MUST_USE;

#endif
