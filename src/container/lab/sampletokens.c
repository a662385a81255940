#include "container/lab/sampletokens.h"

#include <string.h>

struct km_sampletokens {
    size_t count;
    uint32_t **sets; /* NULL: none */
    size_t *sizes;
};

static enum km_code extract(struct km_sampletokens *tokens, struct km_token_extractor *extractor,
                            const struct km_sample *sample, size_t number, struct km_err *err)
{
    struct km_token_file file;
    km_token_extractor_begin(extractor, NULL);
    enum km_code code = km_token_extractor_feed(extractor, sample->bytes, sample->length, err);
    if (code == KM_OK)
        code = km_token_extractor_end(extractor, &file, err);
    if (code != KM_OK || file.set.count == 0)
        return code;
    uint32_t *ids = km_calloc(file.set.count, sizeof *ids, KM_TOKEN_IDS * sizeof *ids, err);
    if (!ids)
        return err->code;
    memcpy(ids, file.set.ids, file.set.count * sizeof *ids);
    tokens->sets[number] = ids;
    tokens->sizes[number] = file.set.count;
    return KM_OK;
}

static enum km_code extract_all(struct km_sampletokens *tokens, const struct km_dataset *dataset, const bool *wanted,
                                const struct km_sampletokens_work *work, struct km_err *err)
{
    KM_CLEANUP(km_token_extractor_cleanup) struct km_token_extractor *extractor = km_token_extractor_new(err);
    if (!extractor)
        return err->code;
    size_t total = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        if (!wanted[i])
            continue;
        enum km_code code = km_cancel_check(work->cancel, err);
        if (code == KM_OK)
            code = extract(tokens, extractor, km_dataset_get(dataset, i), i, err);
        total += tokens->sizes[i];
        if (code == KM_OK && total > KM_SAMPLETOKENS_MAX_IDS)
            code = km_fail(err, KM_LIMIT, "more than %zu tokens in the data set", KM_SAMPLETOKENS_MAX_IDS);
        if (code != KM_OK)
            return code;
        if (work->progress)
            work->progress(work->context, i + 1, tokens->count);
    }
    return KM_OK;
}

struct km_sampletokens *km_sampletokens_new(const struct km_dataset *dataset, const bool *wanted,
                                            const struct km_sampletokens_work *work, struct km_err *err)
{
    KM_CLEANUP(km_sampletokens_cleanup)
    struct km_sampletokens *tokens = km_calloc(1, sizeof *tokens, sizeof *tokens, err);
    if (!tokens)
        return NULL;
    tokens->count = km_dataset_count(dataset);
    tokens->sizes =
        km_calloc(tokens->count, sizeof *tokens->sizes, KM_DATASET_MAX_SAMPLES * sizeof *tokens->sizes, err);
    if (!tokens->sizes)
        return NULL;
    tokens->sets = km_calloc(tokens->count, sizeof(void *), KM_DATASET_MAX_SAMPLES * sizeof(void *), err);
    if (!tokens->sets || extract_all(tokens, dataset, wanted, work, err) != KM_OK)
        return NULL;
    return km_steal(tokens);
}

void km_sampletokens_free(struct km_sampletokens *tokens)
{
    if (!tokens)
        return;
    for (size_t i = 0; tokens->sets && i < tokens->count; i++)
        free(tokens->sets[i]);
    free((void *)tokens->sets);
    free(tokens->sizes);
    free(tokens);
}

struct km_token_set km_sampletokens_get(const struct km_sampletokens *tokens, size_t sample)
{
    KM_ASSERT(sample < tokens->count);
    return (struct km_token_set){tokens->sets[sample], tokens->sizes[sample]};
}
