/*
 * What of an episode is compared with a role's past: one number a channel. The same formulas serve a full stream and
 * what a deployment lets through; what the kernel kept to itself (known windows) is filled in from the role's averages.
 */
#ifndef KM_PROFILE_MEASURE_H
#define KM_PROFILE_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/profile/nearest.h"
#include "daemon/profile/ngram.h"
#include "daemon/trace/episode.h"

/* Stored in profiles: values never change. All grow with strangeness. */
enum km_channel {
    KM_CHANNEL_MEAN = 0,    /* bits a call, whole episode */
    KM_CHANNEL_UPPER = 1,   /* the 75th percentile of them */
    KM_CHANNEL_PEAK = 2,    /* mean bits of the worst run of KM_PEAK_CALLS calls */
    KM_CHANNEL_UNSEEN = 3,  /* share of calls that end three calls never seen together */
    KM_CHANNEL_SET = 4,     /* Jaccard distance of the call set to the nearest known one */
    KM_CHANNEL_MISSING = 5, /* calls missing to the known set that is most nearly contained */
    KM_CHANNEL_VARIETY = 6, /* log(different pairs) / log(calls) */
    KM_CHANNEL_ATTR = 7,    /* bits a call of outcomes and argument classes */
    KM_CHANNEL_ERRORS = 8,  /* share of failed calls */
    KM_CHANNEL_RATE = 9,    /* log2 of calls a second */
};
#define KM_CHANNELS 10

/* "bits", "bits.upper", "peak" … Static storage. */
const char *km_channel_to_string(enum km_channel channel);
/* What a tail probability of this channel adds to the score: weight * -ln p, for some channels less a quiet part. */
double km_channel_term(enum km_channel channel, double p);

/* The sum of the weights: by so much a score grows when all channels find an episode an e-fold rarer. */
double km_channel_weights(void);

#define KM_MEASURE_BINS    96
#define KM_MEASURE_PER_BIT 4 /* bins a bit; the last one takes the rest */

/* How the bits of calls are spread: the role's, over what the kernel keeps. */
struct km_bits_spread {
    double bin[KM_MEASURE_BINS]; /* calls */
    double sum;                  /* of bits */
    double calls;
};

/* Bits a call of what the kernel keeps to itself, foretold from what it tells of an episode. */
struct km_known_bits {
    double base;
    double per_variety;  /* km_measure.variety */
    double per_distance; /* Jaccard distance of the call set to the nearest known one */
};

/* What a measurement compares with; all borrowed. */
struct km_reference {
    const struct km_ngram *ngram;
    const struct km_nearest *sets;
    const struct km_bits_spread *known;   /* of calls that ended a known window */
    const struct km_bits_spread *unknown; /* of the others */
    const struct km_known_bits *foretold; /* NULL: the average of `known` */
};

struct km_measure {
    double value[KM_CHANNELS];
    bool present[KM_CHANNELS]; /* false: the episode says nothing about it */
    struct km_bits_spread known, unknown;
    unsigned calls, misses;
    double variety; /* log(different pairs) / log(calls) */
    struct km_nearest_result nearest;
};

void km_measure_episode(const struct km_reference *reference, const struct km_episode *episode, struct km_measure *out);

#endif
