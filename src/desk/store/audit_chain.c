#include "desk/store/audit_chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "desk/store/audit_internal.h"
#include "desk/store/query.h"
#include "desk/store/store_internal.h"

#define ENTRY_TAG   "komainu audit 1\n"
#define DETAIL_TAG  "komainu audit detail 1\n"
#define SALT_BYTES  16
#define ERASE       "privacy.erase"
#define MAX_ERASED  1000000
#define FAULT_BYTES 256

struct link {
    uint8_t bytes[KM_SHA256_BYTES];
};

static void add_number(struct km_digest *digest, uint64_t number, int bytes)
{
    uint8_t little[8];
    for (int i = 0; i < bytes; i++)
        little[i] = (uint8_t)(number >> (8 * i));
    km_digest_update(digest, little, (size_t)bytes);
}

static void add_bytes(struct km_digest *digest, const void *bytes, size_t length)
{
    add_number(digest, length, 4);
    km_digest_update(digest, bytes, length);
}

struct content {
    int64_t id, at_ns;
    const char *who, *action, *object;
    const void *detail_digest; /* NULL: there is no detail */
};

static void hash_entry(struct km_digest *digest, const struct link *previous, const struct content *content,
                       struct link *out)
{
    km_digest_reset(digest);
    km_digest_update(digest, ENTRY_TAG, strlen(ENTRY_TAG));
    km_digest_update(digest, previous->bytes, sizeof previous->bytes);
    add_number(digest, (uint64_t)content->id, 8);
    add_number(digest, (uint64_t)content->at_ns, 8);
    add_bytes(digest, content->who, strlen(content->who));
    add_bytes(digest, content->action, strlen(content->action));
    add_bytes(digest, content->object, strlen(content->object));
    add_bytes(digest, content->detail_digest ? content->detail_digest : "",
              content->detail_digest ? KM_SHA256_BYTES : 0);
    km_digest_finish(digest, out->bytes);
}

static void hash_detail(struct km_digest *digest, const void *salt, const char *text, uint8_t *out)
{
    km_digest_reset(digest);
    km_digest_update(digest, DETAIL_TAG, strlen(DETAIL_TAG));
    km_digest_update(digest, salt, SALT_BYTES);
    km_digest_update(digest, text, strlen(text));
    km_digest_finish(digest, out);
}

static void digest_cleanup(struct km_digest **digest)
{
    km_digest_free(*digest);
}

/* ---- adding ---- */

static enum km_code read_head(struct km_desk *desk, int64_t *out_id, struct link *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1", err);
    bool row = false;
    if (!query || km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out_id = 0;
    memset(out, 0, sizeof *out);
    if (!row)
        return KM_OK;
    size_t length = 0;
    const void *hash = km_query_bytes(query, 1, &length);
    *out_id = km_query_integer(query, 0);
    if (length == sizeof out->bytes) /* else the log is broken there, and stays so for verify to see */
        memcpy(out->bytes, hash, length);
    return KM_OK;
}

static enum km_code insert_entry(struct km_desk *desk, const struct content *content, const struct link *previous,
                                 const struct link *hash, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO audit(id, at_ns, who, action, object, detail_digest, previous, hash)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, content->id);
    km_query_bind_integer(query, 2, content->at_ns);
    km_query_bind_text(query, 3, content->who);
    km_query_bind_text(query, 4, content->action);
    km_query_bind_text(query, 5, content->object);
    if (content->detail_digest)
        km_query_bind_bytes(query, 6, content->detail_digest, KM_SHA256_BYTES);
    km_query_bind_bytes(query, 7, previous->bytes, sizeof previous->bytes);
    km_query_bind_bytes(query, 8, hash->bytes, sizeof hash->bytes);
    return km_query_run(query, err);
}

static enum km_code insert_detail(struct km_desk *desk, int64_t id, const uint8_t *salt, const char *text,
                                  struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "INSERT INTO audit_detail(audit_id, salt, text) VALUES(?1, ?2, ?3)", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    km_query_bind_bytes(query, 2, salt, SALT_BYTES);
    km_query_bind_text(query, 3, text);
    return km_query_run(query, err);
}

static enum km_code add_entry(struct km_desk *desk, struct content *content, const char *text, struct km_err *err)
{
    struct km_digest *digest KM_CLEANUP(digest_cleanup) = km_digest_new(KM_DIGEST_SHA256, err);
    struct link previous, hash;
    uint8_t salt[SALT_BYTES], detail_digest[KM_SHA256_BYTES];
    if (!digest || read_head(desk, &content->id, &previous, err) != KM_OK)
        return err->code;
    content->id++;
    content->at_ns = km_clock_wall_ns();
    if (text) {
        if (getrandom(salt, sizeof salt, 0) != (ssize_t)sizeof salt)
            return km_fail_errno(err, errno, "cannot draw a salt");
        hash_detail(digest, salt, text, detail_digest);
        content->detail_digest = detail_digest;
    }
    hash_entry(digest, &previous, content, &hash);
    enum km_code code = insert_entry(desk, content, &previous, &hash, err);
    if (code == KM_OK && text)
        code = insert_detail(desk, content->id, salt, text, err);
    content->detail_digest = NULL;
    if (code != KM_OK)
        return code;
    desk->anchor_id = content->id;
    km_hex_format(hash.bytes, sizeof hash.bytes, desk->anchor_hash);
    return KM_OK;
}

enum km_code km_audit_add(struct km_desk *desk, const char *who, const char *action, const char *object,
                          const struct km_json *detail, struct km_err *err)
{
    KM_ASSERT(km_desk_in_transaction(desk));
    struct content content = {.who = who, .action = action, .object = object};
    if (!detail)
        return add_entry(desk, &content, NULL, err);
    struct km_buf text;
    km_buf_init(&text, KM_AUDIT_MAX_DETAIL_BYTES);
    enum km_code code = km_json_format(detail, 0, &text, err);
    if (code == KM_OK)
        code = add_entry(desk, &content, km_buf_text(&text), err);
    km_buf_done(&text);
    return code;
}

/* ---- verifying ---- */

struct walk {
    struct km_audit_report *report;
    struct km_digest *digest;
    void *context;
    void (*visit)(void *context, int64_t id, const char *text);
    int64_t *erased; /* numbers whose detail an entry says is erased, ascending */
    size_t erased_count, erased_capacity;
    int64_t copy_id; /* of the head kept elsewhere, 0: none */
    char copy_hash[KM_SHA256_HEX_BYTES];
    int64_t anchor_id;
    char anchor_hash[KM_SHA256_HEX_BYTES];
    bool copy_seen, anchor_seen; /* the log has the entry, with that hash */
};

static void fault(struct walk *walk, int64_t id, const char *text)
{
    if (walk->report->faults++ == 0) {
        walk->report->first_fault = id;
        snprintf(walk->report->first_text, sizeof walk->report->first_text, "%s", text);
    }
    if (walk->visit)
        walk->visit(walk->context, id, text);
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return (left > right) - (left < right);
}

static enum km_code collect_erased(struct walk *walk, struct km_desk *desk, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "SELECT text FROM audit_detail JOIN audit ON id=audit_id WHERE action='" ERASE "' ORDER BY id", err);
    bool row = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        const char *text = km_query_text(query, 0);
        struct km_err ignored = KM_ERR_INIT; /* a detail that was changed is a fault of its own entry */
        struct km_json *detail KM_CLEANUP(km_json_cleanup) =
            km_json_parse(text, strlen(text), KM_AUDIT_MAX_DETAIL_BYTES, &ignored);
        const struct km_json *list = detail ? km_json_member(detail, "details") : NULL;
        size_t count = km_json_size(list);
        void *array = walk->erased;
        code = km_grow(&array, &walk->erased_capacity, walk->erased_count + count, sizeof(int64_t), MAX_ERASED, err);
        walk->erased = array;
        for (size_t i = 0; code == KM_OK && i < count; i++) {
            char place[32];
            snprintf(place, sizeof place, "%zu", i);
            walk->erased[walk->erased_count++] = km_json_integer(list, place, 0);
        }
    }
    if (code == KM_OK && walk->erased_count > 1)
        qsort(walk->erased, walk->erased_count, sizeof *walk->erased, compare_numbers);
    return code;
}

static bool is_erased(const struct walk *walk, int64_t id)
{
    return walk->erased_count > 0 && bsearch(&id, walk->erased, walk->erased_count, sizeof id, compare_numbers) != NULL;
}

/* Columns: 0 id, 1 at_ns, 2 who, 3 action, 4 object, 5 detail_digest, 6 previous, 7 hash, 8 salt, 9 text. */
#define ENTRY_COLUMNS                                                                                                  \
    "SELECT id, at_ns, who, action, object, detail_digest, previous, hash, salt, text FROM audit"                      \
    " LEFT JOIN audit_detail ON audit_id=id"

static void check_detail(struct walk *walk, struct km_query *query, int64_t id, const void *digest)
{
    bool present = !km_query_is_null(query, 9);
    if (!digest && !present)
        return;
    if (digest && !present) {
        if (is_erased(walk, id))
            walk->report->erased++;
        else
            fault(walk, id, "its detail is missing, and no entry says that it was erased");
        return;
    }
    size_t salt_length = 0;
    const void *salt = km_query_bytes(query, 8, &salt_length);
    uint8_t sum[KM_SHA256_BYTES];
    if (digest && salt_length == SALT_BYTES) {
        hash_detail(walk->digest, salt, km_query_text(query, 9), sum);
        if (memcmp(sum, digest, sizeof sum) == 0)
            return;
    }
    fault(walk, id, "its detail was changed");
}

static void check_heads(struct walk *walk, int64_t id, const char *hash)
{
    if (id == walk->copy_id) {
        walk->copy_seen = true;
        if (strcmp(hash, walk->copy_hash) != 0)
            fault(walk, id, "its hash is not the one of the head that was kept elsewhere");
    }
    if (id == walk->anchor_id) {
        walk->anchor_seen = true;
        if (strcmp(hash, walk->anchor_hash) != 0)
            fault(walk, id, "its hash is not the anchor's");
    }
}

/* Goes on behind a fault with what the log says itself, so that one change is one fault. */
static void check_entry(struct walk *walk, struct km_query *query, struct link *previous)
{
    size_t digest_length = 0, previous_length = 0, hash_length = 0;
    const void *digest = km_query_bytes(query, 5, &digest_length);
    const void *named = km_query_bytes(query, 6, &previous_length);
    const void *hash = km_query_bytes(query, 7, &hash_length);
    struct content content = {
        .id = km_query_integer(query, 0),
        .at_ns = km_query_integer(query, 1),
        .who = km_query_text(query, 2),
        .action = km_query_text(query, 3),
        .object = km_query_text(query, 4),
        .detail_digest = digest_length == KM_SHA256_BYTES ? digest : NULL,
    };
    struct link made;
    char text[FAULT_BYTES];
    int64_t expected = walk->report->entries + 1;
    if (content.id != expected) {
        if (content.id == expected + 1)
            snprintf(text, sizeof text, "it is missing");
        else
            snprintf(text, sizeof text, "entries %lld to %lld are missing", (long long)expected,
                     (long long)content.id - 1);
        fault(walk, expected, text);
    } else if (previous_length != sizeof *previous || memcmp(named, previous, sizeof *previous) != 0) {
        fault(walk, content.id, "it does not follow the entry before it");
    }
    walk->report->entries = content.id;
    memcpy(previous, named, previous_length == sizeof *previous ? sizeof *previous : 0);
    hash_entry(walk->digest, previous, &content, &made);
    if (hash_length != sizeof made || memcmp(hash, &made, sizeof made) != 0)
        fault(walk, content.id, "it was changed");
    memcpy(previous, hash, hash_length == sizeof *previous ? sizeof *previous : 0);
    km_hex_format(previous->bytes, sizeof previous->bytes, walk->report->head);
    check_detail(walk, query, content.id, content.detail_digest);
    check_heads(walk, content.id, walk->report->head);
}

static enum km_code walk_entries(struct walk *walk, struct km_desk *desk, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, ENTRY_COLUMNS " ORDER BY id", err);
    struct link previous = {{0}};
    bool row = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row)
        check_entry(walk, query, &previous);
    return code;
}

static enum km_code load_anchor(struct walk *walk, const struct km_desk *desk, struct km_err *err)
{
    struct km_err cause = KM_ERR_INIT;
    enum km_code code = km_audit_read_anchor(desk, &walk->anchor_id, walk->anchor_hash, &cause);
    if (code == KM_NOTFOUND) {
        walk->report->anchor_missing = true;
        return KM_OK;
    }
    if (code == KM_FORMAT) {
        fault(walk, 0, cause.text);
        return KM_OK;
    }
    walk->report->anchor = walk->anchor_id;
    if (code != KM_OK)
        *err = cause;
    return code;
}

static void check_ends(struct walk *walk, bool in_memory)
{
    char text[FAULT_BYTES];
    const struct {
        int64_t id;
        bool seen;
        const char *name;
    } heads[] = {{walk->anchor_id, walk->anchor_seen, "the anchor names"},
                 {walk->copy_id, walk->copy_seen, "a head that was kept elsewhere names"}};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (heads[i].id > 0 && !heads[i].seen) {
            snprintf(text, sizeof text, "%s entry %lld, which the log does not have", heads[i].name,
                     (long long)heads[i].id);
            fault(walk, heads[i].id, text);
        }
    if (walk->report->anchor_missing && walk->report->entries > 0 && !in_memory)
        fault(walk, 0, "the anchor file is missing");
}

enum km_code km_audit_verify(struct km_desk *desk, const char *head_copy, void *context,
                             void (*visit)(void *context, int64_t id, const char *text), struct km_audit_report *out,
                             struct km_err *err)
{
    struct km_audit_report report = {0};
    struct walk walk = {.report = &report, .context = context, .visit = visit};
    if (head_copy && km_audit_parse_head(head_copy, &walk.copy_id, walk.copy_hash, err) != KM_OK)
        return err->code;
    struct km_digest *digest KM_CLEANUP(digest_cleanup) = km_digest_new(KM_DIGEST_SHA256, err);
    walk.digest = digest;
    /* The anchor is read first: what is added meanwhile makes the log longer than it, which is no fault. */
    enum km_code code = digest ? load_anchor(&walk, desk, err) : err->code;
    if (code == KM_OK)
        code = collect_erased(&walk, desk, err);
    if (code == KM_OK)
        code = walk_entries(&walk, desk, err);
    free(walk.erased);
    if (code != KM_OK)
        return code;
    check_ends(&walk, desk->in_memory);
    *out = report;
    return KM_OK;
}

/* ---- reading and erasing ---- */

enum km_code km_audit_list(struct km_desk *desk, int64_t after_id, size_t limit, void *context,
                           enum km_code (*visit)(void *context, const struct km_audit_entry *entry, struct km_err *err),
                           struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open_once(desk, ENTRY_COLUMNS " WHERE id>?1 ORDER BY id LIMIT ?2", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, after_id);
    km_query_bind_integer(query, 2, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        size_t hash_length = 0;
        const void *hash = km_query_bytes(query, 7, &hash_length);
        struct km_audit_entry entry = {
            .id = km_query_integer(query, 0),
            .at_ns = km_query_integer(query, 1),
            .who = km_query_text(query, 2),
            .action = km_query_text(query, 3),
            .object = km_query_text(query, 4),
            .detail = km_query_text_or_null(query, 9),
            .erased = !km_query_is_null(query, 5) && km_query_is_null(query, 9),
        };
        if (hash_length == KM_SHA256_BYTES)
            km_hex_format(hash, KM_SHA256_BYTES, entry.hash);
        code = visit(context, &entry, err);
    }
    return code;
}

enum km_code km_audit_erase_details(struct km_desk *desk, const char *text, const char *who, int64_t *out_erased,
                                    struct km_err *err)
{
    KM_ASSERT(km_desk_in_transaction(desk));
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *numbers = km_json_new_array();
    km_json_set(detail, "details", numbers);
    struct km_query *find KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "SELECT audit_id FROM audit_detail JOIN audit ON id=audit_id"
                      " WHERE instr(text, ?1)>0 AND action<>'" ERASE "' ORDER BY audit_id",
                      err);
    if (!find)
        return err->code;
    km_query_bind_text(find, 1, text);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(find, &row, err)) == KM_OK && row)
        km_json_append(numbers, km_json_new_integer(km_query_integer(find, 0)));
    if (code == KM_OK)
        code = km_audit_add(desk, who, ERASE, "personal data", detail, err);
    struct km_query *erase KM_CLEANUP(km_query_cleanup) =
        code == KM_OK ? km_query_open(desk, "DELETE FROM audit_detail WHERE audit_id=?1", err) : NULL;
    if (!erase)
        return err->code;
    size_t count = km_json_size(numbers);
    for (size_t i = 0; code == KM_OK && i < count; i++) {
        char place[32];
        snprintf(place, sizeof place, "%zu", i);
        km_query_bind_integer(erase, 1, km_json_integer(numbers, place, 0));
        code = km_query_run(erase, err);
    }
    if (code == KM_OK)
        *out_erased = (int64_t)count;
    return code;
}
