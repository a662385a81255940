/* The parts of a profile, for the files that calibrate, save and load it. */
#ifndef KM_PROFILE_PROFILE_INTERNAL_H
#define KM_PROFILE_PROFILE_INTERNAL_H

#include "daemon/profile/profile.h"

/* An episode kept for calibration: everything that scoring it again needs. */
struct km_kept {
    uint16_t *packed;
    uint8_t *attrs; /* NULL: all 0 */
    uint32_t count;
    uint64_t duration_ns;
    unsigned long long start_window;
    uint8_t start_filled, start_space;
};

struct km_calibration {
    struct km_tail channel[KM_CHANNELS];
    struct km_tail score;
    double *scores; /* in the order of the kept episodes that would have left the kernel */
    size_t score_count;
};

struct km_profile {
    struct km_profile_identity identity;
    struct km_episode_rule rule;
    struct km_ngram *ngram;
    struct km_nearest sets;
    struct km_entity_set entities;
    struct km_bits_spread known, unknown;
    struct km_known_bits foretold;
    struct km_kept *kept;
    size_t kept_count, kept_capacity, kept_calls;
    uint64_t offered; /* complete episodes that were candidates to be kept */
    uint64_t draw;    /* state of the sampling */
    uint64_t episodes;
    double novelty;
    struct km_calibration calibration[KM_VIEWS];
};

void km_kept_done(struct km_kept *kept);

/* A view of a kept episode as an episode; borrows. */
void km_kept_to_episode(const struct km_kept *kept, struct km_episode *out);

/* What a calibration needs of a measurement. */
struct km_calibration_row {
    double value[KM_CHANNELS];
    bool present[KM_CHANNELS];
    bool told; /* it would have left the kernel */
};

/* Fits the tails of a view. rows: one per kept episode. */
enum km_code km_calibration_fit(struct km_calibration *calibration, const struct km_calibration_row *rows, size_t count,
                                struct km_err *err) KM_MUST_USE;
void km_calibration_done(struct km_calibration *calibration);

/* The terms and their sum, without entities. */
double km_calibration_terms(const struct km_calibration *calibration, const double *value, const bool *present,
                            double *term);

#endif
