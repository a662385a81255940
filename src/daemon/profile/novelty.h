/*
 * What of an episode's order of calls a role never had: its different unknown windows.
 */
#ifndef KM_PROFILE_NOVELTY_H
#define KM_PROFILE_NOVELTY_H

#include "daemon/profile/profile.h"

#define KM_NOVELTY_MAX_WINDOWS 4096 /* later ones are left out */

/* Calls visit for each unknown window once, in the order of the episode; key: the window with its number space above
 * the calls (KM_WINDOW_BITS). Ends at the first code that is not KM_OK. KM_NOMEM, and what visit returns. */
enum km_code km_novelty_visit(const struct km_profile *profile, const struct km_episode *episode, void *context,
                              enum km_code (*visit)(void *context, uint64_t key, struct km_err *err),
                              struct km_err *err) KM_MUST_USE;

#endif
