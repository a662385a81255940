#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/profile/ngram_internal.h"

#define FILE_GRAM 12

struct gram {
    uint64_t key;
    uint32_t count;
};

/* The context of an n-gram's key; 0 is the root. */
static uint64_t context_of(uint64_t key)
{
    unsigned length = (unsigned)(key >> KM_NGRAM_LENGTH_SHIFT) & 7, space = (unsigned)(key >> KM_WINDOW_BITS) & 3;
    if (length == KM_NGRAM_ATTR_LENGTH) {
        bool of_pair = (key >> 25 & 3) == KM_NGRAM_ATTR_OF_PAIR;
        return (key & ~(3ULL << 25) & ~(uint64_t)(KM_NGRAM_ATTR_VALUES - 1)) |
               (uint64_t)(of_pair ? KM_NGRAM_ATTR_PAIR : KM_NGRAM_ATTR_CALL) << 25;
    }
    return length > 1 ? km_ngram_suffix_key((key & KM_WINDOW_MASK) >> KM_WINDOW_CALL_BITS, space, length - 1) : 0;
}

/* Whether a key is one that learning counts: not a context alone, and with no bit set that says nothing. */
static bool is_gram(uint64_t key)
{
    unsigned length = (unsigned)(key >> KM_NGRAM_LENGTH_SHIFT);
    if (length == KM_NGRAM_ATTR_LENGTH) {
        unsigned level = key >> 25 & 3;
        bool bits = (key & KM_WINDOW_MASK) >> 27 == 0 && (level != KM_NGRAM_ATTR_OF_CALL || (key >> 16 & 0x1ff) == 0);
        return bits && (level == KM_NGRAM_ATTR_OF_CALL || level == KM_NGRAM_ATTR_OF_PAIR) &&
               (key & (KM_NGRAM_ATTR_VALUES - 1)) != 0;
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
        struct km_ngram_entry *e = km_ngram_obtain(model, grams[i].key, err);
        if (!e && err->code != KM_OK)
            return err->code;
        if (!e)
            continue;
        e->count = grams[i].count & KM_NGRAM_COUNT_MAX;
        model->windows += grams[i].key >> KM_NGRAM_LENGTH_SHIFT == KM_NGRAM_LENGTH;
        uint64_t context = context_of(grams[i].key);
        if (context == 0) {
            model->root_total += grams[i].count;
            model->root_types++;
            continue;
        }
        struct km_ngram_entry *c = km_ngram_obtain(model, context, err);
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
        if (grams[i].key >> KM_NGRAM_LENGTH_SHIFT == KM_NGRAM_LENGTH)
            code = visit(context, grams[i].key & KM_WINDOW_MASK, (unsigned)(grams[i].key >> KM_WINDOW_BITS) & 3, err);
    return code;
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
            grams[i].count > KM_NGRAM_COUNT_MAX)
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
