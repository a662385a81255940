/*
 * A stretch of a line that is read from its front. Nothing allocates; what is taken moves `at`.
 */
#ifndef KM_DAEMON_TRACE_SPAN_H
#define KM_DAEMON_TRACE_SPAN_H

#include <stdbool.h>
#include <stdint.h>

struct km_span {
    const char *at, *end;
};

/* Whether the word was there and is taken. */
bool km_span_take_word(struct km_span *s, const char *word);
bool km_span_ends_with(struct km_span s, const char *word);
bool km_span_contains(struct km_span s, const char *word);
void km_span_skip_spaces(struct km_span *s);
/* A decimal number of at most `limit`; false: none, or a larger one. */
bool km_span_take_number(struct km_span *s, uint64_t limit, uint64_t *out);

#endif
