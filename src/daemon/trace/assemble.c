#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/mem.h"
#include "daemon/trace/episode.h"
#include "daemon/trace/tidmap.h"

#define IDLE_LANDMARKS_NS UINT64_C(2000000000)

#define DEFAULT_MAX_CALLS       200
#define DEFAULT_ESCALATE_MISSES 12
#define DEFAULT_ESCALATE_CALLS  512

/* A watched thread and the episode that it is in. */
struct thread {
    struct km_episode episode;
    struct km_thread_state state; /* of the thread, as far as the events tell */
    size_t packed_room, windows_room, landmarks_room;
    uint8_t feed; /* of the open stream */
    bool open;    /* the episode has something */
    bool partial; /* what was seen of it is not all */
    bool handed;  /* its beginning was handed over early */
    bool stopped; /* its learning stream just ended: with the thread, or within an episode */
    bool cut;     /* the full stream ended within it: of its calls neither all nor the strange ones are known */
    uint64_t last_ns;
};

struct km_assembler {
    struct km_episode_sink sink;
    struct km_tidmap threads;
    struct km_episode_rule rules[KM_WINDOW_MAX_ROLES];
    struct km_assembler_stats stats;
};

void km_episode_rule_life(struct km_episode_rule *out)
{
    *out =
        (struct km_episode_rule){.escalate_misses = DEFAULT_ESCALATE_MISSES, .escalate_calls = DEFAULT_ESCALATE_CALLS};
}

void km_episode_rule_default(struct km_episode_rule *out)
{
    static const int waits[] = {
#ifdef SYS_epoll_wait
        SYS_epoll_wait,
#endif
#ifdef SYS_poll
        SYS_poll,
#endif
#ifdef SYS_select
        SYS_select,
#endif
#ifdef SYS_pause
        SYS_pause,
#endif
        SYS_epoll_pwait,   SYS_epoll_pwait2,    SYS_ppoll,
        SYS_pselect6,      SYS_accept,          SYS_accept4,
        SYS_wait4,         SYS_waitid,          SYS_rt_sigtimedwait,
        SYS_rt_sigsuspend, SYS_clock_nanosleep, SYS_io_getevents,
    };
    km_episode_rule_life(out);
    out->max_calls = DEFAULT_MAX_CALLS;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
        km_call_set_add(out->wait_set, km_call_fold(KM_SPACE_NATIVE, waits[i]));
}

struct km_assembler *km_assembler_new(const struct km_episode_sink *sink, struct km_err *err)
{
    struct km_assembler *a = km_calloc(1, sizeof *a, SIZE_MAX, err);
    if (!a)
        return NULL;
    a->sink = *sink;
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES; i++)
        km_episode_rule_life(&a->rules[i]);
    return a;
}

/* The texts of landmarks are copied one by one: a shared buffer would move under them. */
static void drop_landmarks(struct km_episode *episode)
{
    for (size_t i = 0; i < episode->landmark_count; i++) {
        free((void *)(uintptr_t)episode->landmarks[i].path.data);
        free((void *)(uintptr_t)episode->landmarks[i].path2.data);
    }
    episode->landmark_count = 0;
    episode->landmarks_dropped = 0;
}

static void thread_free(struct thread *thread)
{
    if (!thread)
        return;
    drop_landmarks(&thread->episode);
    free(thread->episode.packed);
    free(thread->episode.attrs);
    free(thread->episode.windows);
    free(thread->episode.landmarks);
    free(thread);
}

void km_assembler_free(struct km_assembler *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->threads.slot_count; i++)
        thread_free(a->threads.slots[i].value);
    km_tidmap_done(&a->threads);
    free(a);
}

void km_assembler_set_rule(struct km_assembler *a, uint16_t role, const struct km_episode_rule *rule)
{
    a->rules[role & (KM_WINDOW_MAX_ROLES - 1)] = *rule;
}

void km_assembler_get_stats(const struct km_assembler *a, struct km_assembler_stats *out)
{
    *out = a->stats;
}

/* The thread of an event, made when it is new. *out is NULL when there are too many. */
static enum km_code obtain(struct km_assembler *a, const struct km_event *event, struct thread **out,
                           struct km_err *err)
{
    *out = km_tidmap_find(&a->threads, event->tid);
    if (*out)
        return KM_OK;
    struct thread *thread = km_calloc(1, sizeof *thread, SIZE_MAX, err);
    if (!thread)
        return err->code;
    enum km_code code = km_tidmap_add(&a->threads, event->tid, thread, err);
    if (code != KM_OK) {
        free(thread);
        a->stats.refused += code == KM_LIMIT;
        return code == KM_LIMIT ? KM_OK : code;
    }
    thread->episode.tid = event->tid;
    thread->episode.tgid = event->tgid;
    thread->episode.role = event->role;
    a->stats.threads = a->threads.count;
    *out = thread;
    return KM_OK;
}

static void remove_thread(struct km_assembler *a, uint32_t tid)
{
    thread_free(km_tidmap_remove(&a->threads, tid));
    a->stats.threads = a->threads.count;
}

static void begin_episode(struct thread *thread, const struct km_event *event)
{
    struct km_episode *episode = &thread->episode;
    episode->role = event->role;
    episode->tgid = event->tgid;
    episode->begin_ns = event->time_ns;
    episode->start_window = thread->state.window;
    episode->start_filled = thread->state.filled;
    episode->start_space = thread->state.space;
    thread->open = true;
}

static enum km_code finish_episode(struct km_assembler *a, struct thread *thread, uint64_t time_ns, struct km_err *err)
{
    struct km_episode *episode = &thread->episode;
    enum km_code code = KM_OK;
    if (thread->cut) { /* only its landmarks say something */
        episode->count = 0;
        episode->window_count = 0;
        episode->peak_misses = 0;
        memset(&thread->state.set, 0, sizeof thread->state.set);
        thread->state.calls = 0;
        thread->state.misses = 0;
    }
    bool rest = (thread->handed || thread->cut) && episode->window_count == 0 && episode->landmark_count == 0;
    if (thread->open && !rest) {
        episode->end_ns = time_ns > episode->begin_ns ? time_ns : episode->begin_ns;
        episode->complete = !thread->partial && episode->count > 0;
        episode->feed = episode->count > 0 || thread->feed != KM_FEED_NONE ? thread->feed : KM_FEED_NONE;
        episode->totals = thread->state;
        a->stats.episodes++;
        code = a->sink.episode(a->sink.context, episode, err);
    }
    drop_landmarks(episode);
    episode->count = 0;
    episode->window_count = 0;
    episode->windows_dropped = 0;
    episode->peak_misses = 0;
    thread->open = false;
    thread->partial = false;
    thread->handed = false;
    thread->cut = false;
    km_episode_begin(&thread->state);
    return code;
}

static enum km_code append_packed(struct thread *thread, uint16_t packed, uint8_t attr, struct km_err *err)
{
    struct km_episode *episode = &thread->episode;
    if (episode->count == thread->packed_room) {
        size_t room = thread->packed_room;
        enum km_code code = km_grow((void **)&episode->packed, &room, episode->count + 1, sizeof *episode->packed,
                                    KM_EPISODE_MAX_CALLS, err);
        if (code != KM_OK)
            return code;
        size_t attr_room = thread->packed_room;
        code = km_grow((void **)&episode->attrs, &attr_room, room, sizeof *episode->attrs, KM_EPISODE_MAX_CALLS, err);
        if (code != KM_OK)
            return code;
        thread->packed_room = attr_room < room ? attr_room : room;
    }
    episode->packed[episode->count] = packed;
    episode->attrs[episode->count++] = attr;
    return KM_OK;
}

static enum km_code append_window(struct thread *thread, const struct km_episode_window *window, struct km_err *err)
{
    struct km_episode *episode = &thread->episode;
    if (episode->window_count == KM_EPISODE_MAX_WINDOWS) {
        episode->windows_dropped++;
        return KM_OK;
    }
    enum km_code code = km_grow((void **)&episode->windows, &thread->windows_room, episode->window_count + 1,
                                sizeof *episode->windows, KM_EPISODE_MAX_WINDOWS, err);
    if (code == KM_OK)
        episode->windows[episode->window_count++] = *window;
    return code;
}

static void note_peak(struct thread *thread)
{
    unsigned misses = km_bits_count(thread->state.recent & ((1ULL << KM_PEAK_CALLS) - 1));
    if (misses > thread->episode.peak_misses)
        thread->episode.peak_misses = misses;
}

static enum km_code take_call(struct km_assembler *a, struct thread *thread, const struct km_event *event,
                              struct km_err *err)
{
    const struct km_event_call *call = &event->call;
    if (call->number >= KM_CALL_NUMBERS || call->space > KM_SPACE_FOREIGN) {
        a->stats.refused++;
        return KM_OK;
    }
    const struct km_episode_rule *rule = &a->rules[event->role & (KM_WINDOW_MAX_ROLES - 1)];
    enum km_code code = KM_OK;
    bool escalated = event->feed == KM_FEED_ESCALATION;
    if (!escalated && !thread->partial &&
        (km_episode_ends(&thread->state, rule, call->number) || thread->episode.count == KM_EPISODE_MAX_CALLS))
        code = finish_episode(a, thread, event->time_ns, err);
    if (code != KM_OK)
        return code;
    if (!thread->open)
        begin_episode(thread, event);
    thread->feed = event->feed;
    thread->partial |= escalated;
    thread->episode.end_ns = event->time_ns;
    int full = km_thread_push(&thread->state, call->space, call->number);
    uint8_t attr = km_call_attr(call);
    if (!thread->partial)
        return append_packed(thread, km_call_pack(call->space, call->number), attr, err);
    struct km_episode_window window = {thread->state.window, call->space, attr, 1};
    return full ? append_window(thread, &window, err) : KM_OK;
}

/* A complete episode keeps what was counted here: the kernel's totals say the same. */
static enum km_code take_state(struct km_assembler *a, struct thread *thread, const struct km_event *event,
                               struct km_err *err)
{
    bool complete = thread->open && !thread->partial && thread->episode.count > 0;
    bool has_state = event->state.calls > 0;
    if (event->kind == KM_EVENT_WINDOW && complete)
        return KM_OK;
    if (!complete && has_state) {
        if (!thread->open)
            begin_episode(thread, event);
        thread->partial = true;
        thread->state = event->state;
        thread->state.filled = event->state.filled <= KM_WINDOW_CALLS ? event->state.filled : KM_WINDOW_CALLS;
        thread->state.space = event->state.space & 3;
        note_peak(thread);
    }
    enum km_code code = KM_OK;
    if (event->kind == KM_EVENT_WINDOW) {
        struct km_episode_window window = {event->state.window & KM_WINDOW_MASK, event->state.space & 3, 0, 0};
        code = append_window(thread, &window, err);
    } else {
        code = finish_episode(a, thread, event->time_ns, err);
    }
    return code;
}

static enum km_code copy_text(struct km_bytes *text, struct km_err *err)
{
    if (text->length == 0) {
        text->data = NULL;
        return KM_OK;
    }
    size_t length = text->length < KM_EVENT_MAX_PATH_BYTES ? text->length : KM_EVENT_MAX_PATH_BYTES;
    text->data = km_strndup(text->data, length, err);
    text->length = length;
    return text->data ? KM_OK : err->code;
}

static enum km_code take_landmark(struct thread *thread, const struct km_event *event, struct km_err *err)
{
    struct km_episode *episode = &thread->episode;
    if (!thread->open)
        begin_episode(thread, event);
    if (episode->landmark_count == KM_EPISODE_MAX_LANDMARKS) {
        episode->landmarks_dropped++;
        return KM_OK;
    }
    enum km_code code = km_grow((void **)&episode->landmarks, &thread->landmarks_room, episode->landmark_count + 1,
                                sizeof *episode->landmarks, KM_EPISODE_MAX_LANDMARKS, err);
    if (code != KM_OK)
        return code;
    struct km_event_landmark copy = event->landmark;
    struct km_bytes path2 = copy.path2;
    copy.path2 = (struct km_bytes){0};
    code = copy_text(&copy.path, err);
    if (code != KM_OK)
        return code;
    episode->landmarks[episode->landmark_count++] = copy;
    struct km_event_landmark *kept = &episode->landmarks[episode->landmark_count - 1];
    code = copy_text(&path2, err);
    if (code == KM_OK)
        kept->path2 = path2;
    return code;
}

/* Landmarks of an episode without misses are followed by no EPISODE event: they are handed over when the thread next
 * shows up, two seconds later or more. */
static bool waits_too_long(const struct thread *thread, const struct km_event *event)
{
    const struct km_episode *e = &thread->episode;
    return thread->open && e->count == 0 && e->window_count == 0 && e->landmark_count > 0 &&
           event->time_ns >= e->begin_ns + IDLE_LANDMARKS_NS;
}

static enum km_code take(struct km_assembler *a, struct thread *thread, const struct km_event *event,
                         struct km_err *err)
{
    switch ((enum km_event_kind)event->kind) {
    case KM_EVENT_CALL:
        return take_call(a, thread, event, err);
    case KM_EVENT_WINDOW:
    case KM_EVENT_EPISODE:
        return take_state(a, thread, event, err);
    case KM_EVENT_END: {
        enum km_code code = take_state(a, thread, event, err);
        remove_thread(a, event->tid);
        return code;
    }
    case KM_EVENT_LANDMARK:
        return take_landmark(thread, event, err);
    case KM_EVENT_THREAD: {
        /* A new image (exec): what follows is another role's. */
        enum km_code code = finish_episode(a, thread, event->time_ns, err);
        thread->state = (struct km_thread_state){0};
        thread->episode.role = event->role;
        return code;
    }
    case KM_EVENT_STREAM:
        if (!event->stream.started && event->stream.feed == KM_FEED_LEARN)
            thread->stopped = true;
        if (!event->stream.started && event->stream.feed == KM_FEED_TAP && thread->open && !thread->partial &&
            thread->episode.count > 0)
            return finish_episode(a, thread, event->time_ns, err);
        return KM_OK;
    case KM_EVENT_ROLE:
    case KM_EVENT_RATE:
    case KM_EVENT_LOSS:
        return KM_OK;
    }
    return KM_OK;
}

enum km_code km_assembler_event(struct km_assembler *a, const struct km_event *event, struct km_err *err)
{
    a->stats.events++;
    if (event->kind < KM_EVENT_ROLE || event->kind > KM_EVENT_LOSS || event->role >= KM_WINDOW_MAX_ROLES) {
        a->stats.refused++;
        return KM_OK;
    }
    if (event->kind == KM_EVENT_ROLE || event->kind == KM_EVENT_RATE || event->kind == KM_EVENT_LOSS)
        return KM_OK;
    struct thread *thread;
    enum km_code code = obtain(a, event, &thread, err);
    if (code != KM_OK || !thread)
        return code;
    if (waits_too_long(thread, event)) {
        code = finish_episode(a, thread, event->time_ns, err);
        if (code != KM_OK)
            return code;
    }
    if (thread->stopped && event->kind != KM_EVENT_END)
        thread->cut = thread->open;
    thread->stopped = false;
    thread->last_ns = event->time_ns;
    return take(a, thread, event, err);
}

/* What a quiet thread has told of its episode. A full stream is left alone: it is judged whole. */
static bool is_due(const struct thread *thread, uint64_t quiet_since_ns)
{
    const struct km_episode *e = &thread->episode;
    return thread->open && thread->last_ns <= quiet_since_ns && (thread->partial || e->count == 0) &&
           (e->window_count > 0 || e->landmark_count > 0);
}

enum km_code km_assembler_flush(struct km_assembler *a, uint64_t quiet_since_ns, bool streams, struct km_err *err)
{
    void **threads KM_CLEANUP(km_cleanup_free) = km_tidmap_sorted(&a->threads, err);
    if (!threads)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < a->threads.count && code == KM_OK; i++) {
        struct thread *thread = threads[i];
        bool stream = streams && thread->open && thread->last_ns <= quiet_since_ns;
        if (!stream && !is_due(thread, quiet_since_ns))
            continue;
        code = finish_episode(a, thread, thread->last_ns, err);
        thread->handed = !stream;
        thread->cut = stream;
        thread->open = stream; /* what follows belongs to it */
    }
    return code;
}

enum km_code km_assembler_finish(struct km_assembler *a, struct km_err *err)
{
    void **threads KM_CLEANUP(km_cleanup_free) = km_tidmap_sorted(&a->threads, err);
    if (!threads)
        return err->code;
    size_t n = a->threads.count;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < n; i++) {
        struct thread *thread = threads[i];
        if (code == KM_OK)
            code = finish_episode(a, thread, thread->episode.end_ns, err);
        remove_thread(a, thread->episode.tid);
    }
    return code;
}
