#include "daemon/profile/ngram_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_SLOTS  256
#define LOAD_EIGHTHS 6 /* the table doubles above 6/8 */

static inline size_t slot_of(uint64_t key, size_t slot_count)
{
    uint64_t h = key * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 32;
    return (size_t)(h * 0xd6e8feb86659fd93ULL >> 20) & (slot_count - 1);
}

static inline const struct km_ngram_entry *find(const struct km_ngram *model, uint64_t key)
{
    size_t i = slot_of(key, model->slot_count);
    while (model->slots[i].key != 0) {
        if (model->slots[i].key == key)
            return &model->slots[i];
        i = (i + 1) & (model->slot_count - 1);
    }
    return NULL;
}

struct km_ngram *km_ngram_new(struct km_err *err)
{
    struct km_ngram *model = km_calloc(1, sizeof *model, SIZE_MAX, err);
    if (!model)
        return NULL;
    model->slot_count = FIRST_SLOTS;
    model->slots = km_calloc(model->slot_count, sizeof *model->slots, SIZE_MAX, err);
    if (!model->slots) {
        km_ngram_free(model);
        return NULL;
    }
    return model;
}

void km_ngram_free(struct km_ngram *model)
{
    if (!model)
        return;
    free(model->slots);
    km_seen_done(&model->seen);
    free(model);
}

/* Moves all entries that still count into a table of `slot_count`. */
static enum km_code rebuild(struct km_ngram *model, size_t slot_count, struct km_err *err)
{
    struct km_ngram_entry *slots = km_calloc(slot_count, sizeof *slots, SIZE_MAX, err);
    if (!slots)
        return err->code;
    size_t used = 0;
    for (size_t i = 0; i < model->slot_count; i++) {
        const struct km_ngram_entry *e = &model->slots[i];
        if (e->key == 0 || (e->count == 0 && e->total == 0))
            continue;
        size_t s = slot_of(e->key, slot_count);
        while (slots[s].key != 0)
            s = (s + 1) & (slot_count - 1);
        slots[s] = *e;
        used++;
    }
    free(model->slots);
    model->slots = slots;
    model->slot_count = slot_count;
    model->used = used;
    return KM_OK;
}

struct km_ngram_entry *km_ngram_obtain(struct km_ngram *model, uint64_t key, struct km_err *err)
{
    struct km_ngram_entry *found = (struct km_ngram_entry *)(uintptr_t)find(model, key);
    if (found)
        return found;
    if ((model->used + 1) * 8 > model->slot_count * LOAD_EIGHTHS) {
        if (model->slot_count >= KM_NGRAM_MAX_SLOTS) {
            model->dropped++;
            return NULL;
        }
        if (rebuild(model, model->slot_count * 2, err) != KM_OK)
            return NULL;
    }
    size_t i = slot_of(key, model->slot_count);
    while (model->slots[i].key != 0)
        i = (i + 1) & (model->slot_count - 1);
    model->slots[i].key = key;
    model->used++;
    return &model->slots[i];
}

/* The window after `packed`; a change of space empties it first. */
static inline void shift(struct km_ngram_walk *walk, uint16_t packed)
{
    unsigned space = km_call_space_of(packed);
    if (space != walk->space) {
        walk->space = (uint8_t)space;
        walk->filled = 0;
        walk->window = 0;
        walk->contexts = 0;
    }
    walk->window = (walk->window << KM_WINDOW_CALL_BITS | km_call_number(packed)) & KM_WINDOW_MASK;
    if (walk->filled < KM_NGRAM_LENGTH)
        walk->filled++;
}

/* Context lengths 1..5 of the calls in the window. */
static void load_contexts(const struct km_ngram *model, struct km_ngram_walk *walk)
{
    walk->total[0] = model->root_total;
    walk->types[0] = model->root_types;
    walk->contexts = 1;
    for (unsigned k = 1; k <= walk->filled && k <= KM_NGRAM_ORDER; k++) {
        const struct km_ngram_entry *e = find(model, km_ngram_suffix_key(walk->window, walk->space, k));
        if (!e || e->total == 0)
            break;
        walk->total[k] = e->total;
        walk->types[k] = e->types;
        walk->contexts++;
    }
}

void km_ngram_walk_to(const struct km_ngram *model, struct km_ngram_walk *walk, unsigned long long window,
                      unsigned filled, unsigned space)
{
    walk->window = window & KM_WINDOW_MASK;
    walk->filled = (uint8_t)(filled < KM_NGRAM_LENGTH ? filled : KM_NGRAM_LENGTH);
    walk->space = (uint8_t)(space & 3);
    load_contexts(model, walk);
}

/* Interpolates upwards: round k looks up the n-gram of k calls, whose context has k - 1. */
double km_ngram_step(const struct km_ngram *model, struct km_ngram_walk *walk, uint16_t packed, unsigned *out_known)
{
    if (walk->contexts == 0 || walk->space != km_call_space_of(packed)) {
        walk->total[0] = model->root_total;
        walk->types[0] = model->root_types;
        walk->contexts = 1;
        walk->filled = walk->space == km_call_space_of(packed) ? walk->filled : 0;
        walk->space = (uint8_t)km_call_space_of(packed);
    }
    shift(walk, packed);
    /* All keys are known at once: let their cache misses overlap. */
    for (unsigned k = 2; k <= walk->filled; k++)
        __builtin_prefetch(
            &model->slots[slot_of(km_ngram_suffix_key(walk->window, walk->space, k), model->slot_count)]);
    uint32_t total[KM_NGRAM_LENGTH] = {model->root_total}, types[KM_NGRAM_LENGTH] = {model->root_types};
    unsigned known = 0, contexts = 1;
    double p = 1.0 / KM_CALL_NUMBERS;
    for (unsigned k = 1; k <= walk->filled && (k <= walk->contexts || known == k - 1); k++) {
        const struct km_ngram_entry *e =
            known == k - 1 ? find(model, km_ngram_suffix_key(walk->window, walk->space, k)) : NULL;
        uint32_t count = e ? e->count : 0;
        if (count != 0)
            known = k;
        if (e && e->total != 0 && contexts == k && k <= KM_NGRAM_ORDER) {
            total[k] = e->total;
            types[k] = e->types;
            contexts++;
        }
        if (k <= walk->contexts && walk->total[k - 1] != 0)
            p = (count + walk->types[k - 1] * p) / ((double)walk->total[k - 1] + walk->types[k - 1]);
    }
    memcpy(walk->total, total, sizeof total);
    memcpy(walk->types, types, sizeof types);
    walk->contexts = (uint8_t)contexts;
    *out_known = known;
    return -log2(p);
}

bool km_ngram_knows_window(const struct km_ngram *model, unsigned long long window, unsigned space)
{
    const struct km_ngram_entry *e = find(model, km_ngram_suffix_key(window, space, KM_NGRAM_LENGTH));
    return e && e->count != 0;
}

static uint64_t attr_key(enum km_ngram_attr_level level, uint16_t packed, uint16_t previous, unsigned attr)
{
    uint64_t key = KM_NGRAM_ATTR_LENGTH << KM_NGRAM_LENGTH_SHIFT |
                   (uint64_t)km_call_space_of(packed) << KM_WINDOW_BITS | (uint64_t)level << 25 |
                   (uint64_t)km_call_number(packed) << 7;
    if (level == KM_NGRAM_ATTR_PAIR || level == KM_NGRAM_ATTR_OF_PAIR)
        key |= (uint64_t)km_call_number(previous) << 16;
    if (level == KM_NGRAM_ATTR_OF_CALL || level == KM_NGRAM_ATTR_OF_PAIR)
        key |= attr & (KM_NGRAM_ATTR_VALUES - 1);
    return key;
}

static double attr_interpolate(const struct km_ngram *model, uint64_t context, uint64_t gram, double p)
{
    const struct km_ngram_entry *c = find(model, context);
    if (!c || c->total == 0)
        return p;
    const struct km_ngram_entry *g = find(model, gram);
    return ((g ? g->count : 0) + c->types * p) / ((double)c->total + c->types);
}

double km_ngram_attr_bits(const struct km_ngram *model, uint16_t packed, uint16_t previous, unsigned attr)
{
    double p = 1.0 / KM_NGRAM_ATTR_VALUES;
    p = attr_interpolate(model, attr_key(KM_NGRAM_ATTR_CALL, packed, 0, 0),
                         attr_key(KM_NGRAM_ATTR_OF_CALL, packed, 0, attr), p);
    p = attr_interpolate(model, attr_key(KM_NGRAM_ATTR_PAIR, packed, previous, 0),
                         attr_key(KM_NGRAM_ATTR_OF_PAIR, packed, previous, attr), p);
    return -log2(p);
}

/* One more, or one less, episode with this n-gram. context 0 is the root. */
static enum km_code count_gram(struct km_ngram *model, uint64_t context, uint64_t gram, bool add, struct km_err *err)
{
    /* The context first: obtaining an entry may move the others. */
    if (add && context != 0 && !km_ngram_obtain(model, context, err))
        return err->code;
    struct km_ngram_entry *g =
        add ? km_ngram_obtain(model, gram, err) : (struct km_ngram_entry *)(uintptr_t)find(model, gram);
    if (!g)
        return add ? err->code : KM_OK;
    struct km_ngram_entry *c = context != 0 ? (struct km_ngram_entry *)(uintptr_t)find(model, context) : NULL;
    if (context != 0 && !c)
        return KM_OK;
    uint32_t total = c ? c->total : model->root_total, types = c ? c->types : model->root_types;
    if (add) {
        if (g->count == KM_NGRAM_COUNT_MAX || total == UINT32_MAX)
            return KM_OK; /* saturated: km_ngram_age is due */
        types += g->count == 0;
        total++;
        g->count++;
    } else if (g->count > 0) {
        g->count--;
        total -= total > 0;
        types -= g->count == 0 && types > 0;
    }
    if (c) {
        c->total = total;
        c->types = types & 0x3ff;
    } else {
        model->root_total = total;
        model->root_types = types;
    }
    return KM_OK;
}

/* The window's suffixes that the episode did not have before, longest first: a known suffix has known suffixes. */
static enum km_code count_window(struct km_ngram *model, const struct km_ngram_walk *walk, bool add, struct km_err *err)
{
    for (unsigned k = walk->filled; k >= 1; k--) {
        uint64_t gram = km_ngram_suffix_key(walk->window, walk->space, k);
        bool is_new;
        enum km_code code = km_seen_add(&model->seen, gram, &is_new, err);
        if (code != KM_OK || !is_new)
            return code;
        uint64_t context = k > 1 ? km_ngram_suffix_key(walk->window >> KM_WINDOW_CALL_BITS, walk->space, k - 1) : 0;
        if (k == KM_NGRAM_LENGTH) {
            const struct km_ngram_entry *e = find(model, gram);
            bool unknown = !e || e->count == 0;
            model->last_windows++;
            model->last_new += unknown;
            model->windows += add && unknown;
            model->windows -= !add && e && e->count == 1;
        }
        code = count_gram(model, context, gram, add, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static enum km_code count_attr(struct km_ngram *model, uint16_t packed, uint16_t previous, unsigned attr, bool add,
                               struct km_err *err)
{
    uint64_t gram = attr_key(KM_NGRAM_ATTR_OF_PAIR, packed, previous, attr);
    bool is_new;
    enum km_code code = km_seen_add(&model->seen, gram, &is_new, err);
    if (code != KM_OK || !is_new)
        return code;
    code = count_gram(model, attr_key(KM_NGRAM_ATTR_PAIR, packed, previous, 0), gram, add, err);
    if (code != KM_OK)
        return code;
    gram = attr_key(KM_NGRAM_ATTR_OF_CALL, packed, 0, attr);
    code = km_seen_add(&model->seen, gram, &is_new, err);
    if (code != KM_OK || !is_new)
        return code;
    return count_gram(model, attr_key(KM_NGRAM_ATTR_CALL, packed, 0, 0), gram, add, err);
}

struct counted {
    const struct km_ngram_walk *before;
    const uint16_t *packed;
    const uint8_t *attrs;
    size_t count;
};

static enum km_code count_episode(struct km_ngram *model, const struct counted *episode, bool add, struct km_err *err)
{
    const struct km_ngram_walk *before = episode->before;
    const uint16_t *packed = episode->packed;
    const uint8_t *attrs = episode->attrs;
    size_t count = episode->count;
    KM_ASSERT(count <= KM_EPISODE_MAX_CALLS);
    km_seen_clear(&model->seen);
    model->last_new = model->last_windows = 0;
    err->code = KM_OK; /* a table without room is no failure: obtain leaves err alone then */
    struct km_ngram_walk walk = *before;
    uint16_t previous = before->filled > 0
                            ? km_call_pack(before->space, (unsigned)before->window & (KM_CALL_NUMBERS - 1))
                            : km_call_pack(0, KM_CALL_OTHER);
    for (size_t i = 0; i < count; i++) {
        shift(&walk, packed[i]);
        enum km_code code = count_window(model, &walk, add, err);
        if (code == KM_OK && attrs && attrs[i] != 0)
            code = count_attr(model, packed[i], previous, attrs[i], add, err);
        if (code != KM_OK)
            return code;
        previous = packed[i];
    }
    return KM_OK;
}

enum km_code km_ngram_learn(struct km_ngram *model, const struct km_ngram_walk *before, const uint16_t *packed,
                            const uint8_t *attrs, size_t count, struct km_err *err)
{
    struct counted episode = {before, packed, attrs, count};
    return count_episode(model, &episode, true, err);
}

enum km_code km_ngram_unlearn(struct km_ngram *model, const struct km_ngram_walk *before, const uint16_t *packed,
                              const uint8_t *attrs, size_t count, struct km_err *err)
{
    struct counted episode = {before, packed, attrs, count};
    return count_episode(model, &episode, false, err);
}

enum km_code km_ngram_learn_windows(struct km_ngram *model, const unsigned long long *windows, size_t count,
                                    unsigned space, struct km_err *err)
{
    km_seen_clear(&model->seen);
    model->last_new = model->last_windows = 0;
    err->code = KM_OK;
    for (size_t i = 0; i < count; i++) {
        struct km_ngram_walk walk = {
            .window = windows[i] & KM_WINDOW_MASK, .filled = KM_NGRAM_LENGTH, .space = (uint8_t)(space & 3)};
        enum km_code code = count_window(model, &walk, true, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

void km_ngram_get_last_novelty(const struct km_ngram *model, size_t *out_new, size_t *out_windows)
{
    *out_new = model->last_new;
    *out_windows = model->last_windows;
}

size_t km_ngram_successors(const struct km_ngram *model, unsigned long long window, unsigned filled, unsigned space,
                           struct km_ngram_next *out, size_t room)
{
    struct km_ngram_walk start = {0};
    km_ngram_walk_to(model, &start, window, filled, space);
    size_t n = 0;
    for (unsigned number = 0; number < KM_CALL_NUMBERS; number++) {
        if (!find(model, km_ngram_suffix_key(number, space, 1)))
            continue;
        struct km_ngram_walk walk = start;
        unsigned known;
        struct km_ngram_next next = {(uint16_t)number,
                                     exp2(-km_ngram_step(model, &walk, km_call_pack(space, number), &known))};
        size_t at = n < room ? n++ : room;
        for (; at > 0 && out[at - 1].p < next.p; at--)
            if (at < room)
                out[at] = out[at - 1];
        if (at < room)
            out[at] = next;
    }
    return n;
}

void km_ngram_get_stats(const struct km_ngram *model, struct km_ngram_stats *out)
{
    *out = (struct km_ngram_stats){.entries = model->used,
                                   .windows = model->windows,
                                   .slots = model->slot_count,
                                   .dropped = model->dropped,
                                   .bytes = sizeof *model + model->slot_count * sizeof *model->slots +
                                            model->seen.slot_count * sizeof *model->seen.slots};
}
