/*
 * Known files by their tokens: "this looks like another build of X". Entries are positive (known tools) or benign (the
 * site's own files); a query gives the nearest of each by the cosine of idf-weighted sets, and the difference, which is
 * what decides: a file that is as near to something benign says nothing.
 *
 * An entry keeps its label, how many tokens it had, and the KM_TOKEN_INDEX_KEEP smallest ids of them (ids are upper
 * bits of a hash, so the smallest are a fair sample, the same one in every file); sums are scaled by count / kept.
 * Rarity is not stored: it comes from the token model at km_token_index_prepare.
 *
 * Indexes add up: a shipped one and a site's baseline are queried together, or merged. docs/formats/tokenindex.md has
 * the file; it is hostile until read: checksum, lengths, order, limits.
 *
 * Lifecycle: new or load; add, merge; prepare; query (read-only, any number of threads, one scratch each).
 */
#ifndef KM_CONTAINER_TOKENS_TOKENINDEX_H
#define KM_CONTAINER_TOKENS_TOKENINDEX_H

#include "container/tokens/tokens.h"

#define KM_TOKEN_INDEX_KEEP         1024
#define KM_TOKEN_INDEX_LABEL_BYTES  128 /* with the NUL */
#define KM_TOKEN_INDEX_MAX_ENTRIES  100000
#define KM_TOKEN_INDEX_MAX_FAMILIES 20000
#define KM_TOKEN_INDEX_MAX_BYTES    ((size_t)128 << 20)
#define KM_TOKEN_INDEX_SHARED       8
#define KM_TOKEN_INDEX_MIN_TOKENS   8 /* sets with fewer are neither kept nor found */

enum km_token_index_side {
    KM_TOKEN_INDEX_POSITIVE = 0,
    KM_TOKEN_INDEX_BENIGN = 1,
};

struct km_token_index;

/* NULL with *err set: KM_NOMEM. */
struct km_token_index *km_token_index_new(struct km_err *err) KM_MUST_USE;
/* KM_FORMAT, KM_LIMIT, KM_UNSUPPORTED (version, scheme), KM_CONFLICT (checksum), KM_NOMEM. bytes are not kept. */
enum km_code km_token_index_parse(const uint8_t *bytes, size_t length, struct km_token_index **out,
                                  struct km_err *err) KM_MUST_USE;
/* The same for a descriptor, from its start; the caller keeps it. KM_IO. */
enum km_code km_token_index_load(int fd, struct km_token_index **out, struct km_err *err) KM_MUST_USE;
void km_token_index_free(struct km_token_index *index);
KM_DEFINE_CLEANUP(struct km_token_index, km_token_index_cleanup, km_token_index_free);

/* Writes the file to fd from its current offset; equal content gives equal bytes. KM_IO, KM_NOMEM. */
enum km_code km_token_index_save(const struct km_token_index *index, int fd, struct km_err *err) KM_MUST_USE;

/* The family ("hydra") and the file ("9.4-1 usr/bin/hydra") are copied. A set of fewer than KM_TOKEN_INDEX_MIN_TOKENS,
 * and one that the index has already on this side under this family, adds nothing: still KM_OK. KM_LIMIT (entries,
 * families, label), KM_FORMAT (control characters in a label, an id out of range), KM_NOMEM. Not after prepare. */
enum km_code km_token_index_add(struct km_token_index *index, enum km_token_index_side side, const char *family,
                                const char *file, const struct km_token_set *set, struct km_err *err) KM_MUST_USE;
/* All entries of `other`. */
enum km_code km_token_index_merge(struct km_token_index *index, const struct km_token_index *other,
                                  struct km_err *err) KM_MUST_USE;

size_t km_token_index_count(const struct km_token_index *index, enum km_token_index_side side);

/* Takes the memory for what queries need, which the first of them builds; idf [KM_TOKEN_IDS], borrowed until free.
 * KM_NOMEM. */
enum km_code km_token_index_prepare(struct km_token_index *index, const float *idf, struct km_err *err) KM_MUST_USE;

struct km_token_neighbour {
    double cosine;      /* 0: none shares a token */
    const char *family; /* "" when there is none; borrowed from the index */
    const char *file;
    size_t shared_count; /* tokens that both have and that weigh most, heaviest first */
    struct km_token_share {
        uint32_t id;
        double weight; /* its part of the cosine */
    } shared[KM_TOKEN_INDEX_SHARED];
};

struct km_token_match {
    double difference; /* positive.cosine - benign.cosine */
    struct km_token_neighbour positive, benign;
};

struct km_token_query; /* a thread's scratch */

/* For these prepared indexes (borrowed, not the array), all prepared with the same idf; at most 8. KM_LIMIT, KM_NOMEM.
 */
enum km_code km_token_query_new(const struct km_token_index *const *indexes, size_t count, struct km_token_query **out,
                                struct km_err *err) KM_MUST_USE;
void km_token_query_free(struct km_token_query *query);
KM_DEFINE_CLEANUP(struct km_token_query, km_token_query_cleanup, km_token_query_free);

/* Cannot fail. A set of fewer than KM_TOKEN_INDEX_MIN_TOKENS matches nothing. */
void km_token_query_run(struct km_token_query *query, const struct km_token_set *set, struct km_token_match *out);

/* The same, leaving out entries of one family (or NULL): for measuring on families that must count as unseen. */
void km_token_query_run_without(struct km_token_query *query, const struct km_token_set *set, const char *family,
                                struct km_token_match *out);

#endif
