#include "daemon/profile/quarantine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/explain.h"
#include "daemon/profile/novelty.h"
#include "daemon/profile/profile_internal.h"

#define KEY_TEXT_BYTES 20

/* The different unknown windows of an episode, with their number space above the calls. */
struct novelty {
    struct km_json *list;
    uint64_t hash;
};

static void hash_in(uint64_t *hash, uint64_t v)
{
    *hash = (*hash ^ v) * 0x9e3779b97f4a7c15ULL;
    *hash ^= *hash >> 29;
}

static enum km_code collect(void *context, uint64_t key, struct km_err *err)
{
    struct novelty *n = context;
    char text[KEY_TEXT_BYTES];
    (void)err;
    (void)snprintf(text, sizeof text, "%014" PRIx64, key);
    km_json_append(n->list, km_json_new_string(text));
    hash_in(&n->hash, key);
    return KM_OK;
}

static struct km_json *entities_of(const struct km_profile *profile, const struct km_episode *episode, uint64_t *hash)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < episode->landmark_count; i++) {
        char line[KM_ENTITY_TEXT_BYTES];
        km_entity_format(&episode->landmarks[i], line);
        if (km_entity_find(&profile->entities, line))
            continue;
        struct km_json *entity = km_json_new_object();
        km_json_set_integer(entity, "kind", episode->landmarks[i].kind);
        km_json_set_string(entity, "text", line);
        km_json_append(list, entity);
        for (const char *c = line; *c; c++)
            hash_in(hash, (uint8_t)*c);
    }
    return list;
}

static struct km_json *set_of(const unsigned long long *bits, uint64_t *hash)
{
    struct km_json *list = km_json_new_array();
    for (unsigned number = 0; number < KM_CALL_NUMBERS; number++)
        if (km_call_set_has(bits, number)) {
            km_json_append(list, km_json_new_integer(number));
            hash_in(hash, number);
        }
    return list;
}

struct km_json *km_quarantine_describe(const struct km_profile *profile, const struct km_episode *episode,
                                       const struct km_assessment *assessment, int64_t wall_ns, char *out_id,
                                       struct km_err *err)
{
    struct novelty n = {.list = km_json_new_array(), .hash = 1};
    enum km_code code = km_novelty_visit(profile, episode, &n, collect, err);
    if (code != KM_OK) {
        km_json_free(n.list);
        return NULL;
    }
    struct km_explanation explanation;
    km_explain_episode(profile, episode, assessment, &explanation);
    struct km_json *root = km_json_new_object();
    struct km_json *entities = entities_of(profile, episode, &n.hash), *set = set_of(episode->totals.set, &n.hash);
    (void)snprintf(out_id, 17, "%016" PRIx64, n.hash);
    km_json_set_integer(root, "first_ns", wall_ns);
    km_json_set_integer(root, "last_ns", wall_ns);
    km_json_set_integer(root, "count", 1);
    km_json_set_real(root, "score", assessment->score);
    km_json_set(root, "windows", n.list);
    km_json_set(root, "entities", entities);
    km_json_set(root, "set", set);
    km_json_set(root, "why", km_explanation_to_json(&explanation, assessment));
    return root;
}

struct km_json *km_quarantine_describe_act(const struct km_event_landmark *act, int64_t wall_ns, char *out_id)
{
    char line[KM_ENTITY_TEXT_BYTES];
    uint64_t hash = 2;
    struct km_json *root = km_json_new_object(), *entities = km_json_new_array(), *entity = km_json_new_object();
    km_entity_format(act, line);
    for (const char *c = line; *c; c++)
        hash_in(&hash, (uint8_t)*c);
    (void)snprintf(out_id, 17, "%016" PRIx64, hash);
    km_json_set_integer(entity, "kind", act->kind);
    km_json_set_string(entity, "text", line);
    km_json_append(entities, entity);
    km_json_set_integer(root, "first_ns", wall_ns);
    km_json_set_integer(root, "last_ns", wall_ns);
    km_json_set_integer(root, "count", 1);
    km_json_set(root, "windows", km_json_new_array());
    km_json_set(root, "entities", entities);
    km_json_set(root, "set", km_json_new_array());
    return root;
}

static enum km_code not_one(struct km_err *err)
{
    return km_fail(err, KM_FORMAT, "the waiting alarm breaks its format");
}

static enum km_code learn_entity_list(struct km_profile *profile, const struct km_json *entities, struct km_err *err)
{
    for (size_t i = 0; i < km_json_size(entities) && i < KM_EPISODE_MAX_LANDMARKS; i++) {
        int64_t kind = km_json_integer(km_json_at(entities, i), "kind", 0);
        const char *text = km_json_string(km_json_at(entities, i), "text", "");
        if (kind <= 0 || kind >= KM_LANDMARK_KINDS || !*text || strlen(text) >= KM_ENTITY_TEXT_BYTES)
            return not_one(err);
        enum km_code code = km_entity_learn(&profile->entities, (enum km_landmark_kind)kind, text, 1, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

/* The entry as the episode that the filter would have told. */
enum km_code km_quarantine_learn(struct km_profile *profile, const struct km_json *entry, struct km_err *err)
{
    const struct km_json *windows = km_json_find(entry, "windows"), *set = km_json_find(entry, "set");
    size_t count = km_json_size(windows);
    if (km_json_type(windows) != KM_JSON_ARRAY || count > KM_NOVELTY_MAX_WINDOWS)
        return not_one(err);
    struct km_episode_window *list KM_CLEANUP(km_cleanup_free) = km_calloc(count + 1, sizeof *list, SIZE_MAX, err);
    if (!list)
        return err->code;
    struct km_episode episode = {.windows = list, .window_count = count};
    for (size_t i = 0; i < count; i++) {
        const char *text = km_json_text(km_json_at(windows, i));
        char *end = NULL;
        uint64_t key = text ? strtoull(text, &end, 16) : 0;
        if (!text || end == text || *end || key >> (KM_WINDOW_BITS + 2) != 0)
            return not_one(err);
        list[i] = (struct km_episode_window){.window = key & KM_WINDOW_MASK, .space = (uint8_t)(key >> KM_WINDOW_BITS)};
    }
    for (size_t i = 0; i < km_json_size(set); i++) {
        int64_t number = km_json_integer(km_json_at(set, i), "", -1);
        if (number < 0 || number >= KM_CALL_NUMBERS)
            return not_one(err);
        km_call_set_add(episode.totals.set, (unsigned)number);
        episode.totals.calls++;
    }
    enum km_code code = learn_entity_list(profile, km_json_find(entry, "entities"), err);
    bool act_alone = count == 0 && episode.totals.calls == 0;
    return code == KM_OK && !act_alone ? km_profile_learn(profile, &episode, err) : code;
}
