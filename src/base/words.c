#include "base/words.h"

#include <libintl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN "komainu"
/* Every catalogue has a sentence that says its own language. */
#define PROBE "(the language of this catalogue)"

static const char *chosen = "en";
static bool is_paused;

static const char *name_from_environment(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i]);
        if (value && *value)
            return strncmp(value, "ja", 2) == 0 && (value[2] == '\0' || strchr("_.@", value[2])) ? "ja" : "en";
    }
    return "en";
}

/* gettext looks at LANGUAGE in any locale but "C", so that no Japanese locale has to be installed; but from glibc 2.39
 * on C.UTF-8 is one more "C", and some other locale has to be there. */
static bool open_catalogue(const char *language)
{
    static const char *const locales[] = {"C.UTF-8", "", "ja_JP.UTF-8", "en_US.UTF-8"};
    const char *folder = getenv("KOMAINU_LOCALE_DIR");
    if (setenv("LANGUAGE", language, 1) != 0 ||
        !bindtextdomain(DOMAIN, folder && *folder ? folder : KM_LOCALE_FOLDER) ||
        !bind_textdomain_codeset(DOMAIN, "UTF-8"))
        return false;
    for (size_t i = 0; i < sizeof locales / sizeof locales[0]; i++)
        if (setlocale(LC_MESSAGES, locales[i]) && strcmp(dgettext(DOMAIN, PROBE), language) == 0)
            return true;
    (void)setlocale(LC_MESSAGES, "C"); /* nor are messages of the system in another language than ours */
    return false;
}

enum km_code km_words_choose(const char *language, struct km_err *err)
{
    const char *name = language ? language : name_from_environment();
    if (strcmp(name, "en") == 0) {
        chosen = "en";
        return KM_OK;
    }
    if (strcmp(name, "ja") != 0)
        return km_fail(err, KM_FORMAT, "no language '%s': en or ja", name);
    if (open_catalogue("ja")) {
        chosen = "ja";
        return KM_OK;
    }
    if (!language)
        return KM_OK;
    return km_fail(err, KM_NOTFOUND, "the catalogue of language '%s' is not installed, or no locale but C is", name);
}

const char *km_words_language(void)
{
    return chosen;
}

const char *km_words(const char *english)
{
    /* The empty text is the key of a catalogue's header. */
    return *english && !is_paused && strcmp(chosen, "en") != 0 ? dgettext(DOMAIN, english) : english;
}

bool km_words_pause(bool paused)
{
    bool before = is_paused;
    is_paused = paused;
    return before;
}

/* The text for the name at `at` ("name}…"), or NULL. */
static const char *find_argument(const char *at, va_list args)
{
    size_t length = strcspn(at, "}");
    for (const char *name; at[length] && (name = va_arg(args, const char *));) {
        const char *text = va_arg(args, const char *);
        if (strlen(name) == length && strncmp(name, at, length) == 0)
            return text;
    }
    return NULL;
}

static void format(char *out, size_t out_bytes, const char *english, va_list given)
{
    const char *at = km_words(english);
    size_t length = 0;
    *out = '\0';
    while (*at && length + 1 < out_bytes) {
        va_list args;
        va_copy(args, given);
        const char *text = *at == '{' ? find_argument(at + 1, args) : NULL;
        va_end(args);
        size_t plain = 1 + strcspn(at + 1, "{");
        int written = text ? snprintf(out + length, out_bytes - length, "%s", text)
                           : snprintf(out + length, out_bytes - length, "%.*s", (int)plain, at);
        length += written > 0 ? (size_t)written : 0;
        at += text ? strcspn(at, "}") + 1 : plain;
    }
}

void km_words_format(char *out, size_t out_bytes, const char *english, ...)
{
    va_list args;
    va_start(args, english);
    format(out, out_bytes, english, args);
    va_end(args);
}

void km_words_print(FILE *out, const char *english, ...)
{
    char text[KM_WORDS_PRINT_BYTES];
    va_list args;
    va_start(args, english);
    format(text, sizeof text, english, args);
    va_end(args);
    fputs(text, out);
}
