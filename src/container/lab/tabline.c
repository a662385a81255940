#include "container/lab/tabline.h"

#include <string.h>

char *km_tabline_next(char **text, size_t *left)
{
    if (*left == 0)
        return NULL;
    char *line = *text;
    char *end = memchr(line, '\n', *left);
    size_t length = end ? (size_t)(end - line) : *left;
    line[length] = '\0'; /* behind the last byte of the text there is a NUL already */
    size_t taken = length + (end ? 1 : 0);
    *text += taken;
    *left -= taken;
    return line;
}

enum km_code km_tabline_cut(char *line, char **fields, size_t count, struct km_err *err)
{
    size_t n = 0;
    for (char *field = line; field;) {
        char *tab = strchr(field, '\t');
        if (tab)
            *tab = '\0';
        if (n == count)
            return km_fail(err, KM_FORMAT, "more than %zu fields", count);
        fields[n++] = field;
        field = tab ? tab + 1 : NULL;
    }
    return n == count ? KM_OK : km_fail(err, KM_FORMAT, "%zu fields instead of %zu", n, count);
}

enum km_code km_tabline_number(const char *field, uint64_t most, uint64_t *out, struct km_err *err)
{
    uint64_t value = 0;
    for (const char *at = field; *at; at++) {
        if (*at < '0' || *at > '9' || value > most / 10)
            return km_fail(err, KM_FORMAT, "'%s' is not a number up to %llu", field, (unsigned long long)most);
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (!*field || value > most)
        return km_fail(err, KM_FORMAT, "'%s' is not a number up to %llu", field, (unsigned long long)most);
    *out = value;
    return KM_OK;
}
