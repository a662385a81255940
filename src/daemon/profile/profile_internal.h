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
    bool novel; /* it brought windows when it was learned */
};

struct km_kept_list {
    struct km_kept *items;
    size_t count, capacity, calls;
    uint64_t offered; /* that were candidates for it */
};

struct km_calibration {
    struct km_tail channel[KM_CHANNELS];
    struct km_tail score;
    double *scores; /* in the order of the kept episodes that would have left the kernel */
    size_t score_count;
};

struct km_history {
    double *scores; /* in the order of the kept episodes */
    size_t count;
    double episodes; /* of all learned ones, as many are of the stratum */
};

struct km_profile {
    struct km_profile_identity identity;
    struct km_episode_rule rule;
    struct km_ngram *ngram;
    struct km_nearest sets;
    struct km_entity_set entities;
    struct km_bits_spread known, unknown;
    struct km_known_bits foretold;
    struct km_kept_list kept;  /* a fair sample of all complete episodes */
    struct km_kept_list novel; /* a fair sample of those outside it that brought windows */
    uint64_t draw;             /* state of the sampling */
    uint64_t episodes;
    double pace;                /* calls a second in the busiest ten seconds that were learned; 0: not known */
    uint64_t first_ns, last_ns; /* of the complete episodes learned before review; 0: none carried times */
    double novelty;
    struct km_calibration calibration[KM_VIEWS];
    struct km_history history[KM_STRATA];
};

void km_kept_done(struct km_kept *kept);

/* A view of a kept episode as an episode; borrows. */
void km_kept_to_episode(const struct km_kept *kept, struct km_episode *out);

/* What a calibration needs of a measurement. */
struct km_calibration_row {
    double value[KM_CHANNELS];
    bool present[KM_CHANNELS];
    bool told;  /* it would have left the kernel */
    bool novel; /* it has unknown windows */
    double score;
};

/* Fits the tails of a view: channels over the first `fair` rows; then all rows are scored, and the tail of the scores
 * is that of the first `scored` rows that would be told. */
enum km_code km_calibration_fit(struct km_calibration *calibration, struct km_calibration_row *rows, size_t fair,
                                size_t scored, size_t count, struct km_err *err) KM_MUST_USE;
void km_calibration_done(struct km_calibration *calibration);

/* The terms and their sum, without entities. */
double km_calibration_terms(const struct km_calibration *calibration, const double *value, const bool *present,
                            double *term);

#endif
