#include "cli/labels.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/newfile.h"
#include "desk/triage/decide.h"

#define SCHEMA "komainu.labels/1"

struct entry {
    uint8_t sha256[KM_SHA256_BYTES];
    enum km_label label;
    bool met;
};

struct km_labels {
    struct entry *entries; /* sorted by content */
    size_t count;
};

void km_labels_free(struct km_labels *labels)
{
    if (!labels)
        return;
    free(labels->entries);
    free(labels);
}

/* ---- reading ---- */

static int compare(const void *left, const void *right)
{
    return memcmp(((const struct entry *)left)->sha256, ((const struct entry *)right)->sha256, KM_SHA256_BYTES);
}

static enum km_code parse_entry(const struct km_json *value, struct entry *out, struct km_err *err)
{
    const char *sha256 = km_json_string(value, "sha256", ""), *label = km_json_string(value, "label", "");
    if (strlen(sha256) != 2 * sizeof out->sha256 || km_hex_parse(sha256, KM_SHA256_BYTES, out->sha256, err) != KM_OK)
        return km_fail(err, KM_FORMAT, "'%s' is no SHA-256", sha256);
    if (strcmp(label, "benign") == 0)
        out->label = KM_LABEL_BENIGN;
    else if (strcmp(label, "suspicious") == 0 || strcmp(label, "attack") == 0)
        out->label = KM_LABEL_BAD;
    else
        return km_fail(err, KM_FORMAT, "the label '%s' is none of benign, suspicious, attack", label);
    return KM_OK;
}

static enum km_code parse(const struct km_json *document, struct km_labels *out, struct km_err *err)
{
    const struct km_json *list = km_json_find(document, "labels");
    if (strcmp(km_json_string(document, "schema", ""), SCHEMA) != 0 || km_json_type(list) != KM_JSON_ARRAY)
        return km_fail(err, KM_FORMAT, "no labels of komainu ('komainu alerts labels' writes them)");
    size_t count = km_json_size(list);
    if (count > KM_LABELS_MAX)
        return km_fail(err, KM_LIMIT, "more than %d labels", KM_LABELS_MAX);
    out->entries = km_calloc(count + 1, sizeof *out->entries, SIZE_MAX, err);
    if (!out->entries)
        return err->code;
    for (size_t i = 0; i < count; i++)
        if (parse_entry(km_json_at(list, i), &out->entries[i], err) != KM_OK)
            return km_err_wrap(err, "label %zu", i + 1);
    qsort(out->entries, count, sizeof *out->entries, compare);
    for (size_t i = 1; i < count; i++)
        if (compare(&out->entries[i - 1], &out->entries[i]) == 0)
            return km_fail(err, KM_FORMAT, "a content has two labels");
    out->count = count;
    return KM_OK;
}

struct km_labels *km_labels_open(const char *path, struct km_err *err)
{
    struct km_labels *labels KM_CLEANUP(km_labels_cleanup) = km_calloc(1, sizeof *labels, SIZE_MAX, err);
    struct km_buf text;
    if (!labels)
        return NULL;
    km_buf_init(&text, KM_LABELS_MAX_BYTES);
    enum km_code code = km_buf_append_file(&text, path, err);
    struct km_json *document KM_CLEANUP(km_json_cleanup) =
        code == KM_OK ? km_json_parse(km_buf_text(&text), text.length, KM_LABELS_MAX_BYTES, err) : NULL;
    km_buf_done(&text);
    if (!document || parse(document, labels, err) != KM_OK) {
        (void)km_err_wrap(err, "%s", path);
        return NULL;
    }
    return km_steal(labels);
}

enum km_label km_labels_meet(struct km_labels *labels, const uint8_t sha256[KM_SHA256_BYTES])
{
    struct entry wanted;
    if (!labels)
        return KM_LABEL_NONE;
    memcpy(wanted.sha256, sha256, KM_SHA256_BYTES);
    struct entry *found = bsearch(&wanted, labels->entries, labels->count, sizeof *labels->entries, compare);
    if (!found)
        return KM_LABEL_NONE;
    found->met = true;
    return found->label;
}

/* Without memory for a hash nothing can be learned either: the caller's next step says so. */
enum km_label km_labels_meet_bytes(struct km_labels *labels, const void *bytes, size_t length)
{
    struct km_err ignored = KM_ERR_INIT;
    uint8_t sha256[KM_SHA256_BYTES];
    bool hashed = km_digest_sha256(bytes, length, sha256, &ignored) == KM_OK;
    return hashed ? km_labels_meet(labels, sha256) : KM_LABEL_BAD;
}

void km_labels_report(const struct km_labels *labels, const char *command)
{
    size_t benign = 0, bad = 0;
    if (!labels)
        return;
    for (size_t i = 0; i < labels->count; i++)
        if (labels->entries[i].met)
            *(labels->entries[i].label == KM_LABEL_BAD ? &bad : &benign) += 1;
    fprintf(stderr, "komainu: %s: labels: %zu benign contents met, %zu suspicious or attack left out, %zu not met\n",
            command, benign, bad, labels->count - benign - bad);
}

/* ---- writing ---- */

struct writing {
    struct km_json *list; /* of labels */
    struct km_labels_written written;
    int64_t newest;
};

static const char *name_of(enum km_decision_kind kind)
{
    return km_decision_is_benign(kind) ? "benign" : km_decision_kind_to_string(kind);
}

static enum km_code add_label(void *context, const struct km_label_given *label, struct km_err *err)
{
    struct writing *writing = context;
    char at[KM_CLOCK_UTC_BYTES];
    uint8_t ignored[KM_SHA256_BYTES];
    struct km_err why = KM_ERR_INIT;
    if (strlen(label->sha256) != 2 * sizeof ignored ||
        km_hex_parse(label->sha256, sizeof ignored, ignored, &why) != KM_OK)
        return KM_OK; /* another program wrote it: nothing that a content could have */
    if (km_json_size(writing->list) >= KM_LABELS_MAX)
        return km_fail(err, KM_LIMIT, "more than %d contents have a label", KM_LABELS_MAX);
    struct km_json *object = km_json_new_object();
    km_clock_format_utc(label->at_ns, at);
    km_json_append(writing->list, object);
    km_json_set_string(object, "sha256", label->sha256);
    km_json_set_string(object, "label", name_of(label->kind));
    km_json_set_integer(object, "decision", label->decision);
    km_json_set_string(object, "at", at);
    km_json_set_escaped(object, "who", label->who);
    km_json_set_escaped(object, "path", label->path);
    km_json_set_escaped(object, "image", label->image);
    writing->newest = label->decision > writing->newest ? label->decision : writing->newest;
    writing->written.benign += km_decision_is_benign(label->kind) ? 1 : 0;
    writing->written.suspicious += label->kind == KM_DECISION_SUSPICIOUS;
    writing->written.attack += label->kind == KM_DECISION_ATTACK;
    return KM_OK;
}

static enum km_code save(const struct km_buf *text, const char *path, char out_sha256[KM_SHA256_HEX_BYTES],
                         struct km_err *err)
{
    uint8_t sum[KM_SHA256_BYTES];
    if (km_digest_sha256(text->data, text->length, sum, err) != KM_OK)
        return err->code;
    km_hex_format(sum, sizeof sum, out_sha256);
    struct km_newfile *file KM_CLEANUP(km_newfile_cleanup) = km_newfile_open(path, err);
    if (!file)
        return err->code;
    enum km_code code = km_newfile_write(file, text->data, text->length, err);
    return code == KM_OK ? km_newfile_commit(file, err) : code;
}

enum km_code km_labels_write(struct km_desk *desk, const char *path, const char *who, int64_t now_ns,
                             struct km_labels_written *out, struct km_err *err)
{
    char made[KM_CLOCK_UTC_BYTES], sha256[KM_SHA256_HEX_BYTES] = "";
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct writing writing = {.list = km_json_new_array()};
    struct km_buf text;
    km_buf_init(&text, KM_LABELS_MAX_BYTES);
    km_clock_format_utc(now_ns, made);
    km_json_set_string(document, "schema", SCHEMA);
    km_json_set_string(document, "made", made);
    km_json_set(document, "labels", writing.list);
    enum km_code code = km_decide_visit_labels(desk, &writing, add_label, err);
    if (code == KM_OK)
        code = km_json_format(document, 2, &text, err);
    if (code == KM_OK)
        code = km_buf_append_text(&text, "\n", err);
    if (code == KM_OK)
        code = save(&text, path, sha256, err);
    km_buf_done(&text);
    const struct km_labels_taken taken = {.newest = writing.newest, .who = who, .file_sha256 = sha256};
    if (code == KM_OK)
        code = km_decide_take_labels(desk, &taken, now_ns, &writing.written.acknowledged, err);
    if (code == KM_OK)
        *out = writing.written;
    return code;
}
