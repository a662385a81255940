/*
 * Memory: scope-bound release, ownership transfer, checked sizes.
 *
 * A function that owns something declares it with KM_CLEANUP(free function of the type) and hands it on with
 * km_steal().
 */
#ifndef KM_BASE_MEM_H
#define KM_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

/* Runs cleaner(&variable) when the variable leaves its scope. */
#define KM_CLEANUP(cleaner) __attribute__((cleanup(cleaner)))

/* Defines `name`, a cleanup function for a variable of `type *` that calls free_function on its value. */
#define KM_DEFINE_CLEANUP(type, name, free_function)                                                                   \
    static inline void name(type **variable) /* NOLINT(bugprone-macro-parentheses) */                                  \
    {                                                                                                                  \
        free_function(*variable);                                                                                      \
    }                                                                                                                  \
    struct km_cleanup_semicolon

static inline void km_cleanup_free(void *variable)
{
    void *pointer;
    __builtin_memcpy(&pointer, variable, sizeof pointer);
    free(pointer);
}

static inline void km_cleanup_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* The value of a pointer variable, which becomes NULL: the caller of the function now owns it. */
#define km_steal(variable)                                                                                             \
    __extension__({                                                                                                    \
        __typeof__(variable) km_stolen = (variable);                                                                   \
        (variable) = NULL;                                                                                             \
        km_stolen;                                                                                                     \
    })

/* The same for a file descriptor variable, which becomes -1. */
static inline int km_steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/* Zeroed memory for count objects of size bytes, or NULL with *err set: KM_NOMEM, or KM_LIMIT when count * size is
 * above max_bytes (or overflows). The caller frees it. count or size 0 gives a valid pointer. */
void *km_calloc(size_t count, size_t size, size_t max_bytes, struct km_err *err) KM_MUST_USE;

/* A copy of text[0..length) with a NUL at its end, or NULL with *err set (KM_NOMEM). The caller frees it. */
char *km_strndup(const char *text, size_t length, struct km_err *err) KM_MUST_USE;

/* Grows an array for at least `needed` elements of `size` bytes: *array and *capacity are updated, growth is geometric.
 * KM_LIMIT when needed is above max_count; KM_NOMEM. The array is untouched on failure. */
enum km_code km_grow(void **array, size_t *capacity, size_t needed, size_t size, size_t max_count,
                     struct km_err *err) KM_MUST_USE;

#endif
