#include "desk/store/collect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/digest.h"
#include "desk/store/query.h"

#define HASH_SHOWN_BYTES 8

static const char *const kind_names[] = {
    [KM_COLLECT_PATHS] = "paths",
    [KM_COLLECT_ARGUMENTS] = "arguments",
    [KM_COLLECT_ADDRESSES] = "addresses",
    [KM_COLLECT_CONTENTS] = "contents",
};

static const char *const level_names[] = {
    [KM_COLLECT_NONE] = "none",
    [KM_COLLECT_HASHED] = "hashed",
    [KM_COLLECT_WHOLE] = "whole",
};

/* Names of evidence arguments (finding/evidence.h and what guardians add) that may hold something personal. */
static const struct {
    const char *name;
    enum km_collect_kind kind;
} argument_kinds[] = {
    {"path", KM_COLLECT_PATHS},          {"file", KM_COLLECT_PATHS},      {"program", KM_COLLECT_PATHS},
    {"exe", KM_COLLECT_PATHS},           {"target", KM_COLLECT_PATHS},    {"place", KM_COLLECT_PATHS},
    {"arguments", KM_COLLECT_ARGUMENTS}, {"argv", KM_COLLECT_ARGUMENTS},  {"command", KM_COLLECT_ARGUMENTS},
    {"address", KM_COLLECT_ADDRESSES},   {"peer", KM_COLLECT_ADDRESSES},  {"content", KM_COLLECT_CONTENTS},
    {"excerpt", KM_COLLECT_CONTENTS},    {"string", KM_COLLECT_CONTENTS}, {"strings", KM_COLLECT_CONTENTS},
    {"value", KM_COLLECT_ARGUMENTS},
};

static enum km_code read_level(const char *text, enum km_collect_level *out, struct km_err *err)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (strcmp(level_names[i], text) == 0) {
            *out = (enum km_collect_level)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is none of none, hashed, whole", text);
}

/* Two programs may draw at once: the first salt in the store counts. */
static enum km_code load_salt(struct km_desk *desk, uint8_t *out, struct km_err *err)
{
    char text[KM_DESK_SETTING_BYTES], hex[2 * KM_COLLECT_SALT_BYTES + 1];
    enum km_code code = km_desk_get_setting(desk, "collect.salt", "", text, err);
    if (code == KM_OK && *text == '\0') {
        uint8_t drawn[KM_COLLECT_SALT_BYTES];
        if (getrandom(drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
            return km_fail_errno(err, errno, "cannot draw a salt");
        km_hex_format(drawn, sizeof drawn, hex);
        struct km_query *query KM_CLEANUP(km_query_cleanup) =
            km_query_open(desk, "INSERT INTO setting VALUES('collect.salt', ?1) ON CONFLICT(name) DO NOTHING", err);
        if (!query)
            return err->code;
        km_query_bind_text(query, 1, hex);
        code = km_query_run(query, err);
        if (code == KM_OK)
            code = km_desk_get_setting(desk, "collect.salt", hex, text, err);
    }
    if (code != KM_OK)
        return code;
    if (strlen(text) != sizeof hex - 1)
        return km_fail(err, KM_FORMAT, "the store's salt is damaged");
    return km_hex_parse(text, KM_COLLECT_SALT_BYTES, out, err);
}

enum km_code km_collect_load(struct km_desk *desk, struct km_collect *out, struct km_err *err)
{
    struct km_collect collect;
    for (size_t i = 0; i < KM_COLLECT_KINDS; i++) {
        char name[64], value[KM_DESK_SETTING_BYTES];
        snprintf(name, sizeof name, "collect.%s", kind_names[i]);
        const char *usual = i == KM_COLLECT_CONTENTS ? "none" : "whole";
        if (km_desk_get_setting(desk, name, usual, value, err) != KM_OK ||
            read_level(value, &collect.levels[i], err) != KM_OK)
            return km_err_wrap(err, "%s", name);
    }
    if (load_salt(desk, collect.salt, err) != KM_OK)
        return err->code;
    *out = collect;
    return KM_OK;
}

static const char *hash(const struct km_collect *collect, const char *text, char *room)
{
    struct km_err err = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    KM_ASSERT(digest != NULL); /* out of memory; the text itself must not slip through */
    uint8_t sum[KM_SHA256_BYTES];
    km_digest_update(digest, collect->salt, sizeof collect->salt);
    km_digest_update(digest, text, strlen(text));
    km_digest_update(digest, collect->salt, sizeof collect->salt);
    km_digest_finish(digest, sum);
    km_digest_free(digest);
    memcpy(room, "hash:", sizeof "hash:");
    km_hex_format(sum, HASH_SHOWN_BYTES, room + strlen(room));
    return room;
}

const char *km_collect_text(const struct km_collect *collect, enum km_collect_kind kind, const char *text, char *room)
{
    if (!text || *text == '\0')
        return text;
    switch (collect->levels[kind]) {
    case KM_COLLECT_NONE:
        snprintf(room, KM_COLLECT_TEXT_BYTES, "(not kept)");
        return room;
    case KM_COLLECT_HASHED:
        return hash(collect, text, room);
    case KM_COLLECT_WHOLE:
        return text;
    }
    return "";
}

/* Evidence whose "what" is an address, not a path. */
static bool is_of_network(const char *evidence)
{
    static const char *const ids[] = {"first.connect", "first.bind", "first.listen", "first.accept"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (strcmp(ids[i], evidence) == 0)
            return true;
    return false;
}

const char *km_collect_argument(const struct km_collect *collect, const char *evidence, const char *name,
                                const char *text, char *room)
{
    if (strcmp(name, "what") == 0)
        return km_collect_text(collect, is_of_network(evidence) ? KM_COLLECT_ADDRESSES : KM_COLLECT_PATHS, text, room);
    for (size_t i = 0; i < sizeof argument_kinds / sizeof argument_kinds[0]; i++)
        if (strcmp(argument_kinds[i].name, name) == 0)
            return km_collect_text(collect, argument_kinds[i].kind, text, room);
    return text;
}

const char *km_collect_strange(const struct km_collect *collect, const char *strange, char *room)
{
    struct km_err ignored = KM_ERR_INIT;
    if (!strange || collect->levels[KM_COLLECT_PATHS] == KM_COLLECT_NONE ||
        km_strange_salt(strange, collect->salt, sizeof collect->salt, room, &ignored) != KM_OK || !*room)
        return NULL;
    return room;
}
