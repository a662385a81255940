#include <stdlib.h>
#include <string.h>

#include "daemon/profile/profile_internal.h"
#include "daemon/trace/deploy.h"

struct km_deployer {
    const struct km_profile *profile;
    struct km_episode_sink sink;
    struct km_assembler *assembler;
    struct km_deploy *deploy;
    uint32_t runs;
};

static bool knows_window(void *context, uint16_t role, unsigned long long window, unsigned space)
{
    (void)role;
    const struct km_deployer *deployer = context;
    return km_profile_knows_window(deployer->profile, window, space);
}

static bool knows_landmark(void *context, uint16_t role, const struct km_event_landmark *landmark)
{
    (void)role;
    const struct km_deployer *deployer = context;
    return km_profile_knows_landmark(deployer->profile, landmark);
}

static enum km_code relay(void *context, const struct km_event *event, struct km_err *err)
{
    struct km_deployer *deployer = context;
    return km_assembler_event(deployer->assembler, event, err);
}

struct km_deployer *km_deployer_new(const struct km_profile *profile, const struct km_episode_sink *sink,
                                    bool told_once, struct km_err *err)
{
    struct km_deployer *d = km_calloc(1, sizeof *d, SIZE_MAX, err);
    if (!d)
        return NULL;
    d->profile = profile;
    struct km_deploy_config config = {
        .context = d, .knows_window = knows_window, .knows_landmark = knows_landmark, .told_once = told_once};
    struct km_event_sink events = {d, relay};
    d->assembler = km_assembler_new(sink, err);
    d->deploy = d->assembler ? km_deploy_new(&config, &events, err) : NULL;
    if (!d->deploy) {
        km_deployer_free(d);
        return NULL;
    }
    struct km_episode_rule rule = profile->rule;
    rule.max_calls = 0; /* an episode put in is one: it is not cut again */
    memset(rule.wait_set, 0, sizeof rule.wait_set);
    km_deploy_set_rule(d->deploy, 0, &rule);
    return d;
}

void km_deployer_free(struct km_deployer *d)
{
    if (!d)
        return;
    km_deploy_free(d->deploy);
    km_assembler_free(d->assembler);
    free(d);
}

/* Each episode is a thread of its own, begun behind nothing: the five calls before it are not told again. */
enum km_code km_deployer_run(struct km_deployer *d, const struct km_episode *episode, struct km_err *err)
{
    if (++d->runs == 0)
        d->runs = 1;
    struct km_event event = {.tid = d->runs, .tgid = d->runs, .feed = KM_FEED_IMPORT, .time_ns = episode->begin_ns};
    enum km_code code = KM_OK;
    event.kind = KM_EVENT_LANDMARK;
    for (size_t i = 0; i < episode->landmark_count && code == KM_OK; i++) {
        event.landmark = episode->landmarks[i];
        code = km_deploy_event(d->deploy, &event, err);
    }
    event.kind = KM_EVENT_CALL;
    uint64_t step = episode->count > 0 ? (episode->end_ns - episode->begin_ns) / episode->count : 0;
    for (size_t i = 0; i < episode->count && code == KM_OK; i++) {
        event.time_ns = episode->begin_ns + step * i;
        event.call = (struct km_event_call){.number = (uint16_t)km_call_number(episode->packed[i]),
                                            .space = (uint8_t)km_call_space_of(episode->packed[i]),
                                            .outcome = episode->attrs[i] & 3,
                                            .arg_class = episode->attrs[i] >> 2};
        code = km_deploy_event(d->deploy, &event, err);
    }
    event.kind = KM_EVENT_END;
    event.time_ns = episode->end_ns;
    event.state = (struct km_thread_state){0};
    return code == KM_OK ? km_deploy_event(d->deploy, &event, err) : code;
}
