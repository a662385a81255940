/* What an index is made of: for tokenindex.c, tokenquery.c and tokenindexfile.c. */
#ifndef KM_CONTAINER_TOKENS_TOKENINDEX_INTERNAL_H
#define KM_CONTAINER_TOKENS_TOKENINDEX_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/keyhash.h"
#include "container/tokens/tokenindex.h"

#define KM_TOKEN_INDEX_MAX_IDS ((size_t)1 << 25) /* of all entries together */

struct km_token_entry {
    enum km_token_index_side side;
    uint32_t family;       /* in families */
    uint32_t total;        /* tokens that the file had */
    uint32_t begin, count; /* its kept ids */
    size_t file;           /* its text, in texts */
    uint64_t digest;       /* of side, family, total and kept ids: finds what is there already */
};

struct km_token_index {
    struct km_keyhash key; /* files are hostile: nobody shall fill one slot */
    struct km_token_entry *entries;
    size_t entry_count, entry_room;
    uint32_t *ids;
    size_t id_count, id_room;
    size_t *families; /* their texts, in texts */
    size_t family_count, family_room;
    char *texts; /* each with its NUL */
    size_t text_bytes, text_room;
    uint32_t *slots; /* entries by digest: number + 1, 0 empty; a power of two of them, at least half empty */
    size_t slot_count;
    size_t counts[2]; /* of each side */
    /* By prepare; filled by the first query, for which a scan that knows all scores already has no need: */
    const float *idf;
    pthread_mutex_t filling;
    atomic_bool filled;
    uint32_t *starts;  /* [KM_TOKEN_IDS + 1] */
    /* Entries that kept the id: posting[starts[id] .. starts[id + 1]), ascending. Of an id in so many of them that a bit
     * for each entry takes no more room (km_token_index_is_row), these bits, the first entry's lowest. */
    uint32_t *posting;
    uint32_t *row; /* one such row, while they are made */
    float *factor;     /* of each entry: makes a sum of shared squares its part of the cosine */
};

static inline size_t km_token_index_row_words(const struct km_token_index *index)
{
    return (index->entry_count + 31) / 32;
}

static inline bool km_token_index_is_row(const struct km_token_index *index, uint32_t id)
{
    return index->starts[id + 1] - index->starts[id] >= km_token_index_row_words(index);
}

/* Before the first look at a prepared index; by any thread. */
void km_token_index_fill(const struct km_token_index *index);

/* KM_OK with *out: the family's number, new or old. KM_LIMIT, KM_NOMEM, KM_FORMAT (a label with control characters). */
enum km_code km_token_index_family(struct km_token_index *index, const char *family, uint32_t *out,
                                   struct km_err *err) KM_MUST_USE;
/* The same without a look at those that are there. */
enum km_code km_token_index_append_family(struct km_token_index *index, const char *family, uint32_t *out,
                                          struct km_err *err) KM_MUST_USE;
struct km_token_record {
    enum km_token_index_side side;
    uint32_t family;
    const char *file;
    uint32_t total;       /* tokens */
    const uint32_t *kept; /* the smallest of them, ascending */
    size_t count;
};
/* Adds an entry, unless it is there. */
enum km_code km_token_index_put(struct km_token_index *index, const struct km_token_record *record,
                                struct km_err *err) KM_MUST_USE;

#endif
