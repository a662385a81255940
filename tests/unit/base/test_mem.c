#define KM_TEST_NAME "mem"
#include "../cm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"

static void calloc_is_zeroed_and_limited(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    unsigned char *bytes = km_calloc(10, 10, 100, &err);
    assert_non_null(bytes);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(bytes[i], 0);
    free(bytes);
    void *nothing = km_calloc(0, 10, 0, &err);
    assert_non_null(nothing);
    free(nothing);
    nothing = km_calloc(10, 0, 0, &err);
    assert_non_null(nothing);
    free(nothing);
    static const struct {
        size_t count, size, max_bytes;
    } rows[] = {{10, 10, 99}, {SIZE_MAX, 2, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2, SIZE_MAX}, {1, 1, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err.code = KM_OK;
        assert_null(km_calloc(rows[i].count, rows[i].size, rows[i].max_bytes, &err));
        assert_int_equal(err.code, KM_LIMIT);
    }
}

static void strndup_copies_as_told(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char *copy = km_strndup("abcdef", 3, &err);
    assert_string_equal(copy, "abc");
    free(copy);
    copy = km_strndup("a\0b", 3, &err); /* bytes, not text */
    assert_memory_equal(copy, "a\0b", 4);
    free(copy);
    copy = km_strndup("", 0, &err);
    assert_string_equal(copy, "");
    free(copy);
}

static void growth_is_geometric_and_keeps_the_content(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    void *array = NULL;
    size_t capacity = 0, moves = 0;
    for (size_t count = 0; count < 100000; count++) {
        size_t before = capacity;
        assert_ok(km_grow(&array, &capacity, count + 1, sizeof(uint32_t), 100000, &err), err);
        assert_true(capacity >= count + 1 && capacity <= 100000);
        moves += capacity != before;
        ((uint32_t *)array)[count] = (uint32_t)count;
    }
    assert_true(moves < 40);
    for (uint32_t i = 0; i < 100000; i += 991)
        assert_int_equal(((uint32_t *)array)[i], i);
    free(array);
}

static void growth_is_limited_and_leaves_the_array_alone(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    void *array = NULL;
    size_t capacity = 0;
    assert_ok(km_grow(&array, &capacity, 10, 8, 10, &err), err);
    assert_int_equal(capacity, 10);
    const void *before = array;
    assert_int_equal(km_grow(&array, &capacity, 11, 8, 10, &err), KM_LIMIT);
    assert_int_equal(km_grow(&array, &capacity, 11, 8, SIZE_MAX, &err), KM_LIMIT); /* its size would overflow */
    assert_ptr_equal(array, before);
    assert_int_equal(capacity, 10);
    assert_ok(km_grow(&array, &capacity, 3, 8, 10, &err), err); /* never shrinks */
    assert_int_equal(capacity, 10);
    free(array);
}

static unsigned released;

static void release(const int *object)
{
    released += object ? 1 : 0;
}
KM_DEFINE_CLEANUP(const int, release_cleanup, release);

static const int *own_and_maybe_steal(const int *object, int steal)
{
    const int *owned KM_CLEANUP(release_cleanup) = object;
    return steal ? km_steal(owned) : NULL;
}

static void cleanup_runs_unless_stolen(void **state)
{
    (void)state;
    static const int object = 1;
    released = 0;
    assert_null(own_and_maybe_steal(&object, 0));
    assert_int_equal(released, 1);
    assert_ptr_equal(own_and_maybe_steal(&object, 1), &object);
    assert_int_equal(released, 1);
}

static void descriptors_are_closed_unless_stolen(void **state)
{
    (void)state;
    int kept = -1, closed = -1;
    {
        int first KM_CLEANUP(km_cleanup_close) = open("/dev/null", O_RDONLY | O_CLOEXEC);
        int second KM_CLEANUP(km_cleanup_close) = open("/dev/null", O_RDONLY | O_CLOEXEC);
        int none KM_CLEANUP(km_cleanup_close) = -1;
        (void)none;
        closed = first;
        kept = km_steal_fd(&second);
        assert_int_equal(second, -1);
    }
    assert_int_equal(fcntl(closed, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    assert_true(fcntl(kept, F_GETFD) >= 0);
    assert_int_equal(close(kept), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calloc_is_zeroed_and_limited),
        cmocka_unit_test(strndup_copies_as_told),
        cmocka_unit_test(growth_is_geometric_and_keeps_the_content),
        cmocka_unit_test(growth_is_limited_and_leaves_the_array_alone),
        cmocka_unit_test(cleanup_runs_unless_stolen),
        cmocka_unit_test(descriptors_are_closed_unless_stolen),
    };
    return KM_RUN_TESTS(tests);
}
