#include "container/source/tee.h"

#include <stdlib.h>

#include "base/mem.h"

struct km_tee_pair {
    struct km_tee_pair *next; /* in the list of unused ones */
    void *first, *second;
};

static struct km_tee_pair *take_pair(struct km_tee *tee, struct km_err *err)
{
    struct km_tee_pair *pair = tee->unused;
    if (!pair)
        return km_calloc(1, sizeof *pair, SIZE_MAX, err);
    tee->unused = pair->next;
    *pair = (struct km_tee_pair){0};
    return pair;
}

static void drop_pair(struct km_tee *tee, struct km_tee_pair *pair)
{
    pair->next = tee->unused;
    tee->unused = pair;
}

static enum km_code begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct km_tee *tee = context;
    struct km_tee_pair *pair = take_pair(tee, err);
    if (!pair)
        return err->code;
    enum km_code code = tee->first->begin(tee->first->context, entry, &pair->first, err);
    if (code == KM_OK) {
        code = tee->second->begin(tee->second->context, entry, &pair->second, err);
        struct km_err ignored = KM_ERR_INIT;
        if (code != KM_OK) /* what was begun is ended, and nobody else will do it */
            (void)!tee->first->end(tee->first->context, pair->first, false, &ignored);
    }
    if (code != KM_OK) {
        drop_pair(tee, pair);
        return code;
    }
    *out_state = pair;
    return KM_OK;
}

static enum km_code data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                         struct km_err *err)
{
    const struct km_tee *tee = context;
    const struct km_tee_pair *pair = state;
    enum km_code code = tee->first->data(tee->first->context, pair->first, offset, bytes, length, err);
    return code == KM_OK ? tee->second->data(tee->second->context, pair->second, offset, bytes, length, err) : code;
}

static enum km_code end(void *context, void *state, bool complete, struct km_err *err)
{
    struct km_tee *tee = context;
    struct km_tee_pair *pair = state;
    struct km_err later = KM_ERR_INIT;
    enum km_code code = tee->first->end(tee->first->context, pair->first, complete, err);
    enum km_code second = tee->second->end(tee->second->context, pair->second, complete, &later);
    drop_pair(tee, pair);
    if (code == KM_OK && second != KM_OK)
        *err = later;
    return code != KM_OK ? code : second;
}

static enum km_code gap(void *context, const struct km_gap *told, struct km_err *err)
{
    const struct km_tee *tee = context;
    enum km_code code = tee->first->gap ? tee->first->gap(tee->first->context, told, err) : KM_OK;
    return code == KM_OK && tee->second->gap ? tee->second->gap(tee->second->context, told, err) : code;
}

static void progress(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    const struct km_tee *tee = context;
    if (tee->first->progress)
        tee->first->progress(tee->first->context, bytes_read, bytes_total);
    if (tee->second->progress)
        tee->second->progress(tee->second->context, bytes_read, bytes_total);
}

void km_tee_init(struct km_tee *tee, const struct km_entry_sink *first, const struct km_entry_sink *second)
{
    *tee = (struct km_tee){.sink = {tee, begin, data, end, gap, progress, NULL}, .first = first, .second = second};
}

void km_tee_done(struct km_tee *tee)
{
    while (tee->unused) {
        struct km_tee_pair *pair = tee->unused;
        tee->unused = pair->next;
        free(pair);
    }
}
