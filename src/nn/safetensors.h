/*
 * The safetensors layout: 8 bytes of header length, a JSON header (name -> dtype, shape, offsets), then plain values in
 * little endian. Nothing in it runs. Own reader, for hostile files, and writer.
 *
 * Limits: header KM_SAFETENSORS_MAX_HEADER_BYTES, KM_SAFETENSORS_MAX_TENSORS tensors, rank 8, names of 255 bytes
 * without control characters. Values must cover the file's rest exactly, each byte once; sizes must follow from dtype
 * and shape.
 */
#ifndef KM_NN_SAFETENSORS_H
#define KM_NN_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define KM_SAFETENSORS_MAX_HEADER_BYTES ((size_t)1 << 20)
#define KM_SAFETENSORS_MAX_TENSORS      4096u
#define KM_SAFETENSORS_MAX_RANK         8u
#define KM_SAFETENSORS_NAME_BYTES       256u

struct km_safetensor {
    char name[KM_SAFETENSORS_NAME_BYTES];
    char dtype[8]; /* "F32", "F16", "BF16", "I64", … */
    uint32_t rank;
    uint64_t dims[KM_SAFETENSORS_MAX_RANK];
    uint64_t elements;
    const uint8_t *data; /* unaligned */
    size_t bytes;
};

/* A parsed header over bytes that the caller keeps: read-only afterwards, may be shared. */
struct km_safetensors;

/* NULL with *err set: KM_FORMAT (what is wrong, with the tensor's name), KM_LIMIT, KM_UNSUPPORTED (a dtype that the
 * format does not know), KM_NOMEM. */
struct km_safetensors *km_safetensors_parse(const uint8_t *bytes, size_t length, struct km_err *err) KM_MUST_USE;
void km_safetensors_free(struct km_safetensors *file);
KM_DEFINE_CLEANUP(struct km_safetensors, km_safetensors_cleanup, km_safetensors_free);

size_t km_safetensors_count(const struct km_safetensors *file);
/* In the order of their values. */
const struct km_safetensor *km_safetensors_get(const struct km_safetensors *file, size_t i);
/* NULL when there is none. */
const struct km_safetensor *km_safetensors_find(const struct km_safetensors *file, const char *name);
/* A string of __metadata__, or NULL. */
const char *km_safetensors_metadata(const struct km_safetensors *file, const char *key);

/* All values as floats; out holds `elements`. F32, F16 and BF16, else KM_UNSUPPORTED; KM_FORMAT for NaN or infinity
 * (out is then undefined). */
enum km_code km_safetensors_read(const struct km_safetensor *tensor, float *out, struct km_err *err) KM_MUST_USE;

/* What to write: row-major, as F32, or as F16 when `half` (values within KM_SAFETENSORS_HALF_MAX; rounded). */
struct km_safetensors_item {
    const char *name;
    const uint64_t *dims;
    const float *values;
    uint32_t rank;
    bool half;
};

#define KM_SAFETENSORS_HALF_MAX 65504.0F

/* The nearest number that F16 holds; ties to even. |value| <= KM_SAFETENSORS_HALF_MAX. */
float km_safetensors_round_half(float value);

/* Writes a file to fd from its current offset. metadata: an object of strings, or NULL; borrowed. KM_IO, KM_NOMEM,
 * KM_LIMIT (header, tensors). */
enum km_code km_safetensors_write(int fd, const struct km_safetensors_item *items, size_t count,
                                  const struct km_json *metadata, struct km_err *err) KM_MUST_USE;

#endif
