/* An additive model: what is read scores without a NaN of its own making, and is written so that it reads back the
 * same. */
#include <math.h>
#include <string.h>

#include "stats/additive.h"

#define LARGEST_DOCUMENT ((size_t)1 << 20) /* one that has no white space may grow when it is written */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming) */

static void score(const struct km_additive *model)
{
    static const double kinds[] = {0, 1, -1e9, 1e9, NAN};
    double values[KM_ADDITIVE_MAX_TERMS], contributions[KM_ADDITIVE_MAX_TERMS];
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (size_t i = 0; i < KM_ADDITIVE_MAX_TERMS; i++)
            values[i] = kinds[kind];
        (void)km_additive_score(model, values, contributions);
        for (size_t i = 0; i < km_additive_term_count(model); i++)
            KM_ASSERT(!isnan(contributions[i]));
    }
    const struct km_calibration *calibration = km_additive_calibration(model);
    if (calibration->negatives > 0) {
        struct km_estimate rate = km_calibration_rate(calibration);
        KM_ASSERT(rate.interval.low >= 0 && rate.interval.low <= rate.value && rate.value <= rate.interval.high &&
                  rate.interval.high <= 1);
        (void)km_calibration_is_enough(calibration);
    }
}

static void write_twice(const struct km_additive *model)
{
    struct km_err err = KM_ERR_INIT;
    struct km_buf once, twice;
    km_buf_init(&once, LARGEST_DOCUMENT);
    km_buf_init(&twice, LARGEST_DOCUMENT);
    KM_ASSERT(km_additive_format(model, &once, &err) == KM_OK);
    if (once.length <= KM_ADDITIVE_MAX_BYTES) {
        struct km_additive *again = km_additive_parse(km_buf_text(&once), once.length, &err);
        KM_ASSERT(again);
        KM_ASSERT(km_additive_format(again, &twice, &err) == KM_OK);
        KM_ASSERT(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0);
        km_additive_free(again);
    }
    km_buf_done(&once);
    km_buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_additive *model = km_additive_parse((const char *)data, size, &err);
    if (model) {
        score(model);
        write_twice(model);
    } else {
        KM_ASSERT(err.code != KM_OK && err.text[0] != '\0');
    }
    km_additive_free(model);
    return 0;
}
