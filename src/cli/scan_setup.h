/*
 * What `komainu scan` and `komainu calibrate` set up before the first byte: detector, site calibration, baseline,
 * cache.
 */
#ifndef KM_CLI_SCAN_SETUP_H
#define KM_CLI_SCAN_SETUP_H

#include "base/err.h"
#include "cli/options.h"
#include "container/scan/baseline.h"
#include "container/scan/detector.h"
#include "container/scan/policy.h"
#include "container/scan/scan.h"
#include "container/scan/segcache.h"

/* Rows for the table of a command. */
#define KM_SCAN_SETUP_OPTIONS                                                                                          \
    {.name = "model",                                                                                                  \
     .type = KM_OPTION_TEXT,                                                                                           \
     .argument = "DIR",                                                                                                \
     .help = "a detector's folder; none: without learned models"},                                                     \
        {.name = "baseline",                                                                                           \
         .type = KM_OPTION_TEXT,                                                                                       \
         .argument = "DIR",                                                                                            \
         .help = "the site's baseline; none: without one"},                                                            \
        {.name = "policy",                                                                                             \
         .type = KM_OPTION_TEXT,                                                                                       \
         .argument = "FILE",                                                                                           \
         .help = "which files to examine how far; see komainu-scan-policy(5)"},                                        \
        {.name = "cache", .type = KM_OPTION_TEXT, .argument = "DIR", .help = "where scores are kept between scans"},   \
        {.name = "no-cache", .type = KM_OPTION_FLAG, .help = "score everything anew, keep nothing"},                   \
    {                                                                                                                  \
        .name = "jobs", .type = KM_OPTION_INTEGER, .argument = "N", .fallback = "0", .least = 0,                       \
        .most = KM_PIPELINE_MAX_JOBS, .help = "so many workers; 0: one for each processor"                             \
    }

struct km_scan_setup {
    struct km_detector *detector;
    struct km_baseline *baseline;
    struct km_segcache *cache;
    struct km_policy *policy;
    unsigned jobs;
};

/* Reads the options model, jobs, cache, no-cache, baseline and policy; `command` begins lines on standard error about
 * what is left out. A model or baseline that was named and cannot be used is an error; what is looked for in its usual
 * place and is not there is not. calibrated: a site's calibration beside the model takes part. */
enum km_code km_scan_setup_open(struct km_scan_setup *setup, const struct km_options *options, const char *command,
                                bool calibrated, struct km_err *err) KM_MUST_USE;
/* Only detector and jobs, by the options model and jobs, with the site's calibration: for who writes the baseline. */
enum km_code km_scan_setup_open_model(struct km_scan_setup *setup, const struct km_options *options,
                                      struct km_err *err) KM_MUST_USE;
void km_scan_setup_done(struct km_scan_setup *setup);

/* The option --jobs; 0: one for each processor. */
unsigned km_scan_setup_jobs(const struct km_options *options);

/* Puts all of it into scan options. */
void km_scan_setup_apply(const struct km_scan_setup *setup, struct km_scan_options *out);
/* Says what became of the cache, if there is something to say. */
void km_scan_setup_report(const struct km_scan_setup *setup, const char *command);

#endif
