/* The profile reader. The checksum is set right first, so that the sections behind it are reached; what is loaded is
 * used and saved. */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "daemon/profile/profile_file.h"

#define HEAD_BYTES 56

static void use(struct km_profile *profile)
{
    struct km_err err = KM_ERR_INIT;
    uint16_t packed[12];
    uint8_t attrs[12] = {1, 2};
    struct km_episode episode = {.complete = true, .packed = packed, .attrs = attrs, .count = 12};
    for (unsigned i = 0; i < 12; i++) {
        packed[i] = km_call_pack(0, i * 3);
        (void)km_thread_push(&episode.totals, 0, i * 3);
    }
    struct km_assessment assessment;
    km_profile_score(profile, &episode, &assessment);
    if (km_profile_learn(profile, &episode, &err) != KM_OK || km_profile_calibrate(profile, &err) != KM_OK)
        abort();
    struct km_buf bytes;
    km_buf_init(&bytes, KM_PROFILE_MAX_FILE_BYTES);
    if (km_profile_save(profile, "fuzz", &bytes, &err) != KM_OK)
        abort();
    km_buf_done(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    km_profile_free(km_profile_load(data, size, NULL, &err));
    if (size < HEAD_BYTES)
        return 0;
    uint8_t *copy = malloc(size);
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    if (!copy || !digest)
        abort();
    memcpy(copy, data, size);
    for (int i = 0; i < 8; i++)
        copy[16 + i] = (uint8_t)((uint64_t)size >> (8 * i));
    km_digest_update(digest, copy, 24);
    km_digest_update(digest, copy + HEAD_BYTES, size - HEAD_BYTES);
    km_digest_finish(digest, copy + 24);
    km_digest_free(digest);
    char note[KM_EVENT_MAX_NAME_BYTES];
    struct km_profile *profile = km_profile_load(copy, size, note, &err);
    if (profile)
        use(profile);
    km_profile_free(profile);
    free(copy);
    return 0;
}
