#include "package/dpkg.h"

#include <string.h>
#include <strings.h>

enum field {
    FIELD_PACKAGE,
    FIELD_STATUS,
    FIELD_VERSION,
    FIELD_ARCHITECTURE,
    FIELD_SOURCE,
    FIELD_ESSENTIAL,
    FIELD_CONFFILES,
    FIELD_OTHER,
};

struct span {
    const char *text;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(const char *text, size_t length)
{
    while (length > 0 && is_blank(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    return (struct span){text, length};
}

static bool span_is(struct span span, const char *word)
{
    return strlen(word) == span.length && memcmp(span.text, word, span.length) == 0;
}

/* Takes the last word off the end of *rest. */
static struct span last_word(struct span *rest)
{
    *rest = trim(rest->text, rest->length);
    size_t start = rest->length;
    while (start > 0 && !is_blank(rest->text[start - 1]))
        start--;
    struct span word = {rest->text + start, rest->length - start};
    rest->length = start;
    return word;
}

static enum field field_of(struct span name)
{
    static const char *const names[] = {"Package", "Status",    "Version",  "Architecture",
                                        "Source",  "Essential", "Conffiles"};
    for (unsigned i = 0; i < FIELD_OTHER; i++)
        if (strlen(names[i]) == name.length && strncasecmp(names[i], name.text, name.length) == 0)
            return (enum field)i;
    return FIELD_OTHER;
}

/* dpkg's pkg_name_is_illegal. */
static bool is_package_name(struct span name)
{
    static const char also[] = "-+._";
    for (size_t i = 0; i < name.length; i++) {
        char c = name.text[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (i == 0 || !memchr(also, c, sizeof also - 1)))
            return false;
    }
    return name.length > 0;
}

/* "install ok installed": what is wanted, an error flag, what is. */
static bool read_install(struct span value, enum km_package_install *out)
{
    static const struct {
        const char *word;
        enum km_package_install install;
    } states[] = {
        {"not-installed", KM_PACKAGE_REMOVED},      {"config-files", KM_PACKAGE_CONFIG},
        {"half-installed", KM_PACKAGE_PARTIAL},     {"unpacked", KM_PACKAGE_PARTIAL},
        {"half-configured", KM_PACKAGE_PARTIAL},    {"triggers-awaited", KM_PACKAGE_INSTALLED},
        {"triggers-pending", KM_PACKAGE_INSTALLED}, {"installed", KM_PACKAGE_INSTALLED},
        {"post-inst-failed", KM_PACKAGE_PARTIAL},   {"removal-failed", KM_PACKAGE_PARTIAL},
    };
    struct span state = last_word(&value);
    struct span flag = last_word(&value);
    struct span want = last_word(&value);
    if (flag.length == 0 || want.length == 0 || trim(value.text, value.length).length > 0)
        return false;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (span_is(state, states[i].word)) {
            *out = states[i].install;
            return true;
        }
    }
    return false;
}

static enum km_code take_value(struct km_package_file *file, enum field field, struct span value, struct km_err *err)
{
    struct km_dpkg_package *package = &file->stanza.package;
    switch (field) {
    case FIELD_PACKAGE:
        if (!is_package_name(value))
            return km_dpkg_damage(file, "a package name that is none");
        return km_dpkg_add_name(file->db, value.text, value.length, &package->name, err);
    case FIELD_STATUS:
        if (!read_install(value, &package->install))
            return km_dpkg_damage(file, "a package status that dpkg does not know");
        return KM_OK;
    case FIELD_VERSION:
        return km_dpkg_add_name(file->db, value.text, value.length, &package->version, err);
    case FIELD_ARCHITECTURE:
        return km_dpkg_add_name(file->db, value.text, value.length, &package->architecture, err);
    case FIELD_SOURCE: { /* "glibc" or "glibc (2.36-9)" */
        const char *space = memchr(value.text, ' ', value.length);
        size_t length = space ? (size_t)(space - value.text) : value.length;
        return km_dpkg_add_name(file->db, value.text, length, &package->source, err);
    }
    case FIELD_ESSENTIAL:
        package->essential = value.length == 3 && strncasecmp(value.text, "yes", 3) == 0;
        return KM_OK;
    case FIELD_CONFFILES:
        file->stanza.in_conffiles = true;
        return value.length > 0 ? km_dpkg_damage(file, "a conffile on the line of the field's name") : KM_OK;
    case FIELD_OTHER:
        return KM_OK;
    }
    return KM_OK;
}

static enum km_code take_field(struct km_package_file *file, const char *line, size_t length, bool cut,
                               struct km_err *err)
{
    struct km_dpkg_stanza *stanza = &file->stanza;
    const char *colon = memchr(line, ':', length);
    if (!colon)
        return km_dpkg_damage(file, "a line without a field name");
    struct span name = trim(line, (size_t)(colon - line));
    if (name.length == 0)
        return km_dpkg_damage(file, "a line without a field name");
    stanza->started = true;
    stanza->in_conffiles = false;
    enum field field = field_of(name);
    if (field == FIELD_OTHER)
        return KM_OK;
    if (cut)
        return km_dpkg_damage(file, "a line that is too long");
    if (stanza->seen & 1U << field)
        return km_dpkg_damage(file, "a field that is there twice");
    stanza->seen |= 1U << field;
    struct span value = trim(colon + 1, length - (size_t)(colon + 1 - line));
    if (memchr(value.text, '\0', value.length))
        return km_dpkg_damage(file, "a zero byte");
    return take_value(file, field, value, err);
}

/* " /etc/x 0123…ef [obsolete] [remove-on-upgrade]": the path may hold blanks, so words come off the end. */
static enum km_code take_conffile(struct km_package_file *file, const char *line, size_t length, bool cut,
                                  struct km_err *err)
{
    if (cut)
        return km_dpkg_damage(file, "a line that is too long");
    if (memchr(line, '\0', length))
        return km_dpkg_damage(file, "a zero byte");
    struct km_dpkg_sum sum = {.package = (uint32_t)file->package_count, .flags = KM_DPKG_SUM_CONFFILE};
    struct span rest = {line, length};
    struct span word = last_word(&rest);
    while (span_is(word, "obsolete") || span_is(word, "remove-on-upgrade")) {
        if (span_is(word, "obsolete"))
            sum.flags |= KM_DPKG_SUM_OBSOLETE;
        word = last_word(&rest);
    }
    if (km_dpkg_read_md5(word.text, word.length, sum.md5))
        sum.flags |= KM_DPKG_SUM_HAS_MD5;
    else if (!span_is(word, "newconffile"))
        return km_dpkg_damage(file, "a conffile without a checksum");
    struct span path = trim(rest.text, rest.length);
    if (path.length == 0)
        return km_dpkg_damage(file, "a conffile without a name");
    sum.key = km_dpkg_key(file->db, path.text, path.length);
    return km_dpkg_add_sum(file, &sum, err);
}

static enum km_code end_stanza(struct km_package_file *file, struct km_err *err)
{
    struct km_dpkg_stanza *stanza = &file->stanza;
    if (!stanza->started)
        return KM_OK;
    if (!(stanza->seen & 1U << FIELD_PACKAGE))
        return km_dpkg_damage(file, "a stanza without a package name");
    /* distroless images copy the package's own control data, which has no Status field */
    if (!(stanza->seen & 1U << FIELD_STATUS) && file->kind == KM_PACKAGE_FILE_PART)
        stanza->package.install = KM_PACKAGE_INSTALLED;
    void *packages = file->packages;
    enum km_code code = km_dpkg_grow(file->db, &packages, &file->package_capacity, file->package_count + 1,
                                     sizeof *file->packages, err);
    file->packages = packages;
    if (code != KM_OK)
        return code;
    file->packages[file->package_count++] = stanza->package;
    *stanza = (struct km_dpkg_stanza){0};
    return KM_OK;
}

enum km_code km_dpkg_status_line(struct km_package_file *file, const char *line, size_t length, bool cut,
                                 struct km_err *err)
{
    if (length == 0 || (length == 1 && line[0] == '\r'))
        return end_stanza(file, err);
    if (line[0] != ' ' && line[0] != '\t')
        return take_field(file, line, length, cut, err);
    if (!file->stanza.started)
        return km_dpkg_damage(file, "a continued line with nothing before it");
    if (file->stanza.in_conffiles && trim(line, length).length > 0)
        return take_conffile(file, line, length, cut, err);
    return KM_OK;
}

enum km_code km_dpkg_status_end(struct km_package_file *file, struct km_err *err)
{
    return end_stanza(file, err);
}
