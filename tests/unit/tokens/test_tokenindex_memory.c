#define KM_TEST_NAME "tokenindex_memory"
#include "../cm.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../failing.h"
#include "container/tokens/tokenindex.h"
#include "madesets.h"

#define FILES 12

static struct km_token_index *new_index(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = km_token_index_new(&err);
    uint64_t seed = 7;
    assert_non_null(index);
    for (unsigned i = 0; i < FILES; i++) {
        struct made_set made;
        made_set_fill(&made, &seed, i * 500, 40, 20);
        assert_ok(km_token_index_add(index, i % 2 ? KM_TOKEN_INDEX_BENIGN : KM_TOKEN_INDEX_POSITIVE,
                                     i % 3 ? "family" : "other", "1.0 usr/bin/x", &made.set, &err),
                  err);
    }
    return index;
}

static uint8_t *saved(const struct km_token_index *index, size_t *out_length)
{
    struct km_err err = KM_ERR_INIT;
    int fd = memfd_create("index", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(km_token_index_save(index, fd, &err), err);
    *out_length = (size_t)lseek(fd, 0, SEEK_END);
    uint8_t *bytes = malloc(*out_length);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, *out_length, 0), *out_length);
    assert_int_equal(close(fd), 0);
    return bytes;
}

static void every_failed_allocation_of_parsing_is_reported(void **state)
{
    (void)state;
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = new_index();
    size_t length = 0;
    uint8_t *bytes = saved(index, &length);
    bool whole = false;
    for (int n = 0; n < 1000 && !whole; n++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_token_index_cleanup) struct km_token_index *parsed = NULL;
        fail_allocations_after(n);
        enum km_code code = km_token_index_parse(bytes, length, &parsed, &err);
        whole = end_failing() == 0;
        if (whole) {
            assert_ok(code, err);
            assert_int_equal(km_token_index_count(parsed, KM_TOKEN_INDEX_BENIGN) +
                                 km_token_index_count(parsed, KM_TOKEN_INDEX_POSITIVE),
                             FILES);
            assert_in_range(n, 3, 999);
        } else {
            assert_int_equal(code, KM_NOMEM);
            assert_null(parsed);
        }
    }
    assert_true(whole);
    free(bytes);
}

static void every_failed_allocation_of_asking_is_reported(void **state)
{
    (void)state;
    static float idf[KM_TOKEN_IDS];
    for (size_t i = 0; i < KM_TOKEN_IDS; i++)
        idf[i] = 1;
    bool whole = false;
    for (int n = 0; n < 1000 && !whole; n++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = new_index();
        struct km_token_query *query = NULL;
        fail_allocations_after(n);
        enum km_code code = km_token_index_prepare(index, idf, &err);
        if (code == KM_OK)
            code = km_token_query_new((const struct km_token_index *const *)&index, 1, &query, &err);
        whole = end_failing() == 0;
        assert_int_equal(code, whole ? KM_OK : KM_NOMEM);
        assert_true(whole == (query != NULL));
        km_token_query_free(query);
    }
    assert_true(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_of_parsing_is_reported),
        cmocka_unit_test(every_failed_allocation_of_asking_is_reported),
    };
    return KM_RUN_TESTS(tests);
}
