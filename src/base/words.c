#include "base/words.h"

#include <libintl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN "komainu"
/* Every catalogue has a sentence that says its own language. */
#define PROBE "(the language of this catalogue)"

static const char *chosen = "en";

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

/* gettext looks at LANGUAGE in any locale but "C", so no Japanese locale has to be installed. */
static int open_catalogue(const char *language)
{
    const char *folder = getenv("KOMAINU_LOCALE_DIR");
    if (!setlocale(LC_MESSAGES, "C.UTF-8") || setenv("LANGUAGE", language, 1) != 0 ||
        !bindtextdomain(DOMAIN, folder && *folder ? folder : KM_LOCALE_FOLDER) ||
        !bind_textdomain_codeset(DOMAIN, "UTF-8"))
        return 0;
    return strcmp(dgettext(DOMAIN, PROBE), language) == 0;
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
    return km_fail(err, KM_NOTFOUND, "the catalogue of language '%s' is not installed", name);
}

const char *km_words_language(void)
{
    return chosen;
}

const char *km_words(const char *english)
{
    /* The empty text is the key of a catalogue's header. */
    return *english && strcmp(chosen, "en") != 0 ? dgettext(DOMAIN, english) : english;
}
