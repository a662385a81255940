#include "daemon/profile/novelty.h"

#include "daemon/profile/seen.h"

struct walk {
    const struct km_profile *profile;
    void *context;
    enum km_code (*visit)(void *context, uint64_t key, struct km_err *err);
    struct km_seen seen;
    size_t count;
};

static enum km_code offer(struct walk *walk, unsigned long long window, unsigned space, struct km_err *err)
{
    if (walk->count >= KM_NOVELTY_MAX_WINDOWS || km_profile_knows_window(walk->profile, window, space))
        return KM_OK;
    bool is_new;
    uint64_t key = window | (uint64_t)space << KM_WINDOW_BITS;
    enum km_code code = km_seen_add(&walk->seen, key + 1, &is_new, err);
    if (code != KM_OK || !is_new)
        return code;
    walk->count++;
    return walk->visit(walk->context, key, err);
}

static enum km_code visit_all(struct walk *walk, const struct km_episode *episode, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < episode->window_count && code == KM_OK; i++)
        code = offer(walk, episode->windows[i].window, episode->windows[i].space, err);
    if (!episode->complete)
        return code;
    struct km_thread_state state = {
        .window = episode->start_window, .filled = episode->start_filled, .space = episode->start_space};
    for (size_t i = 0; i < episode->count && code == KM_OK; i++)
        if (km_thread_push(&state, km_call_space_of(episode->packed[i]), km_call_number(episode->packed[i])))
            code = offer(walk, state.window, state.space, err);
    return code;
}

enum km_code km_novelty_visit(const struct km_profile *profile, const struct km_episode *episode, void *context,
                              enum km_code (*visit)(void *context, uint64_t key, struct km_err *err),
                              struct km_err *err)
{
    struct walk walk = {.profile = profile, .context = context, .visit = visit};
    enum km_code code = visit_all(&walk, episode, err);
    km_seen_done(&walk.seen);
    return code;
}
