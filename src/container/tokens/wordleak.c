#include "container/tokens/wordleak.h"

#include <string.h>

#define LOOK 64 /* bytes before and behind a word in which an address or "(c)" matters to it */

_Static_assert(KM_WORDLEAK_REACH + KM_TOKEN_MAX_BYTES < KM_WORDSCAN_MARGIN, "a rule reaches beyond what is seen");

enum effect {
    QUIET_LINE = 1,    /* the rest of the line: "Author: …" */
    QUIET_LINE_BY = 2, /* the same when "by" follows: "written by …" */
    QUIET_HOST = 3,    /* up to the third "/" when "." follows: "github.com/owner/project/…" */
    QUIET_CHUNK = 4,   /* up to white space when it begins a path: "/build/…" */
    QUIET_SITE = 5,    /* the host when "." follows: "www.…" */
};

static const struct {
    const char *word;
    enum effect effect;
} triggers[] = {
    {"author", QUIET_LINE},        {"authors", QUIET_LINE},        {"authored", QUIET_LINE},
    {"copyright", QUIET_LINE},     {"copyrights", QUIET_LINE},     {"copyrighted", QUIET_LINE},
    {"copyleft", QUIET_LINE},      {"maintainer", QUIET_LINE},     {"maintainers", QUIET_LINE},
    {"contributor", QUIET_LINE},   {"contributors", QUIET_LINE},   {"contributed", QUIET_LINE},
    {"credits", QUIET_LINE},       {"thanks", QUIET_LINE},         {"greets", QUIET_LINE},
    {"greetings", QUIET_LINE},     {"greetz", QUIET_LINE},         {"__author__", QUIET_LINE},
    {"__email__", QUIET_LINE},     {"__version__", QUIET_LINE},    {"__copyright__", QUIET_LINE},
    {"__credits__", QUIET_LINE},   {"__maintainer__", QUIET_LINE}, {"author_email", QUIET_LINE},
    {"written", QUIET_LINE_BY},    {"developed", QUIET_LINE_BY},   {"coded", QUIET_LINE_BY},
    {"created", QUIET_LINE_BY},    {"modified", QUIET_LINE_BY},    {"designed", QUIET_LINE_BY},
    {"ported", QUIET_LINE_BY},     {"hacked", QUIET_LINE_BY},      {"maintained", QUIET_LINE_BY},
    {"programmed", QUIET_LINE_BY}, {"patched", QUIET_LINE_BY},     {"brought", QUIET_LINE_BY},
    {"github", QUIET_HOST},        {"gitlab", QUIET_HOST},         {"bitbucket", QUIET_HOST},
    {"sourceforge", QUIET_HOST},   {"launchpad", QUIET_HOST},      {"codeberg", QUIET_HOST},
    {"www", QUIET_SITE},           {"build", QUIET_CHUNK},         {"builds", QUIET_CHUNK},
    {"builddir", QUIET_CHUNK},     {"buildd", QUIET_CHUNK},        {"home", QUIET_CHUNK},
    {"users", QUIET_CHUNK},
};

#define LONGEST_TRIGGER 14

/* Most words are none of these by their first letter. */
static const bool first_letters[256] = {['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['g'] = 1, ['h'] = 1, ['l'] = 1,
                                        ['m'] = 1, ['p'] = 1, ['s'] = 1, ['u'] = 1, ['w'] = 1, ['t'] = 1, ['_'] = 1};

static uint8_t folded(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* Ends the chunk of text in which it stands. */
static bool ends_chunk(uint8_t byte)
{
    return byte <= ' ' || byte >= 0x7f || strchr("\"'`<>()[]{},;|", byte) != NULL;
}

static bool equal_folded(const uint8_t *text, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (folded(text[i]) != (uint8_t)word[i])
            return false;
    return true;
}

static int effect_of(const uint8_t *text, size_t length)
{
    uint8_t first = folded(text[0]);
    if (length > LONGEST_TRIGGER || !first_letters[first])
        return 0;
    for (size_t i = 0; i < sizeof triggers / sizeof *triggers; i++)
        if ((uint8_t)triggers[i].word[0] == first && strlen(triggers[i].word) == length &&
            equal_folded(text, triggers[i].word, length))
            return triggers[i].effect;
    return 0;
}

static size_t end_of_line(const struct km_wordmasks *masks, size_t at)
{
    size_t stop = at + KM_WORDLEAK_REACH;
    while (at < stop && masks->print[at >> 6] >> (at & 63) & 1)
        at++;
    return at;
}

/* The end of the chunk at `at`, or its `slashes`-th slash (0: any number). */
static size_t end_of_chunk(const uint8_t *buffer, size_t at, unsigned slashes)
{
    size_t stop = at + KM_WORDLEAK_REACH;
    for (unsigned seen = 0; at < stop && !ends_chunk(buffer[at]); at++)
        if (buffer[at] == '/' && ++seen == slashes)
            break;
    return at;
}

/* The end of a host's name; of github.com, gitlab.com and their like with owner and project. */
static size_t end_of_site(const uint8_t *buffer, size_t host)
{
    bool hosting = equal_folded(buffer + host, "git", 3) || equal_folded(buffer + host, "www.git", 7);
    return end_of_chunk(buffer, host, hosting ? 3 : 1);
}

size_t km_wordleak_reach(const struct km_wordmasks *masks, const uint8_t *buffer, size_t begin, size_t end)
{
    if (buffer[end] == ':' && buffer[end + 1] == '/' && buffer[end + 2] == '/')
        return end_of_site(buffer, end + 3);
    switch (effect_of(buffer + begin, end - begin)) {
    case QUIET_LINE:
        return end_of_line(masks, end);
    case QUIET_LINE_BY:
        return is_space(buffer[end]) && equal_folded(buffer + end + 1, "by ", 3) ? end_of_line(masks, end) : end;
    case QUIET_HOST:
        return buffer[end] == '.' ? end_of_chunk(buffer, end, 3) : end;
    case QUIET_SITE:
        return buffer[end] == '.' ? end_of_site(buffer, begin) : end;
    case QUIET_CHUNK:
        return buffer[begin - 1] == '/' && buffer[end] == '/' && ends_chunk(buffer[begin - 2])
                   ? end_of_chunk(buffer, end, 0)
                   : end;
    default:
        return end;
    }
}

/* "@" between two characters of addresses. */
static bool is_address(const struct km_wordmasks *masks, size_t at)
{
    uint64_t around = km_wordmask_at(masks->word, at - 1);
    return (around & 1) && (around & 4);
}

/* No white space or bracket between two places. */
static bool is_one_chunk(const uint8_t *buffer, size_t begin, size_t end)
{
    while (begin < end && !ends_chunk(buffer[begin]))
        begin++;
    return begin == end;
}

static bool is_name(const uint8_t *buffer, size_t begin, size_t end)
{
    if (!(buffer[begin] >= 'A' && buffer[begin] <= 'Z'))
        return false;
    for (size_t i = begin + 1; i < end; i++)
        if (!(buffer[i] >= 'a' && buffer[i] <= 'z'))
            return false;
    return true;
}

static bool is_one_line(const struct km_wordmasks *masks, size_t begin, size_t end)
{
    while (begin < end && masks->print[begin >> 6] >> (begin & 63) & 1)
        begin++;
    return begin == end;
}

static bool has_leak_behind(const struct km_wordmasks *masks, const uint8_t *buffer, size_t begin, size_t end)
{
    for (uint64_t marks = km_wordmask_at(masks->mark, end); marks; marks &= marks - 1) {
        size_t at = end + (size_t)__builtin_ctzll(marks);
        if (buffer[at] != '@' || !is_address(masks, at))
            continue;
        return is_one_chunk(buffer, end, at) || (is_name(buffer, begin, end) && is_one_line(masks, end, at));
    }
    return false;
}

static bool has_leak_before(const struct km_wordmasks *masks, const uint8_t *buffer, size_t begin)
{
    for (uint64_t marks = km_wordmask_at(masks->mark, begin - LOOK); marks; marks &= marks - 1) {
        size_t at = begin - LOOK + (size_t)__builtin_ctzll(marks);
        if (buffer[at] == '@' ? is_address(masks, at) && is_one_chunk(buffer, at, begin)
                              : is_one_line(masks, at, begin))
            return true;
    }
    return false;
}

/* More digits than letters: a version, a date, part of a checksum. */
static bool is_number(const uint8_t *buffer, size_t begin, size_t end)
{
    size_t digits = 0;
    for (size_t i = begin; i < end; i++)
        digits += buffer[i] >= '0' && buffer[i] <= '9';
    return digits * 2 > end - begin;
}

bool km_wordleak_is_leak(const struct km_wordmasks *masks, const uint8_t *buffer, size_t begin, size_t end)
{
    return is_number(buffer, begin, end) || has_leak_behind(masks, buffer, begin, end) ||
           has_leak_before(masks, buffer, begin);
}
