/*
 * The sequence model: interpolated Witten-Bell n-grams of calls, order 5 (a call given the five before it), and of what
 * is known about a call (outcome, argument class) given the call and the one before it.
 *
 *     P_k(c | h) = (n(h c) + t(h) * P_(k-1)(c | shorter h)) / (n(h) + t(h))
 *
 * n(h) counts, t(h) how many different continuations h had. An n-gram counts once per episode, however often it occurs
 * in it: loops do not dominate, and one long abnormal episode cannot poison the counts. So an episode can be unlearned
 * again exactly (leave-one-out calibration, rollback of a decision).
 *
 * Keys are exact (six calls of nine bits), one 16-byte entry serves as n-gram and as context. The table grows to a
 * maximum; then new n-grams are counted as dropped and the model says so. Shared read-only while nothing is learned.
 */
#ifndef KM_PROFILE_NGRAM_H
#define KM_PROFILE_NGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "daemon/trace/episode.h"

#define KM_NGRAM_ORDER     5
#define KM_NGRAM_LENGTH    (KM_NGRAM_ORDER + 1)
#define KM_NGRAM_MAX_SLOTS ((size_t)1 << 18) /* 4 MiB */

struct km_ngram;

/* Calls are packed as in trace/episode.h. NULL: KM_NOMEM. */
struct km_ngram *km_ngram_new(struct km_err *err) KM_MUST_USE;
void km_ngram_free(struct km_ngram *model);

/* Where a thread stands. All zero at its start; it goes on over the borders of episodes. */
struct km_ngram_walk {
    unsigned long long window;
    uint8_t filled; /* calls in the window, up to six */
    uint8_t space;
    uint8_t contexts; /* how many of the context lengths 0, 1, … are known: entries of total and types */
    uint32_t total[KM_NGRAM_LENGTH];
    uint32_t types[KM_NGRAM_LENGTH];
};

/* A walk that stands behind the calls of `window` (newest low). */
void km_ngram_walk_to(const struct km_ngram *model, struct km_ngram_walk *walk, unsigned long long window,
                      unsigned filled, unsigned space);

/* Takes a call and returns its surprise: -log2 P, above 0. out_known is the length of the longest suffix of the window,
 * the call included, that the model knows: 0..6. A call that changes the number space starts with an empty window. */
double km_ngram_step(const struct km_ngram *model, struct km_ngram_walk *walk, uint16_t packed, unsigned *out_known);

/* Whether all six calls of the window are a known n-gram: what the kernel asks. */
bool km_ngram_knows_window(const struct km_ngram *model, unsigned long long window, unsigned space);

/* -log2 P of what is known about a call: attr is outcome | arg_class << 2, below 128. */
double km_ngram_attr_bits(const struct km_ngram *model, uint16_t packed, uint16_t previous, unsigned attr);

/* Adds an episode of `count` calls, KM_EPISODE_MAX_CALLS at most, begun behind the calls that `before` stands behind.
 * attrs may be NULL; 0 in it = not known. KM_NOMEM. */
enum km_code km_ngram_learn(struct km_ngram *model, const struct km_ngram_walk *before, const uint16_t *packed,
                            const uint8_t *attrs, size_t count, struct km_err *err) KM_MUST_USE;

/* Takes the same episode out again. Only what was learned may be unlearned. */
enum km_code km_ngram_unlearn(struct km_ngram *model, const struct km_ngram_walk *before, const uint16_t *packed,
                              const uint8_t *attrs, size_t count, struct km_err *err) KM_MUST_USE;

/* Adds single windows as one episode: what an alert of the filter leaves behind. */
enum km_code km_ngram_learn_windows(struct km_ngram *model, const unsigned long long *windows, size_t count,
                                    unsigned space, struct km_err *err) KM_MUST_USE;

/* New six-call windows that the last learned episode brought, and how many different ones it had. */
void km_ngram_get_last_novelty(const struct km_ngram *model, size_t *out_new, size_t *out_windows);

/* Halves all counts and forgets what falls to 0. */
enum km_code km_ngram_age(struct km_ngram *model, struct km_err *err) KM_MUST_USE;

struct km_ngram_stats {
    size_t entries;
    size_t windows; /* of length six */
    size_t slots;
    uint64_t dropped; /* n-grams that found no room */
    size_t bytes;     /* of memory held */
};
void km_ngram_get_stats(const struct km_ngram *model, struct km_ngram_stats *out);

/* Calls `visit` for each known six-call window, in ascending order of keys, without role. KM_NOMEM, or visit's. */
enum km_code km_ngram_visit_windows(const struct km_ngram *model, void *context,
                                    enum km_code (*visit)(void *context, unsigned long long window, unsigned space,
                                                          struct km_err *err),
                                    struct km_err *err) KM_MUST_USE;

struct km_ngram_next {
    uint16_t number;
    double p;
};
/* The likeliest calls after the calls of `window` (`filled` of them), best first. Returns how many, at most `room`. */
size_t km_ngram_successors(const struct km_ngram *model, unsigned long long window, unsigned filled, unsigned space,
                           struct km_ngram_next *out, size_t room);

/* Appends the model in its file form (docs/formats/profile.md); entries ascend by key, so equal models give equal
 * bytes. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_ngram_save(const struct km_ngram *model, struct km_buf *out, struct km_err *err) KM_MUST_USE;

/* Reads what km_ngram_save wrote. NULL with *err set: KM_FORMAT, KM_LIMIT, KM_NOMEM. */
struct km_ngram *km_ngram_load(const void *bytes, size_t length, struct km_err *err) KM_MUST_USE;

#endif
