/*
 * Text for people, made from bytes that an enemy may have chosen.
 */
#ifndef KM_BASE_TEXT_H
#define KM_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Writes `in` (in_bytes long, any bytes) to out as printable UTF-8: control characters, DEL, backslash, invalid UTF-8
 * and the Unicode characters that reorder or hide text (bidi controls, zero width, line separators) or are none
 * (U+FFFE, which XML forbids) become \n, \t, \r, \\ or \xNN. Cuts at a whole character with "..." when out_bytes is too
 * small; always ends with NUL. out_bytes must be at least 4. Returns the length written without the NUL. */
size_t km_text_escape(const char *in, size_t in_bytes, char *out, size_t out_bytes);

/* The worst case of km_text_escape, NUL included: for callers that must not cut. */
#define KM_TEXT_ESCAPED_MAX(in_bytes) (4 * (size_t)(in_bytes) + 4)

/* "0 B", "999 B", "1.0 kB", "170 MB", "6.2 GB": decimal units, as disks and registries print. out_bytes >= 16. */
void km_text_format_bytes(uint64_t bytes, char *out, size_t out_bytes);

/* "3 s", "2 min 05 s", "1 h 07 min". out_bytes >= 24. */
void km_text_format_seconds(double seconds, char *out, size_t out_bytes);

/* One UTF-8 character at in[0..in_bytes): its length, or 0 when the bytes are not valid UTF-8 (overlong forms,
 * surrogates and values above U+10FFFF are not). *out_codepoint is set when the length is not 0. */
size_t km_text_decode_utf8(const char *in, size_t in_bytes, uint32_t *out_codepoint);

/* Columns that `text` (escaped UTF-8) takes on a terminal: wide East Asian characters count two, combining ones none.
 */
size_t km_text_columns(const char *text);

#endif
