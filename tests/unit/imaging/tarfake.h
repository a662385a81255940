/* Tar archives in memory for the tests of this folder. */
#ifndef KM_TESTS_TARFAKE_H
#define KM_TESTS_TARFAKE_H

#include <string.h>

#include "container/imaging/tarwalk.h"

struct tarfake {
    uint8_t bytes[(1 << 16) + 4096];
    size_t length;
};

static inline enum km_code tarfake_read(void *context, uint64_t offset, void *out, size_t length, struct km_err *err)
{
    const struct tarfake *fake = context;
    (void)err;
    KM_ASSERT(offset <= fake->length && length <= fake->length - offset);
    memcpy(out, fake->bytes + offset, length);
    return KM_OK;
}

static inline struct km_tarwalk_input tarfake_input(struct tarfake *fake)
{
    return (struct km_tarwalk_input){fake, tarfake_read, fake->length};
}

/* `digits` octal digits and a NUL. */
static inline void tarfake_octal(uint8_t *field, unsigned digits, unsigned long value)
{
    field[digits] = 0;
    for (; digits > 0; value /= 8)
        field[--digits] = (uint8_t)('0' + value % 8);
}

static inline void tarfake_checksum(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        sum += header[i];
    tarfake_octal(header + 148, 6, sum);
}

/* A header block; returns it, for a test that wants to break it. */
static inline uint8_t *tarfake_header(struct tarfake *fake, const char *name, char type, unsigned long size)
{
    uint8_t *header = fake->bytes + fake->length;
    memset(header, 0, 512);
    memcpy(header, name, strlen(name));
    memcpy(header + 257, "ustar\00000", 8);
    tarfake_octal(header + 124, 11, size);
    header[156] = (uint8_t)type;
    tarfake_checksum(header);
    fake->length += 512;
    return header;
}

/* Content and its padding. */
static inline void tarfake_data(struct tarfake *fake, const void *data, size_t length)
{
    memcpy(fake->bytes + fake->length, data, length);
    size_t whole = (length + 511) / 512 * 512;
    memset(fake->bytes + fake->length + length, 0, whole - length);
    fake->length += whole;
}

static inline void tarfake_file(struct tarfake *fake, const char *name, const char *text)
{
    tarfake_header(fake, name, '0', strlen(text));
    tarfake_data(fake, text, strlen(text));
}

static inline void tarfake_end(struct tarfake *fake)
{
    memset(fake->bytes + fake->length, 0, 1024);
    fake->length += 1024;
}

#endif
