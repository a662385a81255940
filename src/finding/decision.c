#include "finding/decision.h"

#include <fnmatch.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/yaml.h"

#define MAX_SECONDS INT64_C(9000000000) /* the year 2255: nanoseconds fit into 64 bits */

struct km_decision_list {
    struct km_json *document; /* owns the strings */
    size_t count;
    struct km_decision entries[];
};

static const char *const kind_names[] = {
    [KM_DECISION_BENIGN_ONCE] = "benign-once",
    [KM_DECISION_BENIGN_LEARN] = "benign-learn",
    [KM_DECISION_BENIGN_UNTIL] = "benign-until",
    [KM_DECISION_SUSPICIOUS] = "suspicious",
    [KM_DECISION_ATTACK] = "attack",
};
#define KIND_COUNT (sizeof kind_names / sizeof kind_names[0])

int km_decision_is_benign(enum km_decision_kind kind)
{
    return kind == KM_DECISION_BENIGN_ONCE || kind == KM_DECISION_BENIGN_LEARN || kind == KM_DECISION_BENIGN_UNTIL;
}

const char *km_decision_kind_to_string(enum km_decision_kind kind)
{
    return (size_t)kind < KIND_COUNT ? kind_names[kind] : "unknown";
}

static enum km_code parse_kind(const char *text, enum km_decision_kind *out, struct km_err *err)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_names[i], text) == 0) {
            *out = (enum km_decision_kind)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is no decision", text);
}

/* The end of the day that the text names. */
static enum km_code parse_date(const char *text, int64_t *out_wall_ns, struct km_err *err)
{
    struct tm day = {0};
    const char *end = strptime(text, "%Y-%m-%d", &day);
    if (!end || *end != '\0' || strlen(text) != strlen("YYYY-MM-DD"))
        return km_fail(err, KM_FORMAT, "'%s' is no date (YYYY-MM-DD)", text);
    int64_t seconds = (int64_t)timegm(&day) + (int64_t)24 * 3600;
    if (seconds > MAX_SECONDS)
        return km_fail(err, KM_LIMIT, "'%s' is too far away", text);
    *out_wall_ns = seconds * KM_NS_PER_S;
    return KM_OK;
}

/* All keys are known, all values are text. */
static enum km_code check_keys(const struct km_json *row, struct km_err *err)
{
    static const char *const known[] = {"path", "decision", "who", "note", "until", "sha256"};
    for (size_t i = 0; i < km_json_size(row); i++) {
        size_t k = 0;
        while (k < sizeof known / sizeof known[0] && strcmp(km_json_key_at(row, i), known[k]) != 0)
            k++;
        if (k == sizeof known / sizeof known[0])
            return km_fail(err, KM_FORMAT, "'%s' is not known here", km_json_key_at(row, i));
        if (!km_json_text(km_json_at(row, i))) /* 00…0 without quotes is a number to YAML */
            return km_fail(err, KM_FORMAT, "'%s' is no text; put it in quotes", km_json_key_at(row, i));
    }
    return KM_OK;
}

static enum km_code parse_entry(const struct km_json *row, struct km_decision *out, struct km_err *err)
{
    static const char *const required[] = {"path", "decision", "who", "note"};
    if (km_json_type(row) != KM_JSON_OBJECT)
        return km_fail(err, KM_FORMAT, "a mapping is expected");
    if (check_keys(row, err) != KM_OK)
        return err->code;
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (!km_json_text(km_json_member(row, required[i])))
            return km_fail(err, KM_FORMAT, "'%s' is missing", required[i]);
    struct km_decision entry = {.until_wall_ns = INT64_MAX,
                                .who = km_json_string(row, "who", NULL),
                                .note = km_json_string(row, "note", NULL),
                                .path = km_json_string(row, "path", NULL),
                                .sha256 = km_json_string(row, "sha256", NULL)};
    if (parse_kind(km_json_string(row, "decision", ""), &entry.kind, err) != KM_OK)
        return err->code;
    const char *until = km_json_string(row, "until", NULL);
    if (until && parse_date(until, &entry.until_wall_ns, err) != KM_OK)
        return err->code;
    uint8_t digest[KM_SHA256_BYTES];
    if (entry.sha256 && (strlen(entry.sha256) != (size_t)2 * KM_SHA256_BYTES ||
                         km_hex_parse(entry.sha256, KM_SHA256_BYTES, digest, err) != KM_OK))
        return km_fail(err, KM_FORMAT, "sha256 is not 64 hexadecimal digits");
    if (entry.kind == KM_DECISION_BENIGN_UNTIL && !until)
        return km_fail(err, KM_FORMAT, "benign-until needs 'until'");
    if ((entry.kind == KM_DECISION_BENIGN_ONCE || entry.kind == KM_DECISION_BENIGN_LEARN) && !entry.sha256)
        return km_fail(err, KM_FORMAT, "%s needs 'sha256'", km_decision_kind_to_string(entry.kind));
    *out = entry;
    return KM_OK;
}

struct km_decision_list *km_decision_list_parse(const char *text, size_t length, struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_yaml_parse(text, length, KM_DECISION_LIST_MAX_BYTES, err);
    if (!document)
        return NULL;
    if (km_json_type(document) != KM_JSON_ARRAY && km_json_type(document) != KM_JSON_NULL) {
        km_fail(err, KM_FORMAT, "a list of decisions is expected");
        return NULL;
    }
    size_t count = km_json_size(document);
    struct km_decision_list *list KM_CLEANUP(km_decision_list_cleanup) =
        km_calloc(1, sizeof *list + count * sizeof list->entries[0], SIZE_MAX, err);
    if (!list)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (parse_entry(km_json_at(document, i), &list->entries[i], err) != KM_OK) {
            km_err_wrap(err, "decision %zu", i + 1);
            return NULL;
        }
    list->count = count;
    list->document = km_steal(document);
    return km_steal(list);
}

void km_decision_list_free(struct km_decision_list *list)
{
    if (!list)
        return;
    km_json_free(list->document);
    free(list);
}

static const struct km_decision *find(void *context, const struct km_finding *finding, int64_t now_wall_ns)
{
    const struct km_decision_list *list = context;
    const struct km_subject *subject = &finding->subject;
    for (size_t i = 0; i < list->count; i++) {
        const struct km_decision *entry = &list->entries[i];
        if (now_wall_ns >= entry->until_wall_ns || !subject->path || fnmatch(entry->path, subject->path, 0) != 0)
            continue;
        if (!entry->sha256 || (subject->sha256 && strcasecmp(entry->sha256, subject->sha256) == 0))
            return entry;
    }
    return NULL;
}

struct km_decisions km_decision_list_decisions(struct km_decision_list *list)
{
    return (struct km_decisions){list, find};
}

size_t km_decision_list_expired(const struct km_decision_list *list, int64_t now_wall_ns)
{
    size_t expired = 0;
    for (size_t i = 0; i < list->count; i++)
        expired += now_wall_ns >= list->entries[i].until_wall_ns;
    return expired;
}
