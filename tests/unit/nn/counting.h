/* Counts the allocations of our own objects, whose calls the linker leads here (--wrap). Include once in a program. */
#ifndef KM_TESTS_NN_COUNTING_H
#define KM_TESTS_NN_COUNTING_H

#include <stdatomic.h>
#include <stddef.h>

static atomic_uint allocations;

/* NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier): the linker makes these names */
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations++;
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    allocations++;
    return __real_aligned_alloc(alignment, bytes);
}

/* NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier) */

#endif
