/*
 * Memory by lifetime: many small objects that die together. Blocks grow geometrically; nothing is freed singly.
 * One arena per scanned source keeps its names; it has a maximum, so that hostile input meets a stated limit.
 * Not thread-safe: one owner at a time.
 */
#ifndef KM_BASE_ARENA_H
#define KM_BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct km_arena;

/* NULL with *err set on KM_NOMEM. */
struct km_arena *km_arena_new(size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_arena_free(struct km_arena *arena);

/* Zeroed memory, aligned for any object; lives until km_arena_free. NULL with *err set: KM_NOMEM, KM_LIMIT. */
void *km_arena_alloc(struct km_arena *arena, size_t bytes, struct km_err *err) KM_MUST_USE;

/* A copy of text[0..length) with a NUL at its end; unaligned, so names cost their length. NULL as above. */
char *km_arena_strndup(struct km_arena *arena, const char *text, size_t length, struct km_err *err) KM_MUST_USE;

/* Bytes given out so far, padding included. */
size_t km_arena_used(const struct km_arena *arena);

#endif
