/* How many calls a second a role makes, over ten seconds, compared with the most that it made while it was learned. */
#include "daemon/profile/watch_internal.h"

#define NS_PER_S    1e9
#define AGAIN_NS    UINT64_C(600000000000)
#define LEAST_CALLS 1000 /* of a stretch that may be strange */

static double trust_of(const struct km_watched *role)
{
    struct km_maturity maturity;
    km_profile_get_maturity(role->profile, &maturity);
    return maturity.mature ? maturity.confidence : 0;
}

static enum km_code judge_pace(struct km_watch *watch, struct km_watched *role, uint64_t now_ns, double per_second,
                               struct km_err *err)
{
    double learned = km_profile_get_pace(role->profile), trust = trust_of(role);
    bool strange =
        learned > 0 && trust > 0 && per_second > KM_WATCH_PACE_FACTOR * learned && role->pace_calls >= LEAST_CALLS;
    if (!strange || !watch->config.paced || (role->paced_ns != 0 && now_ns < role->paced_ns + AGAIN_NS))
        return KM_OK;
    role->paced_ns = now_ns;
    const struct km_watch_pace pace = {.identity = &role->identity,
                                       .profile = role->profile,
                                       .time_ns = now_ns,
                                       .per_second = per_second,
                                       .learned = learned,
                                       .confidence = trust};
    return watch->config.paced(watch->config.context, &pace, err);
}

enum km_code km_watch_note_calls(struct km_watch *watch, struct km_watched *role, uint64_t now_ns, uint64_t calls,
                                 struct km_err *err)
{
    enum km_code code = KM_OK;
    if (!role->profile || now_ns == 0)
        return KM_OK;
    if (role->pace_ns != 0 && now_ns >= role->pace_ns + KM_WATCH_PACE_NS) {
        double per_second = (double)role->pace_calls * NS_PER_S / (double)(now_ns - role->pace_ns);
        if (!role->learning)
            code = judge_pace(watch, role, now_ns, per_second, err);
        else if (per_second > km_profile_get_pace(role->profile))
            km_profile_set_pace(role->profile, per_second);
        role->pace_ns = 0;
    }
    if (role->pace_ns == 0 || now_ns < role->pace_ns) {
        role->pace_ns = now_ns;
        role->pace_calls = 0;
    }
    role->pace_calls += calls;
    return code;
}
