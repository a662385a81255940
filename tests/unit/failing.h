/*
 * Makes an allocation of our own objects fail: the linker leads their calls here (--wrap). Include once in a program
 * that depends on failing_dep. Libraries' allocations are their own.
 */
#ifndef KM_TESTS_FAILING_H
#define KM_TESTS_FAILING_H

#include <stdbool.h>
#include <stddef.h>

/* NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier): the linker makes these names */
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static int allocations_left = -1; /* -1: no limit */
static int allocations_failed;

/* After n more allocations each one fails. */
static void fail_allocations_after(int n)
{
    allocations_failed = 0;
    allocations_left = n;
}

/* From here on none fails. Returns how many did. */
static int end_failing(void)
{
    allocations_left = -1;
    return allocations_failed;
}

static bool allocation_fails(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left > 0) {
        allocations_left--;
        return false;
    }
    allocations_failed++;
    return true;
}

void *__wrap_malloc(size_t bytes)
{
    return allocation_fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return allocation_fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return allocation_fails() ? NULL : __real_realloc(old, bytes);
}

/* NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier) */

#endif
