/*
 * What is normal for one role of one daemon, and how far an episode is from it.
 *
 * Life: km_profile_new, km_profile_learn for each normal episode, km_profile_calibrate; then km_profile_score. Learning
 * after that changes the model at once and the calibration at the next km_profile_calibrate. Nothing is learned unless
 * learn is called.
 *
 * Score: each channel of an episode (measure.h) becomes a tail probability on the role's own episodes, each scored
 * while it is taken out of the model. The score is the sum of weight * -ln p over the channels, and of -ln p for each
 * entity never seen; so its terms are its explanation. Calibration is kept twice: for full streams, and for what a
 * deployment lets through.
 *
 * Bounds: 6 MiB a profile. Not thread-safe while learning; scoring is read-only.
 */
#ifndef KM_PROFILE_PROFILE_H
#define KM_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "daemon/profile/entity.h"
#include "daemon/profile/measure.h"
#include "daemon/trace/episode.h"
#include "stats/tail.h"

#define KM_PROFILE_KEPT_EPISODES  1024   /* kept for calibration, a fair sample of all learned */
#define KM_PROFILE_KEPT_CALLS     400000 /* in all of them */
#define KM_PROFILE_NOVEL_EPISODES 1024   /* kept besides, a fair sample of those that brought new windows */
#define KM_PROFILE_NOVEL_CALLS    200000

enum km_view {
    KM_VIEW_FULL = 0,     /* every call was seen */
    KM_VIEW_DEPLOYED = 1, /* what the filter, tap and escalation let through */
};
#define KM_VIEWS 2

/* What thresholds are of: episodes that are alike in how much is known of them. Those that bring unknown windows are
 * few and score far above the others, so that a tail of both together foretells neither. */
enum km_stratum {
    KM_STRATUM_KNOWN = 0, /* full view, nothing but known windows */
    KM_STRATUM_NOVEL = 1, /* full view, with unknown windows */
    KM_STRATUM_TOLD = 2,  /* deployed view */
};
#define KM_STRATA 3

/* Whose profile it is, and for which program. Strings are escaped text. */
struct km_profile_identity {
    char unit[KM_EVENT_MAX_NAME_BYTES];
    char role[KM_EVENT_MAX_NAME_BYTES];
    char exe[KM_EVENT_MAX_PATH_BYTES];
    char package[KM_EVENT_MAX_NAME_BYTES]; /* "name version"; empty: no package owns the program */
    char build_id[2 * KM_EVENT_BUILD_ID_BYTES + 1];
};

struct km_profile;

/* NULL: KM_NOMEM. */
struct km_profile *km_profile_new(const struct km_profile_identity *identity, const struct km_episode_rule *rule,
                                  struct km_err *err) KM_MUST_USE;
void km_profile_free(struct km_profile *profile);
KM_DEFINE_CLEANUP(struct km_profile, km_profile_cleanup, km_profile_free);

void km_profile_identity_from_event(struct km_profile_identity *out, const struct km_event_role *role);
const struct km_profile_identity *km_profile_get_identity(const struct km_profile *profile);
/* The program that the role's threads run now: exe, package and build_id of `identity`. While it is learned. */
void km_profile_set_program(struct km_profile *profile, const struct km_profile_identity *identity);
const struct km_episode_rule *km_profile_get_rule(const struct km_profile *profile);
struct km_ngram *km_profile_get_ngram(const struct km_profile *profile);
const struct km_entity_set *km_profile_get_entities(const struct km_profile *profile);
const struct km_nearest *km_profile_get_sets(const struct km_profile *profile);

/* Learns a normal episode. Of one that came through the filter its windows, call set and entities are learned.
 * KM_NOMEM. */
enum km_code km_profile_learn(struct km_profile *profile, const struct km_episode *episode,
                              struct km_err *err) KM_MUST_USE;

/* Computes the calibration anew. Deterministic. KM_NOMEM. */
enum km_code km_profile_calibrate(struct km_profile *profile, struct km_err *err) KM_MUST_USE;

struct km_assessment {
    struct km_measure measure;
    double term[KM_CHANNELS]; /* weight * -ln p; 0 when the channel is not present or not calibrated */
    double entity_term;       /* sum over the entities never seen */
    unsigned entities_new;
    enum km_gravity gravity; /* of the gravest among them */
    double score;            /* sum of the terms */
    double p;                /* share of normal episodes with such a score or a higher one, by the calibration */
    enum km_view view;
};

void km_profile_score(const struct km_profile *profile, const struct km_episode *episode, struct km_assessment *out);

/* Scores of the kept episodes, each taken out of the model. Deployed: of those that would have left the kernel, also of
 * the kept novel ones. Borrowed until the next calibration. */
const double *km_profile_get_scores(const struct km_profile *profile, enum km_view view, size_t *out_count);

/* The same by strata: what a threshold starts from. Novel, told: also of the kept novel ones; only an episode that
 * brought windows when it was learned can be among them, so that the rare normals are all here, not a twentieth of
 * them. *out_episodes: of all learned episodes, how many are of the stratum, by the samples' shares. */
const double *km_profile_get_history(const struct km_profile *profile, enum km_stratum stratum, size_t *out_count,
                                     double *out_episodes);

enum km_stratum km_assessment_stratum(const struct km_assessment *assessment);

struct km_maturity {
    uint64_t episodes;
    double novelty;    /* mean share of six-call windows that a learned episode brought new, later ones weigh more */
    double confidence; /* 0..1: (episodes / (episodes + 50)) * (1 - 5 * novelty), never below 0 */
    bool mature;       /* at least 50 episodes, novelty below 2 % */
};
void km_profile_get_maturity(const struct km_profile *profile, struct km_maturity *out);

/* From the first learned episode to the last: a budget is of days, however many threads share them. 0: the events
 * carried no times. */
/* The most calls a second that the role made over ten seconds while it was learned; 0: not known. Calibration and
 * review leave it alone. */
double km_profile_get_pace(const struct km_profile *profile);
void km_profile_set_pace(struct km_profile *profile, double per_second);

uint64_t km_profile_learned_ns(const struct km_profile *profile);

/* Bytes of memory held. */
size_t km_profile_memory(const struct km_profile *profile);

/* Whether the probe keeps this window, this landmark to itself. */
bool km_profile_knows_window(const struct km_profile *profile, unsigned long long window, unsigned space);
bool km_profile_knows_landmark(const struct km_profile *profile, const struct km_event_landmark *landmark);

/* Whether a start of its program was learned. */
bool km_profile_knows_start(const struct km_profile *profile);

/* Turns complete episodes into what a deployment would have let through of them. */
struct km_deployer;

/* The profile is borrowed and may learn in between. The sink receives one episode for each one put in. told_once: an
 * unknown window is told once in the deployer's life, as the probe does while it runs; otherwise once an episode. NULL:
 * KM_NOMEM. */
struct km_deployer *km_deployer_new(const struct km_profile *profile, const struct km_episode_sink *sink,
                                    bool told_once, struct km_err *err) KM_MUST_USE;
void km_deployer_free(struct km_deployer *deployer);
KM_DEFINE_CLEANUP(struct km_deployer, km_deployer_cleanup, km_deployer_free);

enum km_code km_deployer_run(struct km_deployer *deployer, const struct km_episode *episode,
                             struct km_err *err) KM_MUST_USE;

#endif
