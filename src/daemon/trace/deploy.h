/*
 * What a deployment lets through: takes a full stream of events and emits exactly what the probe's three feeds would
 * have delivered of it, with the probe's own decisions (window.h). So a recorded stream can be scored both ways, and a
 * profile can be calibrated for what it will really see.
 *
 * Where the probe draws a random number for the tap, this draws a fixed function of thread, episode and seed. The
 * probe's rate limits (records withheld under a flood) are not simulated.
 */
#ifndef KM_TRACE_DEPLOY_H
#define KM_TRACE_DEPLOY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/trace/event.h"

#define KM_DEPLOY_REPORTED 65536 /* windows remembered as told */

struct km_deploy_config {
    void *context;
    /* Whether the role knows the window: the probe's exact set. */
    bool (*knows_window)(void *context, uint16_t role, unsigned long long window, unsigned space);
    /* Whether a landmark is known to the role, so that it stays in the kernel. NULL: all are told. */
    bool (*knows_landmark)(void *context, uint16_t role, const struct km_event_landmark *landmark);
    uint32_t tap_share; /* of 65536 episodes that are streamed in full; 0 = none */
    uint64_t seed;
    bool told_once; /* an unknown window is told once for its role; false: once in each episode */
};

struct km_deploy;

/* `out` receives the events; both arguments are copied. NULL: KM_NOMEM. */
struct km_deploy *km_deploy_new(const struct km_deploy_config *config, const struct km_event_sink *out,
                                struct km_err *err) KM_MUST_USE;
void km_deploy_free(struct km_deploy *deploy);

void km_deploy_set_rule(struct km_deploy *deploy, uint16_t role, const struct km_episode_rule *rule);

/* Takes an event of a full stream (KM_FEED_LEARN, KM_FEED_IMPORT). Events that a deployment recorded already pass
 * unchanged. KM_NOMEM, or the sink's failure. */
enum km_code km_deploy_event(struct km_deploy *deploy, const struct km_event *event, struct km_err *err) KM_MUST_USE;

/* Ends the open taps. The state of threads that did not end is not told, as in the kernel. */
enum km_code km_deploy_finish(struct km_deploy *deploy, struct km_err *err) KM_MUST_USE;

#endif
