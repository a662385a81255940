#include "nn/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "nn/wholefile.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are copied as they lie");

#define LENGTH_BYTES 8u

struct km_safetensors {
    struct km_json *header;
    size_t count;
    struct km_safetensor tensors[];
};

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[] = {
    {"F32", 4}, {"F16", 2},  {"BF16", 2}, {"F64", 8}, {"I64", 8}, {"I32", 4},     {"I16", 2},     {"I8", 1},
    {"U8", 1},  {"BOOL", 1}, {"U16", 2},  {"U32", 4}, {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};

static enum km_code read_name(struct km_safetensor *tensor, const char *name, struct km_err *err)
{
    size_t length = strlen(name);
    char escaped[KM_TEXT_ESCAPED_MAX(KM_SAFETENSORS_NAME_BYTES)];
    if (length == 0 || length >= sizeof tensor->name)
        return km_fail(err, KM_LIMIT, "safetensors: a name of %zu bytes", length);
    km_text_escape(name, length, escaped, sizeof escaped);
    if (strcmp(name, escaped) != 0)
        return km_fail(err, KM_FORMAT, "safetensors: a name with control characters: '%s'", name);
    memcpy(tensor->name, name, length + 1);
    return KM_OK;
}

static enum km_code read_shape(struct km_safetensor *tensor, const struct km_json *shape, struct km_err *err)
{
    size_t rank = km_json_size(shape);
    if (!shape || km_json_type(shape) != KM_JSON_ARRAY)
        return km_fail(err, KM_FORMAT, "safetensors: '%s' has no shape", tensor->name);
    if (rank > KM_SAFETENSORS_MAX_RANK)
        return km_fail(err, KM_LIMIT, "safetensors: '%s' has %zu dimensions", tensor->name, rank);
    tensor->rank = (uint32_t)rank;
    tensor->elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t dim = km_json_integer(km_json_at(shape, i), "", -1);
        if (dim < 0)
            return km_fail(err, KM_FORMAT, "safetensors: '%s': a dimension is no size", tensor->name);
        tensor->dims[i] = (uint64_t)dim;
        if (__builtin_mul_overflow(tensor->elements, tensor->dims[i], &tensor->elements))
            return km_fail(err, KM_FORMAT, "safetensors: '%s': its shape is larger than any file", tensor->name);
    }
    return KM_OK;
}

/* The bytes of all values: what stands behind the header. */
struct values {
    const uint8_t *bytes;
    size_t length;
};

static enum km_code read_offsets(struct km_safetensor *tensor, const struct km_json *offsets, struct values values,
                                 struct km_err *err)
{
    int64_t begin = km_json_integer(offsets, "0", -1), end = km_json_integer(offsets, "1", -1);
    if (km_json_type(offsets) != KM_JSON_ARRAY || km_json_size(offsets) != 2 || begin < 0 || end < begin)
        return km_fail(err, KM_FORMAT, "safetensors: '%s': its offsets are not [begin, end]", tensor->name);
    if ((uint64_t)end > values.length)
        return km_fail(err, KM_FORMAT, "safetensors: '%s' ends at %lld of %zu bytes", tensor->name, (long long)end,
                       values.length);
    tensor->data = values.bytes + begin;
    tensor->bytes = (size_t)(end - begin);
    return KM_OK;
}

static enum km_code read_tensor(struct km_safetensor *tensor, const char *name, const struct km_json *entry,
                                struct values values, struct km_err *err)
{
    enum km_code code = read_name(tensor, name, err);
    if (code != KM_OK)
        return code;
    if (km_json_type(entry) != KM_JSON_OBJECT || km_json_size(entry) != 3)
        return km_fail(err, KM_FORMAT, "safetensors: '%s' is not {dtype, shape, data_offsets}", tensor->name);
    const char *dtype = km_json_string(entry, "dtype", "");
    uint64_t size = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtype, dtypes[i].name) == 0)
            size = dtypes[i].bytes;
    if (size == 0)
        return km_fail(err, KM_UNSUPPORTED, "safetensors: '%s': unknown dtype '%.32s'", tensor->name, dtype);
    (void)snprintf(tensor->dtype, sizeof tensor->dtype, "%s", dtype);
    code = read_shape(tensor, km_json_member(entry, "shape"), err);
    if (code == KM_OK)
        code = read_offsets(tensor, km_json_member(entry, "data_offsets"), values, err);
    if (code != KM_OK)
        return code;
    if (__builtin_mul_overflow(tensor->elements, size, &size) || size != tensor->bytes)
        return km_fail(err, KM_FORMAT, "safetensors: '%s': %zu bytes are not what its dtype and shape take",
                       tensor->name, tensor->bytes);
    return KM_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct km_safetensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty tensors before the one that starts there */
}

/* Sorted by place, each tensor begins where the one before ends. */
static enum km_code check_cover(const struct km_safetensors *file, struct values values, struct km_err *err)
{
    const uint8_t *next = values.bytes;
    for (size_t i = 0; i < file->count; i++) {
        const struct km_safetensor *tensor = &file->tensors[i];
        if (tensor->data != next)
            return km_fail(err, KM_FORMAT, "safetensors: '%s' %s", tensor->name,
                           tensor->data < next ? "overlaps another tensor" : "comes after a hole");
        next += tensor->bytes;
    }
    if (next != values.bytes + values.length)
        return km_fail(err, KM_FORMAT, "safetensors: %zu bytes at the end belong to no tensor",
                       (size_t)(values.bytes + values.length - next));
    return KM_OK;
}

static enum km_code read_metadata(const struct km_json *metadata, struct km_err *err)
{
    if (km_json_type(metadata) != KM_JSON_OBJECT)
        return km_fail(err, KM_FORMAT, "safetensors: __metadata__ is not an object");
    if (km_json_size(metadata) > KM_SAFETENSORS_MAX_TENSORS)
        return km_fail(err, KM_LIMIT, "safetensors: too much in __metadata__");
    for (size_t i = 0; i < km_json_size(metadata); i++)
        if (km_json_type(km_json_at(metadata, i)) != KM_JSON_STRING)
            return km_fail(err, KM_FORMAT, "safetensors: __metadata__ holds more than strings");
    return KM_OK;
}

static enum km_code read_header(struct km_safetensors *file, struct values values, struct km_err *err)
{
    size_t members = km_json_size(file->header);
    for (size_t i = 0; i < members; i++) {
        const char *name = km_json_key_at(file->header, i);
        const struct km_json *entry = km_json_at(file->header, i);
        enum km_code code = strcmp(name, "__metadata__") == 0
                                ? read_metadata(entry, err)
                                : read_tensor(&file->tensors[file->count++], name, entry, values, err);
        if (code != KM_OK)
            return code;
    }
    if (file->count > 0)
        qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    return check_cover(file, values, err);
}

struct km_safetensors *km_safetensors_parse(const uint8_t *bytes, size_t length, struct km_err *err)
{
    uint64_t header_length = 0;
    if (length >= LENGTH_BYTES)
        memcpy(&header_length, bytes, LENGTH_BYTES);
    if (length < LENGTH_BYTES || header_length > length - LENGTH_BYTES) {
        km_fail(err, KM_FORMAT, "safetensors: cut short, or no such file: %zu bytes, a header of %llu", length,
                (unsigned long long)header_length);
        return NULL;
    }
    const char *text = (const char *)bytes + LENGTH_BYTES;
    if (header_length > 0 && text[0] != '{') {
        km_fail(err, KM_FORMAT, "safetensors: the header does not begin with '{'");
        return NULL;
    }
    struct km_json *header = km_json_parse(text, header_length, KM_SAFETENSORS_MAX_HEADER_BYTES, err);
    if (!header) {
        km_err_wrap(err, "safetensors");
        return NULL;
    }
    size_t members = km_json_size(header);
    if (members > KM_SAFETENSORS_MAX_TENSORS) {
        km_fail(err, KM_LIMIT, "safetensors: %zu tensors", members);
        km_json_free(header);
        return NULL;
    }
    struct km_safetensors *file = calloc(1, sizeof *file + members * sizeof(struct km_safetensor));
    if (!file) {
        km_json_free(header);
        km_fail(err, KM_NOMEM, "out of memory (safetensors)");
        return NULL;
    }
    file->header = header;
    struct values values = {bytes + LENGTH_BYTES + header_length, length - LENGTH_BYTES - header_length};
    if (read_header(file, values, err) != KM_OK) {
        km_safetensors_free(file);
        return NULL;
    }
    return file;
}

void km_safetensors_free(struct km_safetensors *file)
{
    if (!file)
        return;
    km_json_free(file->header);
    free(file);
}

size_t km_safetensors_count(const struct km_safetensors *file)
{
    return file->count;
}

const struct km_safetensor *km_safetensors_get(const struct km_safetensors *file, size_t i)
{
    KM_ASSERT(i < file->count);
    return &file->tensors[i];
}

const struct km_safetensor *km_safetensors_find(const struct km_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *km_safetensors_metadata(const struct km_safetensors *file, const char *key)
{
    return km_json_text(km_json_member(km_json_member(file->header, "__metadata__"), key));
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE half precision: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
static float half_value(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000U) << 16, exponent = half >> 10 & 31U, mantissa = half & 0x3FFU;
    if (exponent == 31)
        return from_bits(sign | 0x7F800000U | mantissa << 13);
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24F;
        return sign ? -magnitude : magnitude;
    }
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* The nearest half, ties to even. */
static uint16_t half_bits(float value)
{
    KM_ASSERT(fabsf(value) <= KM_SAFETENSORS_HALF_MAX);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000U;
    if (fabsf(value) < 0x1p-14F) /* the half's subnormals are multiples of 2^-24 */
        return (uint16_t)(sign | (uint32_t)lrintf(fabsf(value) * 0x1p24F));
    uint32_t odd = bits >> 13 & 1; /* a carry out of the mantissa goes into the exponent, as it should */
    return (uint16_t)(sign | ((bits & 0x7FFFFFFFU) - (112U << 23) + 0xFFFU + odd) >> 13);
}

float km_safetensors_round_half(float value)
{
    return half_value(half_bits(value));
}

enum km_code km_safetensors_read(const struct km_safetensor *tensor, float *out, struct km_err *err)
{
    bool single = strcmp(tensor->dtype, "F32") == 0, brain = strcmp(tensor->dtype, "BF16") == 0;
    if (!single && !brain && strcmp(tensor->dtype, "F16") != 0)
        return km_fail(err, KM_UNSUPPORTED, "tensor '%s': values of type %s are not read", tensor->name, tensor->dtype);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        uint16_t narrow;
        if (single) {
            memcpy(&out[i], tensor->data + 4 * i, sizeof *out);
        } else {
            memcpy(&narrow, tensor->data + 2 * i, sizeof narrow);
            out[i] = brain ? from_bits((uint32_t)narrow << 16) : half_value(narrow);
        }
        if (!isfinite(out[i]))
            return km_fail(err, KM_FORMAT, "tensor '%s': value %llu is not a finite number", tensor->name,
                           (unsigned long long)i);
    }
    return KM_OK;
}

static uint64_t elements_of(const struct km_safetensors_item *item)
{
    uint64_t elements = 1;
    for (uint32_t i = 0; i < item->rank; i++)
        elements *= item->dims[i];
    return elements;
}

static void describe(struct km_json *header, const struct km_safetensors_item *item, uint64_t *offset)
{
    struct km_json *entry = km_json_new_object(), *shape = km_json_new_array(), *offsets = km_json_new_array();
    for (uint32_t i = 0; i < item->rank; i++)
        km_json_append(shape, km_json_new_integer((int64_t)item->dims[i]));
    km_json_append(offsets, km_json_new_integer((int64_t)*offset));
    *offset += elements_of(item) * (item->half ? sizeof(uint16_t) : sizeof(float));
    km_json_append(offsets, km_json_new_integer((int64_t)*offset));
    km_json_set_string(entry, "dtype", item->half ? "F16" : "F32");
    km_json_set(entry, "shape", shape);
    km_json_set(entry, "data_offsets", offsets);
    km_json_set(header, item->name, entry);
}

static enum km_code write_values(int fd, const struct km_safetensors_item *item, struct km_err *err)
{
    uint64_t count = elements_of(item);
    if (!item->half)
        return km_wholefile_write(fd, item->values, count * sizeof(float), err);
    enum km_code code = KM_OK;
    for (uint64_t at = 0; code == KM_OK && at < count;) {
        uint16_t block[1024];
        size_t filled = 0;
        while (filled < sizeof block / sizeof *block && at < count)
            block[filled++] = half_bits(item->values[at++]);
        code = km_wholefile_write(fd, block, filled * sizeof *block, err);
    }
    return code;
}

enum km_code km_safetensors_write(int fd, const struct km_safetensors_item *items, size_t count,
                                  const struct km_json *metadata, struct km_err *err)
{
    if (count + 1 > KM_SAFETENSORS_MAX_TENSORS)
        return km_fail(err, KM_LIMIT, "safetensors: %zu tensors", count);
    KM_CLEANUP(km_json_cleanup) struct km_json *header = km_json_new_object();
    struct km_json *about = km_json_new_object();
    for (size_t i = 0; i < km_json_size(metadata); i++)
        km_json_set_string(about, km_json_key_at(metadata, i), km_json_text(km_json_at(metadata, i)));
    km_json_set(header, "__metadata__", about);
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++)
        describe(header, &items[i], &offset);
    KM_CLEANUP(km_buf_done) struct km_buf text;
    km_buf_init(&text, KM_SAFETENSORS_MAX_HEADER_BYTES);
    enum km_code code = km_json_format(header, 0, &text, err);
    while (code == KM_OK && text.length % 8 != 0) /* so that values are aligned; the format pads with spaces */
        code = km_buf_append_text(&text, " ", err);
    uint64_t length = text.length;
    if (code == KM_OK)
        code = km_wholefile_write(fd, &length, LENGTH_BYTES, err);
    if (code == KM_OK)
        code = km_wholefile_write(fd, km_buf_text(&text), text.length, err);
    for (size_t i = 0; code == KM_OK && i < count; i++)
        code = write_values(fd, &items[i], err);
    return code;
}
