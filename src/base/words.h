/*
 * Sentences for people in their language: the English one is the key, gettext's catalogue "komainu" has the others.
 *
 * A process speaks one language. It is chosen once, before threads begin; without a choice everything is English, and
 * so are all formats that programs read. Catalogues lie in KOMAINU_LOCALE_DIR when that is set, else where the build
 * installs them.
 */
#ifndef KM_BASE_WORDS_H
#define KM_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

/* "en" or "ja"; NULL: by LC_ALL, LC_MESSAGES and LANG, in that order, and English when those name another language or
 * the catalogue is missing. KM_NOTFOUND: a language was named and its catalogue is missing. KM_FORMAT: another name. */
enum km_code km_words_choose(const char *language, struct km_err *err) KM_MUST_USE;

/* "en" or "ja". Static storage. */
const char *km_words_language(void);

/* The sentence in the language of the process, or itself. Never freed. */
const char *km_words(const char *english);

/* The same with each {name} in it replaced: name, text, name, text, …, NULL behind the sentence; a name that is not
 * given stays. The texts are not changed: whoever brings hostile ones escapes them. Cut when out is too small
 * (out_bytes >= 1).
 */
void km_words_format(char *out, size_t out_bytes, const char *english, ...) __attribute__((sentinel));

/* The same to a stream; cut at KM_WORDS_PRINT_BYTES. */
#define KM_WORDS_PRINT_BYTES 8192
void km_words_print(FILE *out, const char *english, ...) __attribute__((sentinel));

/* While paused all is English: around formats that programs read. Returns what it was before; one thread. */
bool km_words_pause(bool paused);

#endif
