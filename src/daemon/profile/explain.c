#include "daemon/profile/explain.h"

#include <string.h>

#include "daemon/profile/profile_internal.h"
#include "daemon/trace/calls.h"

/* Keeps the most surprising windows, each once. */
static void offer(struct km_explanation *out, size_t position, unsigned long long window, unsigned space, double bits)
{
    for (size_t i = 0; i < out->call_count; i++)
        if (out->calls[i].window == window && out->calls[i].space == space)
            return;
    size_t at = out->call_count < KM_EXPLAIN_CALLS ? out->call_count++ : KM_EXPLAIN_CALLS - 1;
    if (at == KM_EXPLAIN_CALLS - 1 && out->calls[at].bits >= bits)
        return;
    for (; at > 0 && out->calls[at - 1].bits < bits; at--)
        out->calls[at] = out->calls[at - 1];
    out->calls[at] =
        (struct km_explain_call){.position = position, .window = window, .space = (uint8_t)space, .bits = bits};
}

static void explain_calls(const struct km_profile *profile, const struct km_episode *episode,
                          struct km_explanation *out)
{
    struct km_ngram_walk walk = {0};
    unsigned known;
    if (episode->complete) {
        km_ngram_walk_to(profile->ngram, &walk, episode->start_window, episode->start_filled, episode->start_space);
        for (size_t i = 0; i < episode->count; i++) {
            double bits = km_ngram_step(profile->ngram, &walk, episode->packed[i], &known);
            offer(out, i, walk.window, walk.space, bits);
        }
        return;
    }
    for (size_t i = 0; i < episode->window_count; i++) {
        const struct km_episode_window *w = &episode->windows[i];
        km_ngram_walk_to(profile->ngram, &walk, w->window >> KM_WINDOW_CALL_BITS, KM_WINDOW_CALLS - 1, w->space);
        double bits = km_ngram_step(profile->ngram, &walk,
                                    km_call_pack(w->space, (unsigned)w->window & (KM_CALL_NUMBERS - 1)), &known);
        offer(out, i, w->window, w->space, bits);
    }
}

static void explain_set(const struct km_profile *profile, const struct km_episode *episode, size_t nearest,
                        struct km_explanation *out)
{
    if (nearest >= profile->sets.count)
        return;
    const struct km_call_set *set = &profile->sets.sets[nearest];
    out->has_nearest = true;
    out->nearest_episodes = set->count;
    for (unsigned n = 0; n < KM_CALL_NUMBERS; n++) {
        bool here = km_call_set_has(episode->totals.set, n), there = km_call_set_has(set->bits, n);
        if (here && !there && out->extra_count < KM_EXPLAIN_SET)
            out->extra[out->extra_count++] = (uint16_t)n;
        if (there && !here && out->missing_count < KM_EXPLAIN_SET)
            out->missing[out->missing_count++] = (uint16_t)n;
    }
}

void km_explain_episode(const struct km_profile *profile, const struct km_episode *episode,
                        const struct km_assessment *assessment, struct km_explanation *out)
{
    memset(out, 0, sizeof *out);
    out->space =
        episode->complete && episode->count > 0 ? (uint8_t)km_call_space_of(episode->packed[0]) : episode->totals.space;
    explain_calls(profile, episode, out);
    for (size_t i = 0; i < out->call_count; i++) {
        struct km_explain_call *c = &out->calls[i];
        c->next_count = km_ngram_successors(profile->ngram, c->window >> KM_WINDOW_CALL_BITS, KM_WINDOW_CALLS - 1,
                                            c->space, c->next, KM_EXPLAIN_NEXT);
    }
    for (size_t i = 0; i < episode->landmark_count && out->entity_count < KM_EXPLAIN_ENTITIES; i++) {
        char *line = out->entities[out->entity_count];
        km_entity_format(&episode->landmarks[i], line);
        bool told = km_entity_find(&profile->entities, line) != NULL;
        for (size_t j = 0; j < out->entity_count && !told; j++)
            told = strcmp(out->entities[j], line) == 0;
        out->entity_count += !told;
    }
    if (episode->totals.calls > 0)
        explain_set(profile, episode, assessment->measure.nearest.index, out);
}

static struct km_json *name_of(unsigned space, unsigned number)
{
    char name[KM_CALL_NAME_BYTES];
    km_call_format(space, number, name);
    return km_json_new_string(name);
}

static struct km_json *window_names(const struct km_explain_call *c)
{
    struct km_json *list = km_json_new_array();
    for (int i = KM_WINDOW_CALLS - 1; i >= 0; i--)
        km_json_append(list,
                       name_of(c->space, (unsigned)(c->window >> (i * KM_WINDOW_CALL_BITS)) & (KM_CALL_NUMBERS - 1)));
    return list;
}

static struct km_json *set_names(const uint16_t *numbers, size_t count, unsigned space)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < count; i++)
        km_json_append(list, name_of(space, numbers[i]));
    return list;
}

struct km_json *km_explanation_to_json(const struct km_explanation *e, const struct km_assessment *assessment)
{
    struct km_json *root = km_json_new_object(), *terms = km_json_new_object(), *calls = km_json_new_array();
    for (int c = 0; c < KM_CHANNELS; c++)
        if (assessment->measure.present[c])
            km_json_set_real(terms, km_channel_to_string((enum km_channel)c), assessment->term[c]);
    if (assessment->entities_new > 0)
        km_json_set_real(terms, "entities", assessment->entity_term);
    km_json_set(root, "terms", terms);
    for (size_t i = 0; i < e->call_count; i++) {
        const struct km_explain_call *c = &e->calls[i];
        struct km_json *call = km_json_new_object(), *expected = km_json_new_array();
        km_json_set_integer(call, "position", (int64_t)c->position);
        km_json_set_real(call, "bits", c->bits);
        km_json_set(call, "window", window_names(c));
        for (size_t n = 0; n < c->next_count; n++) {
            struct km_json *next = km_json_new_object();
            km_json_set(next, "call", name_of(c->space, c->next[n].number));
            km_json_set_real(next, "p", c->next[n].p);
            km_json_append(expected, next);
        }
        km_json_set(call, "expected", expected);
        km_json_append(calls, call);
    }
    km_json_set(root, "calls", calls);
    struct km_json *entities = km_json_new_array();
    for (size_t i = 0; i < e->entity_count; i++)
        km_json_append(entities, km_json_new_string(e->entities[i]));
    km_json_set(root, "entities", entities);
    if (e->has_nearest) {
        struct km_json *nearest = km_json_new_object();
        km_json_set_integer(nearest, "episodes", e->nearest_episodes);
        km_json_set(nearest, "extra", set_names(e->extra, e->extra_count, e->space));
        km_json_set(nearest, "missing", set_names(e->missing, e->missing_count, e->space));
        km_json_set(root, "nearest", nearest);
    }
    return root;
}
