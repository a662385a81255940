#include "container/scan/lateparts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

struct km_lateparts {
    pthread_mutex_t lock; /* of all below, but for what is kept */
    bool tried;
    struct km_err failure;
    struct km_squares_model *network;
    struct km_token_index *indexes[KM_LATEPARTS_MAX_INDEXES];
    /* Descriptors, until they are read. */
    bool has_network;
    int card_fd, weights_fd;
    size_t index_count;
    struct {
        int *fds;
        size_t count;
    } kept[KM_LATEPARTS_MAX_INDEXES];
};

struct km_lateparts *km_lateparts_new(struct km_err *err)
{
    struct km_lateparts *parts = km_calloc(1, sizeof *parts, SIZE_MAX, err);
    if (!parts)
        return NULL;
    pthread_mutex_init(&parts->lock, NULL);
    parts->card_fd = parts->weights_fd = -1;
    return parts;
}

/* What is loaded, or cannot be, needs no descriptors. */
static void drop_descriptors(struct km_lateparts *parts)
{
    km_cleanup_close(&parts->card_fd);
    km_cleanup_close(&parts->weights_fd);
    parts->card_fd = parts->weights_fd = -1;
    for (size_t i = 0; i < parts->index_count; i++) {
        for (size_t k = 0; k < parts->kept[i].count; k++)
            (void)close(parts->kept[i].fds[k]);
        free(parts->kept[i].fds);
        parts->kept[i].fds = NULL;
        parts->kept[i].count = 0;
    }
}

void km_lateparts_free(struct km_lateparts *parts)
{
    if (!parts)
        return;
    drop_descriptors(parts);
    for (size_t i = 0; i < parts->index_count; i++)
        km_token_index_free(parts->indexes[i]);
    km_squares_model_free(parts->network);
    pthread_mutex_destroy(&parts->lock);
    free(parts);
}

void km_lateparts_keep_network(struct km_lateparts *parts, int card_fd, int weights_fd)
{
    KM_ASSERT(!parts->tried && !parts->has_network);
    parts->has_network = true;
    parts->card_fd = card_fd;
    parts->weights_fd = weights_fd;
}

enum km_code km_lateparts_keep_index(struct km_lateparts *parts, const int *fds, size_t count, struct km_err *err)
{
    KM_ASSERT(!parts->tried && count > 0 && parts->index_count < KM_LATEPARTS_MAX_INDEXES);
    int *copy = km_calloc(count, sizeof *copy, SIZE_MAX, err);
    if (!copy)
        return err->code;
    memcpy(copy, fds, count * sizeof *copy);
    parts->kept[parts->index_count].fds = copy;
    parts->kept[parts->index_count++].count = count;
    return KM_OK;
}

bool km_lateparts_has_network(const struct km_lateparts *parts)
{
    return parts->has_network;
}

size_t km_lateparts_index_count(const struct km_lateparts *parts)
{
    return parts->index_count;
}

static enum km_code load_index(const int *fds, size_t count, const float *idf, struct km_token_index **out,
                               struct km_err *err)
{
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *joined = NULL;
    for (size_t i = 0; i < count; i++) {
        KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = NULL;
        enum km_code code = km_token_index_load(fds[i], &index, err);
        if (code == KM_OK && joined)
            code = km_token_index_merge(joined, index, err);
        else if (code == KM_OK)
            joined = km_steal(index);
        if (code == KM_LIMIT && joined) {
            *err = (struct km_err)KM_ERR_INIT;
            break;
        }
        if (code != KM_OK)
            return code;
    }
    enum km_code code = km_token_index_prepare(joined, idf, err);
    if (code == KM_OK)
        *out = km_steal(joined);
    return code;
}

/* A network takes as long to load as the indexes, and shares nothing with them. */
struct network_load {
    struct km_lateparts *parts;
    enum km_code code;
    struct km_err err;
};

static void *load_network(void *argument)
{
    struct network_load *load = argument;
    load->code =
        km_squares_model_load(load->parts->card_fd, load->parts->weights_fd, &load->parts->network, &load->err);
    return NULL;
}

static enum km_code load_all(struct km_lateparts *parts, const float *idf, struct km_err *err)
{
    struct network_load network = {.parts = parts, .err = KM_ERR_INIT};
    enum km_code code = KM_OK;
    pthread_t thread;
    bool apart = parts->has_network && pthread_create(&thread, NULL, load_network, &network) == 0;
    if (parts->has_network && !apart)
        (void)load_network(&network);
    for (size_t i = 0; code == KM_OK && i < parts->index_count; i++)
        code = load_index(parts->kept[i].fds, parts->kept[i].count, idf, &parts->indexes[i], err);
    if (apart)
        (void)pthread_join(thread, NULL);
    if (network.code != KM_OK) {
        *err = network.err;
        return km_err_wrap(err, "network");
    }
    return code == KM_OK ? KM_OK : km_err_wrap(err, "index");
}

enum km_code km_lateparts_load(struct km_lateparts *parts, const float *idf, struct km_err *err)
{
    pthread_mutex_lock(&parts->lock);
    if (!parts->tried) {
        parts->tried = true;
        parts->failure = (struct km_err)KM_ERR_INIT;
        (void)load_all(parts, idf, &parts->failure);
        drop_descriptors(parts);
    }
    enum km_code code = parts->failure.code;
    if (code != KM_OK)
        *err = parts->failure;
    pthread_mutex_unlock(&parts->lock);
    return code;
}

const struct km_squares_model *km_lateparts_network(const struct km_lateparts *parts)
{
    return parts->network;
}

const struct km_token_index *const *km_lateparts_indexes(const struct km_lateparts *parts)
{
    return (const struct km_token_index *const *)parts->indexes;
}
