/* Index files: whatever parses can be prepared, asked, merged and saved, and saved again it is the same file. The input
 * is the file without its checksum, so that mutations reach the parser. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/digest.h"
#include "container/tokens/tokenindex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct km_token_index *parse_sealed(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    uint8_t *bytes = malloc(size + KM_SHA256_BYTES);
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    KM_ASSERT(bytes && digest);
    if (size > 0)
        memcpy(bytes, data, size);
    km_digest_update(digest, bytes, size);
    km_digest_finish(digest, bytes + size);
    km_digest_free(digest);
    struct km_token_index *index = NULL;
    if (km_token_index_parse(bytes, size + KM_SHA256_BYTES, &index, &err) != KM_OK)
        KM_ASSERT(!index && err.code != KM_OK && err.text[0] != '\0');
    free(bytes);
    return index;
}

static void save_twice(const struct km_token_index *index)
{
    struct km_err err = KM_ERR_INIT;
    int one = memfd_create("index", MFD_CLOEXEC), two = memfd_create("index", MFD_CLOEXEC);
    KM_ASSERT(one >= 0 && two >= 0);
    struct km_token_index *back = NULL;
    KM_ASSERT(km_token_index_save(index, one, &err) == KM_OK);
    KM_ASSERT(km_token_index_load(one, &back, &err) == KM_OK);
    KM_ASSERT(km_token_index_save(back, two, &err) == KM_OK);
    off_t length = lseek(one, 0, SEEK_END);
    KM_ASSERT(length == lseek(two, 0, SEEK_END));
    km_token_index_free(back);
    close(one);
    close(two);
}

static void ask(struct km_token_index *index)
{
    struct km_err err = KM_ERR_INIT;
    static float idf[KM_TOKEN_IDS];
    static uint32_t ids[KM_TOKEN_IDS / 8];
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
        idf[id] = 1 + (float)(id % 7);
    for (uint32_t i = 0; i < KM_TOKEN_IDS / 8; i++)
        ids[i] = i * 8;
    KM_ASSERT(km_token_index_prepare(index, idf, &err) == KM_OK);
    const struct km_token_index *const indexes[1] = {index};
    struct km_token_query *query = NULL;
    KM_ASSERT(km_token_query_new(indexes, 1, &query, &err) == KM_OK);
    struct km_token_set set = {ids, KM_TOKEN_IDS / 8};
    struct km_token_match match;
    km_token_query_run(query, &set, &match);
    KM_ASSERT(match.positive.cosine >= 0 && match.positive.cosine <= 1);
    KM_ASSERT(match.benign.cosine >= 0 && match.benign.cosine <= 1);
    KM_ASSERT(match.positive.shared_count <= KM_TOKEN_INDEX_SHARED);
    KM_ASSERT((match.positive.cosine > 0) == (match.positive.shared_count > 0));
    km_token_query_free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = parse_sealed(data, size);
    if (!index)
        return 0;
    struct km_token_index *merged = km_token_index_new(&err);
    KM_ASSERT(merged && km_token_index_merge(merged, index, &err) == KM_OK);
    KM_ASSERT(km_token_index_count(merged, KM_TOKEN_INDEX_BENIGN) <=
              km_token_index_count(index, KM_TOKEN_INDEX_BENIGN));
    save_twice(index);
    ask(index);
    km_token_index_free(index);
    km_token_index_free(merged);
    return 0;
}
