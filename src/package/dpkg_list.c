#include "package/dpkg.h"

#include <string.h>

#define MD5_HEX_CHARS ((size_t)32)

/* "/usr/bin/x"; "/." is the root itself, which nobody asks about. */
static enum km_code take_path(struct km_package_file *file, const char *line, size_t length, struct km_err *err)
{
    if (length == 0 || line[0] != '/')
        return km_dpkg_damage(file, "a line that is no absolute path");
    return km_dpkg_add_key(file, km_dpkg_key(file->db, line, length), err);
}

/* "/etc/x" or "remove-on-upgrade /etc/x": the latter is not shipped. */
static enum km_code take_conffile(struct km_package_file *file, const char *line, size_t length, struct km_err *err)
{
    static const char flag[] = "remove-on-upgrade ";
    if (length >= sizeof flag - 1 && memcmp(line, flag, sizeof flag - 1) == 0)
        return KM_OK;
    return length == 0 ? KM_OK : take_path(file, line, length, err);
}

/* What md5sum(1) does to names with a newline or a backslash, undone; dpkg's own helper stores them raw. */
static size_t unescape(const char *name, size_t length, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c == '\\' && i + 1 < length) {
            c = name[++i];
            if (c == 'n')
                c = '\n';
        }
        out[n++] = c;
    }
    return n;
}

/* "0123…ef  usr/bin/x", also "./usr/bin/x" and "/usr/bin/x". */
static enum km_code take_sum(struct km_package_file *file, const char *line, size_t length, struct km_err *err)
{
    char raw[KM_DPKG_MAX_LINE_BYTES];
    struct km_dpkg_sum sum = {.flags = KM_DPKG_SUM_HAS_MD5};
    bool escaped = length > 0 && line[0] == '\\';
    if (escaped) {
        line++;
        length--;
    }
    if (length < MD5_HEX_CHARS + 3 || !km_dpkg_read_md5(line, MD5_HEX_CHARS, sum.md5) || line[MD5_HEX_CHARS] != ' ' ||
        (line[MD5_HEX_CHARS + 1] != ' ' && line[MD5_HEX_CHARS + 1] != '*'))
        return km_dpkg_damage(file, "a line that is no checksum and name");
    const char *name = line + MD5_HEX_CHARS + 2;
    length -= MD5_HEX_CHARS + 2;
    if (length > 2 && name[0] == '.' && name[1] == '/') {
        name += 2;
        length -= 2;
    }
    if (escaped) {
        length = unescape(name, length, raw);
        name = raw;
    }
    sum.key = km_dpkg_key(file->db, name, length);
    return km_dpkg_add_sum(file, &sum, err);
}

/* Three lines each: from, to, package. */
static enum km_code take_diversion(struct km_package_file *file, const char *line, size_t length, struct km_err *err)
{
    struct km_dpkg_diversion *diversion = &file->diversion;
    if (length == 0)
        return km_dpkg_damage(file, "an empty line");
    if (file->line % 3 == 0) {
        void *diversions = file->diversions;
        enum km_code code = km_dpkg_add_name(file->db, line, length, &diversion->package, err);
        if (code == KM_OK)
            code = km_dpkg_grow(file->db, &diversions, &file->diversion_capacity, file->diversion_count + 1,
                                sizeof *diversion, err);
        file->diversions = diversions;
        if (code == KM_OK)
            file->diversions[file->diversion_count++] = *diversion;
        return code;
    }
    if (line[0] != '/')
        return km_dpkg_damage(file, "a line that is no absolute path");
    uint64_t key = km_dpkg_key(file->db, line, length);
    if (file->line % 3 == 1)
        diversion->from = key;
    else
        diversion->to = key;
    return KM_OK;
}

/* The link /etc/alternatives/NAME that stands between a generic name and the program. */
static enum km_code add_middle_link(struct km_package_file *file, const char *name, size_t length, struct km_err *err)
{
    static const char folder[] = "etc/alternatives/";
    char path[sizeof folder + KM_DPKG_MAX_LINE_BYTES];
    if (length > KM_DPKG_MAX_LINE_BYTES)
        return km_dpkg_damage(file, "a name that is too long");
    memcpy(path, folder, sizeof folder - 1);
    memcpy(path + sizeof folder - 1, name, length);
    return km_dpkg_add_key(file, km_dpkg_key(file->db, path, sizeof folder - 1 + length), err);
}

/* Line 1: "auto" or "manual"; 2: the generic name; then pairs of slave name and slave link up to an empty line. What
 * follows are the choices, which are no links. */
static enum km_code take_alternative(struct km_package_file *file, const char *line, size_t length, struct km_err *err)
{
    if (file->alternatives_over || file->line == 1)
        return KM_OK;
    if (length == 0) {
        file->alternatives_over = true;
        return KM_OK;
    }
    if (file->line > 2 && file->line % 2 == 1)
        return add_middle_link(file, line, length, err);
    enum km_code code = take_path(file, line, length, err);
    if (code != KM_OK || file->damage || file->line != 2)
        return code;
    const char *name = file->db->names + file->stem;
    return add_middle_link(file, name, strlen(name), err);
}

enum km_code km_dpkg_list_line(struct km_package_file *file, const char *line, size_t length, bool cut,
                               struct km_err *err)
{
    if (cut)
        return km_dpkg_damage(file, "a line that is too long");
    if (memchr(line, '\0', length))
        return km_dpkg_damage(file, "a zero byte");
    switch (file->kind) {
    case KM_PACKAGE_FILE_LIST:
        return take_path(file, line, length, err);
    case KM_PACKAGE_FILE_CONFFILES:
        return take_conffile(file, line, length, err);
    case KM_PACKAGE_FILE_SUMS:
    case KM_PACKAGE_FILE_PART_SUMS:
        return take_sum(file, line, length, err);
    case KM_PACKAGE_FILE_DIVERSIONS:
        return take_diversion(file, line, length, err);
    case KM_PACKAGE_FILE_ALTERNATIVE:
        return take_alternative(file, line, length, err);
    case KM_PACKAGE_FILE_NONE:
    case KM_PACKAGE_FILE_STATUS:
    case KM_PACKAGE_FILE_PART:
        break;
    }
    km_assert_failed("a kind that the list parser reads", __FILE__, __LINE__);
}

void km_dpkg_list_end(struct km_package_file *file)
{
    if (file->kind == KM_PACKAGE_FILE_DIVERSIONS && file->line % 3 != 1)
        (void)km_dpkg_damage(file, "a diversion without its last lines");
}
