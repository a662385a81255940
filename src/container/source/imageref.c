#include "container/source/imageref.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME_BYTES   255
#define MAX_TAG_BYTES    128
#define MAX_DIGEST_BYTES 200

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_letter_or_digit(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]+ joined by one ".", one or two "_", or any number of "-". */
static bool is_path_component(const char *text, size_t length)
{
    if (length == 0 || !is_lower_or_digit(text[0]) || !is_lower_or_digit(text[length - 1]))
        return false;
    for (size_t i = 0; i < length;) {
        size_t run = 0;
        while (!is_lower_or_digit(text[i + run]) && text[i + run] == text[i]) /* ends: the last one is a letter */
            run++;
        if (run > 0 && !((text[i] == '.' && run == 1) || (text[i] == '_' && run <= 2) || text[i] == '-'))
            return false;
        if (run > 0 && !is_lower_or_digit(text[i + run]))
            return false;
        i += run ? run : 1;
    }
    return true;
}

static bool is_host(const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    size_t name = colon ? (size_t)(colon - text) : length;
    for (size_t i = 0; i < name; i++)
        if (!is_letter_or_digit(text[i]) && !((text[i] == '.' || text[i] == '-') && i > 0 && i + 1 < name))
            return false;
    if (name == 0)
        return false;
    size_t port = colon ? length - name - 1 : 0;
    return !colon || (port > 0 && port <= 5 && strspn(colon + 1, "0123456789") >= port);
}

/* The first component is a host when it has a "." or a ":" or is "localhost". */
static bool begins_with_host(const char *name, size_t first)
{
    return memchr(name, '.', first) || memchr(name, ':', first) ||
           (first == strlen("localhost") && memcmp(name, "localhost", first) == 0);
}

static bool is_name(const char *name, size_t length)
{
    if (length == 0 || length > MAX_NAME_BYTES)
        return false;
    const char *slash = memchr(name, '/', length);
    size_t at = 0;
    if (slash && begins_with_host(name, (size_t)(slash - name))) {
        at = (size_t)(slash - name);
        if (!is_host(name, at))
            return false;
        at++;
    }
    while (at < length) {
        const char *end = memchr(name + at, '/', length - at);
        size_t part = end ? (size_t)(end - name) - at : length - at;
        if (!is_path_component(name + at, part))
            return false;
        at += part + 1;
    }
    return at == length + 1; /* a trailing "/" leaves an empty component */
}

static bool is_tag(const char *tag, size_t length)
{
    if (length == 0 || length > MAX_TAG_BYTES || (!is_letter_or_digit(tag[0]) && tag[0] != '_'))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_letter_or_digit(tag[i]) && !strchr("_.-", tag[i]))
            return false;
    return true;
}

static bool is_digest(const char *digest)
{
    size_t algorithm = strspn(digest, "abcdefghijklmnopqrstuvwxyz0123456789+._-");
    if (algorithm == 0 || digest[algorithm] != ':' || strlen(digest) > MAX_DIGEST_BYTES)
        return false;
    const char *hex = digest + algorithm + 1;
    size_t digits = strspn(hex, "0123456789abcdef");
    return hex[digits] == '\0' && digits >= 32 && (strncmp(digest, "sha256:", 7) != 0 || digits == 64);
}

enum km_code km_imageref_normalise(const char *text, char out[KM_IMAGEREF_MAX_BYTES], struct km_err *err)
{
    size_t name = strcspn(text, "@");
    const char *digest = text[name] == '@' ? text + name + 1 : NULL;
    const char *tag = NULL;
    size_t tag_length = 0;
    for (size_t i = name; i > 0 && text[i - 1] != '/'; i--)
        if (text[i - 1] == ':') { /* the last one behind the last slash; others are a port's */
            tag = text + i;
            tag_length = name - i;
            name = i - 1;
            break;
        }
    if (!is_name(text, name))
        return km_fail(err, KM_FORMAT, "'%.300s' is no image reference", text);
    if (tag && !is_tag(tag, tag_length))
        return km_fail(err, KM_FORMAT, "'%.300s' has no valid tag", text);
    if (digest && !is_digest(digest))
        return km_fail(err, KM_FORMAT, "'%.300s' has no valid digest", text);
    if (digest)
        (void)snprintf(out, KM_IMAGEREF_MAX_BYTES, "%.*s@%s", (int)name, text, digest);
    else
        (void)snprintf(out, KM_IMAGEREF_MAX_BYTES, "%.*s:%.*s", (int)name, text, tag ? (int)tag_length : 6,
                       tag ? tag : "latest");
    return KM_OK;
}
