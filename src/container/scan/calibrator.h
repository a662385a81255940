/*
 * The site's own threshold: collects what a detector's fusion says about the programs of images that count as benign,
 * and chooses the threshold at which at most a wanted share of them would be alarms. Equal contents count once, by
 * their highest score: a base layer in ten images is one sample, not ten.
 *
 * Lifecycle: new, hand km_calibrator_take to scans (scan.h, weighed), choose, free. One thread.
 */
#ifndef KM_CONTAINER_SCAN_CALIBRATOR_H
#define KM_CONTAINER_SCAN_CALIBRATOR_H

#include "base/err.h"
#include "base/mem.h"
#include "container/scan/weigh.h"
#include "stats/additive.h"

#define KM_CALIBRATOR_MAX_FILES ((size_t)4 << 20)
#define KM_CALIBRATOR_STRONGEST 10

struct km_calibrator;

struct km_calibrator *km_calibrator_new(struct km_err *err) KM_MUST_USE;
void km_calibrator_free(struct km_calibrator *calibrator);
KM_DEFINE_CLEANUP(struct km_calibrator, km_calibrator_cleanup, km_calibrator_free);

/* A judged file; taken when a fusion weighed it. context is the calibrator. Failures are kept for choose. */
void km_calibrator_take(void *context, const struct km_case *file);

/* The highest scores so far, strongest first: what a person should look at before calling all of it benign. */
struct km_calibrator_file {
    char *path;
    uint8_t md5[KM_MD5_BYTES];
    double log_odds; /* not moved by a threshold */
};
size_t km_calibrator_strongest(const struct km_calibrator *calibrator, const struct km_calibrator_file **out);

/* The calibration for `wanted`, of the different contents that were taken. KM_NOTFOUND: nothing was taken. KM_LIMIT,
 * KM_NOMEM. */
enum km_code km_calibrator_choose(struct km_calibrator *calibrator, double wanted, const char *set,
                                  struct km_calibration *out, struct km_err *err) KM_MUST_USE;

#endif
