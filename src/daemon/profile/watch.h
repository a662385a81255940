/*
 * From events to judged episodes: all roles of a stream, each with its profile and its threshold. Learns, or scores as
 * the events came, or scores what a deployment would have let through of them. The same events and profiles give the
 * same results, byte for byte.
 *
 * Threshold: a budget of alarms a day and role, divided by the role's episodes a day, is the share of episodes that may
 * be alarms; the score that so many of the recent normal episodes exceed is the threshold (stats/tail.h). Each stratum
 * of a view (profile.h) has a history and a threshold of its own, the full view's two half a budget each. Alarms do not
 * enter the history. Where the recorder counts episodes that it does not tell (RATE events), these enter the pace: an
 * episode seen in full stands for as many as were not, and quiet time counts as time. During a release window the
 * budget is a tenth; what the ordinary budget would have told settles meanwhile: it is handed over as such, does not
 * enter the history, and is counted for the end of the window. Beyond what the history reaches the tail is taken to be
 * exponential, as scores are sums of -ln p: a fitted power tail put the threshold of a young profile out of reach.
 *
 * An act that the role never did and that is grave by itself (entity.h: a program, a place, a peer) is an alarm at any
 * score; a read of configuration that the kind of thread it is forked from was seen to read counts by its score. A
 * process that starts, while no start was learned, is excused for KM_WATCH_START_NS from all but what no start explains
 * (km_entity_is_inexcusable); so is for KM_WATCH_FORK_NS a child that gives up its rights in a way that was not
 * learned. An end that was never learned is no alarm by its sequence alone.
 */
#ifndef KM_PROFILE_WATCH_H
#define KM_PROFILE_WATCH_H

#include "daemon/profile/profile.h"
#include "daemon/trace/event.h"

#define KM_WATCH_DEFAULT_BUDGET   3.0  /* alarms a day and role */
#define KM_WATCH_DEFAULT_RATE     0.01 /* of episodes, when the events carry no times */
#define KM_WATCH_RELEASE_EPISODES 1000 /* a release window lasts so many */
#define KM_WATCH_START_NS         UINT64_C(10000000000)
#define KM_WATCH_FORK_NS          UINT64_C(2000000000)
#define KM_WATCH_PACE_NS          UINT64_C(10000000000)
#define KM_WATCH_PACE_FACTOR      5.0 /* ordinary load reached 1.1 after forty minutes of learning */

/* How the running program relates to the one that the profile was learned from. */
enum km_release {
    KM_RELEASE_SAME = 0,
    KM_RELEASE_UPGRADE = 1,     /* another package version: a release window opens */
    KM_RELEASE_UNEXPLAINED = 2, /* another program, and no package says so: a finding */
};
enum km_release km_release_compare(const struct km_profile_identity *learned,
                                   const struct km_profile_identity *running);

struct km_watch_result {
    uint64_t number;                  /* of the episode, from 1 */
    const struct km_profile *profile; /* NULL: the role has none; assessment is empty */
    const struct km_profile_identity *identity;
    const struct km_episode *episode;
    const struct km_assessment *assessment;
    double threshold;
    double rate;      /* the share of normal episodes above the threshold */
    unsigned windows; /* unknown ones that alarms of the role brought within ten seconds */
    bool alone;       /* an alarm by a sequence alone: no new act, and fewer unknown windows than escalate */
    bool alarm;
    bool excused;      /* it would be an alarm; its process starts, and no start was learned */
    bool settling;     /* it would be an alarm but for the release window; threshold and rate are the ordinary ones */
    uint64_t settles;  /* episodes of the release window that are left with this one; 0: none is open */
    double confidence; /* of the profile, lowered by the share of lost events, at most to a fifth; and to a hundredth
                          when a sequence alone is strange, or when it is excused or settling */
    enum km_release release;
};

/* What is known of a role when it appears, and when its program changes. */
struct km_watch_role {
    uint16_t index;
    const struct km_profile_identity *identity;
    struct km_profile *profile; /* NULL: none */
    enum km_release release;
    bool learning;
};

/* A mature role made more than KM_WATCH_PACE_FACTOR times as many calls a second, over KM_WATCH_PACE_NS or more, as in
 * the busiest such stretch that was learned. Told again after ten minutes at the earliest. */
struct km_watch_pace {
    const struct km_profile_identity *identity;
    const struct km_profile *profile;
    uint64_t time_ns;
    double per_second, learned, confidence;
};

/* A release window that closed: what stayed strange by the threshold from before the upgrade, alarms included. */
struct km_watch_settled {
    const struct km_profile_identity *identity;
    unsigned first_half, second_half; /* of KM_WATCH_RELEASE_EPISODES */
};

struct km_watch;

struct km_watch_config {
    void *context;
    /* The profile of a role, which the watch owns then; NULL: none (when learning: a new one is made). */
    struct km_profile *(*find)(void *context, const struct km_profile_identity *identity);
    enum km_code (*judged)(void *context, const struct km_watch_result *result, struct km_err *err);
    /* A role appeared, or comes from another program than before. May be NULL. */
    enum km_code (*appeared)(void *context, const struct km_watch_role *role, struct km_err *err);
    /* A role is much faster than ever. May be NULL. */
    enum km_code (*paced)(void *context, const struct km_watch_pace *pace, struct km_err *err);
    /* A release window closed. May be NULL. */
    enum km_code (*settled)(void *context, const struct km_watch_settled *settled, struct km_err *err);
    /* Learning is over; the profiles hold all, and are calibrated next, which may take a second: the moment to tell the
     * kernel what is known. May be NULL. */
    enum km_code (*learned)(void *context, struct km_watch *watch, struct km_err *err);
    double budget_per_day; /* 0: KM_WATCH_DEFAULT_BUDGET */
    double rate;           /* a fixed share of episodes instead of the budget; 0: none */
    bool deployed;         /* simulate the three feeds */
    uint32_t tap_share;    /* of 65536, when deployed */
    bool learn;
    uint64_t learn_ns; /* learn exactly so long from the first event, then calibrate and score; 0: to the end */
    const struct km_episode_rule *rule; /* for roles without a profile; NULL: an episode is a thread's life */
};

/* The config is copied. NULL: KM_NOMEM. */
struct km_watch *km_watch_new(const struct km_watch_config *config, struct km_err *err) KM_MUST_USE;
void km_watch_free(struct km_watch *watch);
KM_DEFINE_CLEANUP(struct km_watch, km_watch_cleanup, km_watch_free);

/* A RATE event of a role without counts says that from its time on the recorder keeps the role's known windows to
 * itself; what it told of earlier episodes says nothing. */
enum km_code km_watch_event(struct km_watch *watch, const struct km_event *event, struct km_err *err) KM_MUST_USE;

/* Says what time it is by the events' clock, where events are rare: learning ends in time, and what quiet threads have
 * told of an unfinished episode is judged. */
enum km_code km_watch_time(struct km_watch *watch, uint64_t now_ns, struct km_err *err) KM_MUST_USE;

/* Whether a process starts at this time while no start was learned. */
bool km_watch_excuses(const struct km_watch *watch, uint32_t tgid, uint64_t time_ns);

bool km_watch_is_learning(const struct km_watch *watch);

/* Ends open episodes; calibrates what was learned. */
enum km_code km_watch_finish(struct km_watch *watch, struct km_err *err) KM_MUST_USE;

/* A role by its index: false when it did not appear. Its pointers are borrowed until it changes. */
bool km_watch_find_role(const struct km_watch *watch, uint16_t index, struct km_watch_role *out);

/* Profile of the i-th role, in the order in which roles appeared; NULL beyond the last. Borrowed. */
struct km_profile *km_watch_profile(const struct km_watch *watch, size_t i);

/* Asks `find` again for the profile of the roles of this name, which changed in the store. Not while learning, and
 * without effect on roles that have none. KM_NOMEM. */
enum km_code km_watch_renew(struct km_watch *watch, const char *role, struct km_err *err) KM_MUST_USE;

struct km_watch_stats {
    uint64_t events, episodes, alarms, learned;
    uint64_t tapped;  /* of the judged episodes: delivered in full by the tap */
    uint64_t lost;    /* events that the recorder could not deliver */
    uint64_t refused; /* events that made no sense */
};
void km_watch_get_stats(const struct km_watch *watch, struct km_watch_stats *out);

#endif
