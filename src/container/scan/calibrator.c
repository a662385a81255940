#include "container/scan/calibrator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    uint8_t md5[KM_MD5_BYTES];
    double log_odds;
};

struct km_calibrator {
    struct sample *samples;
    size_t count, capacity;
    struct km_calibrator_file strongest[KM_CALIBRATOR_STRONGEST];
    size_t strongest_count;
    struct km_err failure;
};

struct km_calibrator *km_calibrator_new(struct km_err *err)
{
    return km_calloc(1, sizeof(struct km_calibrator), SIZE_MAX, err);
}

void km_calibrator_free(struct km_calibrator *calibrator)
{
    if (!calibrator)
        return;
    for (size_t i = 0; i < calibrator->strongest_count; i++)
        free(calibrator->strongest[i].path);
    free(calibrator->samples);
    free(calibrator);
}

/* Each content once, by its highest score. */
static enum km_code keep_strongest(struct km_calibrator *calibrator, const struct sample *sample, const char *path,
                                   struct km_err *err)
{
    struct km_calibrator_file *list = calibrator->strongest;
    size_t count = calibrator->strongest_count, free_place = 0;
    while (free_place < count && memcmp(list[free_place].md5, sample->md5, sizeof sample->md5) != 0)
        free_place++;
    if (free_place == KM_CALIBRATOR_STRONGEST)
        free_place--; /* the weakest one goes */
    if (free_place < count && list[free_place].log_odds >= sample->log_odds)
        return KM_OK;
    char *copy = km_strndup(path, strlen(path), err);
    if (!copy)
        return err->code;
    if (free_place < count)
        free(list[free_place].path);
    else
        calibrator->strongest_count++;
    size_t at = free_place;
    for (; at > 0 && list[at - 1].log_odds < sample->log_odds; at--)
        list[at] = list[at - 1];
    list[at] = (struct km_calibrator_file){.path = copy, .log_odds = sample->log_odds};
    memcpy(list[at].md5, sample->md5, sizeof sample->md5);
    return KM_OK;
}

void km_calibrator_take(void *context, const struct km_case *file)
{
    struct km_calibrator *calibrator = context;
    if (!file->fusion || !file->record->complete || calibrator->failure.code != KM_OK)
        return;
    void *samples = calibrator->samples;
    enum km_code code = km_grow(&samples, &calibrator->capacity, calibrator->count + 1, sizeof *calibrator->samples,
                                KM_CALIBRATOR_MAX_FILES, &calibrator->failure);
    calibrator->samples = samples;
    if (code != KM_OK)
        return;
    struct sample *sample = &calibrator->samples[calibrator->count];
    sample->log_odds = file->log_odds - file->origin + km_additive_calibration(file->fusion)->threshold;
    memcpy(sample->md5, file->record->md5, sizeof sample->md5);
    if (keep_strongest(calibrator, sample, file->place.path, &calibrator->failure) == KM_OK)
        calibrator->count++;
}

size_t km_calibrator_strongest(const struct km_calibrator *calibrator, const struct km_calibrator_file **out)
{
    *out = calibrator->strongest;
    return calibrator->strongest_count;
}

static int compare_samples(const void *a, const void *b)
{
    const struct sample *left = a, *right = b;
    int order = memcmp(left->md5, right->md5, sizeof left->md5);
    if (order != 0)
        return order;
    return left->log_odds > right->log_odds ? -1 : left->log_odds < right->log_odds;
}

enum km_code km_calibrator_choose(struct km_calibrator *calibrator, double wanted, const char *set,
                                  struct km_calibration *out, struct km_err *err)
{
    if (calibrator->failure.code != KM_OK) {
        *err = calibrator->failure;
        return err->code;
    }
    if (calibrator->count == 0)
        return km_fail(err, KM_NOTFOUND, "no program was scored");
    KM_CLEANUP(km_cleanup_free) double *scores = km_calloc(calibrator->count, sizeof *scores, SIZE_MAX, err);
    if (!scores)
        return err->code;
    struct sample *samples = calibrator->samples;
    qsort(samples, calibrator->count, sizeof *samples, compare_samples);
    size_t count = 0;
    for (size_t i = 0; i < calibrator->count; i++)
        if (i == 0 || memcmp(samples[i].md5, samples[i - 1].md5, sizeof samples[i].md5) != 0)
            scores[count++] = samples[i].log_odds;
    struct km_calibration calibration = {0};
    km_calibration_choose(scores, count, wanted, &calibration);
    (void)snprintf(calibration.set, sizeof calibration.set, "%s", set);
    *out = calibration;
    return KM_OK;
}
