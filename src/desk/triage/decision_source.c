/* struct km_decisions from the store. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "desk/store/record_row.h"
#include "desk/triage/decide.h"
#include "desk/triage/triage_internal.h"

#define MAX_ANSWERED 100000

struct km_decide_source {
    struct km_desk *desk;
    char *guardian, *host;
    struct km_collect collect;
    struct km_decision answer;
    char *texts[4];    /* of the answer: who, note, path, sha256 */
    int64_t *answered; /* decisions, ascending */
    size_t count, capacity;
};

static void forget_answer(struct km_decide_source *source)
{
    for (size_t i = 0; i < sizeof source->texts / sizeof source->texts[0]; i++) {
        free(source->texts[i]);
        source->texts[i] = NULL;
    }
}

static void source_free(struct km_decide_source *source)
{
    if (!source)
        return;
    forget_answer(source);
    free(source->guardian);
    free(source->host);
    free(source->answered);
    free(source);
}
KM_DEFINE_CLEANUP(struct km_decide_source, source_cleanup, source_free);

struct km_decide_source *km_decide_open(struct km_desk *desk, const char *guardian, const char *host,
                                        struct km_err *err)
{
    struct km_decide_source *source KM_CLEANUP(source_cleanup) = km_calloc(1, sizeof *source, SIZE_MAX, err);
    if (!source)
        return NULL;
    source->desk = desk;
    source->guardian = km_strndup(guardian, strlen(guardian), err);
    source->host = source->guardian ? km_strndup(host, strlen(host), err) : NULL;
    return source->host && km_collect_load(desk, &source->collect, err) == KM_OK ? km_steal(source) : NULL;
}

static enum km_code note_answer(struct km_decide_source *source, int64_t id, struct km_err *err)
{
    size_t i = source->count;
    while (i > 0 && source->answered[i - 1] >= id)
        i--;
    if (i < source->count && source->answered[i] == id)
        return KM_OK;
    void *list = source->answered;
    enum km_code code = km_grow(&list, &source->capacity, source->count + 1, sizeof id, MAX_ANSWERED, err);
    source->answered = list;
    if (code != KM_OK)
        return code;
    memmove(&source->answered[i + 1], &source->answered[i], (source->count - i) * sizeof id);
    source->answered[i] = id;
    source->count++;
    return KM_OK;
}

/* The strings are copied: a statement that stands on its row holds an old view of the store, on which this connection
 * could write nothing more as soon as somebody else has. */
static enum km_code read_answer(struct km_decide_source *source, int64_t id, struct km_err *err)
{
    bool row = false;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        source->desk, "SELECT kind, until_ns, who, note, coalesce(path, ''), sha256 FROM decision WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "the decision is gone");
    forget_answer(source);
    for (int i = 0; i < (int)(sizeof source->texts / sizeof source->texts[0]); i++) {
        const char *text = km_query_text_or_null(query, 2 + i);
        source->texts[i] = text ? km_strndup(text, strlen(text), err) : NULL;
        if (text && !source->texts[i])
            return err->code;
    }
    source->answer = (struct km_decision){
        .kind = (enum km_decision_kind)km_query_integer(query, 0),
        .who = source->texts[0],
        .note = source->texts[1],
        .until_wall_ns = km_query_is_null(query, 1) ? INT64_MAX : km_query_integer(query, 1),
        .path = source->texts[2],
        .sha256 = source->texts[3],
    };
    return KM_OK;
}

/* A store that cannot be asked gives no answer: the finding is then reported as if nobody had spoken. */
static const struct km_decision *find(void *context, const struct km_finding *finding, int64_t now_wall_ns)
{
    struct km_decide_source *source = context;
    struct km_err ignored = KM_ERR_INIT;
    const struct km_subject *of = &finding->subject;
    char room[KM_COLLECT_TEXT_BYTES], dominant[KM_RECORD_DOMINANT_BYTES], strange[KM_STRANGE_TEXT_BYTES];
    km_record_format_dominant(finding, &source->collect, dominant);
    struct km_triage_subject subject = {
        .kind = finding->kind ? finding->kind : "file",
        .host = source->host,
        .image = of->image,
        .path = km_collect_text(&source->collect, KM_COLLECT_PATHS, of->path, room),
        .sha256 = of->sha256,
        .daemon = of->daemon,
        .role = of->role,
        .dominant = dominant,
        .strange = km_collect_strange(&source->collect, of->strange, strange),
    };
    km_triage_format_lineage(of->image ? of->image : "", subject.lineage, sizeof subject.lineage);
    struct km_triage_decision decision = {0};
    if (km_triage_find_decision(source->desk, &subject, now_wall_ns, &decision, &ignored) != KM_OK ||
        decision.id == 0 || read_answer(source, decision.id, &ignored) != KM_OK)
        return NULL;
    if (note_answer(source, decision.id, &ignored) != KM_OK)
        return &source->answer; /* counts, and is not acknowledged: the next run does it */
    return &source->answer;
}

struct km_decisions km_decide_decisions(struct km_decide_source *source)
{
    return (struct km_decisions){source, find};
}

static enum km_code acknowledge_answered(struct km_decide_source *source, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < source->count; i++) {
        const struct km_acknowledgement given = {.decision = source->answered[i], .by = source->guardian};
        code = km_decide_acknowledge(source->desk, &given, km_clock_wall_ns(), err);
        if (code == KM_NOTFOUND) /* it was before */
            code = KM_OK;
    }
    return code;
}

/* A guardian that asks each time has applied the undoing by not being answered. */
static enum km_code acknowledge_undone(struct km_decide_source *source, struct km_err *err)
{
    if (strcmp(source->guardian, "scan") != 0)
        return KM_OK;
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(source->desk,
                      "UPDATE decision SET undo_applied_ns=?3 WHERE guardian=?1 AND host=?2 AND undone_ns IS NOT NULL"
                      " AND applied_ns IS NOT NULL AND undo_applied_ns IS NULL",
                      err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, source->guardian);
    km_query_bind_text(query, 2, source->host);
    km_query_bind_integer(query, 3, km_clock_wall_ns());
    return km_query_run(query, err);
}

enum km_code km_decide_close(struct km_decide_source *source, struct km_err *err)
{
    if (!source)
        return KM_OK;
    enum km_code code = acknowledge_answered(source, err);
    if (code == KM_OK)
        code = acknowledge_undone(source, err);
    source_free(source);
    return code;
}
