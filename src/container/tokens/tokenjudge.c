#include "container/tokens/tokenjudge.h"

#include <math.h>
#include <string.h>

struct km_token_judge {
    const struct km_token_model *model;
    struct km_token_extractor *extractor;
    struct best {
        double logit;
        uint64_t offset;
        uint32_t bytes;
        size_t count;
        struct km_token_term terms[KM_TOKEN_TERMS];
    } best;
};

/* The first of equals by offset: windows come in no order. */
static enum km_code judge_window(void *context, const struct km_token_window *window, struct km_err *err)
{
    (void)err;
    struct km_token_judge *judge = context;
    struct best *best = &judge->best;
    double logit = km_token_model_logit(judge->model, &window->set);
    if (best->bytes > 0 && (logit < best->logit || (logit <= best->logit && window->offset > best->offset)))
        return KM_OK;
    best->offset = window->offset;
    best->bytes = window->bytes;
    best->logit = km_token_model_explain(judge->model, &window->set, best->terms, KM_TOKEN_TERMS, &best->count);
    return KM_OK;
}

struct km_token_judge *km_token_judge_new(const struct km_token_model *model, struct km_err *err)
{
    KM_CLEANUP(km_token_judge_cleanup) struct km_token_judge *judge = km_calloc(1, sizeof *judge, SIZE_MAX, err);
    if (!judge)
        return NULL;
    judge->model = model;
    judge->extractor = km_token_extractor_new(err);
    if (!judge->extractor)
        return NULL;
    km_token_extractor_want(judge->extractor, km_token_model_wanted(model));
    km_token_judge_begin(judge);
    return km_steal(judge);
}

void km_token_judge_free(struct km_token_judge *judge)
{
    if (!judge)
        return;
    km_token_extractor_free(judge->extractor);
    free(judge);
}

void km_token_judge_begin(struct km_token_judge *judge)
{
    struct km_token_sink sink = {.context = judge, .window = judge_window};
    judge->best = (struct best){0};
    km_token_extractor_begin(judge->extractor, &sink);
}

void km_token_judge_feed(struct km_token_judge *judge, const void *bytes, uint64_t length)
{
    struct km_err err;
    enum km_code code = km_token_extractor_feed(judge->extractor, bytes, length, &err);
    KM_ASSERT(code == KM_OK); /* it has no failure but its sink's, and that is judge_window */
}

static void tell_words(const struct km_token_judge *judge, const struct km_token_term *terms, size_t count,
                       struct km_token_verdict *out)
{
    for (size_t i = 0; i < count; i++) {
        struct km_token_word *word = &out->words[out->word_count++];
        word->weight = terms[i].weight;
        if (!km_token_extractor_text(judge->extractor, terms[i].id, word->text))
            word->text[0] = '\0';
    }
}

void km_token_judge_end(struct km_token_judge *judge, struct km_token_verdict *out)
{
    struct km_err err;
    memset(out, 0, sizeof *out);
    enum km_code code = km_token_extractor_end(judge->extractor, &out->file, &err);
    KM_ASSERT(code == KM_OK);
    out->score = -INFINITY;
    out->file_logit = out->window_logit = out->file_score = out->window_score = NAN;
    if (out->file.set.count == 0)
        return;
    struct km_token_term terms[KM_TOKEN_TERMS];
    size_t count;
    const struct best *best = &judge->best;
    out->file_logit = km_token_model_explain(judge->model, &out->file.set, terms, KM_TOKEN_TERMS, &count);
    out->file_score = out->score = km_token_model_file_score(judge->model, out->file_logit);
    if (best->bytes > 0) { /* a file may have tokens that lie in no window: needed libraries behind the head */
        out->window_offset = best->offset;
        out->window_bytes = best->bytes;
        out->window_logit = best->logit;
        out->window_score = km_token_model_window_score(judge->model, best->logit);
        out->window_decided = out->window_score > out->file_score;
        out->score = out->window_decided ? out->window_score : out->file_score;
    }
    if (out->window_decided)
        tell_words(judge, best->terms, best->count, out);
    else
        tell_words(judge, terms, count, out);
}

bool km_token_judge_text(const struct km_token_judge *judge, uint32_t id, char out[KM_TOKEN_TEXT_BYTES])
{
    return km_token_extractor_text(judge->extractor, id, out);
}
