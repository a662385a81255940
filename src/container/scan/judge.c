#include "container/scan/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/keyhash.h"
#include "base/mem.h"
#include "container/scan/fileformat.h"
#include "container/scan/place.h"
#include "finding/decision.h"
#include "finding/evidence.h"
#include "package/package.h"

/* Log-odds by hand. Alone, none of the first block lifts a file from 0.01 over the threshold of 0.5; an executable that
 * nobody owns in a place of packages is at 0.25, a changed packaged program at 0.38, and set-user-ID lifts either over
 * the threshold. */
#define WEIGHT_UNOWNED         1.6
#define WEIGHT_CHANGED         2.2
#define WEIGHT_EXECUTABLE      0.4
#define WEIGHT_SYSTEM_PLACE    1.5
#define WEIGHT_TEMPORARY_PLACE 1.2
#define WEIGHT_HIDDEN_NAME     0.8
#define WEIGHT_SETUID          1.5
#define WEIGHT_TEST_FILE       12.0
#define WEIGHT_HASH_LISTED     12.0

#define MAX_EVIDENCE      10
#define HIDDEN_NAME_BYTES 256

struct candidate {
    uint32_t id;
    float score;
};

/* Everything that evidence of one file points to; lives on the stack while a finding is made. */
struct case_file {
    uint32_t id;
    struct km_place place;
    const struct km_record *record; /* of the content: a hard link's is its target's */
    struct km_package_match match;
    struct km_evidence evidence[MAX_EVIDENCE];
    size_t evidence_count;
    double log_odds;
    char actual_md5[2 * KM_MD5_BYTES + 1];
    char prefix[32], hidden[HIDDEN_NAME_BYTES], mode[8];
    char package[512];
};

struct judge {
    struct km_examine *examine;
    const struct km_records *records;
    const struct km_layout *layout;
    const struct km_judge_options *options;
    struct km_package_view *view;
    uint32_t *link_targets; /* for each link of the examine: entry id + 1, or 0 */
    struct candidate *candidates;
    size_t count, capacity;
    const struct km_sink *sink;
    struct km_judgement *out;
    int64_t now_wall_ns;
};

static bool is_visible(const struct km_place *place)
{
    return place->image && !place->deleted_by && !place->replaced_by && place->parent == KM_ENTRY_NONE;
}

/* ---- Content of hard links: a table of wanted (blob, path), then one pass over the entries ---- */

struct link_table {
    struct km_keyhash key;
    size_t size; /* a power of two */
    uint64_t *hashes;
    uint32_t *first; /* link index + 1; 0: an empty slot */
    uint32_t *next;  /* of each link: another one to the same target, index + 1 */
};

static void link_table_done(struct link_table *table)
{
    free(table->hashes);
    free(table->first);
    free(table->next);
}

static size_t link_slot(const struct link_table *table, uint32_t blob, const char *path, uint64_t *out_hash)
{
    uint64_t hash = km_keyhash_bytes(&table->key, path, strlen(path)) + blob;
    size_t at = hash & (table->size - 1);
    while (table->first[at] && table->hashes[at] != hash)
        at = (at + 1) & (table->size - 1);
    *out_hash = hash;
    return at;
}

static enum km_code link_table_init(struct link_table *table, const struct km_examine_link *links, size_t count,
                                    struct km_err *err)
{
    *table = (struct link_table){.size = 64};
    while (table->size < 2 * count)
        table->size *= 2;
    km_keyhash_init(&table->key);
    table->hashes = km_calloc(table->size, sizeof *table->hashes, SIZE_MAX, err);
    table->first = km_calloc(table->size, sizeof *table->first, SIZE_MAX, err);
    table->next = km_calloc(count, sizeof *table->next, SIZE_MAX, err);
    if (!table->hashes || !table->first || !table->next)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        if (links[i].type != KM_ENTRY_HARDLINK)
            continue;
        uint64_t hash;
        size_t at = link_slot(table, links[i].blob, links[i].target, &hash);
        table->next[i] = table->first[at];
        table->hashes[at] = hash;
        table->first[at] = (uint32_t)i + 1;
    }
    return KM_OK;
}

static enum km_code resolve_links(struct judge *judge, struct km_err *err)
{
    const struct km_examine_link *links;
    size_t count = km_examine_links(judge->examine, &links);
    judge->link_targets = km_calloc(count, sizeof *judge->link_targets, SIZE_MAX, err);
    if (!judge->link_targets)
        return err->code;
    if (count == 0)
        return KM_OK;
    struct link_table table KM_CLEANUP(link_table_done) = {0};
    enum km_code code = link_table_init(&table, links, count, err);
    for (size_t id = 0; code == KM_OK && id < km_layout_entry_count(judge->layout); id++) {
        struct km_place place = km_layout_place(judge->layout, (uint32_t)id);
        if (place.type != KM_ENTRY_FILE || place.parent != KM_ENTRY_NONE)
            continue;
        uint64_t hash;
        size_t at = link_slot(&table, place.blob, place.path, &hash);
        for (uint32_t link = table.first[at]; link; link = table.next[link - 1])
            judge->link_targets[link - 1] = (uint32_t)id + 1;
    }
    return code;
}

/* The record with the content of entry `id`: its own, or its target's when it is a hard link. *link_cursor walks along
 * the links, which are in the order of their ids. */
static const struct km_record *content_of(const struct judge *judge, uint32_t id, enum km_entry_type type,
                                          size_t *link_cursor)
{
    const struct km_examine_link *links;
    if (type == KM_ENTRY_FILE)
        return km_records_find(judge->records, id);
    size_t count = km_examine_links(judge->examine, &links);
    while (*link_cursor < count && links[*link_cursor].id < id)
        (*link_cursor)++;
    if (*link_cursor == count || links[*link_cursor].id != id || !judge->link_targets[*link_cursor])
        return NULL;
    return km_records_find(judge->records, judge->link_targets[*link_cursor] - 1);
}

/* ---- Evidence of one file ---- */

static struct km_evidence *add_evidence(struct case_file *file, const char *id, double weight)
{
    KM_ASSERT(file->evidence_count < MAX_EVIDENCE);
    struct km_evidence *evidence = &file->evidence[file->evidence_count++];
    *evidence = (struct km_evidence){.id = id, .weight = weight};
    file->log_odds += weight;
    return evidence;
}

static void weigh_identity(const struct judge *judge, struct case_file *file)
{
    KM_ASSERT(file->record);
    if (file->record->is_eicar)
        km_evidence_add_text(add_evidence(file, KM_EVIDENCE_TEST_FILE, WEIGHT_TEST_FILE), "name",
                             "the EICAR anti-malware test file");
    struct km_hash_match match;
    if (file->record->is_listed &&
        km_hashlist_find(judge->options->hashes, km_records_sha256(judge->records, file->record), &match)) {
        struct km_evidence *evidence = add_evidence(file, KM_EVIDENCE_HASH_LISTED, WEIGHT_HASH_LISTED);
        km_evidence_add_text(evidence, "list", match.label);
        km_evidence_add_text(evidence, "name", match.name);
    }
}

static void weigh_package(struct case_file *file)
{
    if (file->match.state == KM_PACKAGE_UNOWNED || file->match.state == KM_PACKAGE_DIVERTED) {
        km_evidence_add_text(add_evidence(file, KM_EVIDENCE_UNOWNED, WEIGHT_UNOWNED), "database", "dpkg");
    } else if (file->match.state == KM_PACKAGE_CHANGED) {
        struct km_evidence *evidence = add_evidence(file, KM_EVIDENCE_CHANGED, WEIGHT_CHANGED);
        km_hex_format(file->record->md5, KM_MD5_BYTES, file->actual_md5);
        km_evidence_add_text(evidence, "package", file->package);
        km_evidence_add_text(evidence, "actual", file->actual_md5);
    }
}

static bool is_executable(const struct km_record *record)
{
    return record->format == KM_FORMAT_ELF_PROGRAM || record->format == KM_FORMAT_PE ||
           (record->format == KM_FORMAT_SCRIPT && (record->mode & 0111) != 0);
}

static void weigh_place(struct case_file *file)
{
    size_t length;
    enum km_place_class class = km_place_classify(file->place.path, &length);
    snprintf(file->prefix, sizeof file->prefix, "/%.*s", (int)length, file->place.path);
    if (class == KM_PLACE_SYSTEM)
        km_evidence_add_text(add_evidence(file, KM_EVIDENCE_SYSTEM_PLACE, WEIGHT_SYSTEM_PLACE), "place", file->prefix);
    if (class == KM_PLACE_TEMPORARY)
        km_evidence_add_text(add_evidence(file, KM_EVIDENCE_TEMPORARY_PLACE, WEIGHT_TEMPORARY_PLACE), "place",
                             file->prefix);
    const char *hidden = km_place_find_hidden(file->place.path, &length);
    if (hidden) {
        snprintf(file->hidden, sizeof file->hidden, "%.*s", length < 200 ? (int)length : 200, hidden);
        km_evidence_add_text(add_evidence(file, KM_EVIDENCE_HIDDEN_NAME, WEIGHT_HIDDEN_NAME), "name", file->hidden);
    }
}

/* Place and rights say something only about a program whose origin is in doubt. */
static void weigh_program(struct case_file *file)
{
    if (file->evidence_count == 0 || !is_executable(file->record))
        return;
    km_evidence_add_text(add_evidence(file, KM_EVIDENCE_EXECUTABLE, WEIGHT_EXECUTABLE), "format",
                         km_fileformat_name((enum km_file_format)file->record->format));
    if ((file->record->mode & 06000) != 0) {
        struct km_evidence *evidence = add_evidence(file, KM_EVIDENCE_SETUID, WEIGHT_SETUID);
        snprintf(file->mode, sizeof file->mode, "%04o", file->record->mode);
        km_evidence_add_text(evidence, "mode", file->mode);
        km_evidence_add_integer(evidence, "uid", file->record->uid);
    }
    weigh_place(file);
}

/* Fills *file; false when there is nothing to report about it. */
static bool open_case(const struct judge *judge, uint32_t id, size_t *link_cursor, struct case_file *file)
{
    *file = (struct case_file){.id = id, .place = km_layout_place(judge->layout, id), .log_odds = KM_JUDGE_PRIOR};
    if (file->place.type != KM_ENTRY_FILE && file->place.type != KM_ENTRY_HARDLINK)
        return false;
    file->record = content_of(judge, id, file->place.type, link_cursor);
    if (!file->record)
        return false;
    if (is_visible(&file->place)) {
        km_package_find(judge->view, file->place.path, file->record->complete ? file->record->md5 : NULL, &file->match);
        if (file->match.package)
            snprintf(file->package, sizeof file->package, "%s %s", file->match.package->name,
                     file->match.package->version);
    }
    /* A hard link's content is reported once, under its target's name. */
    if (file->place.type == KM_ENTRY_FILE)
        weigh_identity(judge, file);
    weigh_package(file);
    weigh_program(file);
    return file->evidence_count > 0;
}

static double score_of(const struct case_file *file)
{
    return 1 / (1 + exp(-file->log_odds));
}

static enum km_verdict verdict_of(const struct case_file *file, double score)
{
    KM_ASSERT(file->record);
    if (file->record->is_eicar || file->record->is_listed)
        return KM_VERDICT_MALICIOUS;
    return score >= KM_JUDGE_SUSPICIOUS_THRESHOLD ? KM_VERDICT_SUSPICIOUS : KM_VERDICT_CLEAN;
}

/* ---- The whole container ---- */

static void count_integrity(struct km_integrity *integrity, const struct case_file *file)
{
    if (!is_visible(&file->place))
        return;
    switch (file->match.state) {
    case KM_PACKAGE_NO_DATABASE:
        break;
    case KM_PACKAGE_UNOWNED:
    case KM_PACKAGE_DIVERTED:
        integrity->files_unowned++;
        integrity->executables_unowned += is_executable(file->record);
        break;
    case KM_PACKAGE_UNCHECKED:
        integrity->files_unchecked++;
        break;
    case KM_PACKAGE_INTACT:
        integrity->files_intact++;
        break;
    case KM_PACKAGE_CHANGED:
        integrity->files_changed++;
        break;
    case KM_PACKAGE_CONFFILE:
        integrity->files_configuration++;
        break;
    }
}

/* Unowned data files are counted; listing each would bury what matters (a web root is unowned by nature). */
static bool is_listed(const struct judge *judge, const struct case_file *file)
{
    return judge->options->all || file->record->is_eicar || file->record->is_listed || is_executable(file->record) ||
           file->match.state == KM_PACKAGE_CHANGED;
}

static enum km_code select_database(struct judge *judge, struct km_err *err)
{
    struct km_package_db *db = km_examine_packages(judge->examine);
    for (size_t id = 0; id < km_layout_entry_count(judge->layout); id++) {
        struct km_place place = km_layout_place(judge->layout, (uint32_t)id);
        const struct km_record *record =
            place.type == KM_ENTRY_FILE ? km_records_find(judge->records, (uint32_t)id) : NULL;
        if (record && record->package_file && is_visible(&place))
            km_package_db_select(db, km_examine_package_file(judge->examine, record->package_file));
    }
    const struct km_examine_link *links;
    size_t count = km_examine_links(judge->examine, &links);
    for (size_t i = 0; i < count; i++) {
        struct km_place place = km_layout_place(judge->layout, links[i].id);
        if (links[i].type == KM_ENTRY_SYMLINK && is_visible(&place))
            km_package_db_add_alias(db, place.path, links[i].target);
    }
    judge->view = km_package_db_finish(db, err);
    return judge->view ? KM_OK : err->code;
}

static enum km_code note_database(struct judge *judge, struct km_err *err)
{
    struct km_integrity *integrity = &judge->out->integrity;
    struct km_package_summary summary;
    km_package_view_summarize(judge->view, &summary);
    integrity->packages = summary.packages;
    integrity->database = "none";
    if (summary.usability == KM_PACKAGE_USABLE)
        integrity->database = "dpkg";
    if (summary.usability != KM_PACKAGE_UNUSABLE)
        return KM_OK;
    integrity->database = "unusable";
    snprintf(judge->out->detail, sizeof judge->out->detail, "%s", summary.reason);
    integrity->detail = judge->out->detail;
    const struct km_gap gap = {KM_GAP_DAMAGED, "var/lib/dpkg", NULL, UINT64_MAX, 0, judge->out->detail};
    judge->out->gaps++;
    return judge->sink->gap(judge->sink->context, &gap, err);
}

/* A finding with the strings that it points to. */
struct draft {
    struct km_finding finding;
    struct km_range whole;
    char *path;
    char sha256[KM_SHA256_HEX_BYTES];
};

static void draft_done(struct draft *draft)
{
    free(draft->path);
}

/* What the file's evidence amounts to, and what people said about it. */
static enum km_code draft_finding(const struct judge *judge, const struct case_file *file, struct draft *out,
                                  struct km_err *err)
{
    const struct km_place *place = &file->place;
    const uint8_t *sha256 = km_records_sha256(judge->records, file->record);
    if (sha256)
        km_hex_format(sha256, KM_SHA256_BYTES, out->sha256);
    enum km_code code = km_layout_format_path(judge->layout, file->id, &out->path, err);
    if (code != KM_OK)
        return code;
    const struct km_layer *layer = place->image ? &place->image->layers[place->layer_index] : NULL;
    double score = score_of(file);
    out->whole = (struct km_range){0, file->record->size};
    out->finding = (struct km_finding){
        .kind = "file",
        .subject = {.image = place->image ? place->image->name : NULL,
                    .path = out->path,
                    .layer = layer ? layer->diff_id : NULL,
                    .layer_index = place->layer_index,
                    .layer_history = layer ? layer->history : NULL,
                    .deleted_by = place->deleted_by ? place->deleted_by->diff_id : NULL,
                    .replaced_by = place->replaced_by ? place->replaced_by->diff_id : NULL,
                    .sha256 = sha256 ? out->sha256 : NULL,
                    .size_bytes = file->record->size},
        .verdict = verdict_of(file, score),
        .score = score,
        .confidence = file->record->complete ? 1 : 0.5, /* half of the evidence needs the whole content */
        .package = file->match.package ? file->package : NULL,
        .range_count = 1,
        .ranges = &out->whole,
        .evidence_count = file->evidence_count,
        .evidence = file->evidence,
    };
    const struct km_decisions *decisions = judge->options->decisions;
    if (decisions)
        out->finding.decision = decisions->find(decisions->context, &out->finding, judge->now_wall_ns);
    return KM_OK;
}

static bool is_excused(const struct km_finding *finding)
{
    return finding->decision && km_decision_is_benign(finding->decision->kind);
}

/* A benign decision takes the file out of the verdict, the others put it in. */
static enum km_code count_in_verdict(const struct judge *judge, const struct case_file *file, struct km_err *err)
{
    struct draft draft KM_CLEANUP(draft_done) = {0};
    enum km_code code = draft_finding(judge, file, &draft, err);
    if (code != KM_OK || is_excused(&draft.finding))
        return code;
    enum km_verdict verdict = draft.finding.verdict;
    if (draft.finding.decision) {
        bool attack = draft.finding.decision->kind == KM_DECISION_ATTACK;
        verdict = attack ? KM_VERDICT_MALICIOUS : verdict > KM_VERDICT_SUSPICIOUS ? verdict : KM_VERDICT_SUSPICIOUS;
    }
    struct km_judgement *out = judge->out;
    out->verdict = verdict > out->verdict ? verdict : out->verdict;
    out->score = draft.finding.score > out->score ? draft.finding.score : out->score;
    return KM_OK;
}

static enum km_code weigh_all(struct judge *judge, struct km_err *err)
{
    size_t cursor = 0;
    for (size_t id = 0; id < km_layout_entry_count(judge->layout); id++) {
        struct case_file file;
        bool has_evidence = open_case(judge, (uint32_t)id, &cursor, &file);
        if (!file.record)
            continue;
        count_integrity(&judge->out->integrity, &file);
        if (!has_evidence || !is_listed(judge, &file))
            continue;
        void *candidates = judge->candidates;
        enum km_code code =
            km_grow(&candidates, &judge->capacity, judge->count + 1, sizeof *judge->candidates, (size_t)1 << 26, err);
        judge->candidates = candidates;
        if (code != KM_OK)
            return code;
        judge->candidates[judge->count++] = (struct candidate){(uint32_t)id, (float)score_of(&file)};
        code = count_in_verdict(judge, &file, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    if (left->score < right->score || left->score > right->score)
        return left->score < right->score ? 1 : -1;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int compare_ids(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* A member of a nested archive is shown where the outermost file lies. */
static void mark_finding(const struct judge *judge, uint32_t id, const struct km_finding *finding)
{
    uint32_t outermost = id;
    for (uint32_t at = id; at != KM_ENTRY_NONE; at = km_layout_place(judge->layout, at).parent)
        outermost = at;
    const struct km_record *record = km_records_find(judge->records, outermost);
    enum km_mosaic_severity severity =
        finding->verdict == KM_VERDICT_MALICIOUS ? KM_MOSAIC_MALICIOUS : KM_MOSAIC_SUSPICIOUS;
    km_mosaic_mark(judge->options->mosaic, record->picture_entry, 0, UINT64_MAX, severity, finding->subject.path);
}

/* Bands are named from the base up, by the step that made them. */
static void name_layers(const struct judge *judge)
{
    for (size_t i = 0; i < km_layout_image_count(judge->layout); i++) {
        const struct km_image *image = km_layout_image(judge->layout, i);
        for (size_t k = 0; k < image->layer_count; k++) {
            char name[KM_MOSAIC_TEXT_BYTES];
            const struct km_layer *layer = &image->layers[k];
            const char *text = layer->history ? layer->history : layer->diff_id ? layer->diff_id : "file system";
            snprintf(name, sizeof name, "%zu: %s", k + 1, text);
            km_mosaic_name_layer(judge->options->mosaic, layer->blob, name);
        }
    }
}

static enum km_code give_finding(const struct judge *judge, struct case_file *file, struct km_err *err)
{
    if (file->place.deleted_by)
        km_evidence_add_text(add_evidence(file, KM_EVIDENCE_DELETED, 0), "layer",
                             file->place.deleted_by->diff_id ? file->place.deleted_by->diff_id : "a later layer");
    struct draft draft KM_CLEANUP(draft_done) = {0};
    enum km_code code = draft_finding(judge, file, &draft, err);
    if (code != KM_OK)
        return code;
    if (judge->options->mosaic && draft.finding.verdict >= KM_VERDICT_SUSPICIOUS && !is_excused(&draft.finding))
        mark_finding(judge, file->id, &draft.finding);
    return judge->sink->finding(judge->sink->context, &draft.finding, err);
}

static enum km_code give_findings(struct judge *judge, struct km_err *err)
{
    if (judge->count > 0)
        qsort(judge->candidates, judge->count, sizeof *judge->candidates, compare_candidates);
    size_t listed = judge->count < judge->options->max_findings ? judge->count : judge->options->max_findings;
    judge->out->findings_omitted = judge->count - listed;
    if (listed > 0)
        qsort(judge->candidates, listed, sizeof *judge->candidates, compare_ids); /* links are walked in this order */
    size_t cursor = 0;
    for (size_t i = 0; i < listed; i++) {
        struct case_file file;
        KM_ASSERT(open_case(judge, judge->candidates[i].id, &cursor, &file));
        enum km_code code = give_finding(judge, &file, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static void judge_done(struct judge *judge)
{
    free(judge->link_targets);
    free(judge->candidates);
    km_package_view_free(judge->view);
}

enum km_code km_judge_run(struct km_examine *examine, const struct km_layout *layout,
                          const struct km_judge_options *options, const struct km_sink *sink, struct km_judgement *out,
                          struct km_err *err)
{
    *out = (struct km_judgement){.verdict = KM_VERDICT_CLEAN};
    struct judge judge KM_CLEANUP(judge_done) = {.examine = examine,
                                                 .records = km_examine_records(examine),
                                                 .layout = layout,
                                                 .options = options,
                                                 .sink = sink,
                                                 .now_wall_ns = km_clock_wall_ns(),
                                                 .out = out};
    enum km_code code = resolve_links(&judge, err);
    if (code == KM_OK)
        code = select_database(&judge, err);
    if (code == KM_OK)
        code = note_database(&judge, err);
    if (code == KM_OK)
        code = weigh_all(&judge, err);
    if (code == KM_OK && options->mosaic)
        name_layers(&judge);
    return code == KM_OK ? give_findings(&judge, err) : code;
}
