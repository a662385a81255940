#include "container/lab/filescore.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "container/tokens/tokenjudge.h"

#define MAX_THREADS 16

static const char *const names[KM_FILESCORE_PARTS] = {
    "fused", "tokens.score", "tokens.window", "tokens.lookalike", "network.score", "tokens.known"};

struct km_filescorer {
    const struct km_modelparts *parts;
    struct km_token_judge *judge;
    struct km_token_query *query;
    struct km_netscorer *network;
    struct km_detector_worker *detector;
};

const char *km_filescore_name(enum km_filescore_part part)
{
    return names[part];
}

struct km_filescorer *km_filescorer_new(const struct km_modelparts *parts, struct km_err *err)
{
    KM_CLEANUP(km_filescorer_cleanup)
    struct km_filescorer *scorer = km_calloc(1, sizeof *scorer, sizeof *scorer, err);
    if (!scorer)
        return NULL;
    scorer->parts = parts;
    if (parts->detector) {
        scorer->detector = km_detector_worker_new(parts->detector, err);
        return scorer->detector ? km_steal(scorer) : NULL;
    }
    if (parts->tokens) {
        scorer->judge = km_token_judge_new(parts->tokens, err);
        if (!scorer->judge)
            return NULL;
    }
    if (parts->tokens && parts->index_count > 0 &&
        km_token_query_new(parts->indexes, parts->index_count, &scorer->query, err) != KM_OK)
        return NULL;
    if (parts->network) {
        scorer->network = km_netscorer_new(parts->view, parts->network, err);
        if (!scorer->network)
            return NULL;
    }
    return km_steal(scorer);
}

void km_filescorer_free(struct km_filescorer *scorer)
{
    if (!scorer)
        return;
    km_token_judge_free(scorer->judge);
    km_token_query_free(scorer->query);
    km_netscorer_free(scorer->network);
    km_detector_worker_free(scorer->detector);
    free(scorer);
}

double km_filescore_fuse(const struct km_additive *fusion, const struct km_filescore *score)
{
    if (!fusion)
        return NAN;
    double values[KM_ADDITIVE_MAX_TERMS];
    for (size_t i = 0; i < km_additive_term_count(fusion); i++) {
        values[i] = NAN;
        for (int part = KM_FILESCORE_TOKENS; part < KM_FILESCORE_PARTS; part++)
            if (strcmp(km_additive_term(fusion, i)->name, names[part]) == 0)
                values[i] = score->parts[part];
    }
    return km_additive_score(fusion, values, NULL);
}

static enum km_code ask_detector(struct km_filescorer *scorer, const uint8_t *bytes, size_t length,
                                 struct km_filescore *score, struct km_err *err)
{
    struct km_file_scores found;
    enum km_code code = km_detector_score_file(scorer->detector, bytes, length, &found, err);
    if (code != KM_OK)
        return code;
    double features[KM_FEATURE_COUNT];
    km_detector_features(&found, features);
    score->parts[KM_FILESCORE_TOKENS] = features[KM_FEATURE_TOKENS_SCORE];
    score->parts[KM_FILESCORE_WINDOW] = features[KM_FEATURE_TOKENS_WINDOW];
    score->parts[KM_FILESCORE_LOOKALIKE] = features[KM_FEATURE_TOKENS_LOOKALIKE];
    score->parts[KM_FILESCORE_NETWORK] = features[KM_FEATURE_NETWORK_SCORE];
    score->parts[KM_FILESCORE_KNOWN] = (double)found.known;
    return KM_OK;
}

static void ask_tokens(struct km_filescorer *scorer, const uint8_t *bytes, size_t length, struct km_filescore *score)
{
    struct km_token_verdict verdict;
    km_token_judge_begin(scorer->judge);
    km_token_judge_feed(scorer->judge, bytes, length);
    km_token_judge_end(scorer->judge, &verdict);
    if (!isinf(verdict.score)) { /* it has tokens */
        score->parts[KM_FILESCORE_TOKENS] = verdict.score;
        score->parts[KM_FILESCORE_WINDOW] = verdict.window_score;
    }
    struct km_token_match match;
    if (scorer->query && verdict.file.set.count >= KM_TOKEN_INDEX_MIN_TOKENS) {
        km_token_query_run(scorer->query, &verdict.file.set, &match);
        score->parts[KM_FILESCORE_LOOKALIKE] = match.difference;
        score->parts[KM_FILESCORE_KNOWN] = match.positive.cosine;
    }
}

enum km_code km_filescorer_run(struct km_filescorer *scorer, const uint8_t *bytes, size_t length,
                               struct km_filescore *out, struct km_err *err)
{
    struct km_filescore score;
    for (int part = 0; part < KM_FILESCORE_PARTS; part++)
        score.parts[part] = NAN;
    enum km_code code = scorer->detector ? ask_detector(scorer, bytes, length, &score, err) : KM_OK;
    if (code == KM_OK && scorer->judge)
        ask_tokens(scorer, bytes, length, &score);
    if (code == KM_OK && scorer->network)
        code = km_netscorer_run(scorer->network, bytes, length, &score.parts[KM_FILESCORE_NETWORK], err);
    if (code != KM_OK)
        return code;
    score.parts[KM_FILESCORE_FUSED] = km_filescore_fuse(scorer->parts->fusion, &score);
    *out = score;
    return KM_OK;
}

/* ---- Many samples ---- */

struct crowd {
    const struct km_modelparts *parts;
    const struct km_dataset *dataset;
    const bool *wanted;
    const struct km_filescore_work *work;
    struct km_filescore *out;
    pthread_mutex_t lock; /* guards the rest */
    size_t next;
    enum km_code code;
    struct km_err err;
};

/* The next wanted sample, or the count when there is none, or the work has failed. */
static size_t take(struct crowd *crowd)
{
    size_t count = km_dataset_count(crowd->dataset);
    (void)pthread_mutex_lock(&crowd->lock);
    if (crowd->code == KM_OK)
        crowd->code = km_cancel_check(crowd->work->cancel, &crowd->err);
    while (crowd->next < count && !crowd->wanted[crowd->next])
        crowd->next++;
    size_t number = crowd->code == KM_OK && crowd->next < count ? crowd->next++ : count;
    if (crowd->work->progress)
        crowd->work->progress(crowd->work->context, crowd->next, count);
    (void)pthread_mutex_unlock(&crowd->lock);
    return number;
}

static void *score_some(void *context)
{
    struct crowd *crowd = context;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_filescorer_cleanup) struct km_filescorer *scorer = km_filescorer_new(crowd->parts, &err);
    enum km_code code = scorer ? KM_OK : err.code;
    for (size_t i; code == KM_OK && (i = take(crowd)) < km_dataset_count(crowd->dataset);) {
        const struct km_sample *sample = km_dataset_get(crowd->dataset, i);
        code = km_filescorer_run(scorer, sample->bytes, sample->length, &crowd->out[i], &err);
    }
    if (code != KM_OK) {
        (void)pthread_mutex_lock(&crowd->lock);
        if (crowd->code == KM_OK) {
            crowd->code = code;
            crowd->err = err;
        }
        (void)pthread_mutex_unlock(&crowd->lock);
    }
    return NULL;
}

enum km_code km_filescore_samples(const struct km_modelparts *parts, const struct km_dataset *dataset,
                                  const bool *wanted, const struct km_filescore_work *work, struct km_filescore *out,
                                  struct km_err *err)
{
    KM_ASSERT(work->threads >= 1 && work->threads <= MAX_THREADS);
    struct crowd crowd = {parts, dataset, wanted, work, out, PTHREAD_MUTEX_INITIALIZER, 0, KM_OK, KM_ERR_INIT};
    pthread_t threads[MAX_THREADS];
    unsigned started = 0;
    while (started < work->threads && pthread_create(&threads[started], NULL, score_some, &crowd) == 0)
        started++;
    if (started == 0)
        return km_fail(err, KM_NOMEM, "no thread could be started");
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    if (crowd.code != KM_OK)
        *err = crowd.err;
    return crowd.code;
}
