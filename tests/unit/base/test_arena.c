#define KM_TEST_NAME "arena"
#include "../cm.h"

#include <stdalign.h>
#include <string.h>

#include "base/arena.h"

static struct km_arena *new_arena(size_t max_bytes)
{
    struct km_err err = KM_ERR_INIT;
    struct km_arena *arena = km_arena_new(max_bytes, &err);
    assert_non_null(arena);
    assert_int_equal(km_arena_used(arena), 0);
    return arena;
}

static void memory_is_zeroed_aligned_and_stays(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_arena *arena = new_arena((size_t)64 << 20);
    enum { COUNT = 2000 };
    static unsigned char *objects[COUNT];
    for (size_t i = 0; i < COUNT; i++) { /* 1 to 2,000 bytes: 2 MB, many blocks */
        assert_non_null(km_arena_strndup(arena, "odd", i % 3, &err));
        objects[i] = km_arena_alloc(arena, i + 1, &err);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j <= i; j++)
            assert_int_equal(objects[i][j], 0);
        memset(objects[i], (int)(i % 251 + 1), i + 1);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j <= i; j += 97)
            assert_int_equal(objects[i][j], i % 251 + 1);
    km_arena_free(arena);
}

static void names_cost_their_length(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_arena *arena = new_arena(1000);
    char *name = km_arena_strndup(arena, "abcdef", 3, &err);
    assert_string_equal(name, "abc");
    assert_int_equal(km_arena_used(arena), 4);
    char *empty = km_arena_strndup(arena, "", 0, &err);
    assert_string_equal(empty, "");
    assert_int_equal(km_arena_used(arena), 5);
    assert_string_equal(name, "abc");
    assert_non_null(km_arena_alloc(arena, 1, &err)); /* padding counts */
    assert_int_equal(km_arena_used(arena), alignof(max_align_t) + 1);
    km_arena_free(arena);
}

static void the_maximum_is_kept_to_the_byte(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_arena *arena = new_arena(100);
    assert_non_null(km_arena_alloc(arena, 90, &err));
    assert_null(km_arena_strndup(arena, "0123456789", 10, &err)); /* 11 with its NUL */
    assert_int_equal(err.code, KM_LIMIT);
    assert_int_equal(km_arena_used(arena), 90);
    assert_non_null(km_arena_strndup(arena, "012345678", 9, &err));
    assert_int_equal(km_arena_used(arena), 100);
    assert_null(km_arena_strndup(arena, "", 0, &err));
    km_arena_free(arena);
    arena = new_arena(10);
    assert_null(km_arena_alloc(arena, SIZE_MAX, &err));
    assert_int_equal(err.code, KM_LIMIT);
    assert_null(km_arena_strndup(arena, "", SIZE_MAX, &err));
    assert_int_equal(err.code, KM_LIMIT);
    km_arena_free(arena);
    km_arena_free(NULL);
}

static void one_object_may_be_larger_than_a_block(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_arena *arena = new_arena((size_t)16 << 20);
    unsigned char *large = km_arena_alloc(arena, (size_t)5 << 20, &err);
    assert_non_null(large);
    large[0] = large[((size_t)5 << 20) - 1] = 1;
    assert_string_equal(km_arena_strndup(arena, "after", 5, &err), "after");
    km_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_stays),
        cmocka_unit_test(names_cost_their_length),
        cmocka_unit_test(the_maximum_is_kept_to_the_byte),
        cmocka_unit_test(one_object_may_be_larger_than_a_block),
    };
    return KM_RUN_TESTS(tests);
}
