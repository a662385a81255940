#include "container/lab/augment.h"

#include <string.h>

static size_t below(struct km_seeded *random, size_t bound)
{
    return bound == 0 ? 0 : (size_t)(km_seeded_unit(random) * (double)bound);
}

size_t km_augment_cut(const struct km_augment *augment, const uint8_t *bytes, size_t length, size_t most,
                      struct km_seeded *random, uint8_t *out)
{
    size_t begin = 0;
    double shift = length > KM_AUGMENT_LARGE_BYTES ? augment->offset_large : augment->offset_small;
    if (km_seeded_unit(random) < shift) {
        /* Long files begin anywhere that fills the piece; short ones lose a part of their head. */
        size_t room = length > most ? length - most : length / 2;
        begin = below(random, room + 1);
    }
    size_t taken = length - begin < most ? length - begin : most;
    if (km_seeded_unit(random) < augment->crop) {
        double share = augment->crop_least + (1 - augment->crop_least) * km_seeded_unit(random);
        size_t kept = (size_t)((double)taken * share);
        if (kept >= KM_AUGMENT_MIN_BYTES) {
            begin += below(random, taken - kept + 1);
            taken = kept;
        }
    }
    memcpy(out, bytes + begin, taken);
    if (km_seeded_unit(random) < augment->noise) {
        size_t changed = below(random, (size_t)((double)taken * augment->noise_most) + 1);
        for (size_t i = 0; i < changed; i++)
            out[below(random, taken)] = (uint8_t)(km_seeded_next(random) >> 56);
    }
    if (km_seeded_unit(random) < augment->zero_head) {
        size_t zeros = KM_AUGMENT_ZERO_LEAST + below(random, KM_AUGMENT_ZERO_MOST - KM_AUGMENT_ZERO_LEAST + 1);
        memset(out, 0, zeros < taken ? zeros : taken);
    }
    return taken;
}
