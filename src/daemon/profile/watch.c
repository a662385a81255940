#include "daemon/profile/watch_internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/trace/deploy.h"

#define SPOT_WINDOW    400
#define LEAST_SPAN_NS  UINT64_C(600000000000) /* ten minutes: a shorter past says nothing about a day */
#define NS_PER_DAY     86400e9
#define RELEASE_FACTOR 0.1
#define LARGEST_RATE   0.5
#define LEAST_RATE     1e-9
#define QUIET_NS       UINT64_C(500000000) /* so long a thread may keep an unfinished episode to itself */
#define TAIL_STEP      10.0 /* the scale beyond the history is read between its last value and ten times as many */
#define EXIT_GROUP     231  /* of x86-64 */
#define LEAST_TRUST    0.2  /* whoever floods the recorder must not silence it */
#define TOGETHER_NS    UINT64_C(10000000000)
#define UNSUPPORTED    0.01 /* trust in an order of calls that nothing else speaks for, and in a start's oddities */
#define SEED           0x6b6f6d61696e75ULL

enum km_release km_release_compare(const struct km_profile_identity *learned, const struct km_profile_identity *running)
{
    if (!learned->build_id[0] || !running->build_id[0] || strcmp(learned->build_id, running->build_id) == 0)
        return KM_RELEASE_SAME;
    bool packaged = learned->package[0] && running->package[0];
    return packaged && strcmp(learned->package, running->package) != 0 ? KM_RELEASE_UPGRADE : KM_RELEASE_UNEXPLAINED;
}

static bool knows_window(void *context, uint16_t role, unsigned long long window, unsigned space)
{
    const struct km_watched *r = km_watch_role_of(context, role);
    return r && r->profile && km_profile_knows_window(r->profile, window, space);
}

static bool knows_landmark(void *context, uint16_t role, const struct km_event_landmark *landmark)
{
    const struct km_watched *r = km_watch_role_of(context, role);
    return r && r->profile && km_profile_knows_landmark(r->profile, landmark);
}

static enum km_code relay(void *context, const struct km_event *event, struct km_err *err)
{
    struct km_watch *watch = context;
    return km_assembler_event(watch->assembler, event, err);
}

static void role_free(struct km_watched *role)
{
    if (!role)
        return;
    km_profile_free(role->profile);
    for (int s = 0; s < KM_STRATA; s++)
        km_spot_free(role->spot[s]);
    free(role);
}

/* For how long this role has been observed, learning included. 0: the events carry no times. */
static double span_of(const struct km_watched *role, uint64_t now_ns)
{
    uint64_t since_ns = role->counted_ns > 0 ? role->counted_ns : role->first_ns;
    bool lives = role->episodes > 0 || role->counted_ns > 0;
    double live = lives && now_ns > since_ns ? (double)(now_ns - since_ns) : 0;
    double span = role->learned_ns + live;
    return span > 0 && span < LEAST_SPAN_NS ? LEAST_SPAN_NS : span;
}

/* Episodes of a stratum so far. Where the kernel counts them, what it told nothing of had known windows alone: the few
 * that are seen in full are a sample of those. */
static double episodes_of(const struct km_watched *role, enum km_stratum stratum)
{
    uint64_t judged = role->judged[stratum];
    uint64_t others = role->judged[KM_STRATUM_NOVEL] + role->judged[KM_STRATUM_TOLD];
    if (stratum == KM_STRATUM_KNOWN && role->counted > others + judged)
        judged = role->counted - others;
    return role->learned[stratum] + (double)judged + 1;
}

/* The share of a stratum's episodes that may be alarms now. The full view's two strata have half of it each. */
static double rate_of(const struct km_watch *watch, const struct km_watched *role, enum km_stratum stratum,
                      uint64_t now_ns)
{
    double rate = watch->config.rate > 0 ? watch->config.rate : KM_WATCH_DEFAULT_RATE;
    double budget = watch->config.budget_per_day > 0 ? watch->config.budget_per_day : KM_WATCH_DEFAULT_BUDGET;
    double span = span_of(role, now_ns), own = episodes_of(role, stratum), all = own;
    if (stratum != KM_STRATUM_TOLD)
        all = (episodes_of(role, KM_STRATUM_KNOWN) + episodes_of(role, KM_STRATUM_NOVEL)) / 2;
    rate *= all / own;
    if (watch->config.rate == 0 && span > 0)
        rate = budget * span / (NS_PER_DAY * own) * (stratum == KM_STRATUM_TOLD ? 1 : 0.5);
    if (role->release_left > 0)
        rate *= RELEASE_FACTOR;
    return rate < LEAST_RATE ? LEAST_RATE : rate > LARGEST_RATE ? LARGEST_RATE : rate;
}

/* The history that thresholds start from: the calibration's scores. It turns over as slowly as they were learned, or
 * the quiet minute after a restart would be all that a busy role remembers at the next one. */
static enum km_code seed_spots(struct km_watched *role, struct km_err *err)
{
    size_t count;
    role->learned_ns = (double)km_profile_learned_ns(role->profile);
    for (int s = 0; s < KM_STRATA; s++) {
        const double *scores = km_profile_get_history(role->profile, (enum km_stratum)s, &count, &role->learned[s]);
        km_spot_free(role->spot[s]);
        role->spot[s] = km_spot_new(SPOT_WINDOW, 1 + (size_t)(role->learned[s] / SPOT_WINDOW), err);
        if (!role->spot[s])
            return err->code;
        /* One odd call is odd to every channel: they are taken to say the same thing, not to confirm each other. */
        km_spot_set_unit(role->spot[s], km_channel_weights());
        for (size_t i = 0; i < count; i++)
            km_spot_add(role->spot[s], scores[i]);
    }
    return KM_OK;
}

/* A process that ends, while no end was learned: no reason for an alarm by its sequence alone. */
static bool ends_unlearned(const struct km_profile *profile, const struct km_episode *episode)
{
    struct km_ngram_walk walk = {0};
    unsigned known;
    if (!km_call_set_has(episode->totals.set, EXIT_GROUP))
        return false;
    (void)km_ngram_step(km_profile_get_ngram(profile), &walk, km_call_pack(KM_SPACE_NATIVE, EXIT_GROUP), &known);
    return known == 0;
}

/* ---- judging ---- */

static double threshold_of(struct km_spot *spot, double rate)
{
    double fitted = km_spot_threshold(spot, rate), reach = 1.0 / SPOT_WINDOW;
    if (rate >= reach)
        return fitted;
    double outer = km_spot_threshold(spot, reach), inner = km_spot_threshold(spot, TAIL_STEP * reach);
    double scale = (outer - inner) / log(TAIL_STEP);
    double beyond = outer + (scale > 1 ? scale : 1) * log(reach / rate);
    return beyond < fitted ? beyond : fitted;
}

/* Before the kernel knew the role's windows it took each for unknown. */
static void forgive_misses(const struct km_watched *role, struct km_episode *episode)
{
    if (episode->complete || role->known_ns == 0 || episode->begin_ns >= role->known_ns)
        return;
    for (size_t i = 0; i < episode->window_count; i++)
        if (!km_profile_knows_window(role->profile, episode->windows[i].window, episode->windows[i].space))
            return;
    episode->totals.misses = 0;
    episode->peak_misses = 0;
}

/* Acts that no start excuses, and that the role never did. */
static bool has_inexcusable(const struct km_profile *profile, const struct km_episode *episode)
{
    for (size_t i = 0; i < episode->landmark_count; i++) {
        char line[KM_ENTITY_TEXT_BYTES];
        if (!km_entity_is_inexcusable(&episode->landmarks[i]))
            continue;
        km_entity_format(&episode->landmarks[i], line);
        if (!km_entity_find(km_profile_get_entities(profile), line))
            return true;
    }
    return false;
}

/* The profile of the kind of thread that this one is forked from without another program: its name less a '+'. */
static const struct km_profile *parent_of(const struct km_watch *watch, const struct km_profile_identity *identity)
{
    size_t length = strlen(identity->role);
    for (size_t i = 0; i < watch->profile_count && length > 1 && identity->role[length - 1] == '+'; i++) {
        const struct km_profile_identity *other = km_profile_get_identity(watch->profiles[i]);
        if (strlen(other->role) == length - 1 && strncmp(other->role, identity->role, length - 1) == 0 &&
            strcmp(other->exe, identity->exe) == 0)
            return watch->profiles[i];
    }
    return NULL;
}

/* A child reads the configuration that its parent was seen to read, as nginx does when it is told to for the first time
 * after learning. That is new, and no reason to wake anybody by itself. */
static enum km_gravity gravity_of(const struct km_watch *watch, const struct km_episode *episode,
                                  const struct km_watch_result *result)
{
    const struct km_profile *parent = parent_of(watch, result->identity);
    enum km_gravity gravity = result->assessment->gravity;
    if (!parent || gravity != KM_GRAVITY_GRAVE)
        return gravity;
    for (size_t i = 0; i < episode->landmark_count; i++) {
        const struct km_event_landmark *landmark = &episode->landmarks[i];
        char line[KM_ENTITY_TEXT_BYTES];
        km_entity_format(landmark, line);
        if (km_entity_gravity(landmark) == KM_GRAVITY_SLIGHT ||
            km_entity_find(km_profile_get_entities(result->profile), line))
            continue;
        if (!km_entity_reads_config(landmark) || !km_entity_find(km_profile_get_entities(parent), line))
            return gravity;
    }
    return KM_GRAVITY_SLIGHT;
}

static bool is_alarm(struct km_watch *watch, const struct km_episode *episode, struct km_watch_result *result)
{
    const struct km_assessment *a = result->assessment;
    enum km_gravity gravity = gravity_of(watch, episode, result);
    bool alarm = a->score > result->threshold || gravity != KM_GRAVITY_SLIGHT;
    bool ends = gravity == KM_GRAVITY_SLIGHT && ends_unlearned(result->profile, episode);
    result->excused = alarm && gravity != KM_GRAVITY_PROGRAM && !has_inexcusable(result->profile, episode) &&
                      (ends || km_watch_excuses(watch, episode->tgid, episode->begin_ns));
    return alarm && !result->excused;
}

/* Whether more than the order of a few calls speaks for the alarm: an act, or so much that the kernel streams the
 * thread. Episodes may be short: what alarms of the role bring within a few seconds is taken together. A handful of
 * unknown windows is what rare normal work looks like, too. */
static void seek_support(struct km_watched *role, struct km_watch_result *result)
{
    const struct km_assessment *a = result->assessment;
    uint64_t now_ns = result->episode->end_ns;
    unsigned escalates = km_profile_get_rule(result->profile)->escalate_misses;
    bool together = now_ns != 0 && now_ns <= role->strange_ns + TOGETHER_NS;
    role->strange_misses = (together ? role->strange_misses : 0) + a->measure.misses;
    role->strange_ns = now_ns > role->strange_ns ? now_ns : role->strange_ns;
    result->windows = role->strange_misses < UINT_MAX ? (unsigned)role->strange_misses : UINT_MAX;
    result->alone = a->entities_new == 0 && (escalates == 0 || role->strange_misses < escalates);
}

/* While a release window is open: what is strange by the ordinary threshold only. */
static void settle(struct km_watched *role, struct km_spot *spot, struct km_watch_result *result)
{
    result->settles = role->release_left;
    if (role->release_left == 0)
        return;
    double rate = result->rate / RELEASE_FACTOR, threshold = threshold_of(spot, rate);
    result->settling = !result->alarm && !result->excused && result->assessment->score > threshold;
    if (result->settling) {
        result->rate = rate;
        result->threshold = threshold;
    }
    if (result->settling || result->alarm)
        role->settling[role->release_left <= KM_WATCH_RELEASE_EPISODES / 2]++;
}

static void assess(struct km_watch *watch, struct km_watched *role, const struct km_episode *whole,
                   struct km_watch_result *result, struct km_assessment *assessment)
{
    struct km_episode episode = *whole;
    forgive_misses(role, &episode);
    km_profile_score(role->profile, &episode, assessment);
    enum km_stratum stratum = km_assessment_stratum(assessment);
    struct km_spot *spot = role->spot[stratum];
    result->rate = rate_of(watch, role, stratum, episode.end_ns);
    result->threshold = threshold_of(spot, result->rate);
    role->judged[stratum]++;
    result->alarm = is_alarm(watch, &episode, result);
    settle(role, spot, result);
    if (!result->alarm && !result->excused && !result->settling)
        km_spot_add(spot, assessment->score);
    struct km_maturity maturity;
    km_profile_get_maturity(role->profile, &maturity);
    double seen = (double)role->events + 1, lost = (double)role->lost;
    double trust = seen / (seen + lost);
    result->confidence = maturity.confidence * (trust > LEAST_TRUST ? trust : LEAST_TRUST);
    if (result->alarm)
        seek_support(role, result);
    if (result->alone || result->excused || result->settling)
        result->confidence *= UNSUPPORTED;
}

/* One episode of the release window is over. */
static enum km_code pass_release(struct km_watch *watch, struct km_watched *role, struct km_err *err)
{
    if (--role->release_left > 0 || !watch->config.settled)
        return KM_OK;
    const struct km_watch_settled settled = {&role->identity, role->settling[0], role->settling[1]};
    return watch->config.settled(watch->config.context, &settled, err);
}

static enum km_code judge(struct km_watch *watch, struct km_watched *role, const struct km_episode *episode,
                          struct km_err *err)
{
    struct km_assessment assessment = {0};
    struct km_watch_result result = {.number = watch->stats.episodes,
                                     .profile = role->profile,
                                     .identity = &role->identity,
                                     .episode = episode,
                                     .assessment = &assessment,
                                     .threshold = INFINITY,
                                     .release = role->release};
    if (role->profile)
        assess(watch, role, episode, &result, &assessment);
    if (role->episodes++ == 0)
        role->first_ns = episode->begin_ns;
    watch->stats.alarms += result.alarm;
    watch->stats.tapped += episode->feed == KM_FEED_TAP;
    enum km_code code = watch->config.judged ? watch->config.judged(watch->config.context, &result, err) : KM_OK;
    return code == KM_OK && role->release_left > 0 ? pass_release(watch, role, err) : code;
}

static enum km_code take_episode(void *context, const struct km_episode *episode, struct km_err *err)
{
    struct km_watch *watch = context;
    struct km_watched *role = km_watch_role_of(watch, episode->role);
    watch->stats.episodes++;
    if (!role)
        return KM_OK;
    if (!role->paced_by_kernel) {
        enum km_code code = km_watch_note_calls(watch, role, episode->end_ns, episode->totals.calls, err);
        if (code != KM_OK)
            return code;
    }
    if (!role->learning)
        return judge(watch, role, episode, err);
    watch->stats.learned++;
    return km_profile_learn(role->profile, episode, err);
}

struct km_watch *km_watch_new(const struct km_watch_config *config, struct km_err *err)
{
    struct km_watch *watch = km_calloc(1, sizeof *watch, SIZE_MAX, err);
    if (!watch)
        return NULL;
    watch->config = *config;
    watch->learning = config->learn;
    struct km_episode_sink episodes = {watch, take_episode};
    watch->assembler = km_assembler_new(&episodes, err);
    bool failed = !watch->assembler;
    if (!failed && config->deployed) {
        struct km_deploy_config deploy = {.context = watch,
                                          .knows_window = knows_window,
                                          .knows_landmark = knows_landmark,
                                          .tap_share = config->tap_share,
                                          .seed = SEED,
                                          .told_once = true};
        struct km_event_sink events = {watch, relay};
        watch->deploy = km_deploy_new(&deploy, &events, err);
        failed = !watch->deploy;
    }
    if (failed) {
        km_watch_free(watch);
        return NULL;
    }
    return watch;
}

void km_watch_free(struct km_watch *watch)
{
    if (!watch)
        return;
    km_deploy_free(watch->deploy);
    km_assembler_free(watch->assembler);
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES; i++)
        role_free(watch->roles[i]);
    free(watch);
}

static enum km_code use_profile(struct km_watch *watch, struct km_watched *role, struct km_err *err)
{
    watch->profiles[watch->profile_count++] = role->profile;
    const struct km_episode_rule *rule = km_profile_get_rule(role->profile);
    km_assembler_set_rule(watch->assembler, role->index, rule);
    if (watch->deploy)
        km_deploy_set_rule(watch->deploy, role->index, rule);
    return role->learning ? KM_OK : seed_spots(role, err);
}

static enum km_code prepare_role(struct km_watch *watch, struct km_watched *role, struct km_err *err)
{
    static const struct km_episode_rule life = {.escalate_misses = 12, .escalate_calls = 512};
    const struct km_episode_rule *rule = watch->config.rule ? watch->config.rule : &life;
    if (watch->learning) {
        role->profile = km_profile_new(&role->identity, rule, err);
        role->learning = true;
        if (!role->profile)
            return err->code;
    } else if (watch->config.find) {
        role->profile = watch->config.find(watch->config.context, &role->identity);
    }
    return role->profile ? use_profile(watch, role, err) : KM_OK;
}

bool km_watch_find_role(const struct km_watch *watch, uint16_t index, struct km_watch_role *out)
{
    const struct km_watched *role = index < KM_WINDOW_MAX_ROLES ? watch->roles[index] : NULL;
    if (!role)
        return false;
    *out = (struct km_watch_role){.index = index,
                                  .identity = &role->identity,
                                  .profile = role->profile,
                                  .release = role->release,
                                  .learning = role->learning};
    return true;
}

static void begin_release(struct km_watched *role)
{
    role->release_left = KM_WATCH_RELEASE_EPISODES;
    role->settling[0] = role->settling[1] = 0;
}

/* The program that runs is compared with the one that was learned, at each introduction. */
static enum km_code tell_role(struct km_watch *watch, struct km_watched *role, struct km_err *err)
{
    if (role->profile && !role->learning) {
        enum km_release before = role->release;
        role->release = km_release_compare(km_profile_get_identity(role->profile), &role->identity);
        if (role->release == KM_RELEASE_UPGRADE && before != KM_RELEASE_UPGRADE)
            begin_release(role);
    }
    struct km_watch_role told;
    (void)km_watch_find_role(watch, role->index, &told);
    return watch->config.appeared ? watch->config.appeared(watch->config.context, &told, err) : KM_OK;
}

/* A role index means one role for the length of a stream; introduced again, its program is another one. */
static enum km_code take_role(struct km_watch *watch, const struct km_event *event, struct km_err *err)
{
    if (event->role >= KM_WINDOW_MAX_ROLES)
        return KM_OK;
    struct km_watched *role = watch->roles[event->role];
    if (role) {
        /* A process that was over before it could be looked at says nothing about its program. */
        if (event->role_info.build_id_length == 0)
            return KM_OK;
        km_profile_identity_from_event(&role->identity, &event->role_info);
        if (role->learning) /* the first process may have been gone too early; a program may be upgraded meanwhile */
            km_profile_set_program(role->profile, &role->identity);
        return tell_role(watch, role, err);
    }
    role = km_calloc(1, sizeof *role, SIZE_MAX, err);
    if (!role)
        return err->code;
    watch->roles[event->role] = role;
    role->index = event->role;
    km_profile_identity_from_event(&role->identity, &event->role_info);
    enum km_code code = prepare_role(watch, role, err);
    return code == KM_OK ? tell_role(watch, role, err) : code;
}

static enum km_code end_learning(struct km_watch *watch, struct km_err *err)
{
    enum km_code code = km_assembler_flush(watch->assembler, UINT64_MAX, true, err);
    if (code == KM_OK && watch->config.learned)
        code = watch->config.learned(watch->config.context, watch, err);
    watch->learning = false;
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES && code == KM_OK; i++) {
        struct km_watched *role = watch->roles[i];
        if (!role || !role->learning)
            continue;
        role->learning = false;
        code = km_profile_calibrate(role->profile, err);
        if (code == KM_OK)
            code = seed_spots(role, err);
    }
    return code;
}

static bool is_learned_out(const struct km_watch *watch, uint64_t now_ns)
{
    return watch->learning && watch->started && watch->config.learn_ns > 0 && now_ns > watch->first_ns &&
           now_ns - watch->first_ns >= watch->config.learn_ns;
}

enum km_code km_watch_time(struct km_watch *watch, uint64_t now_ns, struct km_err *err)
{
    if (is_learned_out(watch, now_ns))
        return end_learning(watch, err);
    if (watch->learning || now_ns < QUIET_NS)
        return KM_OK;
    return km_assembler_flush(watch->assembler, now_ns - QUIET_NS, false, err);
}

bool km_watch_is_learning(const struct km_watch *watch)
{
    return watch->learning;
}

static void count_episodes(struct km_watched *role, const struct km_event *event)
{
    uint64_t interval_ns = event->rate.interval_ns;
    if (role->counted_ns == 0)
        role->counted_ns = event->time_ns > interval_ns ? event->time_ns - interval_ns : event->time_ns;
    role->counted += event->rate.episodes;
}

static enum km_code take_rate(struct km_watch *watch, const struct km_event *event, struct km_err *err)
{
    struct km_watched *role = km_watch_role_of(watch, event->role);
    enum km_code code = KM_OK;
    if (role && event->rate.calls == 0 && event->rate.episodes == 0) {
        role->known_ns = event->time_ns;
    } else if (role) {
        role->paced_by_kernel = true;
        code = km_watch_note_calls(watch, role, event->time_ns, event->rate.calls, err);
        if (!role->learning)
            count_episodes(role, event);
    }
    if (code != KM_OK)
        return code;
    return km_watch_time(watch, event->time_ns, err);
}

enum km_code km_watch_event(struct km_watch *watch, const struct km_event *event, struct km_err *err)
{
    watch->stats.events++;
    enum km_code code = KM_OK;
    if (!watch->started) {
        watch->started = true;
        watch->first_ns = event->time_ns;
    }
    if (is_learned_out(watch, event->time_ns))
        code = end_learning(watch, err);
    if (code == KM_OK && event->kind == KM_EVENT_ROLE)
        code = take_role(watch, event, err);
    struct km_watched *role = km_watch_role_of(watch, event->role);
    if (role)
        role->events++;
    if (event->kind == KM_EVENT_LOSS) {
        watch->stats.lost += event->loss.events;
        if (role)
            role->lost += event->loss.events;
    }
    if (code == KM_OK && event->kind == KM_EVENT_RATE)
        code = take_rate(watch, event, err);
    km_watch_note_start(watch, event);
    if (code != KM_OK)
        return code;
    return watch->deploy && !watch->learning ? km_deploy_event(watch->deploy, event, err)
                                             : km_assembler_event(watch->assembler, event, err);
}

enum km_code km_watch_finish(struct km_watch *watch, struct km_err *err)
{
    enum km_code code = watch->deploy ? km_deploy_finish(watch->deploy, err) : KM_OK;
    if (code == KM_OK)
        code = km_assembler_finish(watch->assembler, err);
    return code == KM_OK && watch->learning ? end_learning(watch, err) : code;
}

static enum km_code renew_role(struct km_watch *watch, struct km_watched *role, struct km_err *err)
{
    struct km_profile *fresh = watch->config.find(watch->config.context, &role->identity);
    if (!fresh)
        return KM_OK;
    for (size_t i = 0; i < watch->profile_count; i++)
        if (watch->profiles[i] == role->profile)
            watch->profiles[i] = fresh;
    km_profile_free(role->profile);
    role->profile = fresh;
    return seed_spots(role, err);
}

enum km_code km_watch_renew(struct km_watch *watch, const char *role, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES && code == KM_OK; i++) {
        struct km_watched *r = watch->roles[i];
        if (r && r->profile && !r->learning && watch->config.find && strcmp(r->identity.role, role) == 0)
            code = renew_role(watch, r, err);
    }
    return code;
}

struct km_profile *km_watch_profile(const struct km_watch *watch, size_t i)
{
    return i < watch->profile_count ? watch->profiles[i] : NULL;
}

void km_watch_get_stats(const struct km_watch *watch, struct km_watch_stats *out)
{
    struct km_assembler_stats assembler;
    km_assembler_get_stats(watch->assembler, &assembler);
    *out = watch->stats;
    out->refused = assembler.refused;
}
