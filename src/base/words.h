/*
 * Sentences for people in their language: the English one is the key, gettext's catalogue "komainu" has the others.
 *
 * A process speaks one language. It is chosen once, before threads begin; without a choice everything is English, and
 * so are all formats that programs read. Catalogues lie in KOMAINU_LOCALE_DIR when that is set, else where the build
 * installs them.
 */
#ifndef KM_BASE_WORDS_H
#define KM_BASE_WORDS_H

#include "base/err.h"

/* "en" or "ja"; NULL: by LC_ALL, LC_MESSAGES and LANG, in that order, and English when those name another language or
 * the catalogue is missing. KM_NOTFOUND: a language was named and its catalogue is missing. KM_FORMAT: another name. */
enum km_code km_words_choose(const char *language, struct km_err *err) KM_MUST_USE;

/* "en" or "ja". Static storage. */
const char *km_words_language(void);

/* The sentence in the language of the process, or itself. Never freed. */
const char *km_words(const char *english);

#endif
