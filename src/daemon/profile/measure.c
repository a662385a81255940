#include "daemon/profile/measure.h"

#include <math.h>
#include <string.h>

#define NOVELTY_COUNTS 100.0 /* one unknown window in a hundred is full novelty */
#define NS_PER_S       1e9

/* The weights and the quiet part were chosen on the development half of ADFA-LD (attack runs 1 to 3, every second
 * normal trace) and nowhere else. Outcomes, errors and rate do not occur there: theirs are cautious guesses,
 * and bounded: by themselves they are to raise no alarm, however far beyond a thousand kept values one lies. The short
 * scale speaks only when rarer than one in 150, where it finds what a long episode dilutes; below that it is noise.
 */
#define RARER_THAN_ONE_IN_150 5.0
#define ONE_IN_A_MILLION      13.8
static const struct {
    const char *name;
    double weight;
    double quiet; /* of -ln p, before it counts */
    double most;  /* of -ln p; 0: no bound */
} channels[KM_CHANNELS] = {
    [KM_CHANNEL_MEAN] = {"bits", 0.5, 0, 0},
    [KM_CHANNEL_UPPER] = {"bits.upper", 0.375, 0, 0},
    [KM_CHANNEL_PEAK] = {"peak", 1.0, RARER_THAN_ONE_IN_150, 0},
    [KM_CHANNEL_UNSEEN] = {"unseen", 1.0, RARER_THAN_ONE_IN_150, 0},
    [KM_CHANNEL_SET] = {"set", 0.25, 0, 0},
    [KM_CHANNEL_MISSING] = {"missing", 1.0, 0, 0},
    [KM_CHANNEL_VARIETY] = {"variety", 1.25, 0, 0},
    [KM_CHANNEL_ATTR] = {"outcomes", 0.5, RARER_THAN_ONE_IN_150, ONE_IN_A_MILLION},
    [KM_CHANNEL_ERRORS] = {"errors", 0.5, RARER_THAN_ONE_IN_150, ONE_IN_A_MILLION},
    [KM_CHANNEL_RATE] = {"rate", 0.25, RARER_THAN_ONE_IN_150, ONE_IN_A_MILLION},
};

const char *km_channel_to_string(enum km_channel channel)
{
    return (unsigned)channel < KM_CHANNELS ? channels[channel].name : "unknown";
}

double km_channel_term(enum km_channel channel, double p)
{
    double surprise = -log(p), most = channels[channel].most;
    surprise = (most > 0 && surprise > most ? most : surprise) - channels[channel].quiet;
    return surprise > 0 ? channels[channel].weight * surprise : 0;
}

double km_channel_weights(void)
{
    double sum = 0;
    for (int c = 0; c < KM_CHANNELS; c++)
        sum += channels[c].weight;
    return sum;
}

static inline void spread_add(struct km_bits_spread *spread, double bits)
{
    unsigned bin = (unsigned)(bits * KM_MEASURE_PER_BIT);
    spread->bin[bin < KM_MEASURE_BINS ? bin : KM_MEASURE_BINS - 1] += 1;
    spread->sum += bits;
    spread->calls += 1;
}

static double spread_mean(const struct km_bits_spread *spread, const struct km_bits_spread *fallback)
{
    if (spread->calls > 0)
        return spread->sum / spread->calls;
    return fallback && fallback->calls > 0 ? fallback->sum / fallback->calls : 0;
}

/* What the walk over an episode's calls adds up. */
struct tally {
    unsigned unseen3, judged3; /* calls with two before them */
    double attr_bits;
    unsigned attr_calls, outcomes, errors;
    double ring[KM_PEAK_CALLS], ring_sum, peak;
    unsigned ring_calls;
};

static inline void tally_call(struct km_measure *m, struct tally *t, double bits, unsigned known, unsigned filled)
{
    spread_add(filled == KM_WINDOW_CALLS && known < KM_WINDOW_CALLS ? &m->unknown : &m->known, bits);
    if (filled >= 3) {
        t->judged3++;
        t->unseen3 += known < 3;
    }
}

static inline void tally_peak(struct tally *t, double bits)
{
    unsigned at = t->ring_calls % KM_PEAK_CALLS;
    t->ring_sum += bits - (t->ring_calls >= KM_PEAK_CALLS ? t->ring[at] : 0);
    t->ring[at] = bits;
    t->ring_calls++;
    if (t->ring_calls >= KM_PEAK_CALLS && t->ring_sum > t->peak)
        t->peak = t->ring_sum;
}

static void tally_attr(const struct km_reference *reference, struct tally *t, uint16_t packed, uint16_t previous,
                       unsigned attr)
{
    if (attr == 0)
        return;
    t->attr_bits += km_ngram_attr_bits(reference->ngram, packed, previous, attr);
    t->attr_calls++;
    unsigned outcome = attr & 3;
    t->outcomes += outcome != KM_OUTCOME_UNKNOWN;
    t->errors += outcome == KM_OUTCOME_DENIED || outcome == KM_OUTCOME_ERROR;
}

static void walk_complete(const struct km_reference *reference, const struct km_episode *episode, struct km_measure *m,
                          struct tally *t)
{
    struct km_ngram_walk walk = {0};
    km_ngram_walk_to(reference->ngram, &walk, episode->start_window, episode->start_filled, episode->start_space);
    uint16_t previous = episode->start_filled ? km_call_pack(episode->start_space,
                                                             (unsigned)episode->start_window & (KM_CALL_NUMBERS - 1))
                                              : km_call_pack(0, KM_CALL_OTHER);
    for (size_t i = 0; i < episode->count; i++) {
        unsigned known;
        double bits = km_ngram_step(reference->ngram, &walk, episode->packed[i], &known);
        tally_call(m, t, bits, known, walk.filled);
        tally_peak(t, bits);
        tally_attr(reference, t, episode->packed[i], previous, episode->attrs[i]);
        previous = episode->packed[i];
    }
}

static void walk_windows(const struct km_reference *reference, const struct km_episode *episode, struct km_measure *m,
                         struct tally *t)
{
    for (size_t i = 0; i < episode->window_count; i++) {
        const struct km_episode_window *w = &episode->windows[i];
        struct km_ngram_walk walk = {0};
        km_ngram_walk_to(reference->ngram, &walk, w->window >> KM_WINDOW_CALL_BITS, KM_WINDOW_CALLS - 1, w->space);
        unsigned known;
        uint16_t packed = km_call_pack(w->space, (unsigned)w->window & (KM_CALL_NUMBERS - 1));
        double bits = km_ngram_step(reference->ngram, &walk, packed, &known);
        tally_call(m, t, bits, known, KM_WINDOW_CALLS);
        uint16_t previous =
            km_call_pack(w->space, (unsigned)(w->window >> KM_WINDOW_CALL_BITS) & (KM_CALL_NUMBERS - 1));
        tally_attr(reference, t, packed, previous, w->attr);
    }
}

/* The 75th percentile of the two spreads, scaled to `known` and `unknown` calls; linear within a bin. */
static double upper_of(const struct km_bits_spread *k, double known, const struct km_bits_spread *u, double unknown)
{
    double k_factor = k->calls > 0 ? known / k->calls : 0, u_factor = u->calls > 0 ? unknown / u->calls : 0;
    double total = k->calls * k_factor + u->calls * u_factor, wanted = 0.75 * total, below = 0;
    for (int i = 0; i < KM_MEASURE_BINS; i++) {
        double here = k->bin[i] * k_factor + u->bin[i] * u_factor;
        if (below + here >= wanted && here > 0)
            return (i + (wanted - below) / here) / KM_MEASURE_PER_BIT;
        below += here;
    }
    return 0;
}

static void set(struct km_measure *m, enum km_channel channel, double value)
{
    m->value[channel] = value;
    m->present[channel] = true;
}

static double variety_of(const struct km_thread_state *totals)
{
    unsigned ones = 0;
    for (int i = 0; i < KM_PAIR_SKETCH_WORDS; i++)
        ones += km_bits_count(totals->pairs[i]);
    /* Linear counting: how many different pairs hit so many of 512 bits. */
    double size = 64.0 * KM_PAIR_SKETCH_WORDS, empty = size - ones;
    double pairs = empty > 0 ? size * log(size / empty) : size * log(size);
    return log(1 + pairs) / log(1.0 + totals->calls);
}

static double foretell(const struct km_known_bits *known, const struct km_measure *m)
{
    double bits = known->base + known->per_variety * m->variety + known->per_distance * m->nearest.distance;
    return bits > 0 ? bits : 0;
}

/* Bits of known and unknown windows are weighted to the counts that the kernel gave; in a full stream those are the
 * counts of what was walked over, and the result is exact. */
static void sequence_channels(const struct km_reference *reference, const struct km_episode *episode,
                              struct km_measure *m, const struct tally *t)
{
    double unknown = m->misses, known = m->calls - unknown;
    const struct km_bits_spread *k = m->known.calls > 0 ? &m->known : reference->known;
    const struct km_bits_spread *u = m->unknown.calls > 0 ? &m->unknown : reference->unknown;
    if (!episode->complete && reference->known && reference->known->calls > 0)
        k = reference->known;
    double k_mean = k ? spread_mean(k, NULL) : 0;
    if (!episode->complete && reference->foretold)
        k_mean = foretell(reference->foretold, m);
    double u_mean = u ? spread_mean(u, NULL) : 0;
    static const struct km_bits_spread nothing;
    set(m, KM_CHANNEL_MEAN, (known * k_mean + unknown * u_mean) / m->calls);
    set(m, KM_CHANNEL_UPPER, upper_of(k ? k : &nothing, known, u ? u : &nothing, unknown));
    if (episode->complete) {
        double peak = t->peak;
        if (t->ring_calls < KM_PEAK_CALLS) /* shorter than the window: padded with silence */
            peak = t->ring_sum;
        set(m, KM_CHANNEL_PEAK, peak / KM_PEAK_CALLS);
        if (t->judged3 > 0)
            set(m, KM_CHANNEL_UNSEEN, (double)t->unseen3 / t->judged3);
        return;
    }
    double worst = episode->peak_misses;
    unsigned span = m->calls < KM_PEAK_CALLS ? m->calls : KM_PEAK_CALLS;
    worst = worst < span ? worst : span;
    set(m, KM_CHANNEL_PEAK, (worst * u_mean + (span - worst) * k_mean) / KM_PEAK_CALLS);
    double share = m->unknown.calls > 0 ? t->unseen3 / m->unknown.calls : 0;
    set(m, KM_CHANNEL_UNSEEN, share * unknown / m->calls);
}

void km_measure_episode(const struct km_reference *reference, const struct km_episode *episode, struct km_measure *out)
{
    memset(out, 0, sizeof *out);
    struct tally tally = {0};
    if (episode->complete)
        walk_complete(reference, episode, out, &tally);
    else
        walk_windows(reference, episode, out, &tally);
    out->calls = episode->complete ? (unsigned)episode->count : episode->totals.calls;
    out->misses = episode->complete ? (unsigned)out->unknown.calls : episode->totals.misses;
    out->misses = out->misses < out->calls ? out->misses : out->calls;
    out->nearest = (struct km_nearest_result){1, SIZE_MAX, 0};
    if (out->calls == 0)
        return; /* landmarks alone */
    out->nearest = km_nearest_find(reference->sets, episode->totals.set);
    out->variety = variety_of(&episode->totals);
    sequence_channels(reference, episode, out, &tally);
    set(out, KM_CHANNEL_SET, out->nearest.distance);
    /* An episode of known windows alone is known behaviour in other proportions: what it lacks or how varied it is says
     * something only as far as there is novelty. */
    double novelty = NOVELTY_COUNTS * out->misses / out->calls;
    novelty = novelty < 1 ? novelty : 1;
    set(out, KM_CHANNEL_MISSING, novelty * out->nearest.missing);
    set(out, KM_CHANNEL_VARIETY, novelty * out->variety);
    if (tally.attr_calls > 0)
        set(out, KM_CHANNEL_ATTR, tally.attr_bits / tally.attr_calls);
    if (tally.outcomes > 0 && episode->complete)
        set(out, KM_CHANNEL_ERRORS, (double)tally.errors / tally.outcomes);
    if (episode->end_ns > episode->begin_ns && out->calls > 1)
        set(out, KM_CHANNEL_RATE, log2(out->calls * NS_PER_S / (double)(episode->end_ns - episode->begin_ns)));
}
