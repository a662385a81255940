/*
 * The site's context beside the content: what a scan knows of where a file comes from, weighed as a scan weighs it.
 *
 * Assumed, for the corpus has no images: of the site's packages most are installed as packages (their files are owned
 * and as packaged), some are copied in and owned by nobody. What is injected is copied in, too, or takes the place of a
 * packaged file, one half each; so do benign files that the site has never seen, as what people add to images does.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/lab/evaluation_parts.h"
#include "container/scan/weigh.h"

#define COPIED_PERCENT 15
#define FALSE_ALARMS   0.01

static bool is_copied(const struct km_sample *sample)
{
    uint32_t sum = 7;
    for (const char *at = sample->package; *at; at++)
        sum = sum * 31 + (uint8_t)*at;
    return sum % 100 < COPIED_PERCENT;
}

static bool is_executable(const struct km_sample *sample)
{
    return sample->kind == KM_SAMPLE_PROGRAM || (sample->bytes[0] == '#' && sample->bytes[1] == '!');
}

static double weigh_copied(const struct km_sample *sample)
{
    return is_executable(sample) ? KM_WEIGH_UNOWNED + KM_WEIGH_EXECUTABLE : 0;
}

static double weigh_injected(const struct km_sample *sample)
{
    bool replaces = sample->sha256[0] % 2 == 0;
    return replaces ? KM_WEIGH_CHANGED + (is_executable(sample) ? KM_WEIGH_EXECUTABLE : 0) : weigh_copied(sample);
}

/* As origin.h has it: where content speaks for benign, origin passes no threshold. */
static double add_origin(double content, double origin)
{
    return content < 0 ? content : content + origin;
}

static int compare_falling(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left > right ? -1 : left < right;
}

/* The score that benign files reach at the wanted rate of false alarms. */
static enum km_code find_threshold(const struct km_figure_files *files, double *out, struct km_err *err)
{
    size_t count = 0;
    KM_CLEANUP(km_cleanup_free) double *benign = km_calloc(files->count, sizeof *benign, SIZE_MAX, err);
    if (!benign)
        return err->code;
    for (size_t i = 0; i < files->count; i++)
        if (!files->positives[i])
            benign[count++] = isnan(files->scores[i]) ? -INFINITY : files->scores[i];
    qsort(benign, count, sizeof *benign, compare_falling);
    *out = count > 0 ? benign[(size_t)(FALSE_ALARMS * (double)count)] : INFINITY;
    return KM_OK;
}

/* How many benign files that the site has never seen, and that came in the same way, would be alarms, too. */
static enum km_code add_foreign(struct km_evaluating *work, const struct km_siting *siting, double threshold,
                                struct km_err *err)
{
    struct km_figure_files files = {0};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        if (!siting->foreign[i])
            continue;
        double score = add_origin(siting->scores[i].parts[KM_FILESCORE_FUSED], weigh_injected(sample));
        code = km_figure_files_add(&files, score > threshold ? 1 : 0, true, sample->family_id, err);
    }
    if (code == KM_OK)
        code = km_evaluating_add_share(work, "detect.site.context.foreign", &files, err);
    km_figure_files_done(&files);
    return code;
}

enum km_code km_evaluating_site_origin(struct km_evaluating *work, const struct km_siting *siting, struct km_err *err)
{
    struct km_figure_files files = {0};
    double threshold = INFINITY;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        bool positive = sample->role == KM_RECIPE_POSITIVE;
        double origin = positive ? weigh_injected(sample) : is_copied(sample) ? weigh_copied(sample) : 0;
        if (siting->judged[i])
            code = km_figure_files_add(&files, add_origin(siting->scores[i].parts[KM_FILESCORE_FUSED], origin),
                                       positive, sample->family_id, err);
    }
    if (code == KM_OK)
        code = km_evaluating_add(work, "detect.site.context", &files, true, err);
    if (code == KM_OK)
        code = find_threshold(&files, &threshold, err);
    km_figure_files_done(&files);
    return code == KM_OK ? add_foreign(work, siting, threshold, err) : code;
}
