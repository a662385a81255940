#include "container/scan/scoretable.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

#define CHUNK_ROWS 4096u
#define MAX_IDS    ((uint32_t)1 << 26)

struct row {
    float tokens, lookalike, network;
    bool is_scored, is_known;
};

struct detail {
    double rank;
    uint32_t id;
    struct km_file_scores scores;
};

struct km_scoretable {
    struct row **chunks;
    size_t chunk_capacity;
    struct detail *details; /* room for twice max_details, cut in half when it is full */
    size_t detail_count, detail_capacity, max_details;
};

struct km_scoretable *km_scoretable_new(size_t max_details, struct km_err *err)
{
    struct km_scoretable *table = km_calloc(1, sizeof *table, SIZE_MAX, err);
    if (table)
        table->max_details = max_details;
    return table;
}

void km_scoretable_free(struct km_scoretable *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->chunk_capacity; i++)
        free(table->chunks[i]);
    free(table->chunks);
    free(table->details);
    free(table);
}

static struct row *touch_row(struct km_scoretable *table, uint32_t id, struct km_err *err)
{
    size_t chunk = id / CHUNK_ROWS;
    if (id >= MAX_IDS) {
        (void)km_fail(err, KM_LIMIT, "more than %u entries", MAX_IDS);
        return NULL;
    }
    if (chunk >= table->chunk_capacity) {
        size_t before = table->chunk_capacity;
        void *chunks = table->chunks;
        enum km_code code = km_grow(&chunks, &table->chunk_capacity, chunk + 1, sizeof(struct row *), MAX_IDS, err);
        table->chunks = chunks;
        if (code != KM_OK)
            return NULL;
        for (size_t i = before; i < table->chunk_capacity; i++)
            table->chunks[i] = NULL;
    }
    if (!table->chunks[chunk])
        table->chunks[chunk] = km_calloc(CHUNK_ROWS, sizeof(struct row), SIZE_MAX, err);
    return table->chunks[chunk] ? &table->chunks[chunk][id % CHUNK_ROWS] : NULL;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct detail *left = a, *right = b;
    if (left->rank < right->rank || left->rank > right->rank)
        return left->rank < right->rank ? 1 : -1;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int compare_ids(const void *a, const void *b)
{
    const struct detail *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static void cut_details(struct km_scoretable *table)
{
    if (table->detail_count <= table->max_details)
        return;
    qsort(table->details, table->detail_count, sizeof *table->details, compare_ranks);
    table->detail_count = table->max_details;
}

static enum km_code keep_details(struct km_scoretable *table, uint32_t id, const struct km_file_scores *details,
                                 double rank, struct km_err *err)
{
    if (table->detail_count == 2 * table->max_details)
        cut_details(table);
    void *list = table->details;
    enum km_code code = km_grow(&list, &table->detail_capacity, table->detail_count + 1, sizeof *table->details,
                                2 * table->max_details, err);
    table->details = list;
    if (code == KM_OK)
        table->details[table->detail_count++] = (struct detail){isnan(rank) ? -INFINITY : rank, id, *details};
    return code;
}

enum km_code km_scoretable_put(struct km_scoretable *table, uint32_t id, const struct km_score *score,
                               const struct km_file_scores *details, double rank, struct km_err *err)
{
    struct row *row = touch_row(table, id, err);
    if (!row)
        return err->code;
    *row = (struct row){score->tokens, score->lookalike, score->network, score->is_scored, score->is_known};
    return details ? keep_details(table, id, details, rank, err) : KM_OK;
}

void km_scoretable_seal(struct km_scoretable *table)
{
    cut_details(table);
    if (table->detail_count > 0)
        qsort(table->details, table->detail_count, sizeof *table->details, compare_ids);
}

struct km_score km_scoretable_get(const struct km_scoretable *table, uint32_t id)
{
    static const struct row none = {.is_scored = false};
    size_t chunk = id / CHUNK_ROWS;
    const struct row *row =
        chunk < table->chunk_capacity && table->chunks[chunk] ? &table->chunks[chunk][id % CHUNK_ROWS] : &none;
    if (!row->is_scored)
        return (struct km_score){NAN, NAN, NAN, false, row->is_known};
    return (struct km_score){row->tokens, row->lookalike, row->network, true, row->is_known};
}

const struct km_file_scores *km_scoretable_find(const struct km_scoretable *table, uint32_t id)
{
    const struct detail wanted = {.id = id};
    if (table->detail_count == 0)
        return NULL;
    const struct detail *found =
        bsearch(&wanted, table->details, table->detail_count, sizeof *table->details, compare_ids);
    return found ? &found->scores : NULL;
}
