#include "daemon/profile/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/text.h"
#include "daemon/profile/profile_internal.h"

#define NOVELTY_SPAN     0.5 /* an episode weighs as its number: the last half of those learned, about */
#define MATURE_EPISODES  50
#define MATURE_NOVELTY   0.02
#define NOVELTY_DISTRUST 5.0
#define FIRST_DRAW       0x6b6f6d61696e75ULL

struct km_profile *km_profile_new(const struct km_profile_identity *identity, const struct km_episode_rule *rule,
                                  struct km_err *err)
{
    struct km_profile *profile = km_calloc(1, sizeof *profile, SIZE_MAX, err);
    if (!profile)
        return NULL;
    profile->identity = *identity;
    profile->rule = *rule;
    profile->draw = FIRST_DRAW;
    profile->novelty = 1;
    profile->ngram = km_ngram_new(err);
    if (!profile->ngram) {
        km_profile_free(profile);
        return NULL;
    }
    return profile;
}

void km_kept_done(struct km_kept *kept)
{
    free(kept->packed);
    free(kept->attrs);
    *kept = (struct km_kept){0};
}

static void list_done(struct km_kept_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        km_kept_done(&list->items[i]);
    free(list->items);
}

void km_profile_free(struct km_profile *profile)
{
    if (!profile)
        return;
    km_ngram_free(profile->ngram);
    km_nearest_done(&profile->sets);
    km_entity_set_done(&profile->entities);
    list_done(&profile->kept);
    list_done(&profile->novel);
    for (int v = 0; v < KM_VIEWS; v++)
        km_calibration_done(&profile->calibration[v]);
    for (int s = 0; s < KM_STRATA; s++)
        free(profile->history[s].scores);
    free(profile);
}

static void copy_name(struct km_bytes from, char *to, size_t room)
{
    km_text_escape(from.data ? from.data : "", from.length, to, room);
}

void km_profile_identity_from_event(struct km_profile_identity *out, const struct km_event_role *role)
{
    memset(out, 0, sizeof *out);
    copy_name(role->unit, out->unit, sizeof out->unit);
    copy_name(role->name, out->role, sizeof out->role);
    copy_name(role->exe, out->exe, sizeof out->exe);
    copy_name(role->package, out->package, sizeof out->package);
    size_t length = role->build_id_length < KM_EVENT_BUILD_ID_BYTES ? role->build_id_length : KM_EVENT_BUILD_ID_BYTES;
    km_hex_format(role->build_id, length, out->build_id);
}

const struct km_profile_identity *km_profile_get_identity(const struct km_profile *profile)
{
    return &profile->identity;
}

void km_profile_set_program(struct km_profile *profile, const struct km_profile_identity *identity)
{
    memcpy(profile->identity.exe, identity->exe, sizeof profile->identity.exe);
    memcpy(profile->identity.package, identity->package, sizeof profile->identity.package);
    memcpy(profile->identity.build_id, identity->build_id, sizeof profile->identity.build_id);
}

const struct km_episode_rule *km_profile_get_rule(const struct km_profile *profile)
{
    return &profile->rule;
}

struct km_ngram *km_profile_get_ngram(const struct km_profile *profile)
{
    return profile->ngram;
}

const struct km_entity_set *km_profile_get_entities(const struct km_profile *profile)
{
    return &profile->entities;
}

const struct km_nearest *km_profile_get_sets(const struct km_profile *profile)
{
    return &profile->sets;
}

void km_kept_to_episode(const struct km_kept *kept, struct km_episode *out)
{
    static uint8_t no_attrs[KM_EPISODE_MAX_CALLS];
    *out = (struct km_episode){.complete = true,
                               .feed = KM_FEED_LEARN,
                               .end_ns = kept->duration_ns,
                               .start_window = kept->start_window,
                               .start_filled = kept->start_filled,
                               .start_space = kept->start_space,
                               .packed = kept->packed,
                               .attrs = kept->attrs ? kept->attrs : no_attrs,
                               .count = kept->count};
    out->totals.window = kept->start_window;
    out->totals.filled = kept->start_filled;
    out->totals.space = kept->start_space;
    for (size_t i = 0; i < kept->count; i++)
        (void)km_thread_push(&out->totals, km_call_space_of(kept->packed[i]), km_call_number(kept->packed[i]));
}

static struct km_ngram_walk walk_before(const struct km_episode *episode)
{
    return (struct km_ngram_walk){
        .window = episode->start_window, .filled = episode->start_filled, .space = episode->start_space};
}

static uint64_t next_draw(struct km_profile *profile)
{
    uint64_t v = profile->draw;
    v ^= v << 13;
    v ^= v >> 7;
    v ^= v << 17;
    return profile->draw = v;
}

static enum km_code make_kept(const struct km_episode *episode, struct km_kept *out, struct km_err *err)
{
    bool has_attrs = false;
    for (size_t i = 0; i < episode->count && !has_attrs; i++)
        has_attrs = episode->attrs[i] != 0;
    *out = (struct km_kept){.count = (uint32_t)episode->count,
                            .duration_ns = episode->end_ns - episode->begin_ns,
                            .start_window = episode->start_window,
                            .start_filled = episode->start_filled,
                            .start_space = episode->start_space};
    out->packed = km_calloc(episode->count, sizeof *out->packed, SIZE_MAX, err);
    out->attrs = has_attrs ? km_calloc(episode->count, 1, SIZE_MAX, err) : NULL;
    if (!out->packed || (has_attrs && !out->attrs)) {
        km_kept_done(out);
        return err->code;
    }
    memcpy(out->packed, episode->packed, episode->count * sizeof *out->packed);
    if (has_attrs)
        memcpy(out->attrs, episode->attrs, episode->count);
    return KM_OK;
}

struct limits {
    size_t episodes, calls;
};
static const struct limits kept_limits = {KM_PROFILE_KEPT_EPISODES, KM_PROFILE_KEPT_CALLS};
static const struct limits novel_limits = {KM_PROFILE_NOVEL_EPISODES, KM_PROFILE_NOVEL_CALLS};

static bool is_full(const struct km_kept_list *list, const struct limits *limits, size_t calls)
{
    return list->count == limits->episodes || (list->count > 0 && list->calls + calls > limits->calls);
}

/* Reservoir sampling, with a second limit on the calls: beyond it a drawn episode takes the places of as many as its
 * calls need. */
static bool is_drawn(struct km_profile *profile, struct km_kept_list *list, const struct limits *limits, size_t calls)
{
    list->offered++;
    return !is_full(list, limits, calls) || next_draw(profile) % list->offered < list->count;
}

static struct km_kept take_one(struct km_profile *profile, struct km_kept_list *list)
{
    size_t victim = next_draw(profile) % list->count;
    struct km_kept kept = list->items[victim];
    list->calls -= kept.count;
    list->items[victim] = list->items[--list->count];
    return kept;
}

/* Takes the episode over, also when it fails. */
static enum km_code append(struct km_kept_list *list, const struct limits *limits, struct km_kept *kept,
                           struct km_err *err)
{
    enum km_code code =
        km_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items, limits->episodes, err);
    if (code != KM_OK) {
        km_kept_done(kept);
        return code;
    }
    list->items[list->count++] = *kept;
    list->calls += kept->count;
    return KM_OK;
}

static enum km_code keep_novel(struct km_profile *profile, struct km_kept *kept, struct km_err *err)
{
    if (!is_drawn(profile, &profile->novel, &novel_limits, kept->count)) {
        km_kept_done(kept);
        return KM_OK;
    }
    while (is_full(&profile->novel, &novel_limits, kept->count)) {
        struct km_kept victim = take_one(profile, &profile->novel);
        km_kept_done(&victim);
    }
    return append(&profile->novel, &novel_limits, kept, err);
}

/* A novel episode that has no place in the fair sample may have one among the novel. */
static enum km_code keep(struct km_profile *profile, const struct km_episode *episode, bool novel, struct km_err *err)
{
    bool drawn = is_drawn(profile, &profile->kept, &kept_limits, episode->count);
    if (!drawn && !novel)
        return KM_OK;
    struct km_kept kept;
    enum km_code code = make_kept(episode, &kept, err);
    if (code != KM_OK)
        return code;
    kept.novel = novel;
    if (!drawn)
        return keep_novel(profile, &kept, err);
    while (code == KM_OK && is_full(&profile->kept, &kept_limits, kept.count)) {
        struct km_kept victim = take_one(profile, &profile->kept);
        if (victim.novel)
            code = keep_novel(profile, &victim, err);
        else
            km_kept_done(&victim);
    }
    if (code != KM_OK) {
        km_kept_done(&kept);
        return code;
    }
    return append(&profile->kept, &kept_limits, &kept, err);
}

static enum km_code learn_entities(struct km_profile *profile, const struct km_episode *episode, struct km_err *err)
{
    char lines[KM_EPISODE_MAX_LANDMARKS][KM_ENTITY_TEXT_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < episode->landmark_count && n < KM_EPISODE_MAX_LANDMARKS; i++) {
        km_entity_format(&episode->landmarks[i], lines[n]);
        bool repeated = false;
        for (size_t j = 0; j < n && !repeated; j++)
            repeated = strcmp(lines[j], lines[n]) == 0;
        if (repeated)
            continue;
        enum km_code code = km_entity_learn(&profile->entities, episode->landmarks[i].kind, lines[n], 1, err);
        if (code != KM_OK)
            return code;
        n++;
    }
    return KM_OK;
}

/* Of a partial episode the windows in each number space are one n-gram episode. */
static enum km_code learn_windows(struct km_profile *profile, const struct km_episode *episode, struct km_err *err)
{
    unsigned long long *windows KM_CLEANUP(km_cleanup_free) =
        km_calloc(episode->window_count + 1, sizeof *windows, SIZE_MAX, err);
    if (!windows)
        return err->code;
    for (unsigned space = 0; space <= KM_SPACE_FOREIGN; space++) {
        size_t n = 0;
        for (size_t i = 0; i < episode->window_count; i++)
            if (episode->windows[i].space == space)
                windows[n++] = episode->windows[i].window;
        enum km_code code = n > 0 ? km_ngram_learn_windows(profile->ngram, windows, n, space, err) : KM_OK;
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static void note_time(struct km_profile *profile, const struct km_episode *episode)
{
    if (episode->end_ns == 0)
        return;
    if (profile->last_ns == 0 || episode->begin_ns < profile->first_ns)
        profile->first_ns = episode->begin_ns;
    if (episode->end_ns > profile->last_ns)
        profile->last_ns = episode->end_ns;
}

enum km_code km_profile_learn(struct km_profile *profile, const struct km_episode *episode, struct km_err *err)
{
    /* What a calibrated profile learns are alarms that a person called normal. They are no fair sample of the role's
     * episodes, and they teach sequences and entities alone: a call set that one oddity lent to all that resemble it
     * cost twelve points of detection in the feedback bench. */
    bool reviewed = profile->calibration[KM_VIEW_FULL].score_count > 0;
    enum km_code code = learn_entities(profile, episode, err);
    if (code != KM_OK)
        return code;
    if (episode->complete) {
        struct km_ngram_walk before = walk_before(episode);
        code = km_ngram_learn(profile->ngram, &before, episode->packed, episode->attrs, episode->count, err);
        size_t fresh, windows;
        km_ngram_get_last_novelty(profile->ngram, &fresh, &windows);
        double share = windows > 0 ? (double)fresh / (double)windows : 0;
        if (!reviewed) {
            double pace = 1 / (NOVELTY_SPAN * (double)profile->episodes + 1);
            profile->novelty += (share - profile->novelty) * pace;
            note_time(profile, episode);
        }
        if (code == KM_OK && !reviewed)
            code = keep(profile, episode, fresh > 0, err);
    } else {
        code = learn_windows(profile, episode, err);
    }
    if (code == KM_OK && !reviewed && episode->totals.calls > 0)
        code = km_nearest_learn(&profile->sets, episode->totals.set, err);
    profile->episodes++;
    return code;
}

void km_profile_get_maturity(const struct km_profile *profile, struct km_maturity *out)
{
    double n = (double)profile->episodes, trust = 1 - NOVELTY_DISTRUST * profile->novelty;
    *out = (struct km_maturity){
        .episodes = profile->episodes,
        .novelty = profile->novelty,
        .confidence = trust > 0 ? n / (n + MATURE_EPISODES) * trust : 0,
        .mature = profile->episodes >= MATURE_EPISODES && profile->novelty < MATURE_NOVELTY,
    };
}

double km_profile_get_pace(const struct km_profile *profile)
{
    return profile->pace;
}

void km_profile_set_pace(struct km_profile *profile, double per_second)
{
    profile->pace = per_second;
}

uint64_t km_profile_learned_ns(const struct km_profile *profile)
{
    return profile->last_ns - profile->first_ns;
}

static size_t list_memory(const struct km_kept_list *list)
{
    size_t bytes = list->capacity * sizeof *list->items;
    for (size_t i = 0; i < list->count; i++)
        bytes += (size_t)list->items[i].count * (list->items[i].attrs ? 3 : 2);
    return bytes;
}

size_t km_profile_memory(const struct km_profile *profile)
{
    struct km_ngram_stats stats;
    km_ngram_get_stats(profile->ngram, &stats);
    size_t bytes = sizeof *profile + stats.bytes + profile->sets.capacity * sizeof(struct km_call_set) +
                   profile->entities.capacity * sizeof(struct km_entity) + profile->entities.slot_count * 4 +
                   list_memory(&profile->kept) + list_memory(&profile->novel);
    for (size_t i = 0; i < profile->entities.count; i++)
        bytes += strlen(profile->entities.items[i].text) + 1;
    for (int v = 0; v < KM_VIEWS; v++)
        bytes += profile->calibration[v].score_count * sizeof(double) * (KM_CHANNELS + 2);
    for (int s = 0; s < KM_STRATA; s++)
        bytes += profile->history[s].count * sizeof(double);
    return bytes;
}

bool km_profile_knows_window(const struct km_profile *profile, unsigned long long window, unsigned space)
{
    return km_ngram_knows_window(profile->ngram, window, space);
}

bool km_profile_knows_landmark(const struct km_profile *profile, const struct km_event_landmark *landmark)
{
    if (landmark->zone == KM_ZONE_SENSITIVE)
        return false; /* told always */
    char line[KM_ENTITY_TEXT_BYTES];
    km_entity_format(landmark, line);
    return km_entity_find(&profile->entities, line) != NULL;
}

bool km_profile_knows_start(const struct km_profile *profile)
{
    for (size_t i = 0; i < profile->entities.count; i++) {
        const struct km_entity *entity = &profile->entities.items[i];
        struct km_event_landmark landmark = {.kind = entity->kind, .path = {entity->text, strlen(entity->text)}};
        if (km_entity_is_start(&landmark))
            return true;
    }
    return false;
}

static void score_entities(const struct km_profile *profile, const struct km_episode *episode,
                           struct km_assessment *out)
{
    char lines[KM_EPISODE_MAX_LANDMARKS][KM_ENTITY_TEXT_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < episode->landmark_count && n < KM_EPISODE_MAX_LANDMARKS; i++) {
        km_entity_format(&episode->landmarks[i], lines[n]);
        bool repeated = km_entity_find(&profile->entities, lines[n]) != NULL;
        for (size_t j = 0; j < n && !repeated; j++)
            repeated = strcmp(lines[j], lines[n]) == 0;
        if (repeated)
            continue;
        out->entity_term += km_entity_surprise(&profile->entities, episode->landmarks[i].kind, profile->episodes);
        out->entities_new++;
        enum km_gravity gravity = km_entity_gravity(&episode->landmarks[i]);
        out->gravity = gravity > out->gravity ? gravity : out->gravity;
        n++;
    }
}

void km_profile_score(const struct km_profile *profile, const struct km_episode *episode, struct km_assessment *out)
{
    *out = (struct km_assessment){.view = episode->complete ? KM_VIEW_FULL : KM_VIEW_DEPLOYED};
    struct km_reference reference = {profile->ngram, &profile->sets, &profile->known, &profile->unknown,
                                     &profile->foretold};
    km_measure_episode(&reference, episode, &out->measure);
    const struct km_calibration *calibration = &profile->calibration[out->view];
    out->score = km_calibration_terms(calibration, out->measure.value, out->measure.present, out->term);
    score_entities(profile, episode, out);
    out->score += out->entity_term;
    out->p = km_tail_p(&calibration->score, out->score);
}

const double *km_profile_get_scores(const struct km_profile *profile, enum km_view view, size_t *out_count)
{
    *out_count = profile->calibration[view].score_count;
    return profile->calibration[view].scores;
}

const double *km_profile_get_history(const struct km_profile *profile, enum km_stratum stratum, size_t *out_count,
                                     double *out_episodes)
{
    const struct km_history *history = &profile->history[stratum];
    *out_count = history->count;
    /* Learned from what a filter told: all of it was told, and nothing was kept to calibrate with. */
    *out_episodes = profile->kept.count > 0 ? history->episodes : (double)profile->episodes;
    return history->scores;
}

enum km_stratum km_assessment_stratum(const struct km_assessment *assessment)
{
    if (assessment->view == KM_VIEW_DEPLOYED)
        return KM_STRATUM_TOLD;
    return assessment->measure.misses > 0 ? KM_STRATUM_NOVEL : KM_STRATUM_KNOWN;
}
