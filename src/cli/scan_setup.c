#include "cli/scan_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container/scan/sitefile.h"

/* Memory is bounded for every number of workers; beyond these, the reading thread is what a scan waits for. */
#define MOST_DEFAULT_JOBS 12

static enum km_code open_model_folder(const struct km_options *options, int *out_fd, struct km_err *err)
{
    const char *path = km_options_text(options, "model");
    *out_fd = -1;
    if (path && strcmp(path, "none") == 0)
        return KM_OK;
    int fd = open(path ? path : KM_MODEL_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && path)
        return km_fail_errno(err, errno, "--model %s", path);
    *out_fd = fd;
    return KM_OK;
}

/* A calibration that cannot be used must not be overlooked: scores would silently mean something else. */
static enum km_code take_calibration(struct km_detector *detector, struct km_err *err)
{
    char path[KM_SITEFILE_PATH_BYTES];
    struct km_additive *fusion = NULL;
    struct km_err absent = KM_ERR_INIT;
    if (km_sitefile_path(detector, path, &absent) != KM_OK)
        return KM_OK;
    enum km_code code = km_sitefile_load(path, &fusion, err);
    if (code == KM_NOTFOUND)
        return KM_OK;
    if (code == KM_OK)
        code = km_detector_set_fusion(detector, fusion, err);
    km_additive_free(fusion);
    return code;
}

/* The benign side that the site's baseline keeps for each of its images; the latest first, for they must fit. */
static enum km_code add_site_indexes(struct km_scan_setup *setup, struct km_err *err)
{
    size_t images = setup->baseline ? km_baseline_image_count(setup->baseline) : 0, count = 0;
    if (images == 0 || !km_detector_has_tokens(setup->detector))
        return KM_OK;
    KM_CLEANUP(km_cleanup_free) int *fds = km_calloc(images, sizeof *fds, SIZE_MAX, err);
    if (!fds)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < images; i++) {
        code = km_baseline_open_part(setup->baseline, images - 1 - i, "tokens", &fds[count], err);
        count += code == KM_OK;
        if (code == KM_NOTFOUND)
            code = KM_OK;
    }
    if (code == KM_OK && count > 0)
        code = km_detector_add_indexes(setup->detector, fds, count, err);
    for (size_t i = 0; code != KM_OK && i < count; i++)
        (void)close(fds[i]);
    return code;
}

static enum km_code open_detector(struct km_scan_setup *setup, const struct km_options *options, bool calibrated,
                                  struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int folder = -1;
    enum km_code code = open_model_folder(options, &folder, err);
    if (code != KM_OK || folder < 0)
        return code;
    code = km_detector_open(folder, &setup->detector, err);
    if (code != KM_OK)
        return km_err_wrap(err, "model");
    code = add_site_indexes(setup, err);
    if (code != KM_OK)
        return km_err_wrap(err, "the baseline's token index");
    return calibrated ? take_calibration(setup->detector, err) : KM_OK;
}

static enum km_code open_baseline(struct km_scan_setup *setup, const struct km_options *options, struct km_err *err)
{
    const char *given = km_options_text(options, "baseline");
    char path[KM_BASELINE_PATH_BYTES];
    if (given && strcmp(given, "none") == 0)
        return KM_OK;
    struct km_err absent = KM_ERR_INIT;
    if (km_baseline_path(given, path, &absent) != KM_OK)
        return KM_OK;
    enum km_code code = km_baseline_open_path(path, &setup->baseline, err);
    return code == KM_NOTFOUND && !given ? KM_OK : code;
}

/* A cache is a convenience: without one, the scan goes on. */
static void open_cache(struct km_scan_setup *setup, const struct km_options *options, const char *command)
{
    const char *given = km_options_text(options, "cache");
    char path[KM_SEGCACHE_PATH_BYTES], note[KM_ERR_TEXT_BYTES] = "";
    struct km_err err = KM_ERR_INIT;
    if (!setup->detector || km_options_flag(options, "no-cache"))
        return;
    enum km_code code = KM_OK;
    if (!given)
        code = km_segcache_path(path, &err);
    if (code == KM_OK)
        code = km_segcache_open(given ? given : path, KM_SEGCACHE_DEFAULT_BYTES, &setup->cache, note, &err);
    if (code != KM_OK)
        fprintf(stderr, "komainu: %s: no cache: %s\n", command, err.text);
    else if (note[0] != '\0')
        fprintf(stderr, "komainu: %s: %s\n", command, note);
}

unsigned km_scan_setup_jobs(const struct km_options *options)
{
    int64_t wanted = km_options_integer(options, "jobs");
    long present = sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted > 0)
        return (unsigned)wanted;
    return present < 1 ? 1 : present > MOST_DEFAULT_JOBS ? MOST_DEFAULT_JOBS : (unsigned)present;
}

enum km_code km_scan_setup_open(struct km_scan_setup *setup, const struct km_options *options, const char *command,
                                bool calibrated, struct km_err *err)
{
    const char *policy = km_options_text(options, "policy");
    setup->jobs = km_scan_setup_jobs(options);
    if (policy) {
        setup->policy = km_policy_load(policy, err);
        if (!setup->policy)
            return err->code;
    }
    enum km_code code = open_baseline(setup, options, err);
    if (code == KM_OK)
        code = open_detector(setup, options, calibrated, err);
    if (code == KM_OK)
        open_cache(setup, options, command);
    /* Where all has to be scored, models that cannot be used are told before anything is read. */
    if (code == KM_OK && setup->detector && !setup->cache && km_detector_load(setup->detector, err) != KM_OK)
        code = km_err_wrap(err, "model");
    return code;
}

enum km_code km_scan_setup_open_model(struct km_scan_setup *setup, const struct km_options *options, struct km_err *err)
{
    setup->jobs = km_scan_setup_jobs(options);
    return open_detector(setup, options, true, err);
}

void km_scan_setup_done(struct km_scan_setup *setup)
{
    km_segcache_close(setup->cache);
    km_detector_free(setup->detector);
    km_baseline_close(setup->baseline);
    km_policy_free(setup->policy);
}

void km_scan_setup_apply(const struct km_scan_setup *setup, struct km_scan_options *out)
{
    out->detector = setup->detector;
    out->baseline = setup->baseline;
    out->cache = setup->cache;
    out->policy = setup->policy;
    out->jobs = setup->jobs;
    out->versions.model = setup->detector ? km_detector_version(setup->detector) : NULL;
}

void km_scan_setup_report(const struct km_scan_setup *setup, const char *command)
{
    const char *trouble = km_segcache_trouble(setup->cache);
    if (trouble)
        fprintf(stderr, "komainu: %s: %s\n", command, trouble);
}
