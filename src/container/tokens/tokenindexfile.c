#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "container/tokens/tokenindex_internal.h"
#include "nn/wholefile.h"

/* docs/formats/tokenindex.md */
#define MAGIC       "KMTOKIDX"
#define MAGIC_BYTES 8
#define VERSION     1

struct input {
    const uint8_t *at, *end;
};

static enum km_code cut(struct km_err *err)
{
    return km_fail(err, KM_FORMAT, "token index: ends too early");
}

/* Seven bits a byte, the lowest first; the highest bit says that more follow. */
static enum km_code read_number(struct input *input, uint32_t limit, uint32_t *out, struct km_err *err)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (input->at == input->end)
            return cut(err);
        uint8_t byte = *input->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (value > limit)
            return km_fail(err, KM_LIMIT, "token index: a number above %u", limit);
        *out = (uint32_t)value;
        return KM_OK;
    }
    return km_fail(err, KM_FORMAT, "token index: a number without end");
}

static enum km_code read_label(struct input *input, char out[KM_TOKEN_INDEX_LABEL_BYTES], struct km_err *err)
{
    uint32_t length = 0;
    enum km_code code = read_number(input, KM_TOKEN_INDEX_LABEL_BYTES - 1, &length, err);
    if (code != KM_OK)
        return code;
    if ((size_t)(input->end - input->at) < length)
        return cut(err);
    if (memchr(input->at, 0, length))
        return km_fail(err, KM_FORMAT, "token index: a label with a zero byte");
    memcpy(out, input->at, length);
    out[length] = '\0';
    input->at += length;
    return KM_OK;
}

static enum km_code read_families(struct input *input, struct km_token_index *index, uint32_t *out_count,
                                  struct km_err *err)
{
    uint32_t count = 0, number = 0;
    enum km_code code = read_number(input, KM_TOKEN_INDEX_MAX_FAMILIES, &count, err);
    for (uint32_t i = 0; code == KM_OK && i < count; i++) {
        char label[KM_TOKEN_INDEX_LABEL_BYTES];
        code = read_label(input, label, err);
        if (code == KM_OK)
            code = km_token_index_append_family(index, label, &number, err);
    }
    *out_count = count;
    return code;
}

static enum km_code read_ids(struct input *input, uint32_t count, uint32_t *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    uint32_t least = 0;
    for (uint32_t i = 0; code == KM_OK && i < count; i++) {
        uint32_t gap = 0;
        code = read_number(input, KM_TOKEN_IDS - 1, &gap, err);
        if (code == KM_OK && gap > KM_TOKEN_IDS - 1 - least)
            return km_fail(err, KM_FORMAT, "token index: an id beyond the last");
        out[i] = least + gap;
        least = out[i] + (i + 1 < count);
        if (code == KM_OK && i + 1 < count && least >= KM_TOKEN_IDS)
            return km_fail(err, KM_FORMAT, "token index: an id beyond the last");
    }
    return code;
}

static enum km_code read_entry(struct input *input, struct km_token_index *index, uint32_t families, struct km_err *err)
{
    char label[KM_TOKEN_INDEX_LABEL_BYTES];
    uint32_t side = 0, family = 0, total = 0, kept[KM_TOKEN_INDEX_KEEP];
    enum km_code code = read_number(input, KM_TOKEN_INDEX_BENIGN, &side, err);
    if (code == KM_OK)
        code = read_number(input, families - 1, &family, err);
    if (code == KM_OK)
        code = read_label(input, label, err);
    if (code == KM_OK)
        code = read_number(input, KM_TOKEN_IDS, &total, err);
    if (code != KM_OK)
        return code;
    if (total < KM_TOKEN_INDEX_MIN_TOKENS)
        return km_fail(err, KM_FORMAT, "token index: an entry of %u tokens", total);
    uint32_t count = total < KM_TOKEN_INDEX_KEEP ? total : KM_TOKEN_INDEX_KEEP;
    code = read_ids(input, count, kept, err);
    if (code != KM_OK)
        return code;
    struct km_token_record record = {.side = (enum km_token_index_side)side,
                                     .family = family,
                                     .file = label,
                                     .total = total,
                                     .kept = kept,
                                     .count = count};
    return km_token_index_put(index, &record, err);
}

static enum km_code check_digest(const uint8_t *bytes, size_t length, struct km_err *err)
{
    uint8_t own[KM_SHA256_BYTES];
    if (km_digest_sha256(bytes, length, own, err) != KM_OK)
        return err->code;
    if (memcmp(own, bytes + length, sizeof own) != 0)
        return km_fail(err, KM_CONFLICT, "token index: its checksum does not fit");
    return KM_OK;
}

static enum km_code read_head(struct input *input, struct km_err *err)
{
    uint32_t version = 0, scheme = 0;
    if (memcmp(input->at, MAGIC, MAGIC_BYTES) != 0)
        return km_fail(err, KM_FORMAT, "no token index");
    input->at += MAGIC_BYTES;
    enum km_code code = read_number(input, UINT32_MAX, &version, err);
    if (code == KM_OK && version != VERSION)
        return km_fail(err, KM_UNSUPPORTED, "token index of version %u; %d is known", version, VERSION);
    if (code == KM_OK)
        code = read_number(input, UINT32_MAX, &scheme, err);
    if (code == KM_OK && scheme != KM_TOKEN_SCHEME)
        return km_fail(err, KM_UNSUPPORTED, "token index of token scheme %u; this is %d", scheme, KM_TOKEN_SCHEME);
    return code;
}

enum km_code km_token_index_parse(const uint8_t *bytes, size_t length, struct km_token_index **out, struct km_err *err)
{
    if (length > KM_TOKEN_INDEX_MAX_BYTES)
        return km_fail(err, KM_LIMIT, "token index: %zu bytes", length);
    if (length < MAGIC_BYTES + KM_SHA256_BYTES)
        return cut(err);
    struct input input = {bytes, bytes + length - KM_SHA256_BYTES};
    uint32_t families = 0, entries = 0;
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = km_token_index_new(err);
    if (!index)
        return err->code;
    enum km_code code = read_head(&input, err);
    if (code == KM_OK)
        code = check_digest(bytes, length - KM_SHA256_BYTES, err);
    if (code == KM_OK)
        code = read_families(&input, index, &families, err);
    if (code == KM_OK)
        code = read_number(&input, families > 0 ? KM_TOKEN_INDEX_MAX_ENTRIES : 0, &entries, err);
    for (uint32_t i = 0; code == KM_OK && i < entries; i++)
        code = read_entry(&input, index, families, err);
    if (code == KM_OK && input.at != input.end)
        return km_fail(err, KM_FORMAT, "token index: bytes behind the last entry");
    if (code == KM_OK)
        *out = km_steal(index);
    return code;
}

enum km_code km_token_index_load(int fd, struct km_token_index **out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, KM_TOKEN_INDEX_MAX_BYTES, &bytes, &length, err);
    return code == KM_OK ? km_token_index_parse(bytes, length, out, err) : km_err_wrap(err, "token index");
}

static enum km_code write_number(struct km_buf *buf, uint32_t value, struct km_err *err)
{
    uint8_t bytes[5];
    size_t length = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[length++] = (uint8_t)(value | 0x80);
    bytes[length++] = (uint8_t)value;
    return km_buf_append(buf, bytes, length, err);
}

static enum km_code write_label(struct km_buf *buf, const char *label, struct km_err *err)
{
    size_t length = strlen(label);
    enum km_code code = write_number(buf, (uint32_t)length, err);
    return code == KM_OK ? km_buf_append(buf, label, length, err) : code;
}

static enum km_code write_entry(struct km_buf *buf, const struct km_token_index *index,
                                const struct km_token_entry *entry, struct km_err *err)
{
    enum km_code code = write_number(buf, entry->side, err);
    if (code == KM_OK)
        code = write_number(buf, entry->family, err);
    if (code == KM_OK)
        code = write_label(buf, index->texts + entry->file, err);
    if (code == KM_OK)
        code = write_number(buf, entry->total, err);
    uint32_t least = 0;
    for (uint32_t i = 0; code == KM_OK && i < entry->count; i++) {
        uint32_t id = index->ids[entry->begin + i];
        code = write_number(buf, id - least, err);
        least = id + 1;
    }
    return code;
}

static enum km_code format(const struct km_token_index *index, struct km_buf *buf, struct km_err *err)
{
    enum km_code code = km_buf_append(buf, MAGIC, MAGIC_BYTES, err);
    if (code == KM_OK)
        code = write_number(buf, VERSION, err);
    if (code == KM_OK)
        code = write_number(buf, KM_TOKEN_SCHEME, err);
    if (code == KM_OK)
        code = write_number(buf, (uint32_t)index->family_count, err);
    for (size_t i = 0; code == KM_OK && i < index->family_count; i++)
        code = write_label(buf, index->texts + index->families[i], err);
    if (code == KM_OK)
        code = write_number(buf, (uint32_t)index->entry_count, err);
    for (size_t i = 0; code == KM_OK && i < index->entry_count; i++)
        code = write_entry(buf, index, &index->entries[i], err);
    return code;
}

enum km_code km_token_index_save(const struct km_token_index *index, int fd, struct km_err *err)
{
    KM_CLEANUP(km_buf_done) struct km_buf buf;
    km_buf_init(&buf, KM_TOKEN_INDEX_MAX_BYTES);
    enum km_code code = format(index, &buf, err);
    if (code != KM_OK)
        return km_err_wrap(err, "token index");
    uint8_t checksum[KM_SHA256_BYTES];
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    km_digest_update(digest, buf.data, buf.length);
    km_digest_finish(digest, checksum);
    km_digest_free(digest);
    code = km_buf_append(&buf, checksum, sizeof checksum, err);
    return code == KM_OK ? km_wholefile_write(fd, buf.data, buf.length, err) : code;
}
