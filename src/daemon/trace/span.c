#include "daemon/trace/span.h"

#include <string.h>

bool km_span_take_word(struct km_span *s, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return false;
    s->at += length;
    return true;
}

bool km_span_ends_with(struct km_span s, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(s.end - s.at) >= length && memcmp(s.end - length, word, length) == 0;
}

bool km_span_contains(struct km_span s, const char *word)
{
    return memmem(s.at, (size_t)(s.end - s.at), word, strlen(word)) != NULL;
}

void km_span_skip_spaces(struct km_span *s)
{
    while (s->at < s->end && *s->at == ' ')
        s->at++;
}

bool km_span_take_number(struct km_span *s, uint64_t limit, uint64_t *out)
{
    const char *begin = s->at;
    uint64_t v = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
        v = v * 10 + (uint64_t)(*s->at - '0');
        if (v > limit)
            return false;
    }
    *out = v;
    return s->at > begin;
}
