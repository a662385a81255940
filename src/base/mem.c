#include "base/mem.h"

#include <string.h>

void *km_calloc(size_t count, size_t size, size_t max_bytes, struct km_err *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > max_bytes) {
        km_fail(err, KM_LIMIT, "%zu objects of %zu bytes are above the limit of %zu bytes", count, size, max_bytes);
        return NULL;
    }
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", bytes);
    return memory;
}

char *km_strndup(const char *text, size_t length, struct km_err *err)
{
    char *copy = malloc(length + 1);
    if (!copy) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", length + 1);
        return NULL;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

enum km_code km_grow(void **array, size_t *capacity, size_t needed, size_t size, size_t max_count, struct km_err *err)
{
    if (needed <= *capacity)
        return KM_OK;
    if (needed > max_count || max_count > SIZE_MAX / size)
        return km_fail(err, KM_LIMIT, "more than %zu elements", max_count);
    size_t wanted = *capacity < 8 ? 8 : *capacity + *capacity / 2;
    if (wanted < needed)
        wanted = needed;
    if (wanted > max_count)
        wanted = max_count;
    void *grown = realloc(*array, wanted * size);
    if (!grown)
        return km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", wanted * size);
    *array = grown;
    *capacity = wanted;
    return KM_OK;
}
