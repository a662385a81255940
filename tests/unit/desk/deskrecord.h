/* Findings for tests, handed to a recorder as a guardian would. */
#ifndef KM_TESTS_DESKRECORD_H
#define KM_TESTS_DESKRECORD_H

#include "desk/store/recorder.h"
#include "finding/strange.h"

#define SHA_A  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define DAY    (86400 * SECOND)
#define NOON   (INT64_C(20000) * DAY + DAY / 2) /* of a day in 2024 */

static inline struct km_recorder *recorder_of(struct km_desk *desk, const char *kind)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_recorder_options options = {
        .kind = kind, .who = "kato", .host = "gate", .versions = {.komainu = "0.1.0"}};
    struct km_recorder *recorder = km_recorder_new(desk, &options, &err);
    if (!recorder)
        fail_msg("%s", err.text);
    return recorder;
}

static inline struct km_finding file_finding(const char *image, const char *path, const char *sha256,
                                             enum km_verdict verdict, double score)
{
    static struct km_evidence evidence;
    evidence = (struct km_evidence){.id = "package.unowned", .weight = 2};
    return (struct km_finding){
        .kind = "file",
        .subject = {.image = image, .path = path, .sha256 = sha256, .layer_index = 0, .size_bytes = 10},
        .verdict = verdict,
        .score = score,
        .confidence = 1,
        .time_wall_ns = NOON,
        .evidence_count = 1,
        .evidence = &evidence,
    };
}

static inline struct km_finding daemon_finding(const char *daemon, const char *what, int64_t at_ns, double score)
{
    static struct km_evidence evidence;
    evidence = (struct km_evidence){.id = "first.exec", .weight = 5};
    evidence.args[evidence.arg_count++] = (struct km_arg){.name = "what", .type = KM_ARG_TEXT, .text = what};
    static char keys[8][KM_STRANGE_TEXT_BYTES];
    static size_t used;
    struct km_strange strange = {0};
    char *text = keys[used++ % 8];
    km_strange_add(&strange, "exec", what);
    km_strange_format(&strange, text);
    return (struct km_finding){
        .kind = "daemon",
        .subject =
            {.daemon = daemon, .role = "worker", .layer_index = -1, .uid = 33, .command = "sh -c id", .strange = text},
        .verdict = KM_VERDICT_SUSPICIOUS,
        .score = score,
        .confidence = 0.9,
        .time_wall_ns = at_ns,
        .evidence_count = 1,
        .evidence = &evidence,
    };
}

static inline void record(struct km_recorder *recorder, struct km_finding finding)
{
    struct km_err err = KM_ERR_INIT;
    struct km_sink sink = km_recorder_sink(recorder);
    assert_ok(sink.finding(sink.context, &finding, &err), err);
}

static inline void flush_recorder(struct km_recorder *recorder)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_recorder_flush(recorder, &err), err);
}

/* Begins a run, records one finding, ends the run. */
static inline void record_alone(struct km_desk *desk, struct km_finding finding)
{
    struct km_err err = KM_ERR_INIT;
    struct km_recorder *recorder = recorder_of(desk, finding.subject.daemon ? "guard" : "scan");
    record(recorder, finding);
    assert_ok(km_recorder_finish(recorder, &err), err);
    km_recorder_free(recorder);
}

#endif
