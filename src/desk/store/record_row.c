#include "desk/store/record_row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "desk/store/evidence_json.h"
#include "desk/store/query.h"
#include "finding/decision.h"

#define MAX_IMAGES 1000

enum text {
    TEXT_KIND,
    TEXT_IMAGE, /* and a target's name */
    TEXT_PATH,  /* and a gap's place */
    TEXT_LAYER,
    TEXT_SHA256,
    TEXT_UNIT,
    TEXT_ROLE,
    TEXT_MORE, /* and a gap's detail */
    TEXT_PACKAGE,
    TEXT_RANGES,
    TEXT_EVIDENCE,
    TEXT_DOMINANT,
    TEXT_STRANGE,
    TEXT_COUNT,
};

struct km_record {
    struct km_record *next;
    enum km_record_kind kind;
    struct km_record_place place;
    char *texts[TEXT_COUNT];
    int64_t layer_index, size_bytes, verdict, decision, origin; /* -1 where there is none */
    double score, confidence;
    struct km_gap gap;      /* its texts are in texts */
    struct km_outcome *end; /* plain numbers; texts below */
    char *integrity, *images, *error, *scheme, *komainu, *rules, *model;
    int64_t cpu_ms;
};

static int64_t number_of(uint64_t number)
{
    return number > INT64_MAX ? -1 : (int64_t)number; /* unknown */
}

static struct km_record *new_record(enum km_record_kind kind, const struct km_record_place *place, struct km_err *err)
{
    struct km_record *record = km_calloc(1, sizeof *record, sizeof *record, err);
    if (!record)
        return NULL;
    record->kind = kind;
    record->place = *place;
    return record;
}

void km_record_free(struct km_record *record)
{
    if (!record)
        return;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        free(record->texts[i]);
    free(record->end);
    free(record->integrity);
    free(record->images);
    free(record->error);
    free(record->scheme);
    free(record->komainu);
    free(record->rules);
    free(record->model);
    free(record);
}
KM_DEFINE_CLEANUP(struct km_record, record_cleanup, km_record_free);

enum km_record_kind km_record_get_kind(const struct km_record *record)
{
    return record->kind;
}

struct km_record *km_record_get_next(const struct km_record *record)
{
    return record->next;
}

void km_record_set_next(struct km_record *record, struct km_record *next)
{
    record->next = next;
}

static enum km_code keep(char **out, const char *text, struct km_err *err)
{
    if (!text)
        return KM_OK;
    *out = km_strndup(text, strlen(text), err);
    return *out ? KM_OK : err->code;
}

static enum km_code keep_path(char **out, const char *path, const struct km_collect *collect, struct km_err *err)
{
    char room[KM_COLLECT_TEXT_BYTES];
    return keep(out, km_collect_text(collect, KM_COLLECT_PATHS, path, room), err);
}

static const char *name_of(const struct km_evidence *evidence, const char **out_argument)
{
    for (size_t i = 0; i < evidence->arg_count; i++)
        if (evidence->args[i].type == KM_ARG_TEXT && evidence->args[i].text) {
            *out_argument = evidence->args[i].name;
            return evidence->args[i].text;
        }
    return NULL;
}

/* Of a daemon, evidence that names what was done goes before evidence of how: else one benign decision about an unusual
 * order of calls would answer whatever else a thread of that role ever does. */
void km_record_format_dominant(const struct km_finding *finding, const struct km_collect *collect, char *out)
{
    const struct km_evidence *strongest = NULL;
    const char *argument = NULL;
    bool file = strcmp(finding->kind, "file") == 0, named = false;
    for (size_t i = 0; i < finding->evidence_count; i++) {
        const struct km_evidence *evidence = &finding->evidence[i];
        bool names = !file && evidence->weight > 0 && name_of(evidence, &argument);
        if (!strongest || names > named || (names == named && evidence->weight > strongest->weight)) {
            strongest = evidence;
            named = names;
        }
    }
    snprintf(out, KM_RECORD_DOMINANT_BYTES, "%s", strongest ? strongest->id : "none");
    const char *text = strongest && !file ? name_of(strongest, &argument) : NULL;
    char room[KM_COLLECT_TEXT_BYTES];
    if (text)
        snprintf(out, KM_RECORD_DOMINANT_BYTES, "%s %s", strongest->id,
                 km_collect_argument(collect, strongest->id, argument, text, room));
}

struct km_record *km_record_new_begin(const struct km_record_place *place, const struct km_target *target,
                                      const struct km_collect *collect, struct km_err *err)
{
    const char *name = target->name ? target->name : "";
    bool is_path = name[0] == '/' || name[0] == '.' || strstr(name, ":/") || strstr(name, ":.");
    struct km_record *record KM_CLEANUP(record_cleanup) = new_record(KM_RECORD_BEGIN, place, err);
    if (!record ||
        (is_path ? keep_path(&record->texts[TEXT_IMAGE], name, collect, err)
                 : keep(&record->texts[TEXT_IMAGE], name, err)) != KM_OK ||
        keep(&record->scheme, target->scheme, err) != KM_OK)
        return NULL;
    return km_steal(record);
}

/* What of the subject has no column: an object, or NULL when there is nothing. */
static enum km_code keep_more(struct km_record *record, const struct km_subject *subject,
                              const struct km_collect *collect, struct km_err *err)
{
    char rooms[3][KM_COLLECT_TEXT_BYTES];
    const struct {
        const char *key, *text;
    } parts[] = {
        /* a build step is a command line */
        {"history", km_collect_text(collect, KM_COLLECT_ARGUMENTS, subject->layer_history, rooms[0])},
        {"deleted_by", subject->deleted_by},
        {"replaced_by", subject->replaced_by},
        {"executable", km_collect_text(collect, KM_COLLECT_PATHS, subject->executable, rooms[1])},
        {"alarm", subject->alarm},
        {"command", km_collect_text(collect, KM_COLLECT_ARGUMENTS, subject->command, rooms[2])},
    };
    struct km_json *object KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].text)
            km_json_set_string(object, parts[i].key, parts[i].text);
    if (subject->daemon) {
        km_json_set_integer(object, "pid", subject->pid);
        km_json_set_integer(object, "tid", subject->tid);
        km_json_set_integer(object, "uid", subject->uid);
    }
    if (km_json_size(object) == 0)
        return KM_OK;
    struct km_buf text;
    km_buf_init(&text, KM_EVIDENCE_JSON_MAX_BYTES);
    enum km_code code = km_json_format(object, 0, &text, err);
    if (code == KM_OK)
        code = keep(&record->texts[TEXT_MORE], km_buf_text(&text), err);
    km_buf_done(&text);
    return code;
}

static enum km_code keep_evidence(struct km_record *record, const struct km_finding *finding,
                                  const struct km_collect *collect, struct km_err *err)
{
    char dominant[KM_RECORD_DOMINANT_BYTES], strange[KM_STRANGE_TEXT_BYTES];
    km_record_format_dominant(finding, collect, dominant);
    struct km_buf text;
    km_buf_init(&text, KM_EVIDENCE_JSON_MAX_BYTES);
    enum km_code code = km_evidence_json_format(finding->evidence, finding->evidence_count, collect, &text, err);
    if (code == KM_OK)
        code = keep(&record->texts[TEXT_EVIDENCE], km_buf_text(&text), err);
    km_buf_clear(&text);
    if (code == KM_OK && finding->range_count > 0)
        code = km_ranges_json_format(finding->ranges, finding->range_count, &text, err);
    if (code == KM_OK && finding->range_count > 0)
        code = keep(&record->texts[TEXT_RANGES], km_buf_text(&text), err);
    km_buf_done(&text);
    if (code == KM_OK)
        code = keep(&record->texts[TEXT_STRANGE], km_collect_strange(collect, finding->subject.strange, strange), err);
    return code == KM_OK ? keep(&record->texts[TEXT_DOMINANT], dominant, err) : code;
}

struct km_record *km_record_new_finding(const struct km_record_place *place, const struct km_finding *finding,
                                        const struct km_collect *collect, struct km_err *err)
{
    const struct km_subject *subject = &finding->subject;
    struct km_record *record KM_CLEANUP(record_cleanup) = new_record(KM_RECORD_FINDING, place, err);
    if (!record || keep(&record->texts[TEXT_KIND], finding->kind, err) != KM_OK ||
        keep(&record->texts[TEXT_IMAGE], subject->image, err) != KM_OK ||
        keep_path(&record->texts[TEXT_PATH], subject->path, collect, err) != KM_OK ||
        keep(&record->texts[TEXT_LAYER], subject->layer, err) != KM_OK ||
        keep(&record->texts[TEXT_SHA256], subject->sha256, err) != KM_OK ||
        keep(&record->texts[TEXT_UNIT], subject->daemon, err) != KM_OK ||
        keep(&record->texts[TEXT_ROLE], subject->role, err) != KM_OK ||
        keep(&record->texts[TEXT_PACKAGE], finding->package, err) != KM_OK ||
        keep_more(record, subject, collect, err) != KM_OK || keep_evidence(record, finding, collect, err) != KM_OK)
        return NULL;
    if (finding->time_wall_ns > 0)
        record->place.at_ns = finding->time_wall_ns;
    record->layer_index = subject->daemon ? -1 : subject->layer_index;
    record->size_bytes = subject->daemon ? -1 : number_of(subject->size_bytes);
    record->verdict = (int64_t)finding->verdict;
    record->decision = finding->decision ? (int64_t)finding->decision->kind : -1;
    record->score = finding->score;
    record->confidence = finding->confidence;
    return km_steal(record);
}

struct km_record *km_record_new_gap(const struct km_record_place *place, const struct km_gap *gap,
                                    const struct km_collect *collect, struct km_err *err)
{
    struct km_record *record KM_CLEANUP(record_cleanup) = new_record(KM_RECORD_GAP, place, err);
    if (!record || keep_path(&record->texts[TEXT_PATH], gap->where ? gap->where : "", collect, err) != KM_OK ||
        keep(&record->texts[TEXT_LAYER], gap->layer, err) != KM_OK ||
        keep_path(&record->texts[TEXT_MORE], gap->detail, collect, err) != KM_OK) /* details name paths */
        return NULL;
    record->gap = *gap;
    return km_steal(record);
}

static void describe_integrity(struct km_json *object, const struct km_integrity *integrity)
{
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {
        {"packages", integrity->packages},
        {"files_intact", integrity->files_intact},
        {"files_unchecked", integrity->files_unchecked},
        {"files_configuration", integrity->files_configuration},
        {"files_changed", integrity->files_changed},
        {"files_unowned", integrity->files_unowned},
        {"executables_unowned", integrity->executables_unowned},
    };
    km_json_set_string(object, "database", integrity->database);
    km_json_set_string(object, "detail", integrity->detail);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        km_json_set_integer(object, counts[i].name, number_of(counts[i].count));
}

static enum km_code keep_json(char **out, const struct km_json *value, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, (size_t)4 << 20);
    enum km_code code = km_json_format(value, 0, &text, err);
    if (code == KM_OK)
        code = keep(out, km_buf_text(&text), err);
    km_buf_done(&text);
    return code;
}

static enum km_code keep_images(struct km_record *record, const struct km_outcome *outcome, struct km_err *err)
{
    struct km_json *list KM_CLEANUP(km_json_cleanup) = km_json_new_array();
    for (size_t i = 0; i < outcome->image_count && i < MAX_IMAGES; i++) {
        const struct km_image_info *image = &outcome->images[i];
        struct km_json *object = km_json_new_object();
        km_json_set_string(object, "name", image->name);
        km_json_set_string(object, "digest", image->digest);
        km_json_set_string(object, "platform", image->platform);
        km_json_set_integer(object, "layers", number_of(image->layers));
        km_json_append(list, object);
    }
    return keep_json(&record->images, list, err);
}

struct km_record *km_record_new_end(const struct km_record_place *place, const struct km_outcome *outcome,
                                    int64_t cpu_ms, struct km_err *err)
{
    struct km_record *record KM_CLEANUP(record_cleanup) = new_record(KM_RECORD_END, place, err);
    if (!record)
        return NULL;
    record->end = km_calloc(1, sizeof *record->end, SIZE_MAX, err);
    if (!record->end)
        return NULL;
    *record->end = *outcome;
    record->cpu_ms = cpu_ms;
    if (outcome->integrity && outcome->integrity->database) {
        struct km_json *object KM_CLEANUP(km_json_cleanup) = km_json_new_object();
        describe_integrity(object, outcome->integrity);
        if (keep_json(&record->integrity, object, err) != KM_OK)
            return NULL;
    }
    if (keep_images(record, outcome, err) != KM_OK || keep(&record->scheme, outcome->scheme, err) != KM_OK ||
        keep(&record->error, outcome->error ? outcome->error->text : NULL, err) != KM_OK ||
        keep(&record->komainu, outcome->versions.komainu, err) != KM_OK ||
        keep(&record->rules, outcome->versions.rules, err) != KM_OK ||
        keep(&record->model, outcome->versions.model, err) != KM_OK)
        return NULL;
    return km_steal(record);
}

/* ---- writing ---- */

static void bind_count(struct km_query *query, int parameter, int64_t number)
{
    if (number < 0)
        km_query_bind_null(query, parameter);
    else
        km_query_bind_integer(query, parameter, number);
}

static enum km_code write_begin(const struct km_record *record, struct km_desk *desk, int64_t run, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO target(run_id, seq, name, scheme, began_ns) VALUES(?1, ?2, ?3, ?4, ?5)"
                      " ON CONFLICT(run_id, seq) DO NOTHING",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, run);
    km_query_bind_integer(query, 2, record->place.target);
    km_query_bind_text(query, 3, record->texts[TEXT_IMAGE]);
    km_query_bind_text(query, 4, record->scheme);
    km_query_bind_integer(query, 5, record->place.at_ns);
    return km_query_run(query, err);
}

/* The second of two writes of one row finds it there. */
static enum km_code find_present(const struct km_record *record, struct km_desk *desk, int64_t run, int64_t *out_id,
                                 struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "SELECT id FROM finding WHERE run_id=?1 AND seq=?2", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, run);
    km_query_bind_integer(query, 2, record->place.seq);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out_id = km_query_integer(query, 0);
    return KM_OK;
}

static enum km_code index_finding(const struct km_record *record, struct km_desk *desk, int64_t id, struct km_err *err)
{
    static const enum text texts[] = {TEXT_IMAGE, TEXT_PATH, TEXT_UNIT, TEXT_PACKAGE, TEXT_DOMINANT, TEXT_SHA256};
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO finding_words(rowid, image, path, unit, package, dominant, sha256, verdict)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++)
        km_query_bind_text(query, 2 + i, record->texts[texts[i]]);
    km_query_bind_integer(query, 8, record->verdict);
    return km_query_run(query, err);
}

static enum km_code write_finding(const struct km_record *record, struct km_desk *desk, int64_t run, int64_t *out_id,
                                  struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "INSERT INTO finding(run_id, seq, target_id, at_ns, kind, image, path, layer, layer_index, sha256, size_bytes,"
        " unit, role, subject_more, verdict, score, confidence, package, ranges, evidence, dominant, decision_kind,"
        " origin, grouped, strange) VALUES(?1, ?2, (SELECT id FROM target WHERE run_id=?1 AND seq=?3), ?4, ?5, ?6, ?7,"
        " ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,"
        " ?15<2 AND ?23=0, ?24)"
        " ON CONFLICT(run_id, seq) DO NOTHING RETURNING id",
        err);
    if (!query)
        return err->code;
    static const struct {
        int parameter;
        enum text text;
    } texts[] = {{5, TEXT_KIND},      {6, TEXT_IMAGE},     {7, TEXT_PATH},    {8, TEXT_LAYER},    {10, TEXT_SHA256},
                 {12, TEXT_UNIT},     {13, TEXT_ROLE},     {14, TEXT_MORE},   {18, TEXT_PACKAGE}, {19, TEXT_RANGES},
                 {20, TEXT_EVIDENCE}, {21, TEXT_DOMINANT}, {24, TEXT_STRANGE}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        km_query_bind_text(query, texts[i].parameter, record->texts[texts[i].text]);
    km_query_bind_integer(query, 1, run);
    km_query_bind_integer(query, 2, record->place.seq);
    km_query_bind_integer(query, 3, record->place.target);
    km_query_bind_integer(query, 4, record->place.at_ns);
    bind_count(query, 9, record->layer_index);
    bind_count(query, 11, record->size_bytes);
    km_query_bind_integer(query, 15, record->verdict);
    km_query_bind_real(query, 16, record->score);
    km_query_bind_real(query, 17, record->confidence);
    bind_count(query, 22, record->decision);
    km_query_bind_integer(query, 23, record->origin);
    bool row = false;
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return find_present(record, desk, run, out_id, err);
    int64_t id = km_query_integer(query, 0);
    if (km_query_step(query, &row, err) != KM_OK || index_finding(record, desk, id, err) != KM_OK)
        return err->code; /* the statement ends only behind its row */
    *out_id = id;
    return KM_OK;
}

static enum km_code write_gap(const struct km_record *record, struct km_desk *desk, int64_t run, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO gap(run_id, seq, target_id, reason, place, layer, offset, bytes, detail)"
                      " VALUES(?1, ?2, (SELECT id FROM target WHERE run_id=?1 AND seq=?3), ?4, ?5, ?6, ?7, ?8, ?9)"
                      " ON CONFLICT(run_id, seq) DO NOTHING",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, run);
    km_query_bind_integer(query, 2, record->place.seq);
    km_query_bind_integer(query, 3, record->place.target);
    km_query_bind_integer(query, 4, (int64_t)record->gap.reason);
    km_query_bind_text(query, 5, record->texts[TEXT_PATH]);
    km_query_bind_text(query, 6, record->texts[TEXT_LAYER]);
    bind_count(query, 7, number_of(record->gap.offset));
    bind_count(query, 8, number_of(record->gap.bytes));
    km_query_bind_text(query, 9, record->texts[TEXT_MORE]);
    return km_query_run(query, err);
}

static enum km_code write_versions(const struct km_record *record, struct km_desk *desk, int64_t run,
                                   struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "UPDATE run SET komainu=coalesce(?2, komainu), rules=coalesce(?3, rules),"
                      " model=coalesce(?4, model) WHERE id=?1",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, run);
    km_query_bind_text(query, 2, record->komainu);
    km_query_bind_text(query, 3, record->rules);
    km_query_bind_text(query, 4, record->model);
    return km_query_run(query, err);
}

static enum km_code write_end(const struct km_record *record, struct km_desk *desk, int64_t run, struct km_err *err)
{
    const struct km_outcome *end = record->end;
    const int64_t counts[] = {number_of(end->coverage.bytes_total),    number_of(end->coverage.bytes_examined),
                              number_of(end->coverage.bytes_opaque),   number_of(end->coverage.files_total),
                              number_of(end->coverage.files_examined), number_of(end->coverage.gaps),
                              number_of(end->findings_omitted)};
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "UPDATE target SET ended_ns=?3, verdict=?4, score=?5, bytes_total=?6, bytes_examined=?7, bytes_opaque=?8,"
        " files_total=?9, files_examined=?10, gaps=?11, findings_omitted=?12, integrity=?13, images=?14, error=?15,"
        " seconds=?16, cpu_ms=?17, scheme=coalesce(?18, scheme) WHERE run_id=?1 AND seq=?2",
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, run);
    km_query_bind_integer(query, 2, record->place.target);
    km_query_bind_integer(query, 3, record->place.at_ns);
    km_query_bind_integer(query, 4, (int64_t)end->verdict);
    km_query_bind_real(query, 5, end->score);
    for (int i = 0; i < (int)(sizeof counts / sizeof counts[0]); i++)
        bind_count(query, 6 + i, counts[i]);
    km_query_bind_text(query, 13, record->integrity);
    km_query_bind_text(query, 14, record->images);
    km_query_bind_text(query, 15, record->error);
    km_query_bind_real(query, 16, end->seconds);
    bind_count(query, 17, record->cpu_ms);
    km_query_bind_text(query, 18, record->scheme);
    enum km_code code = km_query_run(query, err);
    return code == KM_OK ? write_versions(record, desk, run, err) : code;
}

enum km_code km_record_write(const struct km_record *record, struct km_desk *desk, int64_t run, int64_t *out_id,
                             struct km_err *err)
{
    *out_id = 0;
    switch (record->kind) {
    case KM_RECORD_BEGIN:
        return write_begin(record, desk, run, err);
    case KM_RECORD_FINDING:
        return write_finding(record, desk, run, out_id, err);
    case KM_RECORD_GAP:
        return write_gap(record, desk, run, err);
    case KM_RECORD_END:
        return write_end(record, desk, run, err);
    }
    return km_fail(err, KM_UNSUPPORTED, "a record of unknown kind");
}
