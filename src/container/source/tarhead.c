#include "container/source/tarhead.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum field {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_CHECKSUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
    AT_GNU_SPARSE = 386,
    AT_GNU_EXTENDED = 482,
    AT_GNU_REALSIZE = 483,
    AT_EXTRA_EXTENDED = 504,
};

#define NAME_BYTES      100
#define PREFIX_BYTES    155
#define STAR_PREFIX     131
#define SMALL_NUMBER    8
#define LARGE_NUMBER    12
#define CHECKSUM_BYTES  8
#define SPARSE_PAIR     (2 * (size_t)LARGE_NUMBER)
#define AT_STAR_TRAILER 508

enum km_tar_block km_tar_classify(const uint8_t *block)
{
    static const uint8_t zero[KM_TAR_BLOCK];
    if (block[0] == 0 && memcmp(block, zero, KM_TAR_BLOCK) == 0)
        return KM_TAR_ZERO;
    uint64_t stored = 0;
    if (!km_tar_number(block + AT_CHECKSUM, CHECKSUM_BYTES, &stored))
        return KM_TAR_BAD;
    uint32_t sum = 0, high = 0;
    for (size_t i = 0; i < KM_TAR_BLOCK; i++) {
        sum += block[i];
        high += block[i] >> 7;
    }
    for (size_t i = AT_CHECKSUM; i < AT_CHECKSUM + CHECKSUM_BYTES; i++) {
        sum += ' ' - block[i];
        high -= block[i] >> 7;
    }
    int64_t signed_sum = (int64_t)sum - 256 * (int64_t)high; /* old writers added signed characters */
    return stored == sum || (int64_t)stored == signed_sum ? KM_TAR_HEADER : KM_TAR_BAD;
}

static bool base256(const uint8_t *field, size_t length, uint64_t *out)
{
    if (field[0] != 0x80) /* 0xff… is negative; other first bytes are beyond 2^88 */
        return false;
    uint64_t value = 0;
    for (size_t i = 1; i < length; i++) {
        if (value >> 55)
            return false;
        value = value << 8 | field[i];
    }
    *out = value;
    return true;
}

bool km_tar_number(const uint8_t *field, size_t length, uint64_t *out)
{
    if (field[0] & 0x80)
        return base256(field, length, out);
    size_t i = 0;
    uint64_t value = 0;
    while (i < length && (field[i] == ' ' || field[i] == '\0'))
        i++;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0'); /* 12 digits at most: no overflow */
    for (; i < length && field[i] != '\0'; i++)          /* Go reads no further than the NUL either */
        if (field[i] != ' ')
            return false;
    *out = value;
    return true;
}

static uint32_t small_number(const uint8_t *field, size_t length)
{
    uint64_t value = 0;
    if (!km_tar_number(field, length, &value))
        return 0; /* an owner that is not a number hides nothing */
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int64_t time_number(const uint8_t *field)
{
    uint64_t value = 0;
    if (km_tar_number(field, LARGE_NUMBER, &value))
        return (int64_t)value;
    if (field[0] != 0xff)
        return 0;
    uint64_t bits = UINT64_MAX; /* before 1970: two's complement in base 256 */
    for (size_t i = 1; i < LARGE_NUMBER; i++)
        bits = bits << 8 | field[i];
    return (int64_t)bits;
}

static size_t text_length(const uint8_t *field, size_t length)
{
    const uint8_t *end = memchr(field, 0, length);
    return end ? (size_t)(end - field) : length;
}

static size_t prefix_length(const uint8_t *block)
{
    if (memcmp(block + AT_MAGIC, "ustar\0", 6) != 0)
        return 0;
    bool star = memcmp(block + AT_STAR_TRAILER, "tar", 4) == 0;
    return text_length(block + AT_PREFIX, star ? STAR_PREFIX : PREFIX_BYTES);
}

void km_tar_header_read(const uint8_t *block, struct km_tar_header *out)
{
    memset(out, 0, sizeof *out);
    out->type = (char)block[AT_TYPE];
    out->gnu = memcmp(block + AT_MAGIC, "ustar  ", 8) == 0;
    size_t prefix = prefix_length(block);
    if (prefix > 0) {
        memcpy(out->path, block + AT_PREFIX, prefix);
        out->path[prefix++] = '/';
    }
    size_t name = text_length(block + AT_NAME, NAME_BYTES);
    memcpy(out->path + prefix, block + AT_NAME, name);
    memcpy(out->link, block + AT_LINK, text_length(block + AT_LINK, NAME_BYTES));
    out->size_bad = !km_tar_number(block + AT_SIZE, LARGE_NUMBER, &out->size);
    out->mode = small_number(block + AT_MODE, SMALL_NUMBER) & 07777;
    out->uid = small_number(block + AT_UID, SMALL_NUMBER);
    out->gid = small_number(block + AT_GID, SMALL_NUMBER);
    out->mtime_s = time_number(block + AT_MTIME);
}

enum km_code km_tar_sparse_add(struct km_tar_sparse *sparse, uint64_t offset, uint64_t length, struct km_err *err)
{
    void *array = sparse->regions;
    enum km_code code =
        km_grow(&array, &sparse->capacity, sparse->count + 1, sizeof *sparse->regions, KM_TAR_MAX_SPARSE, err);
    if (code != KM_OK)
        return code;
    sparse->regions = array;
    sparse->regions[sparse->count++] = (struct km_tar_region){offset, length};
    return KM_OK;
}

bool km_tar_sparse_valid(const struct km_tar_sparse *sparse, uint64_t size, uint64_t *out_stored)
{
    uint64_t end = 0, stored = 0;
    for (size_t i = 0; i < sparse->count; i++) {
        const struct km_tar_region *region = &sparse->regions[i];
        if (region->offset < end || region->offset > size || region->length > size - region->offset)
            return false;
        end = region->offset + region->length;
        stored += region->length;
    }
    *out_stored = stored;
    return true;
}

enum km_code km_tar_sparse_read(const uint8_t *block, int which, struct km_tar_sparse *sparse, bool *out_more,
                                struct km_err *err)
{
    const uint8_t *pair = block + (which == 0 ? AT_GNU_SPARSE : 0);
    int pairs = which == 0 ? KM_TAR_HEADER_SPARSE : KM_TAR_EXTRA_SPARSE;
    for (int i = 0; i < pairs && pair[0] != 0; i++, pair += SPARSE_PAIR) {
        uint64_t offset = 0, length = 0;
        if (!km_tar_number(pair, LARGE_NUMBER, &offset) || !km_tar_number(pair + LARGE_NUMBER, LARGE_NUMBER, &length))
            return km_fail(err, KM_FORMAT, "a sparse map that is not made of numbers");
        enum km_code code = km_tar_sparse_add(sparse, offset, length, err);
        if (code != KM_OK)
            return code;
    }
    *out_more = block[which == 0 ? AT_GNU_EXTENDED : AT_EXTRA_EXTENDED] != 0;
    return KM_OK;
}

bool km_tar_sparse_realsize(const uint8_t *block, uint64_t *out_size)
{
    return km_tar_number(block + AT_GNU_REALSIZE, LARGE_NUMBER, out_size);
}
