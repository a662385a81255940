#include "finding/strange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

#define NUMBER_BYTES 16
#define SALT_BYTES   ((size_t)64)

static uint64_t first_half(const uint8_t *sum)
{
    uint64_t key = 0;
    for (int i = 0; i < 8; i++)
        key = key << 8 | sum[i];
    return key;
}

static void add_key(struct km_strange *strange, uint64_t key)
{
    for (size_t i = 0; i < strange->count; i++)
        if (strange->keys[i] == key)
            return;
    if (strange->count < KM_STRANGE_MAX) {
        strange->keys[strange->count++] = key;
        return;
    }
    uint8_t sum[KM_SHA256_BYTES];
    const uint64_t both[] = {strange->rest, key};
    struct km_err ignored = KM_ERR_INIT;
    if (km_digest_sha256(both, sizeof both, sum, &ignored) == KM_OK)
        strange->rest = first_half(sum) | 1;
    else
        strange->failed = true;
}

void km_strange_add(struct km_strange *strange, const char *kind, const char *name)
{
    uint8_t sum[KM_SHA256_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &ignored);
    if (!digest) {
        strange->failed = true;
        return;
    }
    km_digest_update(digest, kind, strlen(kind));
    km_digest_update(digest, " ", 1);
    km_digest_update(digest, name, strlen(name));
    km_digest_finish(digest, sum);
    km_digest_free(digest);
    add_key(strange, first_half(sum));
}

void km_strange_add_steps(struct km_strange *strange, const char *kind, unsigned steps)
{
    for (unsigned i = 1; i <= steps; i++) {
        char name[NUMBER_BYTES];
        (void)snprintf(name, sizeof name, "%u", i);
        km_strange_add(strange, kind, name);
    }
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void format_keys(uint64_t *keys, size_t count, char *out)
{
    size_t n = 0;
    out[0] = '\0';
    qsort(keys, count, sizeof *keys, by_value);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(out + n, KM_STRANGE_TEXT_BYTES - n, "%s%016" PRIx64, i ? " " : "", keys[i]);
}

void km_strange_format(const struct km_strange *strange, char *out)
{
    uint64_t keys[KM_STRANGE_MAX + 1];
    size_t count = strange->count;
    memcpy(keys, strange->keys, count * sizeof *keys);
    if (strange->rest)
        keys[count++] = strange->rest;
    format_keys(keys, strange->failed ? 0 : count, out);
}

/* The next key of a text; false at its end. *out_damaged is set where there is none. */
static bool next_key(const char **text, uint64_t *out, bool *out_damaged)
{
    const char *at = *text;
    if (*at == '\0')
        return false;
    if (strspn(at, "0123456789abcdef") != KM_STRANGE_KEY_DIGITS ||
        (at[KM_STRANGE_KEY_DIGITS] != ' ' && at[KM_STRANGE_KEY_DIGITS] != '\0')) {
        *out_damaged = true;
        return false;
    }
    *out = strtoull(at, NULL, 16);
    at += KM_STRANGE_KEY_DIGITS;
    *text = at + (*at == ' ');
    return true;
}

bool km_strange_covers(const char *decided, const char *found)
{
    uint64_t have = 0, wanted;
    bool damaged = false, any = false;
    while (next_key(&found, &wanted, &damaged)) {
        bool first = !any;
        any = true;
        while (first || have < wanted) {
            first = false;
            if (!next_key(&decided, &have, &damaged))
                return false;
        }
        if (have != wanted)
            return false;
    }
    return any && !damaged;
}

enum km_code km_strange_salt(const char *text, const uint8_t *salt, size_t salt_bytes, char *out, struct km_err *err)
{
    uint64_t keys[KM_STRANGE_MAX + 1], key;
    uint8_t bytes[2 * SALT_BYTES + sizeof key], sum[KM_SHA256_BYTES];
    size_t count = 0;
    bool damaged = false;
    KM_ASSERT(salt_bytes <= SALT_BYTES);
    memcpy(bytes, salt, salt_bytes);
    memcpy(bytes + salt_bytes + sizeof key, salt, salt_bytes);
    while (count <= KM_STRANGE_MAX && next_key(&text, &key, &damaged)) {
        memcpy(bytes + salt_bytes, &key, sizeof key);
        enum km_code code = km_digest_sha256(bytes, 2 * salt_bytes + sizeof key, sum, err);
        if (code != KM_OK)
            return code;
        keys[count++] = first_half(sum);
    }
    if (damaged || *text)
        return km_fail(err, KM_FORMAT, "the keys of what was strange break their format");
    format_keys(keys, count, out);
    return KM_OK;
}
