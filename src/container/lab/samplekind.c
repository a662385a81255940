#include "container/lab/samplekind.h"

#include <string.h>

#define ELF_HEAD_BYTES  64
#define ELF_INTERPRETER 3 /* PT_INTERP */
#define ELF_MAX_HEADERS 64

static const char *const names[KM_SAMPLE_KINDS] = {
    "none", "program", "library",    "python", "perl", "shell",  "ruby",
    "php",  "lua",     "javascript", "tcl",    "java", "script",
};

const char *km_sample_kind_to_string(enum km_sample_kind kind)
{
    return names[kind];
}

enum km_code km_sample_kind_from_string(const char *text, enum km_sample_kind *out, struct km_err *err)
{
    for (int i = KM_SAMPLE_PROGRAM; i < KM_SAMPLE_KINDS; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum km_sample_kind)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is no kind of sample", text);
}

bool km_sample_kind_is_elf(enum km_sample_kind kind)
{
    return kind == KM_SAMPLE_PROGRAM || kind == KM_SAMPLE_LIBRARY;
}

/* ---- Paths ---- */

bool km_sample_path_is_wanted(const char *path)
{
    static const char *const dropped[] = {"usr/share/doc/", "usr/share/man/",     "usr/share/info/",
                                          "usr/lib/debug/", "usr/share/lintian/", "usr/share/locale/"};
    static const char *const folders[] = {"/test/",     "/tests/",   "/testing/", "/testsuite/",
                                          "/examples/", "/example/", "/doc/",     "/docs/"};
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
        if (strncmp(path, dropped[i], strlen(dropped[i])) == 0)
            return false;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (strstr(path, folders[i]))
            return false;
    return true;
}

/* ---- Contents ---- */

static uint64_t number_at(const uint8_t *bytes, size_t width)
{
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

/* Little-endian alone: all architectures of the corpus are. */
static enum km_sample_kind detect_elf(const uint8_t *bytes, size_t length)
{
    bool wide = bytes[4] == 2;
    uint64_t type = number_at(bytes + 16, 2);
    if (bytes[5] != 1 || (type != 2 && type != 3))
        return KM_SAMPLE_NONE;
    if (type == 2)
        return KM_SAMPLE_PROGRAM;
    uint64_t table = wide ? number_at(bytes + 32, 8) : number_at(bytes + 28, 4);
    uint64_t step = number_at(bytes + (wide ? 54 : 42), 2), count = number_at(bytes + (wide ? 56 : 44), 2);
    for (uint64_t i = 0; i < count && i < ELF_MAX_HEADERS; i++) {
        uint64_t at = table + i * step;
        if (table > length || at + 4 > length)
            break;
        if (number_at(bytes + at, 4) == ELF_INTERPRETER)
            return KM_SAMPLE_PROGRAM;
    }
    return KM_SAMPLE_LIBRARY;
}

struct word_kind {
    const char *word;
    enum km_sample_kind kind;
};

static enum km_sample_kind detect_interpreter(const uint8_t *bytes, size_t length)
{
    static const struct word_kind words[] = {
        {"python", KM_SAMPLE_PYTHON}, {"perl", KM_SAMPLE_PERL},       {"ruby", KM_SAMPLE_RUBY}, {"php", KM_SAMPLE_PHP},
        {"lua", KM_SAMPLE_LUA},       {"node", KM_SAMPLE_JAVASCRIPT}, {"tclsh", KM_SAMPLE_TCL}, {"wish", KM_SAMPLE_TCL},
        {"expect", KM_SAMPLE_TCL},    {"sh", KM_SAMPLE_SHELL},
    };
    char line[128];
    size_t end = 0;
    while (end < length && end < sizeof line - 1 && bytes[end] != '\n') {
        line[end] = (char)bytes[end];
        end++;
    }
    line[end] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(line, words[i].word))
            return words[i].kind;
    return KM_SAMPLE_SCRIPT;
}

static enum km_sample_kind detect_suffix(const char *path)
{
    static const struct word_kind suffixes[] = {
        {".py", KM_SAMPLE_PYTHON},      {".pl", KM_SAMPLE_PERL},       {".pm", KM_SAMPLE_PERL},
        {".rb", KM_SAMPLE_RUBY},        {".sh", KM_SAMPLE_SHELL},      {".php", KM_SAMPLE_PHP},
        {".lua", KM_SAMPLE_LUA},        {".js", KM_SAMPLE_JAVASCRIPT}, {".mjs", KM_SAMPLE_JAVASCRIPT},
        {".cjs", KM_SAMPLE_JAVASCRIPT}, {".tcl", KM_SAMPLE_TCL},
    };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcmp(dot, suffixes[i].word) == 0)
            return suffixes[i].kind;
    return KM_SAMPLE_NONE;
}

enum km_sample_kind km_sample_kind_detect(const char *path, const uint8_t *bytes, size_t length)
{
    if (length < KM_SAMPLE_MIN_BYTES || length > KM_SAMPLE_MAX_BYTES)
        return KM_SAMPLE_NONE;
    _Static_assert(KM_SAMPLE_MIN_BYTES >= ELF_HEAD_BYTES, "headers are read without asking for the length");
    if (memcmp(bytes, "\177ELF", 4) == 0)
        return detect_elf(bytes, length);
    if (bytes[0] == '#' && bytes[1] == '!')
        return detect_interpreter(bytes, length);
    size_t end = strlen(path);
    if (memcmp(bytes, "PK\3\4", 4) == 0)
        return end > 4 && strcmp(path + end - 4, ".jar") == 0 ? KM_SAMPLE_JAVA : KM_SAMPLE_NONE;
    return memchr(bytes, '\0', length) ? KM_SAMPLE_NONE : detect_suffix(path);
}
