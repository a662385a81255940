#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

size_t km_text_decode_utf8(const char *in, size_t in_bytes, uint32_t *out_codepoint)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *u = (const unsigned char *)in;
    if (in_bytes == 0)
        return 0;
    if (u[0] < 0x80) {
        *out_codepoint = u[0];
        return 1;
    }
    size_t length = u[0] >= 0xf0 && u[0] < 0xf8 ? 4 : u[0] >= 0xe0 ? 3 : u[0] >= 0xc0 ? 2 : 0;
    if (length == 0 || length > in_bytes || u[0] >= 0xf8)
        return 0;
    uint32_t codepoint = u[0] & (0xffU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        codepoint = codepoint << 6 | (u[i] & 0x3fU);
    }
    if (codepoint < least[length] || codepoint > 0x10ffff || (codepoint >= 0xd800 && codepoint <= 0xdfff))
        return 0;
    *out_codepoint = codepoint;
    return length;
}

/* Characters that change how their neighbours are shown, or show nothing: a path must look like what it is. */
static int is_deceptive(uint32_t codepoint)
{
    return codepoint < 0x20 || (codepoint >= 0x7f && codepoint < 0xa0) || codepoint == 0xad || codepoint == 0x61c ||
           (codepoint >= 0x200b && codepoint <= 0x200f) || (codepoint >= 0x2028 && codepoint <= 0x202e) ||
           (codepoint >= 0x2060 && codepoint <= 0x206f) || codepoint == 0xfeff ||
           (codepoint >= 0xfff9 && codepoint <= 0xfffb) || (codepoint >= 0xe0000 && codepoint <= 0xe007f) ||
           (codepoint >= 0xfdd0 && codepoint <= 0xfdef) || (codepoint & 0xfffe) == 0xfffe;
}

/* Writes the escape of one character's bytes to out; returns its length (at most 16). */
static size_t escape_character(const char *in, size_t length, char *out)
{
    if (length == 1) {
        const char *names = "\n\t\r\\";
        const char *letters = "ntr\\";
        const char *hit = *in ? strchr(names, *in) : NULL;
        if (hit) {
            out[0] = '\\';
            out[1] = letters[hit - names];
            return 2;
        }
    }
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)in[i];
        out[4 * i] = '\\';
        out[4 * i + 1] = 'x';
        out[4 * i + 2] = digits[byte >> 4];
        out[4 * i + 3] = digits[byte & 15];
    }
    return 4 * length;
}

size_t km_text_escape(const char *in, size_t in_bytes, char *out, size_t out_bytes)
{
    KM_ASSERT(out_bytes >= 4);
    size_t written = 0;
    size_t fallback = 0; /* the last place where "..." still fits */
    size_t i = 0;
    while (i < in_bytes) {
        uint32_t codepoint = 0;
        size_t length = km_text_decode_utf8(in + i, in_bytes - i, &codepoint);
        char piece[16];
        size_t piece_length;
        if (length == 0 || is_deceptive(codepoint) || codepoint == '\\') {
            length = length ? length : 1;
            piece_length = escape_character(in + i, length, piece);
        } else {
            memcpy(piece, in + i, length);
            piece_length = length;
        }
        if (written + piece_length + 1 > out_bytes) {
            memcpy(out + fallback, "...", 4);
            return fallback + 3;
        }
        memcpy(out + written, piece, piece_length);
        written += piece_length;
        if (written + 4 <= out_bytes)
            fallback = written;
        i += length;
    }
    out[written] = '\0';
    return written;
}

void km_text_format_bytes(uint64_t bytes, char *out, size_t out_bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    snprintf(out, out_bytes, unit > 0 && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void km_text_format_seconds(double seconds, char *out, size_t out_bytes)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, out_bytes, "unknown");
        return;
    }
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole < 60)
        snprintf(out, out_bytes, "%lu s", whole);
    else if (whole < 3600)
        snprintf(out, out_bytes, "%lu min %02lu s", whole / 60, whole % 60);
    else
        snprintf(out, out_bytes, "%lu h %02lu min", whole / 3600, whole / 60 % 60);
}

static int is_wide(uint32_t codepoint)
{
    return (codepoint >= 0x1100 && codepoint <= 0x115f) || (codepoint >= 0x2e80 && codepoint <= 0xa4cf) ||
           (codepoint >= 0xac00 && codepoint <= 0xd7a3) || (codepoint >= 0xf900 && codepoint <= 0xfaff) ||
           (codepoint >= 0xfe30 && codepoint <= 0xfe6f) || (codepoint >= 0xff00 && codepoint <= 0xff60) ||
           (codepoint >= 0xffe0 && codepoint <= 0xffe6) || (codepoint >= 0x1f300 && codepoint <= 0x1faff) ||
           (codepoint >= 0x20000 && codepoint <= 0x3fffd);
}

size_t km_text_columns(const char *text)
{
    size_t columns = 0;
    size_t length = strlen(text);
    for (size_t i = 0; i < length;) {
        uint32_t codepoint = 0;
        size_t step = km_text_decode_utf8(text + i, length - i, &codepoint);
        int combining = codepoint >= 0x300 && codepoint <= 0x36f;
        columns += step == 0 ? 1 : combining ? 0 : is_wide(codepoint) ? 2 : 1;
        i += step ? step : 1;
    }
    return columns;
}
