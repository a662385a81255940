#include "cli/rules_source.h"

#include <stdlib.h>

#define SITE_FOLDER "/etc/komainu/rules"

static enum km_code load_usual(struct km_rules *rules, const struct km_rules_listener *listener, struct km_err *err)
{
    const char *named = getenv("KOMAINU_RULES");
    enum km_code code = km_rules_load_path(rules, SITE_FOLDER, listener, err);
    if (code != KM_OK && code != KM_NOTFOUND)
        return code;
    if (named && *named)
        return km_rules_load_path(rules, named, listener, err);
    code = km_rules_load_path(rules, KM_RULES_FOLDER, listener, err);
    return code == KM_NOTFOUND ? KM_OK : code;
}

struct km_rules *km_rules_source_load(const char *const *paths, size_t count, const struct km_rules_listener *listener,
                                      struct km_err *err)
{
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(err);
    if (!rules)
        return NULL;
    enum km_code code = count == 0 ? load_usual(rules, listener, err) : KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++)
        code = km_rules_load_path(rules, paths[i], listener, err);
    return code == KM_OK ? km_steal(rules) : NULL;
}
