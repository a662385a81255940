/* What people type at the desk and what a store holds: search expressions against a real index, times, JSON columns. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "desk/store/evidence_json.h"
#include "desk/store/query.h"
#include "desk/triage/search.h"
#include "desk/triage/triage.h"
#include "desk/triage/when.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct km_desk *desk_of_all_runs(void)
{
    static struct km_desk *desk;
    struct km_err err = KM_ERR_INIT;
    if (!desk) {
        desk = km_desk_open(":memory:", &err);
        KM_ASSERT(desk != NULL);
        KM_ASSERT(km_query_execute(desk,
                                   "INSERT INTO finding_words(rowid, image, path, unit, package, dominant, sha256)"
                                   " VALUES(1, 'shop:1', 'opt/vendor/agent', NULL, NULL, 'hash.listed', 'aa')",
                                   &err) == KM_OK);
    }
    return desk;
}

/* Whatever is typed is an expression that the index takes. */
static void try_search(const char *text)
{
    struct km_err err = KM_ERR_INIT;
    struct km_buf expression;
    km_buf_init(&expression, (size_t)16 * KM_SEARCH_MAX_BYTES);
    if (km_search_format(text, &expression, &err) == KM_OK) {
        struct km_query *query = km_query_open_once(
            desk_of_all_runs(), "SELECT rowid FROM finding_words WHERE finding_words MATCH ?1", &err);
        bool row = false;
        KM_ASSERT(query != NULL);
        km_query_bind_text(query, 1, km_buf_text(&expression));
        KM_ASSERT(km_query_step(query, &row, &err) == KM_OK);
        km_query_close(query);
    }
    km_buf_done(&expression);
}

static void try_json(const char *text)
{
    static const struct km_collect whole = {
        .levels = {KM_COLLECT_WHOLE, KM_COLLECT_WHOLE, KM_COLLECT_WHOLE, KM_COLLECT_WHOLE}};
    struct km_err err = KM_ERR_INIT;
    const struct km_evidence *evidence = NULL;
    const struct km_range *ranges = NULL;
    size_t count = 0;
    struct km_arena *arena = km_arena_new((size_t)4 << 20, &err);
    KM_ASSERT(arena != NULL);
    if (km_evidence_json_parse(text, arena, &evidence, &count, &err) == KM_OK) {
        struct km_buf again;
        km_buf_init(&again, (size_t)4 << 20);
        KM_ASSERT(km_evidence_json_format(evidence, count, &whole, &again, &err) == KM_OK);
        size_t second = 0;
        /* a document near the limit may grow by its escapes */
        if (again.length <= KM_EVIDENCE_JSON_MAX_BYTES)
            KM_ASSERT(km_evidence_json_parse(km_buf_text(&again), arena, &evidence, &second, &err) == KM_OK &&
                      second == count);
        km_buf_done(&again);
    }
    if (km_ranges_json_parse(text, arena, &ranges, &count, &err) == KM_OK)
        for (size_t i = 0; i < count; i++)
            KM_ASSERT(ranges[i].begin <= ranges[i].end);
    km_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    char *text = size > 0 && size < 65536 ? malloc(size) : NULL;
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    int64_t ns = 0;
    char lineage[16];
    switch (data[0] & 3) {
    case 0:
        try_search(text);
        break;
    case 1:
        if (km_when_parse(text, KM_WHEN_PAST, INT64_C(1700000000000000000), &ns, &err) == KM_OK)
            KM_ASSERT(ns >= 0);
        if (km_when_parse(text, KM_WHEN_FUTURE, INT64_C(1700000000000000000), &ns, &err) == KM_OK)
            KM_ASSERT(ns >= 0);
        break;
    case 2:
        try_json(text);
        break;
    default:
        km_triage_format_lineage(text, lineage, sizeof lineage);
        KM_ASSERT(strlen(lineage) < sizeof lineage);
        break;
    }
    free(text);
    return 0;
}
