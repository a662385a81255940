#include "container/lab/sitefiles.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "container/lab/samplekind.h"
#include "container/source/source.h"

struct reading {
    struct km_sitefiles *site;
    struct km_token_extractor *extractor;
    uint8_t *bytes; /* KM_SAMPLE_MAX_BYTES: of the file that is open */
    char path[4096];
    uint64_t size, filled;
    bool open;
};

static enum km_code begin_file(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct reading *reading = context;
    (void)err;
    *out_state = NULL;
    if (entry->depth > 0)
        return KM_OK;
    reading->open = entry->type == KM_ENTRY_FILE && entry->size >= KM_SAMPLE_MIN_BYTES &&
                    entry->size <= KM_SAMPLE_MAX_BYTES && strlen(entry->path) < sizeof reading->path;
    if (!reading->open)
        return KM_OK;
    memcpy(reading->path, entry->path, strlen(entry->path) + 1);
    reading->size = entry->size;
    reading->filled = 0;
    *out_state = reading;
    return KM_OK;
}

static enum km_code fill_file(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                              struct km_err *err)
{
    struct reading *reading = context;
    (void)err;
    if (!state || offset > reading->size || length > reading->size - offset)
        return KM_OK;
    if (bytes)
        memcpy(reading->bytes + offset, bytes, (size_t)length);
    else
        memset(reading->bytes + offset, 0, (size_t)length);
    reading->filled += length;
    return KM_OK;
}

static enum km_code keep_set(struct reading *reading, const struct km_token_set *set, struct km_err *err)
{
    struct km_sitefiles *site = reading->site;
    if (site->ids + set->count > KM_SITEFILES_MAX_IDS)
        return km_fail(err, KM_LIMIT, "the site's files have more than %zu tokens", KM_SITEFILES_MAX_IDS);
    enum km_code code =
        km_grow((void **)&site->files, &site->capacity, site->count + 1, sizeof *site->files, KM_SITEFILES_MAX, err);
    if (code != KM_OK)
        return code;
    struct km_sitefile *file = &site->files[site->count];
    file->ids = km_calloc(set->count, sizeof *file->ids, SIZE_MAX, err);
    if (!file->ids)
        return err->code;
    memcpy(file->ids, set->ids, set->count * sizeof *file->ids);
    file->count = set->count;
    (void)km_text_escape(reading->path, strlen(reading->path), file->label, sizeof file->label);
    site->ids += set->count;
    site->count++;
    return KM_OK;
}

static enum km_code end_file(void *context, void *state, bool complete, struct km_err *err)
{
    struct reading *reading = context;
    if (!state || !complete || reading->filled != reading->size ||
        km_sample_kind_detect(reading->path, reading->bytes, (size_t)reading->size) == KM_SAMPLE_NONE)
        return KM_OK;
    struct km_sitefiles *site = reading->site;
    if (site->excludes && site->excludes(site->excludes_context, reading->bytes, (size_t)reading->size))
        return KM_OK;
    struct km_token_file file;
    km_token_extractor_begin(reading->extractor, NULL);
    enum km_code code = km_token_extractor_feed(reading->extractor, reading->bytes, reading->size, err);
    if (code == KM_OK)
        code = km_token_extractor_end(reading->extractor, &file, err);
    return code == KM_OK && file.set.count >= KM_TOKEN_INDEX_MIN_TOKENS ? keep_set(reading, &file.set, err) : code;
}

static enum km_code pass_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context;
    (void)gap;
    (void)err;
    return KM_OK; /* what cannot be read teaches nothing */
}

enum km_code km_sitefiles_read(struct km_sitefiles *site, const char *target, const struct km_cancel *cancel,
                               struct km_err *err)
{
    KM_CLEANUP(km_token_extractor_cleanup) struct km_token_extractor *extractor = km_token_extractor_new(err);
    KM_CLEANUP(km_cleanup_free)
    uint8_t *bytes = extractor ? km_calloc((size_t)KM_SAMPLE_MAX_BYTES, 1, SIZE_MAX, err) : NULL;
    if (!bytes)
        return err->code;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.nested_depth = 0;
    struct km_source *source = NULL;
    enum km_code code = km_source_open(target, &limits, &source, err);
    if (code != KM_OK)
        return km_err_wrap(err, "%s", target);
    struct reading reading = {.site = site, .extractor = extractor, .bytes = bytes};
    const struct km_entry_sink sink = {
        .context = &reading, .begin = begin_file, .data = fill_file, .end = end_file, .gap = pass_gap};
    code = km_source_run(source, &sink, cancel, err);
    km_source_close(source);
    return code == KM_OK ? code : km_err_wrap(err, "%s", target);
}

void km_sitefiles_done(struct km_sitefiles *site)
{
    for (size_t i = 0; i < site->count; i++)
        free(site->files[i].ids);
    free(site->files);
    *site = (struct km_sitefiles){0};
}
