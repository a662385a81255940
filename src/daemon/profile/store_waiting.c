#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/profile/quarantine.h"
#include "daemon/profile/store_files.h"

#define NS_PER_DAY    (86400 * KM_NS_PER_S)
#define MAX_DECISIONS 1024 /* that hold one alarm */

static bool is_json(const char *name)
{
    size_t length = strlen(name);
    return length == 21 && strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, ".json") == 0;
}

static enum km_code entry_path(const char *unit, const char *role, const char *folder, const char *id, char *out,
                               struct km_err *err)
{
    char rest[64];
    (void)snprintf(rest, sizeof rest, "%s/%.16s.json", folder, id);
    if (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16)
        return km_fail(err, KM_NOTFOUND, "'%s' is not the id of an alarm", id);
    return km_store_path(unit, role, rest, out, err);
}

/* An alarm that waits already is counted. */
static enum km_code keep_waiting(struct km_store *store, const struct km_profile_identity *who, struct km_json *entry,
                                 const char *id, struct km_err *err)
{
    char path[KM_STORE_PATH_BYTES], folder[KM_STORE_PATH_BYTES];
    enum km_code code = km_store_make_role(store, who->unit, who->role, err);
    if (code == KM_OK)
        code = entry_path(who->unit, who->role, "quarantine", id, path, err);
    if (code == KM_OK)
        code = km_store_path(who->unit, who->role, "quarantine", folder, err);
    if (code != KM_OK)
        return code;
    struct km_err missing = KM_ERR_INIT;
    struct km_json *before KM_CLEANUP(km_json_cleanup) = km_store_read_json(store, path, &missing);
    if (before) {
        km_json_set_integer(entry, "count", km_json_integer(before, "count", 0) + 1);
        km_json_set_integer(entry, "first_ns", km_json_integer(before, "first_ns", 0));
    } else {
        char **names;
        size_t count;
        code = km_store_list_folder(store, folder, is_json, &names, &count, err);
        km_store_free_names(names, count);
        if (code != KM_OK)
            return code;
        if (count >= KM_STORE_MAX_QUARANTINE)
            return km_fail(err, KM_LIMIT, "more than %d alarms of %s wait for a decision", KM_STORE_MAX_QUARANTINE,
                           who->unit);
    }
    code = km_store_write_json(store, path, entry, err);
    if (code == KM_OK)
        (void)snprintf(store->quarantined, sizeof store->quarantined, "%s", id);
    return code;
}

enum km_code km_store_quarantine(struct km_store *store, const struct km_profile *profile,
                                 const struct km_episode *episode, const struct km_assessment *assessment,
                                 int64_t wall_ns, struct km_err *err)
{
    char id[KM_STORE_ID_BYTES];
    store->quarantined[0] = '\0';
    struct km_json *entry KM_CLEANUP(km_json_cleanup) =
        km_quarantine_describe(profile, episode, assessment, wall_ns, id, err);
    return entry ? keep_waiting(store, km_profile_get_identity(profile), entry, id, err) : err->code;
}

enum km_code km_store_quarantine_act(struct km_store *store, const struct km_profile *profile,
                                     const struct km_event_landmark *act, int64_t wall_ns, struct km_err *err)
{
    char id[KM_STORE_ID_BYTES];
    store->quarantined[0] = '\0';
    struct km_json *entry KM_CLEANUP(km_json_cleanup) = km_quarantine_describe_act(act, wall_ns, id);
    return keep_waiting(store, km_profile_get_identity(profile), entry, id, err);
}

const char *km_store_quarantined(const struct km_store *store)
{
    return store->quarantined;
}

/* All entries of a folder of a role; unreadable ones are left out. */
static struct km_json *read_entries(struct km_store *store, const char *unit, const char *role, const char *folder,
                                    struct km_err *err)
{
    char path[KM_STORE_PATH_BYTES], **names = NULL;
    size_t count = 0;
    enum km_code code = km_store_path(unit, role, folder, path, err);
    if (code == KM_OK)
        code = km_store_list_folder(store, path, is_json, &names, &count, err);
    struct km_json *list = code == KM_OK ? km_json_new_array() : NULL;
    for (size_t i = 0; list && i < count; i++) {
        struct km_err ignored = KM_ERR_INIT;
        names[i][16] = '\0';
        struct km_json *entry = NULL;
        if (entry_path(unit, role, folder, names[i], path, &ignored) == KM_OK)
            entry = km_store_read_json(store, path, &ignored);
        if (!entry)
            continue;
        km_json_set_string(entry, "id", names[i]);
        km_json_append(list, entry);
    }
    km_store_free_names(names, count);
    return list;
}

struct km_json *km_store_waiting(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    return read_entries(store, unit, role, "quarantine", err);
}

struct km_json *km_store_accepted(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    return read_entries(store, unit, role, "accepted", err);
}

/* ---- accepting ---- */

/* Whose decisions hold an accepted entry; an older store names one, not in a list. */
static struct km_json *decisions_of(const struct km_json *entry)
{
    const struct km_json *held = km_json_find(entry, "decisions");
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < km_json_size(held) && i < MAX_DECISIONS; i++)
        km_json_append(list, km_json_new_integer(km_json_integer(km_json_at(held, i), "", 0)));
    if (entry && !held)
        km_json_append(list, km_json_new_integer(km_json_integer(entry, "decision", 0)));
    return list;
}

static bool names(const struct km_json *decisions, int64_t decision)
{
    for (size_t i = 0; i < km_json_size(decisions); i++)
        if (km_json_integer(km_json_at(decisions, i), "", 0) == decision)
            return true;
    return false;
}

static bool is_held_by(const struct km_json *entry, int64_t decision)
{
    struct km_json *held KM_CLEANUP(km_json_cleanup) = decisions_of(entry);
    return names(held, decision);
}

static bool is_held_by_alone(const struct km_json *entry, int64_t decision)
{
    struct km_json *held KM_CLEANUP(km_json_cleanup) = decisions_of(entry);
    return km_json_size(held) == 1 && names(held, decision);
}

/* The entry as accepted by one more decision than `before` (or NULL) was: it holds as long as any of them does. */
static void note_acceptance(struct km_json *entry, const struct km_json *before,
                            const struct km_store_acceptance *given)
{
    struct km_json *list = decisions_of(before);
    int64_t until = given->until_ns, old = km_json_integer(before, "until_ns", 0);
    if (!names(list, given->decision))
        km_json_append(list, km_json_new_integer(given->decision));
    if (before && (old == 0 || (until != 0 && old > until)))
        until = old;
    km_json_set_integer(entry, "until_ns", until);
    km_json_set(entry, "decisions", list);
}

static enum km_code learn_entry(struct km_store *store, const char *unit, const char *role,
                                const struct km_store_acceptance *given, struct km_json *entry, struct km_err *err)
{
    char to[KM_STORE_PATH_BYTES], note[64];
    struct km_store_loaded loaded;
    struct km_err ignored = KM_ERR_INIT;
    enum km_code code = entry_path(unit, role, "accepted", given->id, to, err);
    if (code != KM_OK)
        return code;
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) = km_store_load(store, unit, role, 0, &loaded, err);
    if (!profile)
        return err->code;
    code = km_quarantine_learn(profile, entry, err);
    if (code != KM_OK)
        return code;
    struct km_json *before KM_CLEANUP(km_json_cleanup) = km_store_read_json(store, to, &ignored);
    note_acceptance(entry, before, given);
    code = km_store_write_json(store, to, entry, err);
    (void)snprintf(note, sizeof note, "accepted %s", given->id);
    return code == KM_OK ? km_store_save(store, profile, note, err) : code;
}

static enum km_code hold_entry(struct km_store *store, const char *unit, const char *role,
                               const struct km_store_acceptance *given, struct km_err *err)
{
    char path[KM_STORE_PATH_BYTES];
    struct km_err missing = KM_ERR_INIT;
    enum km_code code = entry_path(unit, role, "accepted", given->id, path, err);
    if (code != KM_OK)
        return code;
    struct km_json *entry KM_CLEANUP(km_json_cleanup) = km_store_read_json(store, path, &missing);
    struct km_json *before KM_CLEANUP(km_json_cleanup) = entry ? km_store_read_json(store, path, &missing) : NULL;
    if (!entry || !before)
        return km_fail(err, KM_NOTFOUND, "no alarm %s of %s, %s waits", given->id, unit, role);
    note_acceptance(entry, before, given);
    return km_store_write_json(store, path, entry, err);
}

enum km_code km_store_accept(struct km_store *store, const char *unit, const char *role,
                             const struct km_store_acceptance *given, bool *out_learned, struct km_err *err)
{
    char from[KM_STORE_PATH_BYTES];
    enum km_code code = entry_path(unit, role, "quarantine", given->id, from, err);
    if (code != KM_OK)
        return code;
    struct km_json *entry KM_CLEANUP(km_json_cleanup) = km_store_read_json(store, from, err);
    if (!entry && err->code != KM_NOTFOUND)
        return err->code;
    bool waits = entry != NULL;
    code = waits ? learn_entry(store, unit, role, given, entry, err) : hold_entry(store, unit, role, given, err);
    if (code == KM_OK && waits)
        (void)unlinkat(store->fd, from, 0);
    if (code == KM_OK)
        *out_learned = waits;
    return code;
}

enum km_code km_store_rollback(struct km_store *store, const char *unit, const char *role, unsigned *out_version,
                               struct km_err *err)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    enum km_code code = km_store_list_versions(store, unit, role, &versions, &count, err);
    if (code != KM_OK)
        return code;
    if (count < 2)
        return km_fail(err, KM_NOTFOUND, "there is no earlier version of %s, %s", unit, role);
    char note[KM_EVENT_MAX_NAME_BYTES] = "", rest[32], from[KM_STORE_PATH_BYTES], to[KM_STORE_PATH_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    km_profile_free(km_store_load_version(store, unit, role, versions[count - 1], note, &ignored));
    const char *id = strncmp(note, "accepted ", 9) == 0 ? note + 9 : NULL;
    if (id && entry_path(unit, role, "accepted", id, from, &ignored) == KM_OK &&
        entry_path(unit, role, "quarantine", id, to, &ignored) == KM_OK)
        (void)renameat(store->fd, from, store->fd, to);
    (void)snprintf(rest, sizeof rest, "v%06u.kmp", versions[count - 1]);
    km_store_remove(store, unit, role, rest);
    *out_version = versions[count - 2];
    return KM_OK;
}

static void forget_old(struct km_store *store, const char *unit, const char *role, int64_t wall_ns)
{
    struct km_err ignored = KM_ERR_INIT;
    struct km_json *waiting KM_CLEANUP(km_json_cleanup) = km_store_waiting(store, unit, role, &ignored);
    for (size_t i = 0; i < km_json_size(waiting); i++) {
        const struct km_json *entry = km_json_at(waiting, i);
        char rest[64];
        if (wall_ns - km_json_integer(entry, "last_ns", wall_ns) < KM_STORE_QUARANTINE_DAYS * NS_PER_DAY)
            continue;
        (void)snprintf(rest, sizeof rest, "quarantine/%s.json", km_json_string(entry, "id", ""));
        km_store_remove(store, unit, role, rest);
    }
}

static bool is_over(const struct km_json *entry, int64_t wall_ns)
{
    int64_t until = km_json_integer(entry, "until_ns", 0);
    return until != 0 && until <= wall_ns;
}

struct relearning {
    const char *unit, *role, *note;
    const struct km_json *accepted;
    int64_t wall_ns;  /* 0: nothing is over */
    int64_t decision; /* what this one accepted is left out; 0: nothing */
};

static bool is_left_out(const struct relearning *what, const struct km_json *entry)
{
    return (what->wall_ns != 0 && is_over(entry, what->wall_ns)) ||
           (what->decision != 0 && is_held_by_alone(entry, what->decision));
}

/* The last learned version with all decisions that still hold becomes the next one. */
static enum km_code relearn(struct km_store *store, const struct relearning *what, struct km_err *err)
{
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) =
        km_store_load_learned(store, what->unit, what->role, err);
    if (!profile)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_json_size(what->accepted) && code == KM_OK; i++)
        if (!is_left_out(what, km_json_at(what->accepted, i)))
            code = km_quarantine_learn(profile, km_json_at(what->accepted, i), err);
    return code == KM_OK ? km_store_save(store, profile, what->note, err) : code;
}

/* What others hold, too, stays as it is but for the name. */
static enum km_code let_go(struct km_store *store, const struct relearning *what, const struct km_json *held,
                           struct km_err *err)
{
    char path[KM_STORE_PATH_BYTES];
    enum km_code code = entry_path(what->unit, what->role, "accepted", km_json_string(held, "id", ""), path, err);
    struct km_json *entry KM_CLEANUP(km_json_cleanup) = code == KM_OK ? km_store_read_json(store, path, err) : NULL;
    if (!entry)
        return err->code;
    struct km_json *decisions KM_CLEANUP(km_json_cleanup) = decisions_of(held);
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < km_json_size(decisions); i++)
        if (km_json_integer(km_json_at(decisions, i), "", 0) != what->decision)
            km_json_append(list, km_json_new_integer(km_json_integer(km_json_at(decisions, i), "", 0)));
    km_json_set(entry, "decisions", list);
    return km_store_write_json(store, path, entry, err);
}

static enum km_code wait_again(struct km_store *store, const struct relearning *what, const char *id,
                               struct km_err *err)
{
    char from[KM_STORE_PATH_BYTES], to[KM_STORE_PATH_BYTES];
    enum km_code code = entry_path(what->unit, what->role, "accepted", id, from, err);
    if (code == KM_OK)
        code = entry_path(what->unit, what->role, "quarantine", id, to, err);
    if (code == KM_OK)
        (void)renameat(store->fd, from, store->fd, to);
    return code;
}

enum km_code km_store_withdraw(struct km_store *store, const char *unit, const char *role, int64_t decision,
                               struct km_err *err)
{
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) = read_entries(store, unit, role, "accepted", err);
    if (!accepted)
        return err->code;
    char note[64];
    (void)snprintf(note, sizeof note, "withdrew decision %lld", (long long)decision);
    const struct relearning what = {unit, role, note, accepted, 0, decision};
    bool alone = false, shared = false;
    for (size_t i = 0; i < km_json_size(accepted); i++) {
        alone |= is_left_out(&what, km_json_at(accepted, i));
        shared |= is_held_by(km_json_at(accepted, i), decision);
    }
    if (!shared)
        return km_fail(err, KM_NOTFOUND, "decision %lld taught nothing to %s, %s", (long long)decision, unit, role);
    enum km_code code = alone ? relearn(store, &what, err) : KM_OK;
    for (size_t i = 0; i < km_json_size(accepted) && code == KM_OK; i++) {
        const struct km_json *entry = km_json_at(accepted, i);
        if (is_left_out(&what, entry))
            code = wait_again(store, &what, km_json_string(entry, "id", ""), err);
        else if (is_held_by(entry, decision))
            code = let_go(store, &what, entry, err);
    }
    return code;
}

enum km_code km_store_expire(struct km_store *store, const char *unit, const char *role, int64_t wall_ns,
                             unsigned *out_ended, struct km_err *err)
{
    *out_ended = 0;
    forget_old(store, unit, role, wall_ns);
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) = read_entries(store, unit, role, "accepted", err);
    if (!accepted)
        return err->code;
    unsigned ended = 0;
    for (size_t i = 0; i < km_json_size(accepted); i++)
        ended += is_over(km_json_at(accepted, i), wall_ns);
    if (ended == 0)
        return KM_OK;
    char note[64];
    (void)snprintf(note, sizeof note, "expired %u", ended);
    enum km_code code = relearn(store, &(struct relearning){unit, role, note, accepted, wall_ns, 0}, err);
    for (size_t i = 0; i < km_json_size(accepted) && code == KM_OK; i++) {
        char rest[64];
        if (!is_over(km_json_at(accepted, i), wall_ns))
            continue;
        (void)snprintf(rest, sizeof rest, "accepted/%s.json", km_json_string(km_json_at(accepted, i), "id", ""));
        km_store_remove(store, unit, role, rest);
    }
    *out_ended = code == KM_OK ? ended : 0;
    return code;
}
