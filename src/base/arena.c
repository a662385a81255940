#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK_BYTES   ((size_t)16 << 10)
#define LARGEST_BLOCK_BYTES ((size_t)1 << 20)

struct block {
    struct block *previous;
    size_t size;
    size_t used;
    alignas(max_align_t) char bytes[];
};

struct km_arena {
    struct block *last;
    size_t max_bytes;
    size_t used;
    size_t next_block_bytes;
};

struct km_arena *km_arena_new(size_t max_bytes, struct km_err *err)
{
    struct km_arena *arena = calloc(1, sizeof *arena);
    if (!arena) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *arena);
        return NULL;
    }
    arena->max_bytes = max_bytes;
    arena->next_block_bytes = FIRST_BLOCK_BYTES;
    return arena;
}

void km_arena_free(struct km_arena *arena)
{
    if (!arena)
        return;
    for (struct block *block = arena->last; block;) {
        struct block *previous = block->previous;
        free(block);
        block = previous;
    }
    free(arena);
}

static struct block *add_block(struct km_arena *arena, size_t least_bytes, struct km_err *err)
{
    size_t size = arena->next_block_bytes > least_bytes ? arena->next_block_bytes : least_bytes;
    struct block *block = calloc(1, sizeof *block + size);
    if (!block) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", size);
        return NULL;
    }
    block->size = size;
    block->previous = arena->last;
    arena->last = block;
    if (arena->next_block_bytes < LARGEST_BLOCK_BYTES)
        arena->next_block_bytes *= 2;
    return block;
}

static void *take(struct km_arena *arena, size_t bytes, size_t alignment, struct km_err *err)
{
    if (bytes > arena->max_bytes || arena->used > arena->max_bytes - bytes) {
        km_fail(err, KM_LIMIT, "more than %zu bytes of names and records", arena->max_bytes);
        return NULL;
    }
    struct block *block = arena->last;
    size_t start = block ? (block->used + alignment - 1) / alignment * alignment : 0;
    if (!block || start > block->size || bytes > block->size - start) {
        block = add_block(arena, bytes, err);
        if (!block)
            return NULL;
        start = 0;
    }
    arena->used += start - block->used + bytes;
    block->used = start + bytes;
    return block->bytes + start;
}

void *km_arena_alloc(struct km_arena *arena, size_t bytes, struct km_err *err)
{
    return take(arena, bytes, alignof(max_align_t), err);
}

char *km_arena_strndup(struct km_arena *arena, const char *text, size_t length, struct km_err *err)
{
    if (length == SIZE_MAX) {
        km_fail(err, KM_LIMIT, "a name of %zu bytes", length);
        return NULL;
    }
    char *copy = take(arena, length + 1, 1, err);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

size_t km_arena_used(const struct km_arena *arena)
{
    return arena->used;
}
