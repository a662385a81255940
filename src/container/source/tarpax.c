#include <stdlib.h>
#include <string.h>

#include "container/source/tarhead.h"

void km_tar_pax_init(struct km_tar_pax *pax)
{
    memset(pax, 0, sizeof *pax);
    km_buf_init(&pax->path, KM_TAR_MAX_NAME);
    km_buf_init(&pax->link, KM_TAR_MAX_NAME);
    km_buf_init(&pax->sparse_name, KM_TAR_MAX_NAME);
}

void km_tar_pax_done(struct km_tar_pax *pax)
{
    km_buf_done(&pax->path);
    km_buf_done(&pax->link);
    km_buf_done(&pax->sparse_name);
    free(pax->map.regions);
    pax->map = (struct km_tar_sparse){0};
}

void km_tar_pax_clear(struct km_tar_pax *pax)
{
    struct km_tar_pax kept = *pax;
    memset(pax, 0, sizeof *pax);
    pax->path = kept.path;
    pax->link = kept.link;
    pax->sparse_name = kept.sparse_name;
    pax->map = kept.map;
    pax->map.count = 0;
    km_buf_clear(&pax->path);
    km_buf_clear(&pax->link);
    km_buf_clear(&pax->sparse_name);
}

bool km_tar_decimal(const char *text, size_t length, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || value > ((uint64_t)INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = value;
    return length > 0;
}

struct record {
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
};

static bool key_is(const struct record *record, const char *key)
{
    return record->key_length == strlen(key) && memcmp(record->key, key, record->key_length) == 0;
}

/* Takes the record at text[0..length); returns its length, or 0 when it is malformed. */
static size_t split_record(const char *text, size_t length, struct record *out)
{
    const char *space = memchr(text, ' ', length < 20 ? length : 20);
    uint64_t total = 0;
    if (!space || !km_tar_decimal(text, (size_t)(space - text), &total) || total > length)
        return 0;
    size_t head = (size_t)(space - text) + 1;
    if (total < head + 2 || text[total - 1] != '\n')
        return 0;
    const char *equals = memchr(text + head, '=', total - head - 1);
    if (!equals || equals == text + head)
        return 0;
    out->key = text + head;
    out->key_length = (size_t)(equals - out->key);
    out->value = equals + 1;
    out->value_length = (size_t)(text + total - 1 - out->value);
    return (size_t)total;
}

static enum km_code set_text(struct km_buf *buf, const struct record *record, struct km_err *err)
{
    km_buf_clear(buf);
    return km_buf_append(buf, record->value, record->value_length, err);
}

static bool whole_seconds(const struct record *record, int64_t *out)
{
    bool negative = record->value_length > 0 && record->value[0] == '-';
    const char *digits = record->value + (negative ? 1 : 0);
    size_t length = record->value_length - (negative ? 1 : 0);
    const char *dot = memchr(digits, '.', length);
    uint64_t value = 0;
    if (!km_tar_decimal(digits, dot ? (size_t)(dot - digits) : length, &value))
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static bool owner_number(const struct record *record, uint32_t *out)
{
    uint64_t value = 0;
    if (!km_tar_decimal(record->value, record->value_length, &value))
        return false;
    *out = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return true;
}

/* Format 0.1: "offset,length,offset,length,…" */
static enum km_code read_map(struct km_tar_pax *pax, const struct record *record, struct km_err *err)
{
    const char *at = record->value, *end = at + record->value_length;
    uint64_t pair[2];
    int have = 0;
    pax->map.count = 0;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        if (!km_tar_decimal(at, (size_t)(stop - at), &pair[have]))
            return km_fail(err, KM_FORMAT, "a sparse map that is not made of numbers");
        at = comma ? comma + 1 : end;
        if (++have == 2) {
            enum km_code code = km_tar_sparse_add(&pax->map, pair[0], pair[1], err);
            if (code != KM_OK)
                return code;
            have = 0;
        }
    }
    return have == 0 ? KM_OK : km_fail(err, KM_FORMAT, "a sparse map with half a pair");
}

static enum km_code take_sparse(struct km_tar_pax *pax, const struct record *record, struct km_err *err)
{
    uint64_t number = 0;
    bool is_number = km_tar_decimal(record->value, record->value_length, &number);
    if (key_is(record, "GNU.sparse.name"))
        return set_text(&pax->sparse_name, record, err);
    if (key_is(record, "GNU.sparse.map")) {
        pax->sparse = true;
        return read_map(pax, record, err);
    }
    if (!is_number)
        return km_fail(err, KM_FORMAT, "a sparse record that is not a number");
    pax->sparse = true;
    if (key_is(record, "GNU.sparse.major"))
        pax->sparse_major = number > 1000 ? 1000 : (unsigned)number;
    if (key_is(record, "GNU.sparse.size") || key_is(record, "GNU.sparse.realsize")) {
        pax->has_sparse_size = true;
        pax->sparse_size = number;
    }
    if (key_is(record, "GNU.sparse.offset")) {
        pax->has_sparse_offset = true;
        pax->sparse_offset = number;
    }
    if (key_is(record, "GNU.sparse.numbytes")) {
        if (!pax->has_sparse_offset)
            return km_fail(err, KM_FORMAT, "a sparse region without an offset");
        pax->has_sparse_offset = false;
        return km_tar_sparse_add(&pax->map, pax->sparse_offset, number, err);
    }
    return KM_OK;
}

static enum km_code take_record(struct km_tar_pax *pax, const struct record *record, struct km_err *err)
{
    bool good = true;
    if (key_is(record, "path"))
        return set_text(&pax->path, record, err);
    if (key_is(record, "linkpath"))
        return set_text(&pax->link, record, err);
    if (key_is(record, "size"))
        good = pax->has_size = km_tar_decimal(record->value, record->value_length, &pax->size);
    else if (key_is(record, "mtime"))
        pax->has_mtime = whole_seconds(record, &pax->mtime_s);
    else if (key_is(record, "uid"))
        pax->has_uid = owner_number(record, &pax->uid);
    else if (key_is(record, "gid"))
        pax->has_gid = owner_number(record, &pax->gid);
    else if (record->key_length > 11 && memcmp(record->key, "GNU.sparse.", 11) == 0)
        return take_sparse(pax, record, err);
    return good ? KM_OK : km_fail(err, KM_FORMAT, "a PAX size that is not a number");
}

enum km_code km_tar_pax_read(struct km_tar_pax *pax, const char *text, size_t length, struct km_err *err)
{
    while (length > 0) {
        struct record record = {0};
        size_t used = split_record(text, length, &record);
        if (used == 0)
            return km_fail(err, KM_FORMAT, "a PAX record that is malformed");
        enum km_code code = take_record(pax, &record, err);
        if (code != KM_OK)
            return code;
        text += used;
        length -= used;
    }
    return KM_OK;
}
