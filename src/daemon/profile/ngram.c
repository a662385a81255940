#include "daemon/profile/ngram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/profile/seen.h"

/*
 * Keys. Bits 0..53: calls, newest low. 54, 55: number space. 56..58: length, 1..6. A key is never 0.
 * Attributes: length 7, and in the low bits attr (7), call (9), previous call (9), level (2): 1 = (call), 2 = (call,
 * attr), 3 = (previous, call) and 0 = (previous, call, attr).
 */
#define LENGTH_SHIFT (KM_WINDOW_BITS + 2)
#define ATTR_LENGTH  7ULL
#define ATTR_VALUES  128
#define FIRST_SLOTS  256
#define LOAD_EIGHTHS 6 /* the table doubles above 6/8 */
#define FILE_GRAM    12

/* Which n-gram an entry is, how many episodes had it; as a context: sum of its continuations' counts, and how many
 * different ones. count + types in one word: types <= 512. */
struct entry {
    uint64_t key;
    uint32_t total;
    uint32_t count : 22;
    uint32_t types : 10;
};
_Static_assert(sizeof(struct entry) == 16, "an entry is 16 bytes");
#define ENTRY_COUNT_MAX ((1U << 22) - 1)

struct km_ngram {
    struct entry *slots;
    size_t slot_count; /* a power of two */
    size_t used;
    size_t windows;
    uint32_t root_total, root_types;
    uint64_t dropped;
    struct km_seen seen;
    size_t last_new, last_windows;
};

static inline uint64_t suffix_key(unsigned long long window, unsigned space, unsigned length)
{
    uint64_t calls = window & ((1ULL << (KM_WINDOW_CALL_BITS * length)) - 1);
    return calls | (uint64_t)space << KM_WINDOW_BITS | (uint64_t)length << LENGTH_SHIFT;
}

static inline size_t slot_of(uint64_t key, size_t slot_count)
{
    uint64_t h = key * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 32;
    return (size_t)(h * 0xd6e8feb86659fd93ULL >> 20) & (slot_count - 1);
}

static inline const struct entry *find(const struct km_ngram *model, uint64_t key)
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
    struct entry *slots = km_calloc(slot_count, sizeof *slots, SIZE_MAX, err);
    if (!slots)
        return err->code;
    size_t used = 0;
    for (size_t i = 0; i < model->slot_count; i++) {
        const struct entry *e = &model->slots[i];
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

/* The entry of a key, made when it is missing; NULL when there is no room (counted) or no memory (*err set). */
static struct entry *obtain(struct km_ngram *model, uint64_t key, struct km_err *err)
{
    struct entry *found = (struct entry *)(uintptr_t)find(model, key);
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
        const struct entry *e = find(model, suffix_key(walk->window, walk->space, k));
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
        __builtin_prefetch(&model->slots[slot_of(suffix_key(walk->window, walk->space, k), model->slot_count)]);
    uint32_t total[KM_NGRAM_LENGTH] = {model->root_total}, types[KM_NGRAM_LENGTH] = {model->root_types};
    unsigned known = 0, contexts = 1;
    double p = 1.0 / KM_CALL_NUMBERS;
    for (unsigned k = 1; k <= walk->filled && (k <= walk->contexts || known == k - 1); k++) {
        const struct entry *e = known == k - 1 ? find(model, suffix_key(walk->window, walk->space, k)) : NULL;
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
    const struct entry *e = find(model, suffix_key(window, space, KM_NGRAM_LENGTH));
    return e && e->count != 0;
}

enum attr_level { ATTR_CALL = 1, ATTR_OF_CALL = 2, ATTR_PAIR = 3, ATTR_OF_PAIR = 0 };

static uint64_t attr_key(enum attr_level level, uint16_t packed, uint16_t previous, unsigned attr)
{
    uint64_t key = ATTR_LENGTH << LENGTH_SHIFT | (uint64_t)km_call_space_of(packed) << KM_WINDOW_BITS |
                   (uint64_t)level << 25 | (uint64_t)km_call_number(packed) << 7;
    if (level == ATTR_PAIR || level == ATTR_OF_PAIR)
        key |= (uint64_t)km_call_number(previous) << 16;
    if (level == ATTR_OF_CALL || level == ATTR_OF_PAIR)
        key |= attr & (ATTR_VALUES - 1);
    return key;
}

static double attr_interpolate(const struct km_ngram *model, uint64_t context, uint64_t gram, double p)
{
    const struct entry *c = find(model, context);
    if (!c || c->total == 0)
        return p;
    const struct entry *g = find(model, gram);
    return ((g ? g->count : 0) + c->types * p) / ((double)c->total + c->types);
}

double km_ngram_attr_bits(const struct km_ngram *model, uint16_t packed, uint16_t previous, unsigned attr)
{
    double p = 1.0 / ATTR_VALUES;
    p = attr_interpolate(model, attr_key(ATTR_CALL, packed, 0, 0), attr_key(ATTR_OF_CALL, packed, 0, attr), p);
    p = attr_interpolate(model, attr_key(ATTR_PAIR, packed, previous, 0),
                         attr_key(ATTR_OF_PAIR, packed, previous, attr), p);
    return -log2(p);
}

/* One more, or one less, episode with this n-gram. context 0 is the root. */
static enum km_code count_gram(struct km_ngram *model, uint64_t context, uint64_t gram, bool add, struct km_err *err)
{
    /* The context first: obtaining an entry may move the others. */
    if (add && context != 0 && !obtain(model, context, err))
        return err->code;
    struct entry *g = add ? obtain(model, gram, err) : (struct entry *)(uintptr_t)find(model, gram);
    if (!g)
        return add ? err->code : KM_OK;
    struct entry *c = context != 0 ? (struct entry *)(uintptr_t)find(model, context) : NULL;
    if (context != 0 && !c)
        return KM_OK;
    uint32_t total = c ? c->total : model->root_total, types = c ? c->types : model->root_types;
    if (add) {
        if (g->count == ENTRY_COUNT_MAX || total == UINT32_MAX)
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
        uint64_t gram = suffix_key(walk->window, walk->space, k);
        bool is_new;
        enum km_code code = km_seen_add(&model->seen, gram, &is_new, err);
        if (code != KM_OK || !is_new)
            return code;
        uint64_t context = k > 1 ? suffix_key(walk->window >> KM_WINDOW_CALL_BITS, walk->space, k - 1) : 0;
        if (k == KM_NGRAM_LENGTH) {
            const struct entry *e = find(model, gram);
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
    uint64_t gram = attr_key(ATTR_OF_PAIR, packed, previous, attr);
    bool is_new;
    enum km_code code = km_seen_add(&model->seen, gram, &is_new, err);
    if (code != KM_OK || !is_new)
        return code;
    code = count_gram(model, attr_key(ATTR_PAIR, packed, previous, 0), gram, add, err);
    if (code != KM_OK)
        return code;
    gram = attr_key(ATTR_OF_CALL, packed, 0, attr);
    code = km_seen_add(&model->seen, gram, &is_new, err);
    if (code != KM_OK || !is_new)
        return code;
    return count_gram(model, attr_key(ATTR_CALL, packed, 0, 0), gram, add, err);
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

struct gram {
    uint64_t key;
    uint32_t count;
};

/* The context of an n-gram's key; 0 is the root. */
static uint64_t context_of(uint64_t key)
{
    unsigned length = (unsigned)(key >> LENGTH_SHIFT) & 7, space = (unsigned)(key >> KM_WINDOW_BITS) & 3;
    if (length == ATTR_LENGTH) {
        bool of_pair = (key >> 25 & 3) == ATTR_OF_PAIR;
        return (key & ~(3ULL << 25) & ~(uint64_t)(ATTR_VALUES - 1)) | (uint64_t)(of_pair ? ATTR_PAIR : ATTR_CALL) << 25;
    }
    return length > 1 ? suffix_key((key & KM_WINDOW_MASK) >> KM_WINDOW_CALL_BITS, space, length - 1) : 0;
}

/* Whether a key is one that learning counts: not a context alone, and with no bit set that says nothing. */
static bool is_gram(uint64_t key)
{
    unsigned length = (unsigned)(key >> LENGTH_SHIFT);
    if (length == ATTR_LENGTH) {
        unsigned level = key >> 25 & 3;
        bool bits = (key & KM_WINDOW_MASK) >> 27 == 0 && (level != ATTR_OF_CALL || (key >> 16 & 0x1ff) == 0);
        return bits && (level == ATTR_OF_CALL || level == ATTR_OF_PAIR) && (key & (ATTR_VALUES - 1)) != 0;
    }
    if (length < 1 || length > KM_NGRAM_LENGTH)
        return false;
    return length == KM_NGRAM_LENGTH || (key & KM_WINDOW_MASK) >> (KM_WINDOW_CALL_BITS * length) == 0;
}

/* Fills an empty model: contexts are sums over what follows them. */
static enum km_code fill(struct km_ngram *model, const struct gram *grams, size_t count, struct km_err *err)
{
    err->code = KM_OK;
    for (size_t i = 0; i < count; i++) {
        struct entry *e = obtain(model, grams[i].key, err);
        if (!e && err->code != KM_OK)
            return err->code;
        if (!e)
            continue;
        e->count = grams[i].count & ENTRY_COUNT_MAX;
        model->windows += grams[i].key >> LENGTH_SHIFT == KM_NGRAM_LENGTH;
        uint64_t context = context_of(grams[i].key);
        if (context == 0) {
            model->root_total += grams[i].count;
            model->root_types++;
            continue;
        }
        struct entry *c = obtain(model, context, err);
        if (!c && err->code != KM_OK)
            return err->code;
        if (c) {
            c->total += grams[i].count;
            c->types = (c->types + 1) & 0x3ff;
        }
    }
    return KM_OK;
}

static int compare_grams(const void *a, const void *b)
{
    const struct gram *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* All n-grams that still count, by key. The caller frees them. NULL: KM_NOMEM. */
static struct gram *sorted_grams(const struct km_ngram *model, size_t *out_count, struct km_err *err)
{
    struct gram *grams = km_calloc(model->used + 1, sizeof *grams, SIZE_MAX, err);
    if (!grams)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < model->slot_count; i++)
        if (model->slots[i].key != 0 && model->slots[i].count != 0)
            grams[n++] = (struct gram){model->slots[i].key, model->slots[i].count};
    qsort(grams, n, sizeof *grams, compare_grams);
    *out_count = n;
    return grams;
}

enum km_code km_ngram_age(struct km_ngram *model, struct km_err *err)
{
    size_t count;
    struct gram *grams KM_CLEANUP(km_cleanup_free) = sorted_grams(model, &count, err);
    if (!grams)
        return err->code;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (grams[i].count > 1)
            grams[n++] = (struct gram){grams[i].key, grams[i].count / 2};
    memset(model->slots, 0, model->slot_count * sizeof *model->slots);
    model->used = model->windows = 0;
    model->root_total = model->root_types = 0;
    return fill(model, grams, n, err);
}

enum km_code km_ngram_visit_windows(const struct km_ngram *model, void *context,
                                    enum km_code (*visit)(void *context, unsigned long long window, unsigned space,
                                                          struct km_err *err),
                                    struct km_err *err)
{
    size_t count;
    struct gram *grams KM_CLEANUP(km_cleanup_free) = sorted_grams(model, &count, err);
    if (!grams)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++)
        if (grams[i].key >> LENGTH_SHIFT == KM_NGRAM_LENGTH)
            code = visit(context, grams[i].key & KM_WINDOW_MASK, (unsigned)(grams[i].key >> KM_WINDOW_BITS) & 3, err);
    return code;
}

size_t km_ngram_successors(const struct km_ngram *model, unsigned long long window, unsigned filled, unsigned space,
                           struct km_ngram_next *out, size_t room)
{
    struct km_ngram_walk start = {0};
    km_ngram_walk_to(model, &start, window, filled, space);
    size_t n = 0;
    for (unsigned number = 0; number < KM_CALL_NUMBERS; number++) {
        if (!find(model, suffix_key(number, space, 1)))
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

static void put_u32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *in, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | in[i];
    return v;
}

enum km_code km_ngram_save(const struct km_ngram *model, struct km_buf *out, struct km_err *err)
{
    size_t count;
    struct gram *grams KM_CLEANUP(km_cleanup_free) = sorted_grams(model, &count, err);
    if (!grams)
        return err->code;
    uint8_t record[FILE_GRAM];
    put_u32(record, (uint32_t)count);
    put_u32(record + 4, (uint32_t)(model->dropped < UINT32_MAX ? model->dropped : UINT32_MAX));
    enum km_code code = km_buf_append(out, record, 8, err);
    for (size_t i = 0; i < count && code == KM_OK; i++) {
        put_u32(record, (uint32_t)grams[i].key);
        put_u32(record + 4, (uint32_t)(grams[i].key >> 32));
        put_u32(record + 8, grams[i].count);
        code = km_buf_append(out, record, FILE_GRAM, err);
    }
    return code;
}

static enum km_code parse_grams(const uint8_t *bytes, size_t length, struct gram *grams, size_t count,
                                struct km_err *err)
{
    if (length != 8 + count * FILE_GRAM)
        return km_fail(err, KM_FORMAT, "the sequence model says %zu n-grams and has room for %zu", count,
                       (length - 8) / FILE_GRAM);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + 8 + i * FILE_GRAM;
        grams[i] = (struct gram){get_le(at, 8), (uint32_t)get_le(at + 8, 4)};
        if (!is_gram(grams[i].key) || (i > 0 && grams[i].key <= grams[i - 1].key) || grams[i].count == 0 ||
            grams[i].count > ENTRY_COUNT_MAX)
            return km_fail(err, KM_FORMAT, "n-gram %zu of the sequence model is not one", i);
    }
    return KM_OK;
}

struct km_ngram *km_ngram_load(const void *bytes, size_t length, struct km_err *err)
{
    if (length < 8) {
        km_fail(err, KM_FORMAT, "the sequence model is cut short");
        return NULL;
    }
    size_t count = (size_t)get_le(bytes, 4);
    if (count > KM_NGRAM_MAX_SLOTS) {
        km_fail(err, KM_LIMIT, "a sequence model of %zu n-grams is above the limit of %zu", count, KM_NGRAM_MAX_SLOTS);
        return NULL;
    }
    struct gram *grams KM_CLEANUP(km_cleanup_free) = km_calloc(count + 1, sizeof *grams, SIZE_MAX, err);
    if (!grams || parse_grams(bytes, length, grams, count, err) != KM_OK)
        return NULL;
    struct km_ngram *model = km_ngram_new(err);
    if (!model)
        return NULL;
    if (fill(model, grams, count, err) != KM_OK) {
        km_ngram_free(model);
        return NULL;
    }
    model->dropped += get_le((const uint8_t *)bytes + 4, 4);
    return model;
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
