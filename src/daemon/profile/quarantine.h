/*
 * An alarm as it waits for a person: JSON with what was new in it, enough to explain it and to learn it later.
 */
#ifndef KM_PROFILE_QUARANTINE_H
#define KM_PROFILE_QUARANTINE_H

#include "base/json.h"
#include "daemon/profile/profile.h"

#define KM_QUARANTINE_MAX_BYTES ((size_t)1 << 20)

/* out_id: sixteen hexadecimal digits and NUL, made from the new windows, the new entities and the call set. NULL:
 * KM_NOMEM. */
struct km_json *km_quarantine_describe(const struct km_profile *profile, const struct km_episode *episode,
                                       const struct km_assessment *assessment, int64_t wall_ns, char *out_id,
                                       struct km_err *err) KM_MUST_USE;

/* A single act, without the calls around it: learned as an entity only. */
struct km_json *km_quarantine_describe_act(const struct km_event_landmark *act, int64_t wall_ns, char *out_id);

/* Learns such an entry. KM_FORMAT: it is not one. */
enum km_code km_quarantine_learn(struct km_profile *profile, const struct km_json *entry,
                                 struct km_err *err) KM_MUST_USE;

#endif
