#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "container/tokens/tokenindex_internal.h"

#define MAX_INDEXES 8
#define NOBODY      UINT32_MAX
#define AHEAD       ((size_t)8) /* ids whose lists are on their way: they are all over the index */

struct km_token_query {
    size_t count;
    const struct km_token_index *indexes[MAX_INDEXES];
    float *sums; /* for each entry of the largest index, whole words of a row */
    bool has_wide;
};

struct nearest {
    double cosine;
    const struct km_token_index *index;
    const struct km_token_entry *entry;
    double factor; /* of the entry and the query: makes a shared square a part of the cosine */
};

enum km_code km_token_query_new(const struct km_token_index *const *indexes, size_t count, struct km_token_query **out,
                                struct km_err *err)
{
    if (count > MAX_INDEXES)
        return km_fail(err, KM_LIMIT, "%zu token indexes at a time; %d is the limit", count, MAX_INDEXES);
    KM_CLEANUP(km_token_query_cleanup) struct km_token_query *query = km_calloc(1, sizeof *query, SIZE_MAX, err);
    if (!query)
        return err->code;
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        KM_ASSERT(indexes[i]->starts);
        query->indexes[i] = indexes[i];
        most = indexes[i]->entry_count > most ? indexes[i]->entry_count : most;
    }
    query->count = count;
#if defined(__x86_64__)
    query->has_wide = __builtin_cpu_supports("avx512f");
#endif
    query->sums = km_calloc((most + 31) / 32 * 32, sizeof *query->sums, SIZE_MAX, err);
    if (!query->sums)
        return err->code;
    *out = km_steal(query);
    return KM_OK;
}

void km_token_query_free(struct km_token_query *query)
{
    if (!query)
        return;
    free(query->sums);
    free(query);
}

static void add_row(const uint32_t *row, size_t words, float square, float *sums)
{
    for (size_t word = 0; word < words; word++, sums += 32)
        for (uint32_t bits = row[word]; bits != 0; bits &= bits - 1)
            sums[__builtin_ctz(bits)] += square;
}

/* The same additions, sixteen at a time. */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void add_row_wide(const uint32_t *row, size_t words, float square,
                                                            float *sums)
{
    __m512 squares = _mm512_set1_ps(square);
    for (size_t word = 0; word < words; word++, sums += 32) {
        __m512 low = _mm512_loadu_ps(sums), high = _mm512_loadu_ps(sums + 16);
        _mm512_storeu_ps(sums, _mm512_mask_add_ps(low, (__mmask16)row[word], low, squares));
        _mm512_storeu_ps(sums + 16, _mm512_mask_add_ps(high, (__mmask16)(row[word] >> 16), high, squares));
    }
}
#else
#define add_row_wide add_row
#endif

/* Squares of what each entry shares with the set. */
static void sum_shared(struct km_token_query *query, const struct km_token_index *index, const struct km_token_set *set)
{
    size_t words = km_token_index_row_words(index);
    memset(query->sums, 0, words * 32 * sizeof *query->sums);
    for (size_t i = 0; i < set->count; i++) {
        uint32_t id = set->ids[i];
        float square = index->idf[id] * index->idf[id];
        if (i + 2 * AHEAD < set->count)
            __builtin_prefetch(&index->starts[set->ids[i + 2 * AHEAD]]);
        if (i + AHEAD < set->count)
            __builtin_prefetch(&index->posting[index->starts[set->ids[i + AHEAD]]]);
        const uint32_t *list = index->posting + index->starts[id], *end = index->posting + index->starts[id + 1];
        if (!km_token_index_is_row(index, id))
            for (; list < end; list++)
                query->sums[*list] += square;
        else if (query->has_wide)
            add_row_wide(list, words, square, query->sums);
        else
            add_row(list, words, square, query->sums);
    }
}

static uint32_t family_of(const struct km_token_index *index, const char *family)
{
    for (size_t i = 0; family && i < index->family_count; i++)
        if (strcmp(index->texts + index->families[i], family) == 0)
            return (uint32_t)i;
    return NOBODY;
}

static void look_in(struct km_token_query *query, const struct km_token_index *index, double norm, const char *without,
                    struct nearest best[2])
{
    uint32_t left_out = family_of(index, without);
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct km_token_entry *entry = &index->entries[i];
        double factor = (double)index->factor[i] / norm, cosine = (double)query->sums[i] * factor;
        if (cosine > best[entry->side].cosine && entry->family != left_out)
            best[entry->side] = (struct nearest){cosine, index, entry, factor};
    }
}

/* What both have, by a walk over the two ascending lists. */
static void tell_shared(const struct nearest *nearest, const struct km_token_set *set, struct km_token_neighbour *out)
{
    const struct km_token_index *index = nearest->index;
    const uint32_t *kept = index->ids + nearest->entry->begin;
    for (size_t i = 0, k = 0; i < set->count && k < nearest->entry->count;) {
        uint32_t id = set->ids[i];
        if (id != kept[k]) {
            id < kept[k] ? i++ : k++;
            continue;
        }
        double weight = (double)index->idf[id] * (double)index->idf[id] * nearest->factor;
        i++;
        k++;
        if (out->shared_count == KM_TOKEN_INDEX_SHARED && weight <= out->shared[KM_TOKEN_INDEX_SHARED - 1].weight)
            continue;
        size_t at = out->shared_count < KM_TOKEN_INDEX_SHARED ? out->shared_count++ : KM_TOKEN_INDEX_SHARED - 1;
        for (; at > 0 && out->shared[at - 1].weight < weight; at--)
            out->shared[at] = out->shared[at - 1];
        out->shared[at].id = id;
        out->shared[at].weight = weight;
    }
}

static void tell_neighbour(const struct nearest *nearest, const struct km_token_set *set,
                           struct km_token_neighbour *out)
{
    if (!nearest->entry)
        return;
    const struct km_token_index *index = nearest->index;
    out->cosine = nearest->cosine < 1 ? nearest->cosine : 1; /* samples can say more than there is */
    out->family = index->texts + index->families[nearest->entry->family];
    out->file = index->texts + nearest->entry->file;
    tell_shared(nearest, set, out);
}

void km_token_query_run_without(struct km_token_query *query, const struct km_token_set *set, const char *family,
                                struct km_token_match *out)
{
    struct nearest best[2] = {{0}};
    memset(out, 0, sizeof *out);
    out->positive.family = out->positive.file = out->benign.family = out->benign.file = "";
    if (set->count < KM_TOKEN_INDEX_MIN_TOKENS || query->count == 0)
        return;
    for (size_t i = 0; i < query->count; i++)
        km_token_index_fill(query->indexes[i]);
    double squares = 0;
    for (size_t i = 0; i < set->count; i++) {
        double idf = (double)query->indexes[0]->idf[set->ids[i]];
        squares += idf * idf;
    }
    if (!(squares > 0))
        return;
    for (size_t i = 0; i < query->count; i++) {
        sum_shared(query, query->indexes[i], set);
        look_in(query, query->indexes[i], sqrt(squares), family, best);
    }
    tell_neighbour(&best[KM_TOKEN_INDEX_POSITIVE], set, &out->positive);
    tell_neighbour(&best[KM_TOKEN_INDEX_BENIGN], set, &out->benign);
    out->difference = out->positive.cosine - out->benign.cosine;
}

void km_token_query_run(struct km_token_query *query, const struct km_token_set *set, struct km_token_match *out)
{
    km_token_query_run_without(query, set, NULL, out);
}
