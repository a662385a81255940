#include "finding/incident.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define NS_PER_DAY     (INT64_C(86400) * 1000000000)
#define GROWTH         2.0
#define ID_TEXT_BYTES  17
#define SNAPSHOT_NAME  "komainu.incidents/1"
#define SHARED_DAEMON  "(others)"
#define LARGEST_NUMBER INT64_C(1000000000)

/* What a daemon used of its budget on the current day. */
struct account {
    char daemon[KM_INCIDENTS_NAME_BYTES];
    unsigned shown;
    double strongest; /* of those shown */
    bool overdrawn;
    unsigned programs; /* shown above the budget, for foreign code runs */
};

struct km_incidents {
    struct km_incident_config config;
    struct km_incident *items;
    size_t count, capacity;
    struct account *accounts;
    size_t account_count, account_capacity;
    int64_t day; /* INT64_MIN before the first finding */
    unsigned shown;
    uint64_t forgotten;
};

struct km_incidents *km_incidents_new(const struct km_incident_config *config, struct km_err *err)
{
    struct km_incidents *incidents = km_calloc(1, sizeof *incidents, SIZE_MAX, err);
    if (!incidents)
        return NULL;
    incidents->config = *config;
    incidents->day = INT64_MIN;
    if (incidents->config.gap_ns <= 0)
        incidents->config.gap_ns = KM_INCIDENTS_DEFAULT_GAP_NS;
    if (incidents->config.per_daemon == 0)
        incidents->config.per_daemon = KM_INCIDENTS_DEFAULT_DAEMON;
    if (incidents->config.per_host == 0)
        incidents->config.per_host = KM_INCIDENTS_DEFAULT_HOST;
    return incidents;
}

void km_incidents_free(struct km_incidents *incidents)
{
    if (!incidents)
        return;
    free(incidents->items);
    free(incidents->accounts);
    free(incidents);
}

int64_t km_incidents_day(int64_t wall_ns)
{
    int64_t day = wall_ns / NS_PER_DAY;
    return wall_ns % NS_PER_DAY < 0 ? day - 1 : day;
}

static uint64_t mix(uint64_t hash, uint64_t v)
{
    hash = (hash ^ v) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = mix(hash, (uint8_t)*text);
    return mix(hash, 0x100);
}

static uint64_t hash_report(const struct km_incident_report *report)
{
    return hash_text(hash_text(hash_text(1, report->daemon), report->role), report->key);
}

static uint64_t distance(int64_t a, int64_t b)
{
    return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* The youngest incident of this grouping that is near enough. */
static struct km_incident *find_open(struct km_incidents *incidents, uint64_t hash, int64_t time_ns)
{
    for (size_t i = incidents->count; i-- > 0;) {
        struct km_incident *item = &incidents->items[i];
        if (item->hash == hash && distance(time_ns, item->last_ns) <= (uint64_t)incidents->config.gap_ns)
            return item;
    }
    return NULL;
}

/* What is over and was shown goes first, the oldest of it; then the weakest. */
static void forget_one(struct km_incidents *incidents, int64_t now_ns)
{
    size_t victim = 0;
    bool found = false;
    for (size_t i = 0; i < incidents->count && !found; i++) {
        const struct km_incident *item = &incidents->items[i];
        found = item->shown && distance(now_ns, item->last_ns) > (uint64_t)incidents->config.gap_ns;
        if (found)
            victim = i;
    }
    for (size_t i = 1; i < incidents->count && !found; i++)
        if (incidents->items[i].strongest < incidents->items[victim].strongest)
            victim = i;
    incidents->forgotten += !incidents->items[victim].shown;
    incidents->count--;
    memmove(&incidents->items[victim], &incidents->items[victim + 1],
            (incidents->count - victim) * sizeof *incidents->items);
}

static enum km_code account_of(struct km_incidents *incidents, const char *daemon, struct account **out,
                               struct km_err *err)
{
    if (incidents->account_count == KM_INCIDENTS_MAX_DAEMONS)
        daemon = SHARED_DAEMON;
    for (size_t i = 0; i < incidents->account_count; i++)
        if (strcmp(incidents->accounts[i].daemon, daemon) == 0) {
            *out = &incidents->accounts[i];
            return KM_OK;
        }
    if (incidents->account_count == KM_INCIDENTS_MAX_DAEMONS) {
        *out = &incidents->accounts[KM_INCIDENTS_MAX_DAEMONS - 1];
        return KM_OK;
    }
    enum km_code code =
        km_grow((void **)&incidents->accounts, &incidents->account_capacity, incidents->account_count + 1,
                sizeof *incidents->accounts, KM_INCIDENTS_MAX_DAEMONS, err);
    if (code != KM_OK)
        return code;
    struct account *account = &incidents->accounts[incidents->account_count++];
    *account = (struct account){.strongest = -INFINITY};
    (void)snprintf(account->daemon, sizeof account->daemon, "%s", daemon);
    *out = account;
    return KM_OK;
}

/* A step back of a day or less keeps the day: it will come again. */
static void turn_day(struct km_incidents *incidents, int64_t time_ns)
{
    int64_t day = km_incidents_day(time_ns);
    if (day == incidents->day || (incidents->day != INT64_MIN && day == incidents->day - 1))
        return;
    incidents->day = day;
    incidents->shown = 0;
    incidents->account_count = 0;
}

static bool spend(struct km_incidents *incidents, struct account *account, const struct km_incident_report *report)
{
    double strength = report->strength;
    bool within = account->shown < incidents->config.per_daemon && incidents->shown < incidents->config.per_host;
    bool overdraws = !within && !account->overdrawn && strength > account->strongest;
    bool program = !within && !overdraws && report->program && account->programs < incidents->config.per_daemon;
    if (!within && !overdraws && !program)
        return false;
    account->overdrawn |= overdraws;
    account->programs += program;
    account->shown++;
    incidents->shown++;
    if (strength > account->strongest)
        account->strongest = strength;
    return true;
}

static void copy_text(const char *from, char *to)
{
    (void)km_text_escape(from, strlen(from), to, KM_INCIDENTS_NAME_BYTES);
}

static enum km_code begin(struct km_incidents *incidents, const struct km_incident_report *report, uint64_t hash,
                          struct km_incident **out, struct km_err *err)
{
    struct km_incident item = {
        .hash = hash, .first_ns = report->time_ns, .last_ns = report->time_ns, .strongest = report->strength};
    copy_text(report->daemon, item.daemon);
    copy_text(report->role, item.role);
    copy_text(report->key, item.key);
    item.id = mix(hash, (uint64_t)report->time_ns);
    struct account *account;
    enum km_code code = account_of(incidents, item.daemon, &account, err);
    if (code != KM_OK)
        return code;
    if (incidents->count == KM_INCIDENTS_MAX)
        forget_one(incidents, report->time_ns);
    code = km_grow((void **)&incidents->items, &incidents->capacity, incidents->count + 1, sizeof *incidents->items,
                   KM_INCIDENTS_MAX, err);
    if (code != KM_OK)
        return code;
    item.day = incidents->day;
    item.shown = report->strength >= incidents->config.least_strength && spend(incidents, account, report);
    incidents->items[incidents->count] = item;
    *out = &incidents->items[incidents->count++];
    return KM_OK;
}

/* An incident that was too weak to be shown became strong enough. */
static enum km_code promote(struct km_incidents *incidents, struct km_incident *item,
                            const struct km_incident_report *report, struct km_err *err)
{
    double strength = report->strength;
    double least = incidents->config.least_strength;
    if (item->shown || item->strongest >= least || strength < least)
        return KM_OK;
    struct account *account;
    enum km_code code = account_of(incidents, item->daemon, &account, err);
    if (code == KM_OK)
        item->shown = spend(incidents, account, report);
    return code;
}

enum km_code km_incidents_add(struct km_incidents *incidents, const struct km_incident_report *report,
                              struct km_incident_answer *out, struct km_err *err)
{
    uint64_t hash = hash_report(report);
    turn_day(incidents, report->time_ns);
    struct km_incident *item = find_open(incidents, hash, report->time_ns);
    struct km_incident_answer answer = {.is_new = !item};
    bool was_shown = item && item->shown;
    if (!item) {
        enum km_code code = begin(incidents, report, hash, &item, err);
        if (code != KM_OK)
            return code;
    } else {
        answer.grew = report->strength >= GROWTH * item->strongest;
        enum km_code code = promote(incidents, item, report, err);
        if (code != KM_OK)
            return code;
        answer.show = item->shown && !was_shown;
        if (report->strength > item->strongest)
            item->strongest = report->strength;
        if (report->time_ns > item->last_ns)
            item->last_ns = report->time_ns;
        if (report->time_ns < item->first_ns)
            item->first_ns = report->time_ns;
    }
    item->count++;
    answer.incident = item;
    answer.show |= answer.is_new && item->shown;
    *out = answer;
    return KM_OK;
}

void km_incidents_close(struct km_incidents *incidents, const char *daemon, const char *role)
{
    char names[2][KM_INCIDENTS_NAME_BYTES];
    copy_text(daemon, names[0]);
    copy_text(role, names[1]);
    for (size_t i = 0; i < incidents->count; i++)
        if (strcmp(incidents->items[i].daemon, names[0]) == 0 && strcmp(incidents->items[i].role, names[1]) == 0)
            incidents->items[i].hash = 0;
}

static int by_strength(const void *a, const void *b)
{
    const struct km_incident *left = *(const struct km_incident *const *)a;
    const struct km_incident *right = *(const struct km_incident *const *)b;
    if (left->strongest != right->strongest)
        return left->strongest < right->strongest ? 1 : -1;
    if (left->first_ns != right->first_ns)
        return left->first_ns > right->first_ns ? 1 : -1;
    return (left->id > right->id) - (left->id < right->id);
}

const struct km_incident **km_incidents_digest(const struct km_incidents *incidents, int64_t day, size_t *out_count,
                                               struct km_err *err)
{
    const struct km_incident **list = km_calloc(incidents->count + 1, sizeof(void *), SIZE_MAX, err);
    if (!list)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < incidents->count; i++)
        if (!incidents->items[i].shown && incidents->items[i].day == day)
            list[n++] = &incidents->items[i];
    qsort(list, n, sizeof(void *), by_strength);
    *out_count = n;
    return list;
}

size_t km_incidents_count(const struct km_incidents *incidents)
{
    return incidents->count;
}

const struct km_incident *km_incidents_get(const struct km_incidents *incidents, size_t i)
{
    return i < incidents->count ? &incidents->items[i] : NULL;
}

unsigned km_incidents_shown_today(const struct km_incidents *incidents)
{
    return incidents->shown;
}

uint64_t km_incidents_forgotten(const struct km_incidents *incidents)
{
    return incidents->forgotten;
}

/* ---- snapshots ---- */

static void set_hex(struct km_json *object, const char *name, uint64_t v)
{
    char text[ID_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%016" PRIx64, v);
    km_json_set_string(object, name, text);
}

struct km_json *km_incidents_save(const struct km_incidents *incidents)
{
    struct km_json *root = km_json_new_object(), *items = km_json_new_array(), *accounts = km_json_new_array();
    km_json_set_string(root, "schema", SNAPSHOT_NAME);
    km_json_set(root, "day", incidents->day == INT64_MIN ? km_json_new_null() : km_json_new_integer(incidents->day));
    km_json_set_integer(root, "forgotten", (int64_t)incidents->forgotten);
    for (size_t i = 0; i < incidents->account_count; i++) {
        const struct account *account = &incidents->accounts[i];
        struct km_json *object = km_json_new_object();
        km_json_set_string(object, "daemon", account->daemon);
        km_json_set_integer(object, "shown", account->shown);
        km_json_set_real(object, "strongest", account->strongest); /* null: none */
        km_json_set_bool(object, "overdrawn", account->overdrawn);
        km_json_set_integer(object, "programs", account->programs);
        km_json_append(accounts, object);
    }
    km_json_set(root, "accounts", accounts);
    for (size_t i = 0; i < incidents->count; i++) {
        const struct km_incident *item = &incidents->items[i];
        struct km_json *object = km_json_new_object();
        set_hex(object, "id", item->id);
        set_hex(object, "hash", item->hash);
        km_json_set_string(object, "daemon", item->daemon);
        km_json_set_string(object, "role", item->role);
        km_json_set_string(object, "key", item->key);
        km_json_set_integer(object, "first_ns", item->first_ns);
        km_json_set_integer(object, "last_ns", item->last_ns);
        km_json_set_integer(object, "count", (int64_t)item->count);
        km_json_set_real(object, "strongest", item->strongest);
        km_json_set_bool(object, "shown", item->shown);
        km_json_set_integer(object, "day", item->day);
        km_json_append(items, object);
    }
    km_json_set(root, "incidents", items);
    return root;
}

static bool get_hex(const struct km_json *object, const char *name, uint64_t *out)
{
    const char *text = km_json_string(object, name, "");
    char *end;
    if (strlen(text) != ID_TEXT_BYTES - 1 || strspn(text, "0123456789abcdef") != ID_TEXT_BYTES - 1)
        return false;
    *out = strtoull(text, &end, 16);
    return true;
}

/* What was saved was escaped: a control character is somebody else's. */
static bool is_escaped(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static bool get_text(const struct km_json *object, const char *name, char *out)
{
    const struct km_json *value = km_json_member(object, name);
    const char *text = value ? km_json_text(value) : NULL;
    if (!text || strlen(text) >= KM_INCIDENTS_NAME_BYTES || !is_escaped(text))
        return false;
    (void)snprintf(out, KM_INCIDENTS_NAME_BYTES, "%s", text);
    return true;
}

static bool restore_item(const struct km_json *object, struct km_incident *out)
{
    int64_t count = km_json_integer(object, "count", 0);
    *out = (struct km_incident){.first_ns = km_json_integer(object, "first_ns", 0),
                                .last_ns = km_json_integer(object, "last_ns", INT64_MIN),
                                .count = (uint64_t)count,
                                .strongest = km_json_real(object, "strongest", 0),
                                .shown = km_json_bool(object, "shown", false),
                                .day = km_json_integer(object, "day", 0)};
    return count > 0 && out->last_ns >= out->first_ns && get_hex(object, "id", &out->id) &&
           get_hex(object, "hash", &out->hash) && get_text(object, "daemon", out->daemon) &&
           get_text(object, "role", out->role) && get_text(object, "key", out->key);
}

static bool restore_account(const struct km_json *object, struct account *out)
{
    int64_t shown = km_json_integer(object, "shown", -1), programs = km_json_integer(object, "programs", 0);
    *out = (struct account){.shown = (unsigned)(shown & INT32_MAX),
                            .strongest = km_json_real(object, "strongest", -INFINITY),
                            .overdrawn = km_json_bool(object, "overdrawn", false),
                            .programs = (unsigned)(programs & INT32_MAX)};
    return programs >= 0 && programs <= LARGEST_NUMBER && shown >= 0 && shown <= LARGEST_NUMBER &&
           get_text(object, "daemon", out->daemon);
}

enum km_code km_incidents_restore(struct km_incidents *incidents, const struct km_json *snapshot, struct km_err *err)
{
    const struct km_json *items = km_json_find(snapshot, "incidents"), *accounts = km_json_find(snapshot, "accounts");
    size_t count = km_json_size(items), account_count = km_json_size(accounts);
    int64_t forgotten = km_json_integer(snapshot, "forgotten", 0);
    if (strcmp(km_json_string(snapshot, "schema", ""), SNAPSHOT_NAME) != 0 || count > KM_INCIDENTS_MAX ||
        account_count > KM_INCIDENTS_MAX_DAEMONS || forgotten < 0)
        return km_fail(err, KM_FORMAT, "the snapshot of incidents breaks its format");
    struct km_incident *list KM_CLEANUP(km_cleanup_free) = km_calloc(count + 1, sizeof *list, SIZE_MAX, err);
    struct account *rows KM_CLEANUP(km_cleanup_free) = km_calloc(account_count + 1, sizeof *rows, SIZE_MAX, err);
    if (!list || !rows)
        return err->code;
    unsigned shown = 0;
    for (size_t i = 0; i < count; i++)
        if (!restore_item(km_json_at(items, i), &list[i]))
            return km_fail(err, KM_FORMAT, "the snapshot's incident %zu breaks its format", i);
    for (size_t i = 0; i < account_count; i++) {
        if (!restore_account(km_json_at(accounts, i), &rows[i]))
            return km_fail(err, KM_FORMAT, "the snapshot's account %zu breaks its format", i);
        shown = shown < LARGEST_NUMBER ? shown + rows[i].shown : shown;
    }
    free(incidents->items);
    free(incidents->accounts);
    incidents->items = km_steal(list);
    incidents->count = count;
    incidents->capacity = count + 1;
    incidents->accounts = km_steal(rows);
    incidents->account_count = account_count;
    incidents->account_capacity = account_count + 1;
    incidents->shown = shown;
    incidents->forgotten = (uint64_t)forgotten;
    incidents->day = km_json_integer(snapshot, "day", INT64_MIN);
    return KM_OK;
}
