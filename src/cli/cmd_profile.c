#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/document.h"
#include "cli/option_rows.h"
#include "cli/profile_source.h"
#include "daemon/trace/calls.h"

#define SHOWN_WINDOWS  20
#define SHOWN_ENTITIES 200

static const struct km_option rows[] = {
    {.name = "store", .type = KM_OPTION_TEXT, .argument = "FOLDER", .help = "the profile store"},
    {.name = "until",
     .type = KM_OPTION_TEXT,
     .argument = "YYYY-MM-DD",
     .only_flag = true,
     .help = "with accept: the decision ends when this day begins (UTC)"},
    KM_ROW_FORMAT("text|json"),
    {0},
};

struct request {
    struct km_store *store;
    bool json;
    const char *unit, *role;
    int extra_count;
    char **extra;
    int64_t until_ns;
};

struct listing {
    const struct request *request;
    struct km_json *json;
};

static enum km_code list_one(void *context, const struct km_store_entry *entry, struct km_err *err)
{
    struct listing *listing = context;
    struct km_store_loaded loaded;
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) =
        km_store_load(listing->request->store, entry->unit, entry->role, 0, &loaded, err);
    if (loaded.damage.code != KM_OK)
        fprintf(stderr, "komainu: profile: %s%s\n", loaded.damage.text,
                profile ? "; the last good version is used" : "");
    struct km_maturity m = {0};
    if (profile)
        km_profile_get_maturity(profile, &m);
    if (!listing->request->json) {
        if (profile)
            printf("%s %s: version %u, %llu episodes, novelty %.1f %%, %s, confidence %.2f, %u waiting\n", entry->unit,
                   entry->role, entry->version, (unsigned long long)m.episodes, 100 * m.novelty,
                   m.mature ? "mature" : "not mature", m.confidence, entry->quarantined);
        else
            printf("%s %s: no readable version, %u waiting\n", entry->unit, entry->role, entry->quarantined);
        return KM_OK;
    }
    struct km_json *row = km_json_new_object();
    km_json_set_string(row, "unit", entry->unit);
    km_json_set_string(row, "role", entry->role);
    km_json_set_integer(row, "version", entry->version);
    km_json_set_integer(row, "episodes", (int64_t)m.episodes);
    km_json_set_real(row, "novelty", profile ? m.novelty : 1);
    km_json_set_bool(row, "mature", m.mature);
    km_json_set_real(row, "confidence", m.confidence);
    km_json_set_integer(row, "waiting", entry->quarantined);
    km_json_append(listing->json, row);
    return KM_OK;
}

static enum km_code act_list(const struct request *request, struct km_err *err)
{
    struct km_json *rows_json KM_CLEANUP(km_json_cleanup) = km_json_new_array();
    struct listing listing = {request, rows_json};
    enum km_code code = km_store_list(request->store, &listing, list_one, err);
    return code == KM_OK && request->json ? km_document_print(rows_json, err) : code;
}

static void describe(struct km_profile *profile, const struct km_store_loaded *loaded, struct km_json *out)
{
    const struct km_profile_identity *id = km_profile_get_identity(profile);
    struct km_maturity m;
    struct km_ngram_stats stats;
    km_profile_get_maturity(profile, &m);
    km_ngram_get_stats(km_profile_get_ngram(profile), &stats);
    km_json_set_string(out, "unit", id->unit);
    km_json_set_string(out, "role", id->role);
    km_json_set_string(out, "exe", id->exe);
    km_json_set_string(out, "package", id->package);
    km_json_set_string(out, "build_id", id->build_id);
    km_json_set_integer(out, "version", loaded->version);
    km_json_set_string(out, "note", loaded->note);
    km_json_set_integer(out, "episodes", (int64_t)m.episodes);
    km_json_set_real(out, "novelty", m.novelty);
    km_json_set_bool(out, "mature", m.mature);
    km_json_set_real(out, "confidence", m.confidence);
    km_json_set_integer(out, "windows", (int64_t)stats.windows);
    km_json_set_integer(out, "dropped", (int64_t)stats.dropped);
    km_json_set_integer(out, "call_sets", (int64_t)km_profile_get_sets(profile)->count);
    km_json_set_integer(out, "memory_bytes", (int64_t)km_profile_memory(profile));
    const struct km_entity_set *set = km_profile_get_entities(profile);
    struct km_json *entities = km_json_new_array();
    for (size_t i = 0; i < set->count && i < SHOWN_ENTITIES; i++) {
        struct km_json *entity = km_json_new_object();
        km_json_set_string(entity, "text", set->items[i].text);
        km_json_set_integer(entity, "episodes", set->items[i].count);
        km_json_append(entities, entity);
    }
    km_json_set(out, "entities", entities);
}

static void print_waiting(const struct km_json *waiting)
{
    for (size_t i = 0; i < km_json_size(waiting); i++) {
        const struct km_json *entry = km_json_at(waiting, i);
        char when[KM_CLOCK_UTC_BYTES];
        km_clock_format_utc(km_json_integer(entry, "last_ns", 0), when);
        printf("waiting %s: %lld times, last %s, score %.2f, %zu new windows\n", km_json_string(entry, "id", ""),
               (long long)km_json_integer(entry, "count", 0), when, km_json_real(entry, "score", 0),
               km_json_size(km_json_find(entry, "windows")));
        const struct km_json *entities = km_json_find(entry, "entities");
        for (size_t e = 0; e < km_json_size(entities); e++)
            printf("    never seen: %s\n", km_json_string(km_json_at(entities, e), "text", ""));
    }
}

static struct km_profile *load(const struct request *request, unsigned version, struct km_store_loaded *loaded,
                               struct km_err *err)
{
    struct km_profile *profile = km_store_load(request->store, request->unit, request->role, version, loaded, err);
    if (profile && loaded->damage.code != KM_OK)
        fprintf(stderr, "komainu: profile: %s; the last good version is used\n", loaded->damage.text);
    return profile;
}

static enum km_code act_show(const struct request *request, struct km_err *err)
{
    struct km_store_loaded loaded;
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) = load(request, 0, &loaded, err);
    struct km_json *waiting = profile ? km_store_waiting(request->store, request->unit, request->role, err) : NULL;
    if (!waiting)
        return err->code;
    struct km_json *root KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    describe(profile, &loaded, root);
    km_json_set(root, "waiting", waiting);
    if (request->json)
        return km_document_print(root, err);
    static const char *const names[] = {"exe", "package", "build_id", "note"};
    printf("%s %s, version %u\n", request->unit, request->role, loaded.version);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (*km_json_string(root, names[i], ""))
            printf("  %s: %s\n", names[i], km_json_string(root, names[i], ""));
    printf("  %lld episodes, novelty %.1f %%, %s, confidence %.2f\n", (long long)km_json_integer(root, "episodes", 0),
           100 * km_json_real(root, "novelty", 1), km_json_bool(root, "mature", false) ? "mature" : "not mature",
           km_json_real(root, "confidence", 0));
    printf("  %lld windows (%lld dropped), %lld call sets, %.1f MB\n", (long long)km_json_integer(root, "windows", 0),
           (long long)km_json_integer(root, "dropped", 0), (long long)km_json_integer(root, "call_sets", 0),
           (double)km_json_integer(root, "memory_bytes", 0) / 1e6);
    const struct km_json *entities = km_json_find(root, "entities");
    for (size_t i = 0; i < km_json_size(entities); i++)
        printf("  %s (%lld episodes)\n", km_json_string(km_json_at(entities, i), "text", ""),
               (long long)km_json_integer(km_json_at(entities, i), "episodes", 0));
    print_waiting(waiting);
    return KM_OK;
}

struct comparison {
    const struct km_profile *other;
    const char *sign;
    size_t count;
};

static enum km_code compare_window(void *context, unsigned long long window, unsigned space, struct km_err *err)
{
    (void)err;
    struct comparison *c = context;
    if (km_profile_knows_window(c->other, window, space) || c->count++ >= SHOWN_WINDOWS)
        return KM_OK;
    printf("%s", c->sign);
    for (int i = KM_WINDOW_CALLS - 1; i >= 0; i--) {
        char name[KM_CALL_NAME_BYTES];
        km_call_format(space, (unsigned)(window >> (i * KM_WINDOW_CALL_BITS)) & (KM_CALL_NUMBERS - 1), name);
        printf(" %s", name);
    }
    printf("\n");
    return KM_OK;
}

/* What `one` has and `other` has not. */
static enum km_code print_only(struct km_profile *one, const struct km_profile *other, const char *sign,
                               struct km_err *err)
{
    const struct km_entity_set *mine = km_profile_get_entities(one), *theirs = km_profile_get_entities(other);
    for (size_t i = 0; i < mine->count; i++)
        if (!km_entity_find(theirs, mine->items[i].text))
            printf("%s %s\n", sign, mine->items[i].text);
    struct comparison comparison = {other, sign, 0};
    enum km_code code = km_ngram_visit_windows(km_profile_get_ngram(one), &comparison, compare_window, err);
    if (comparison.count > SHOWN_WINDOWS)
        printf("%s and %zu more windows\n", sign, comparison.count - SHOWN_WINDOWS);
    return code;
}

static enum km_code act_diff(const struct request *request, struct km_err *err)
{
    struct km_store_loaded after, before;
    unsigned from = request->extra_count > 0 ? (unsigned)strtoul(request->extra[0], NULL, 10) : 0;
    unsigned to = request->extra_count > 1 ? (unsigned)strtoul(request->extra[1], NULL, 10) : 0;
    struct km_profile *new KM_CLEANUP(km_profile_cleanup) = load(request, to, &after, err);
    if (!new)
        return err->code;
    if (from == 0 && after.version <= 1)
        return km_fail(err, KM_NOTFOUND, "there is no earlier version to compare with");
    struct km_profile *old KM_CLEANUP(km_profile_cleanup) =
        load(request, from ? from : after.version - 1, &before, err);
    if (!old)
        return err->code;
    printf("version %u (%s) to version %u (%s)\n", before.version, before.note, after.version, after.note);
    enum km_code code = print_only(old, new, "-", err);
    return code == KM_OK ? print_only(new, old, "+", err) : code;
}

static void audit(const struct request *request, const char *action, struct km_json *detail)
{
    char object[2048];
    (void)snprintf(object, sizeof object, "profile %s/%s", request->unit, request->role);
    km_desk_link_audit("profile", action, object, detail);
    km_json_free(detail);
}

static enum km_code act_accept(const struct request *request, struct km_err *err)
{
    if (request->extra_count != 1)
        return km_fail(err, KM_FORMAT, "accept UNIT ROLE ID: name the alarm; 'show' lists them");
    const struct km_store_acceptance given = {.id = request->extra[0], .until_ns = request->until_ns};
    bool learned = false;
    enum km_code code = km_store_accept(request->store, request->unit, request->role, &given, &learned, err);
    if (code != KM_OK)
        return code;
    if (!learned)
        printf("accepted before: the profile knows it\n");
    struct km_json *detail = km_json_new_object();
    km_json_set_string(detail, "alarm", given.id);
    audit(request, "profile.accept", detail);
    return KM_OK;
}

static enum km_code act_rollback(const struct request *request, struct km_err *err)
{
    unsigned version;
    enum km_code code = km_store_rollback(request->store, request->unit, request->role, &version, err);
    if (code != KM_OK)
        return code;
    printf("version %u is in force\n", version);
    struct km_json *detail = km_json_new_object();
    km_json_set_integer(detail, "version", version);
    audit(request, "profile.rollback", detail);
    return KM_OK;
}

static enum km_code act_expire(const struct request *request, struct km_err *err)
{
    unsigned ended;
    enum km_code code = km_store_expire(request->store, request->unit, request->role, km_clock_wall_ns(), &ended, err);
    if (code != KM_OK)
        return code;
    printf("%u decisions ended\n", ended);
    struct km_json *detail = km_json_new_object();
    km_json_set_integer(detail, "decisions", ended);
    if (ended > 0)
        audit(request, "profile.expire", km_steal(detail));
    km_json_free(detail);
    return KM_OK;
}

static const struct {
    const char *name;
    int least, most; /* operands behind it */
    enum km_code (*act)(const struct request *request, struct km_err *err);
} actions[] = {
    {"list", 0, 0, act_list},     {"show", 2, 2, act_show},         {"diff", 2, 4, act_diff},
    {"accept", 3, 3, act_accept}, {"rollback", 2, 2, act_rollback}, {"expire", 2, 2, act_expire},
};

/* The beginning of a day as nanoseconds; -1 when the text is no day. */
static int64_t day_ns(const char *text)
{
    struct tm day = {0};
    const char *end = strptime(text, "%Y-%m-%d", &day);
    return end && !*end ? (int64_t)timegm(&day) * KM_NS_PER_S : -1;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count == 0 || a == count || operand_count - 1 < actions[a].least ||
        operand_count - 1 > actions[a].most) {
        fprintf(stderr, "komainu: profile: list | show UNIT ROLE | diff UNIT ROLE [FROM [TO]] | accept UNIT ROLE ID | "
                        "rollback UNIT ROLE | expire UNIT ROLE\n");
        return KM_EXIT_ERROR;
    }
    struct km_err err = KM_ERR_INIT;
    char usual[4096];
    const char *path = km_options_text(options, "store"), *until = km_options_text(options, "until");
    struct request request = {.json = strcmp(km_options_text(options, "format"), "json") == 0,
                              .unit = operand_count > 1 ? operands[1] : NULL,
                              .role = operand_count > 2 ? operands[2] : NULL,
                              .extra_count = operand_count > 3 ? operand_count - 3 : 0,
                              .extra = operands + 3,
                              .until_ns = until ? day_ns(until) : 0};
    enum km_code code = request.until_ns < 0 ? km_fail(&err, KM_FORMAT, "--until: '%s' is no day", until) : KM_OK;
    if (code == KM_OK && !path) {
        code = km_profile_source_usual(usual, &err);
        path = usual;
    }
    struct km_store *store KM_CLEANUP(km_store_cleanup) = code == KM_OK ? km_store_open(path, &err) : NULL;
    request.store = store;
    if (!store || actions[a].act(&request, &err) != KM_OK) {
        fprintf(stderr, "komainu: profile: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_profile = {"profile", "ACTION [UNIT ROLE ...]",
                                      "list, inspect and decide about learned behaviour", rows, run};
