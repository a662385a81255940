#include "container/scan/place.h"

#include <stdbool.h>
#include <string.h>

static const struct {
    const char *prefix;
    enum km_place_class class;
} prefixes[] = {
    {"usr/bin", KM_PLACE_SYSTEM},   {"usr/sbin", KM_PLACE_SYSTEM},   {"bin", KM_PLACE_SYSTEM},
    {"sbin", KM_PLACE_SYSTEM},      {"usr/lib", KM_PLACE_SYSTEM},    {"lib", KM_PLACE_SYSTEM},
    {"usr/lib64", KM_PLACE_SYSTEM}, {"lib64", KM_PLACE_SYSTEM},      {"usr/libexec", KM_PLACE_SYSTEM},
    {"tmp", KM_PLACE_TEMPORARY},    {"var/tmp", KM_PLACE_TEMPORARY}, {"dev", KM_PLACE_TEMPORARY},
    {"run", KM_PLACE_TEMPORARY},    {"var/run", KM_PLACE_TEMPORARY},
};

enum km_place_class km_place_classify(const char *path, size_t *out_prefix_bytes)
{
    size_t best = 0;
    enum km_place_class class = KM_PLACE_OTHER;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t length = strlen(prefixes[i].prefix);
        if (length > best && strncmp(path, prefixes[i].prefix, length) == 0 && path[length] == '/') {
            best = length;
            class = prefixes[i].class;
        }
    }
    if (out_prefix_bytes)
        *out_prefix_bytes = best;
    return class;
}

static bool is_common_dot_name(const char *name, size_t length)
{
    static const char *const common[] = {".bashrc", ".bash_logout", ".profile", ".config",  ".cache",  ".local",
                                         ".ssh",    ".npm",         ".git",     ".cargo",   ".rustup", ".venv",
                                         ".bin",    ".gnupg",       ".github",  ".build-id"};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (strlen(common[i]) == length && strncmp(common[i], name, length) == 0)
            return true;
    return false;
}

const char *km_place_find_hidden(const char *path, size_t *out_bytes)
{
    for (const char *name = path; *name;) {
        size_t length = strcspn(name, "/");
        if (name[0] == '.' && length > 1 && !is_common_dot_name(name, length)) {
            *out_bytes = length;
            return name;
        }
        name += length;
        name += *name == '/';
    }
    return NULL;
}
