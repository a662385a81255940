#include "daemon/trace/deploy.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/trace/tidmap.h"

struct thread {
    uint32_t tid;
    uint32_t tgid;
    uint16_t role;
    bool tapped, began;
    uint64_t episodes, last_ns;
    struct km_thread_state state;
};

struct km_deploy {
    struct km_deploy_config config;
    struct km_event_sink out;
    struct km_episode_rule rules[KM_WINDOW_MAX_ROLES];
    struct km_tidmap threads;
    /* Told windows: two ways a set, the older one goes. */
    struct {
        uint64_t key[2];
    } * told;
};

struct km_deploy *km_deploy_new(const struct km_deploy_config *config, const struct km_event_sink *out,
                                struct km_err *err)
{
    struct km_deploy *d = km_calloc(1, sizeof *d, SIZE_MAX, err);
    if (!d)
        return NULL;
    d->config = *config;
    d->out = *out;
    d->told = km_calloc(KM_DEPLOY_REPORTED / 2, sizeof *d->told, SIZE_MAX, err);
    if (!d->told) {
        km_deploy_free(d);
        return NULL;
    }
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES; i++)
        d->rules[i] = (struct km_episode_rule){0};
    return d;
}

void km_deploy_free(struct km_deploy *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->threads.slot_count; i++)
        free(d->threads.slots[i].value);
    km_tidmap_done(&d->threads);
    free(d->told);
    free(d);
}

void km_deploy_set_rule(struct km_deploy *d, uint16_t role, const struct km_episode_rule *rule)
{
    d->rules[role & (KM_WINDOW_MAX_ROLES - 1)] = *rule;
}

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 32) * 0x9e3779b97f4a7c15ULL;
    v = (v ^ v >> 29) * 0xbf58476d1ce4e5b9ULL;
    return v ^ v >> 32;
}

/* The thread of an event. *out is NULL beyond the limit: such a thread is not watched. */
static enum km_code obtain(struct km_deploy *d, const struct km_event *event, struct thread **out, struct km_err *err)
{
    *out = km_tidmap_find(&d->threads, event->tid);
    if (*out)
        return KM_OK;
    struct thread *thread = km_calloc(1, sizeof *thread, SIZE_MAX, err);
    if (!thread)
        return err->code;
    enum km_code code = km_tidmap_add(&d->threads, event->tid, thread, err);
    if (code != KM_OK) {
        free(thread);
        return code == KM_LIMIT ? KM_OK : code;
    }
    *thread = (struct thread){.tid = event->tid, .tgid = event->tgid, .role = event->role};
    *out = thread;
    return KM_OK;
}

/* Remembers a window as told; whether it was told before. */
static bool told_before(struct km_deploy *d, const struct thread *thread)
{
    uint64_t key = km_window_key(thread->state.window, thread->state.space, thread->role);
    uint64_t scope = d->config.told_once ? 0 : mix((uint64_t)thread->tid << 32 ^ thread->episodes);
    key = mix(key ^ scope) | 1;
    uint64_t *pair = d->told[key >> 32 & (KM_DEPLOY_REPORTED / 2 - 1)].key;
    if (pair[0] == key)
        return true;
    bool told = pair[1] == key;
    pair[1] = pair[0];
    pair[0] = key;
    return told;
}

static enum km_code emit(struct km_deploy *d, const struct km_event *event, struct km_err *err)
{
    return d->out.event(d->out.context, event, err);
}

static enum km_code emit_state(struct km_deploy *d, const struct thread *thread, const struct km_event *cause,
                               enum km_event_kind kind, struct km_err *err)
{
    struct km_event event = {.time_ns = cause->time_ns,
                             .tid = thread->tid,
                             .tgid = thread->tgid,
                             .role = thread->role,
                             .kind = (uint8_t)kind,
                             .state = thread->state};
    return emit(d, &event, err);
}

static enum km_code emit_stream(struct km_deploy *d, const struct thread *thread, uint64_t time_ns, enum km_feed feed,
                                bool started, struct km_err *err)
{
    struct km_event event = {.time_ns = time_ns,
                             .tid = thread->tid,
                             .tgid = thread->tgid,
                             .role = thread->role,
                             .kind = KM_EVENT_STREAM,
                             .stream = {(uint8_t)feed, started}};
    return emit(d, &event, err);
}

static enum km_code end_episode(struct km_deploy *d, struct thread *thread, const struct km_event *cause,
                                struct km_err *err)
{
    enum km_code code = KM_OK;
    if (thread->state.misses > 0 && cause->kind != KM_EVENT_END)
        code = emit_state(d, thread, cause, KM_EVENT_EPISODE, err);
    if (code == KM_OK && thread->tapped)
        code = emit_stream(d, thread, cause->time_ns, KM_FEED_TAP, false, err);
    thread->tapped = false;
    thread->began = false;
    thread->episodes++;
    km_episode_begin(&thread->state);
    return code;
}

static enum km_code begin_episode(struct km_deploy *d, struct thread *thread, const struct km_event *cause,
                                  struct km_err *err)
{
    thread->began = true;
    uint64_t draw = mix(mix(d->config.seed ^ thread->tid) + thread->episodes);
    thread->tapped = thread->state.streamed == 0 && (draw & 0xffff) < d->config.tap_share;
    return thread->tapped ? emit_stream(d, thread, cause->time_ns, KM_FEED_TAP, true, err) : KM_OK;
}

static enum km_code stream_call(struct km_deploy *d, struct thread *thread, const struct km_event *event,
                                struct km_err *err)
{
    struct km_event call = *event;
    call.feed = thread->tapped ? KM_FEED_TAP : KM_FEED_ESCALATION;
    enum km_code code = emit(d, &call, err);
    if (code == KM_OK && !thread->tapped && --thread->state.streamed == 0)
        code = emit_stream(d, thread, event->time_ns, KM_FEED_ESCALATION, false, err);
    return code;
}

static enum km_code take_call(struct km_deploy *d, struct thread *thread, const struct km_event *event,
                              struct km_err *err)
{
    const struct km_episode_rule *rule = &d->rules[thread->role & (KM_WINDOW_MAX_ROLES - 1)];
    unsigned folded = event->call.number & (KM_CALL_NUMBERS - 1), space = event->call.space & 3;
    enum km_code code = KM_OK;
    thread->last_ns = event->time_ns;
    if (km_episode_ends(&thread->state, rule, folded))
        code = end_episode(d, thread, event, err);
    if (code == KM_OK && !thread->began)
        code = begin_episode(d, thread, event, err);
    if (code != KM_OK)
        return code;
    bool streamed = thread->tapped || thread->state.streamed > 0, escalated = false, unknown = false;
    if (km_thread_push(&thread->state, space, folded)) {
        unknown = !d->config.knows_window(d->config.context, thread->role, thread->state.window, space);
        escalated = km_thread_judge(&thread->state, rule, !unknown) && !streamed;
        if (thread->tapped)
            thread->state.streamed = 0;
    }
    if (streamed)
        return stream_call(d, thread, event, err);
    if (unknown && (!told_before(d, thread) || escalated))
        code = emit_state(d, thread, event, KM_EVENT_WINDOW, err);
    if (code == KM_OK && escalated)
        code = emit_stream(d, thread, event->time_ns, KM_FEED_ESCALATION, true, err);
    return code;
}

static enum km_code take_end(struct km_deploy *d, struct thread *thread, const struct km_event *event,
                             struct km_err *err)
{
    struct km_event end = *event;
    end.state = thread->state;
    enum km_code code = emit(d, &end, err);
    if (code == KM_OK)
        code = end_episode(d, thread, event, err);
    free(km_tidmap_remove(&d->threads, thread->tid));
    return code;
}

enum km_code km_deploy_event(struct km_deploy *d, const struct km_event *event, struct km_err *err)
{
    bool full = event->feed == KM_FEED_LEARN || event->feed == KM_FEED_IMPORT;
    struct thread *thread = NULL;
    enum km_code code = KM_OK;
    switch ((enum km_event_kind)event->kind) {
    case KM_EVENT_CALL:
        if (!full)
            break;
        code = obtain(d, event, &thread, err);
        return code == KM_OK && thread ? take_call(d, thread, event, err) : code;
    case KM_EVENT_THREAD:
        code = obtain(d, event, &thread, err);
        if (code == KM_OK && thread) {
            uint32_t tid = thread->tid;
            *thread = (struct thread){.tid = tid, .tgid = event->tgid, .role = event->role};
        }
        break;
    case KM_EVENT_END:
        thread = km_tidmap_find(&d->threads, event->tid);
        if (thread && event->state.calls == 0)
            return take_end(d, thread, event, err);
        break;
    case KM_EVENT_LANDMARK:
        if (d->config.knows_landmark && d->config.knows_landmark(d->config.context, event->role, &event->landmark))
            return KM_OK;
        break;
    case KM_EVENT_STREAM:
        if (event->stream.feed == KM_FEED_LEARN)
            return KM_OK;
        break;
    case KM_EVENT_ROLE:
    case KM_EVENT_WINDOW:
    case KM_EVENT_EPISODE:
    case KM_EVENT_RATE:
    case KM_EVENT_LOSS:
        break;
    }
    return code == KM_OK ? emit(d, event, err) : code;
}

enum km_code km_deploy_finish(struct km_deploy *d, struct km_err *err)
{
    void **threads KM_CLEANUP(km_cleanup_free) = km_tidmap_sorted(&d->threads, err);
    if (!threads)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < d->threads.count && code == KM_OK; i++) {
        const struct thread *thread = threads[i];
        if (thread->tapped)
            code = emit_stream(d, thread, thread->last_ns, KM_FEED_TAP, false, err);
    }
    return code;
}
