#define KM_TEST_NAME "tokenindex"
#include "../cm.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "container/tokens/tokenindex.h"
#include "madesets.h"

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static float idf[KM_TOKEN_IDS];

static struct km_token_index *index_new(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = km_token_index_new(&err);
    assert_non_null(index);
    return index;
}

/* Every step-th id from `begin` on. */
static void range_set(uint32_t *ids, uint32_t begin, uint32_t step, size_t count, struct km_token_set *out)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = begin + (uint32_t)i * step;
    *out = (struct km_token_set){ids, count};
}

static void add(struct km_token_index *index, enum km_token_index_side side, const char *family, uint32_t begin,
                uint32_t step, size_t count)
{
    struct km_err err = KM_ERR_INIT;
    uint32_t *ids = calloc(count, sizeof *ids);
    assert_non_null(ids);
    struct km_token_set set;
    range_set(ids, begin, step, count, &set);
    assert_ok(km_token_index_add(index, side, family, "1.0 usr/bin/x", &set, &err), err);
    free(ids);
}

static struct km_token_match query_one(const struct km_token_index *index, const struct km_token_set *set,
                                       const char *without)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_query *query = NULL;
    struct km_token_match match;
    assert_ok(km_token_query_new(&index, 1, &query, &err), err);
    km_token_query_run_without(query, set, without, &match);
    km_token_query_free(query);
    return match;
}

static void the_nearest_of_each_side(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = index_new();
    add(index, KM_TOKEN_INDEX_POSITIVE, "hydra", 1000, 1, 40);
    add(index, KM_TOKEN_INDEX_POSITIVE, "medusa", 1020, 1, 40);
    add(index, KM_TOKEN_INDEX_BENIGN, "curl", 1030, 1, 40);
    assert_int_equal(km_token_index_count(index, KM_TOKEN_INDEX_POSITIVE), 2);
    assert_int_equal(km_token_index_count(index, KM_TOKEN_INDEX_BENIGN), 1);
    assert_ok(km_token_index_prepare(index, idf, &err), err);
    uint32_t ids[40];
    struct km_token_set set;
    range_set(ids, 1000, 1, 40, &set);
    struct km_token_match match = query_one(index, &set, NULL);
    assert_string_equal(match.positive.family, "hydra");
    assert_string_equal(match.positive.file, "1.0 usr/bin/x");
    assert_near(match.positive.cosine, 1, 1e-6);
    assert_string_equal(match.benign.family, "curl");
    /* Ids 1030 to 1039 of ids 1000 to 1039. */
    double shared = 0, all = 0, other = 0;
    for (uint32_t id = 1000; id < 1070; id++) {
        double square = (double)idf[id] * (double)idf[id];
        all += id < 1040 ? square : 0;
        other += id >= 1030 ? square : 0;
        shared += id >= 1030 && id < 1040 ? square : 0;
    }
    assert_near(match.benign.cosine, shared / sqrt(all * other), 1e-6);
    assert_near(match.difference, match.positive.cosine - match.benign.cosine, 1e-12);
    match = query_one(index, &set, "hydra");
    assert_string_equal(match.positive.family, "medusa");
    km_token_index_free(index);
}

static void shared_tokens_are_the_heaviest(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = index_new();
    add(index, KM_TOKEN_INDEX_POSITIVE, "hydra", 1000, 1, 40);
    assert_ok(km_token_index_prepare(index, idf, &err), err);
    uint32_t ids[40];
    struct km_token_set set;
    range_set(ids, 1020, 1, 40, &set);
    struct km_token_match match = query_one(index, &set, NULL);
    assert_int_equal(match.positive.shared_count, KM_TOKEN_INDEX_SHARED);
    double sum = 0;
    for (size_t i = 0; i < match.positive.shared_count; i++) {
        uint32_t id = match.positive.shared[i].id;
        assert_true(id >= 1020 && id < 1040);
        assert_true(i == 0 || match.positive.shared[i].weight <= match.positive.shared[i - 1].weight);
        sum += match.positive.shared[i].weight;
    }
    assert_true(sum > 0 && sum < match.positive.cosine);
    /* Fewer shared than are told: they sum to the cosine. */
    range_set(ids, 1037, 1, 40, &set);
    match = query_one(index, &set, NULL);
    assert_int_equal(match.positive.shared_count, 3);
    sum = 0;
    for (size_t i = 0; i < 3; i++)
        sum += match.positive.shared[i].weight;
    assert_near(sum, match.positive.cosine, 1e-6);
    km_token_index_free(index);
}

static void nothing_near_is_nothing(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = index_new(), *empty = index_new();
    add(index, KM_TOKEN_INDEX_POSITIVE, "hydra", 1000, 1, 40);
    assert_ok(km_token_index_prepare(index, idf, &err), err);
    assert_ok(km_token_index_prepare(empty, idf, &err), err);
    uint32_t ids[40];
    struct km_token_set set;
    range_set(ids, 90000, 1, 40, &set);
    struct km_token_match match = query_one(index, &set, NULL);
    assert_string_equal(match.positive.family, "");
    assert_near(match.difference, 0, 0);
    range_set(ids, 1000, 1, KM_TOKEN_INDEX_MIN_TOKENS - 1, &set);
    match = query_one(index, &set, NULL);
    assert_near(match.positive.cosine, 0, 0);
    range_set(ids, 1000, 1, 40, &set);
    match = query_one(empty, &set, NULL);
    assert_near(match.positive.cosine, 0, 0);
    km_token_index_free(index);
    km_token_index_free(empty);
}

static void samples_of_large_files_say_about_the_same(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = index_new();
    add(index, KM_TOKEN_INDEX_POSITIVE, "large", 3, 26, 10000);
    assert_ok(km_token_index_prepare(index, idf, &err), err);
    uint32_t *ids = calloc(10000, sizeof *ids);
    assert_non_null(ids);
    struct km_token_set set;
    range_set(ids, 3, 26, 10000, &set);
    struct km_token_match match = query_one(index, &set, NULL);
    assert_near(match.positive.cosine, 1, 0.05);
    range_set(ids, 3, 52, 5000, &set); /* half of them */
    match = query_one(index, &set, NULL);
    assert_near(match.positive.cosine, sqrt(0.5), 0.05);
    free(ids);
    km_token_index_free(index);
}

static void indexes_add_up(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *known = index_new(), *site = index_new(), *both = index_new();
    add(known, KM_TOKEN_INDEX_POSITIVE, "hydra", 1000, 1, 40);
    add(site, KM_TOKEN_INDEX_BENIGN, "own", 1010, 1, 40);
    add(site, KM_TOKEN_INDEX_BENIGN, "own", 1010, 1, 40); /* again: adds nothing */
    assert_int_equal(km_token_index_count(site, KM_TOKEN_INDEX_BENIGN), 1);
    assert_ok(km_token_index_merge(both, known, &err), err);
    assert_ok(km_token_index_merge(both, site, &err), err);
    assert_ok(km_token_index_merge(both, site, &err), err);
    assert_int_equal(km_token_index_count(both, KM_TOKEN_INDEX_BENIGN), 1);
    assert_ok(km_token_index_prepare(known, idf, &err), err);
    assert_ok(km_token_index_prepare(site, idf, &err), err);
    assert_ok(km_token_index_prepare(both, idf, &err), err);
    const struct km_token_index *two[2] = {known, site}, *many[9] = {known, site};
    struct km_token_query *query = NULL;
    assert_int_equal(km_token_query_new(many, 9, &query, &err), KM_LIMIT);
    assert_ok(km_token_query_new(two, 2, &query, &err), err);
    uint32_t ids[40];
    struct km_token_set set;
    range_set(ids, 1005, 1, 40, &set);
    struct km_token_match apart, merged = query_one(both, &set, NULL);
    km_token_query_run(query, &set, &apart);
    assert_near(apart.difference, merged.difference, 1e-9);
    assert_string_equal(apart.positive.family, "hydra");
    assert_string_equal(apart.benign.family, "own");
    km_token_query_free(query);
    km_token_index_free(known);
    km_token_index_free(site);
    km_token_index_free(both);
}

static void what_is_no_entry_is_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = index_new();
    uint32_t ids[40];
    struct km_token_set set;
    range_set(ids, 1000, 1, 40, &set);
    char name[KM_TOKEN_INDEX_LABEL_BYTES + 1];
    memset(name, 'x', sizeof name);
    name[KM_TOKEN_INDEX_LABEL_BYTES] = '\0';
    assert_int_equal(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, name, "f", &set, &err), KM_LIMIT);
    assert_int_equal(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, "f", name, &set, &err), KM_LIMIT);
    assert_int_equal(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, "a\nb", "f", &set, &err), KM_FORMAT);
    ids[39] = KM_TOKEN_IDS;
    assert_int_equal(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, "a", "f", &set, &err), KM_FORMAT);
    ids[39] = ids[38];
    assert_int_equal(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, "a", "f", &set, &err), KM_FORMAT);
    set.count = KM_TOKEN_INDEX_MIN_TOKENS - 1;
    assert_ok(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, "a", "f", &set, &err), err);
    assert_int_equal(km_token_index_count(index, KM_TOKEN_INDEX_POSITIVE), 0);
    km_token_index_free(index);
}

/* ---- Files ---- */

static size_t save(const struct km_token_index *index, uint8_t *out, size_t room)
{
    struct km_err err = KM_ERR_INIT;
    char name[] = "/tmp/km-tokenindex-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    assert_true(fd >= 0);
    (void)unlink(name);
    assert_ok(km_token_index_save(index, fd, &err), err);
    ssize_t length = pread(fd, out, room, 0);
    assert_true(length > 0 && (size_t)length < room);
    struct km_token_index *back = NULL;
    assert_ok(km_token_index_load(fd, &back, &err), err);
    km_token_index_free(back);
    close(fd);
    return (size_t)length;
}

static struct km_token_index *small_index(void)
{
    struct km_token_index *index = index_new();
    add(index, KM_TOKEN_INDEX_POSITIVE, "hydra", 0, 1, 40);
    add(index, KM_TOKEN_INDEX_POSITIVE, "hydra", KM_TOKEN_IDS - 40, 1, 40);
    add(index, KM_TOKEN_INDEX_BENIGN, "curl", 5, 6000, 43);
    return index;
}

static void saved_indexes_are_the_same(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = small_index(), *back = NULL;
    add(index, KM_TOKEN_INDEX_BENIGN, "large", 7, 11, 20000);
    uint8_t *bytes = malloc(1 << 16), *again = malloc(1 << 16);
    assert_true(bytes && again);
    size_t length = save(index, bytes, 1 << 16);
    assert_ok(km_token_index_parse(bytes, length, &back, &err), err);
    assert_int_equal(km_token_index_count(back, KM_TOKEN_INDEX_POSITIVE), 2);
    assert_int_equal(km_token_index_count(back, KM_TOKEN_INDEX_BENIGN), 2);
    assert_int_equal(save(back, again, 1 << 16), length);
    assert_memory_equal(again, bytes, length);
    assert_true(length < 2 * (KM_TOKEN_INDEX_KEEP + 123) + 200); /* about two bytes a token */
    assert_ok(km_token_index_prepare(index, idf, &err), err);
    assert_ok(km_token_index_prepare(back, idf, &err), err);
    uint32_t ids[40];
    struct km_token_set set;
    range_set(ids, 10, 1, 40, &set);
    struct km_token_match one = query_one(index, &set, NULL), two = query_one(back, &set, NULL);
    assert_near(one.difference, two.difference, 0);
    assert_string_equal(one.positive.family, two.positive.family);
    free(bytes);
    free(again);
    km_token_index_free(index);
    km_token_index_free(back);
}

/* Puts the checksum of what is before it to the end. */
static void seal(uint8_t *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    assert_non_null(digest);
    km_digest_update(digest, bytes, length - KM_SHA256_BYTES);
    km_digest_finish(digest, bytes + length - KM_SHA256_BYTES);
    km_digest_free(digest);
}

static void damaged_indexes_are_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = small_index(), *back = NULL;
    static uint8_t bytes[4096], copy[4096];
    size_t length = save(index, bytes, sizeof bytes);
    for (size_t cut = 0; cut < length; cut++) {
        assert_true(km_token_index_parse(bytes, cut, &back, &err) != KM_OK);
        memcpy(copy, bytes, length);
        if (cut >= KM_SHA256_BYTES) {
            seal(copy, cut);
            assert_true(km_token_index_parse(copy, cut, &back, &err) != KM_OK);
        }
    }
    for (size_t at = 0; at < length; at++) {
        memcpy(copy, bytes, length);
        copy[at] ^= 0x40;
        assert_true(km_token_index_parse(copy, length, &back, &err) != KM_OK);
        /* With a checksum that fits, it is another index or none; it never crashes. */
        seal(copy, length);
        if (km_token_index_parse(copy, length, &back, &err) == KM_OK) {
            assert_ok(km_token_index_prepare(back, idf, &err), err);
            km_token_index_free(back);
            back = NULL;
        }
    }
    assert_null(back);
    memcpy(copy, bytes, length);
    copy[8] = 2;
    seal(copy, length);
    assert_int_equal(km_token_index_parse(copy, length, &back, &err), KM_UNSUPPORTED);
    memcpy(copy, bytes, length);
    copy[9] = KM_TOKEN_SCHEME + 1;
    seal(copy, length);
    assert_int_equal(km_token_index_parse(copy, length, &back, &err), KM_UNSUPPORTED);
    memcpy(copy, bytes, length);
    copy[20] ^= 1;
    assert_int_equal(km_token_index_parse(copy, length, &back, &err), KM_CONFLICT);
    /* A count of entries without them. */
    static const uint8_t head[] = "KMTOKIDX\x01\x02\x01\x01x\xff\xff\x05";
    memcpy(copy, head, sizeof head - 1);
    seal(copy, sizeof head - 1 + KM_SHA256_BYTES);
    assert_int_equal(km_token_index_parse(copy, sizeof head - 1 + KM_SHA256_BYTES, &back, &err), KM_FORMAT);
    km_token_index_free(index);
}

#define MANY 300

/* Tokens that two thirds of the files have, and such that only neighbours share. */
static size_t mixed_ids(uint32_t file, uint32_t *ids)
{
    size_t count = 0;
    for (uint32_t common = 0; common < 30; common++)
        if ((file + common) % 3 != 0)
            ids[count++] = 500 + common;
    for (uint32_t rare = 0; rare < 10; rare++)
        ids[count++] = 1000 + file * 2 + rare;
    return count;
}

static double cosine_of(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count)
{
    double shared = 0, a_squares = 0, b_squares = 0;
    for (size_t i = 0; i < a_count; i++) {
        double square = (double)idf[a[i]] * (double)idf[a[i]];
        a_squares += square;
        for (size_t k = 0; k < b_count; k++)
            shared += a[i] == b[k] ? square : 0;
    }
    for (size_t k = 0; k < b_count; k++)
        b_squares += (double)idf[b[k]] * (double)idf[b[k]];
    return shared / sqrt(a_squares * b_squares);
}

/* How an id's files are kept depends on how many they are; the answer does not. */
static void common_and_rare_tokens_count_alike(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = index_new();
    uint32_t ids[40], asked[40];
    for (uint32_t file = 0; file < MANY; file++) {
        char family[16];
        (void)snprintf(family, sizeof family, "f%u", file);
        struct km_token_set set = {ids, mixed_ids(file, ids)};
        assert_ok(km_token_index_add(index, KM_TOKEN_INDEX_BENIGN, family, "x", &set, &err), err);
    }
    assert_ok(km_token_index_prepare(index, idf, &err), err);
    for (uint32_t file = 0; file < MANY; file += 7) {
        char family[16], nearest[16] = "";
        double best = 0;
        size_t count = mixed_ids(file, asked);
        (void)snprintf(family, sizeof family, "f%u", file);
        for (uint32_t other = 0; other < MANY; other++) {
            double cosine = other == file ? 0 : cosine_of(asked, count, ids, mixed_ids(other, ids));
            if (cosine > best) {
                best = cosine;
                (void)snprintf(nearest, sizeof nearest, "f%u", other);
            }
        }
        struct km_token_set set = {asked, count};
        struct km_token_match match = query_one(index, &set, NULL);
        assert_string_equal(match.benign.family, family);
        assert_near(match.benign.cosine, 1, 1e-5);
        match = query_one(index, &set, family);
        assert_string_equal(match.benign.family, nearest);
        assert_near(match.benign.cosine, best, 1e-5);
    }
    km_token_index_free(index);
}

static int make_idf(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
        idf[id] = 1 + (float)(made_next(&seed) % 1000) / 200;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_of_each_side),
        cmocka_unit_test(shared_tokens_are_the_heaviest),
        cmocka_unit_test(nothing_near_is_nothing),
        cmocka_unit_test(samples_of_large_files_say_about_the_same),
        cmocka_unit_test(common_and_rare_tokens_count_alike),
        cmocka_unit_test(indexes_add_up),
        cmocka_unit_test(what_is_no_entry_is_refused),
        cmocka_unit_test(saved_indexes_are_the_same),
        cmocka_unit_test(damaged_indexes_are_refused),
    };
    return cmocka_run_group_tests_name(KM_TEST_NAME, tests, make_idf, NULL);
}
