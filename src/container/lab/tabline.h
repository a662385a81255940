/*
 * One line of tab-separated fields, cut in place: for the recipe and sample tables, whose texts are at hand and
 * writable.
 */
#ifndef KM_CONTAINER_LAB_TABLINE_H
#define KM_CONTAINER_LAB_TABLINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Takes the next line off *text (up to *left bytes): NUL takes the place of its end. NULL when there is none. */
char *km_tabline_next(char **text, size_t *left);

/* Cuts a line into exactly `count` fields. KM_FORMAT when there are more or fewer. */
enum km_code km_tabline_cut(char *line, char **fields, size_t count, struct km_err *err) KM_MUST_USE;

/* A decimal number of 0..most, digits alone. KM_FORMAT otherwise. */
enum km_code km_tabline_number(const char *field, uint64_t most, uint64_t *out, struct km_err *err) KM_MUST_USE;

#endif
