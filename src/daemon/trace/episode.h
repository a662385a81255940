/*
 * Episodes: the run of a thread's events that is scored together. The assembler takes events in order, from a full
 * stream or from the three feeds of a deployment, and hands each episode over when it ends.
 *
 * Bounds: KM_EPISODE_MAX_CALLS calls (a longer episode is handed over in pieces), KM_EPISODE_MAX_WINDOWS windows and
 * KM_EPISODE_MAX_LANDMARKS landmarks (more are counted), KM_TIDMAP_MAX threads (events of more are counted).
 */
#ifndef KM_TRACE_EPISODE_H
#define KM_TRACE_EPISODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "daemon/trace/event.h"

#define KM_EPISODE_MAX_CALLS     16384
#define KM_EPISODE_MAX_WINDOWS   16384
#define KM_EPISODE_MAX_LANDMARKS 64
#define KM_PEAK_CALLS            20 /* the short scale: this many calls */

/* A call in sixteen bits: folded number, and number space above it. */
static inline uint16_t km_call_pack(unsigned space, unsigned folded)
{
    return (uint16_t)((space & 3) << KM_WINDOW_CALL_BITS | (folded & (KM_CALL_NUMBERS - 1)));
}
static inline unsigned km_call_number(uint16_t packed)
{
    return packed & (KM_CALL_NUMBERS - 1);
}
static inline unsigned km_call_space_of(uint16_t packed)
{
    return packed >> KM_WINDOW_CALL_BITS & 3;
}

/* What is known about a call beyond its number, in seven bits: outcome and argument class; 0 = nothing. */
static inline uint8_t km_call_attr(const struct km_event_call *call)
{
    return (uint8_t)((call->outcome & 3) | (call->arg_class & 31) << 2);
}

struct km_episode_window {
    unsigned long long window;
    uint8_t space;
    uint8_t attr; /* of its newest call; 0 when it came through the filter */
    uint8_t streamed;
};

struct km_episode {
    uint16_t role;
    uint8_t feed;  /* through which its calls came; KM_FEED_NONE: the filter alone */
    bool complete; /* every call is in packed[]; otherwise windows[] and totals tell what came through */
    uint32_t tid, tgid;
    uint64_t begin_ns, end_ns;
    unsigned long long start_window; /* where the thread stood before it */
    uint8_t start_filled, start_space;
    struct km_thread_state totals; /* complete: counted here, misses unknown (0). Otherwise as the kernel said */
    unsigned peak_misses;          /* most unknown windows among KM_PEAK_CALLS, as far as told; not when complete */
    uint16_t *packed;
    uint8_t *attrs;
    size_t count;
    struct km_episode_window *windows;
    size_t window_count;
    uint32_t windows_dropped;
    struct km_event_landmark *landmarks; /* their strings live as long as the episode */
    size_t landmark_count;
    uint32_t landmarks_dropped;
};

struct km_assembler;

struct km_episode_sink {
    void *context;
    /* The episode is borrowed for the time of the call. A failure ends the assembly. */
    enum km_code (*episode)(void *context, const struct km_episode *episode, struct km_err *err);
};

/* NULL: KM_NOMEM. The sink is copied. */
struct km_assembler *km_assembler_new(const struct km_episode_sink *sink, struct km_err *err) KM_MUST_USE;
void km_assembler_free(struct km_assembler *assembler);

/* How full streams of this role are cut. Without it an episode is a thread's life. */
void km_assembler_set_rule(struct km_assembler *assembler, uint16_t role, const struct km_episode_rule *rule);

/* KM_NOMEM, or the sink's failure. Events that make no sense (a call number out of range, an unknown kind) are counted
 * as refused. */
enum km_code km_assembler_event(struct km_assembler *assembler, const struct km_event *event,
                                struct km_err *err) KM_MUST_USE;

/* Hands over, by ascending thread, what threads that told nothing since quiet_since_ns have told of an unfinished
 * episode: a thread that waits behind something strange would hide it otherwise. The rest of such an episode is handed
 * over only when it brings more. streams: full streams too, which are left alone otherwise; the calls that follow up to
 * the episode's end are dropped then. */
enum km_code km_assembler_flush(struct km_assembler *assembler, uint64_t quiet_since_ns, bool streams,
                                struct km_err *err) KM_MUST_USE;

/* Ends all open episodes, by ascending thread: at the end of a trace. */
enum km_code km_assembler_finish(struct km_assembler *assembler, struct km_err *err) KM_MUST_USE;

struct km_assembler_stats {
    uint64_t events;
    uint64_t episodes;
    uint64_t refused;
    size_t threads;
};
void km_assembler_get_stats(const struct km_assembler *assembler, struct km_assembler_stats *out);

/* The rule for a role of which nothing is known: an episode ends before a call that waits for work (epoll_wait, poll,
 * select, accept, recvmsg of netlink …) and after 200 calls; twelve misses in 64 stream a thread for 512 calls.
 * Call numbers are those of the build's architecture. */
void km_episode_rule_default(struct km_episode_rule *out);

/* An episode is a thread's life; escalation as in the default rule. */
void km_episode_rule_life(struct km_episode_rule *out);

#endif
