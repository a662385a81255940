#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/profile_internal.h"
#include "stats/leastsquares.h"

void km_calibration_done(struct km_calibration *calibration)
{
    for (int c = 0; c < KM_CHANNELS; c++)
        km_tail_done(&calibration->channel[c]);
    km_tail_done(&calibration->score);
    free(calibration->scores);
    *calibration = (struct km_calibration){0};
}

double km_calibration_terms(const struct km_calibration *calibration, const double *value, const bool *present,
                            double *term)
{
    double score = 0;
    for (int c = 0; c < KM_CHANNELS; c++) {
        term[c] = 0;
        if (present[c] && calibration->channel[c].count > 0)
            term[c] = km_channel_term((enum km_channel)c, km_tail_p(&calibration->channel[c], value[c]));
        score += term[c];
    }
    return score;
}

enum km_code km_calibration_fit(struct km_calibration *calibration, struct km_calibration_row *rows, size_t fair,
                                size_t scored, size_t count, struct km_err *err)
{
    struct km_calibration fresh = {0};
    double *values KM_CLEANUP(km_cleanup_free) = km_calloc(count + 1, sizeof *values, SIZE_MAX, err);
    fresh.scores = km_calloc(count + 1, sizeof *fresh.scores, SIZE_MAX, err);
    if (!values || !fresh.scores) {
        km_calibration_done(&fresh);
        return err->code;
    }
    enum km_code code = KM_OK;
    for (int c = 0; c < KM_CHANNELS && code == KM_OK; c++) {
        size_t n = 0;
        for (size_t i = 0; i < fair; i++)
            if (rows[i].present[c])
                values[n++] = rows[i].value[c];
        code = km_tail_init(&fresh.channel[c], values, n, err);
    }
    double term[KM_CHANNELS];
    for (size_t i = 0; i < count && code == KM_OK; i++) {
        rows[i].score = km_calibration_terms(&fresh, rows[i].value, rows[i].present, term);
        if (rows[i].told && i < scored)
            fresh.scores[fresh.score_count++] = rows[i].score;
    }
    if (code == KM_OK)
        code = km_tail_init(&fresh.score, fresh.scores, fresh.score_count, err);
    if (code != KM_OK) {
        km_calibration_done(&fresh);
        return code;
    }
    km_calibration_done(calibration);
    *calibration = fresh;
    return KM_OK;
}

/* Where the deployed view of the episode at hand goes. */
struct deployed {
    const struct km_profile *profile;
    struct km_measure measure;
};

static enum km_code measure_deployed(void *context, const struct km_episode *episode, struct km_err *err)
{
    (void)err;
    struct deployed *deployed = context;
    const struct km_profile *p = deployed->profile;
    struct km_reference reference = {p->ngram, &p->sets, &p->known, &p->unknown, &p->foretold};
    km_measure_episode(&reference, episode, &deployed->measure);
    return KM_OK;
}

static void sum_spread(struct km_bits_spread *sum, const struct km_bits_spread *one)
{
    for (int b = 0; b < KM_MEASURE_BINS; b++)
        sum->bin[b] += one->bin[b];
    sum->sum += one->sum;
    sum->calls += one->calls;
}

/* What the full view of the kept episodes teaches about what the deployed one has to fill in. */
struct filling {
    struct km_bits_spread known, unknown;
    struct km_least_squares bits; /* of known calls, by KNOWN_BITS_TERMS */
};
#define KNOWN_BITS_TERMS 3

static void add_to_filling(struct filling *filling, const struct km_measure *measure)
{
    sum_spread(&filling->known, &measure->known);
    sum_spread(&filling->unknown, &measure->unknown);
    if (measure->known.calls > 0)
        km_least_squares_add(&filling->bits, (double[]){1, measure->variety, measure->nearest.distance},
                             KNOWN_BITS_TERMS, measure->known.sum / measure->known.calls);
}

static void use_filling(struct km_profile *profile, const struct filling *filling)
{
    profile->known = filling->known;
    profile->unknown = filling->unknown;
    double b[KNOWN_BITS_TERMS];
    km_least_squares_solve(&filling->bits, KNOWN_BITS_TERMS, b);
    profile->foretold = (struct km_known_bits){.base = b[0], .per_variety = b[1], .per_distance = b[2]};
}

/* Each kept episode is taken out of the model, measured, and put back. filling: NULL, or what it teaches is added. */
static enum km_code measure_left_out(struct km_profile *profile, const struct km_kept_list *list, enum km_view view,
                                     struct km_calibration_row *rows, struct filling *filling, struct km_err *err)
{
    struct deployed deployed = {.profile = profile};
    struct km_episode_sink sink = {&deployed, measure_deployed};
    struct km_deployer *deployer KM_CLEANUP(km_deployer_cleanup) = km_deployer_new(profile, &sink, false, err);
    if (!deployer)
        return err->code;
    struct km_reference reference = {profile->ngram, &profile->sets, NULL, NULL, NULL};
    struct km_measure *measure = &deployed.measure;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < list->count && code == KM_OK; i++) {
        const uint8_t *attrs = list->items[i].attrs;
        struct km_episode episode;
        km_kept_to_episode(&list->items[i], &episode);
        struct km_ngram_walk before = {
            .window = episode.start_window, .filled = episode.start_filled, .space = episode.start_space};
        code = km_ngram_unlearn(profile->ngram, &before, episode.packed, attrs, episode.count, err);
        if (code != KM_OK)
            return code;
        km_nearest_unlearn(&profile->sets, episode.totals.set);
        if (view == KM_VIEW_FULL)
            km_measure_episode(&reference, &episode, measure);
        else
            code = km_deployer_run(deployer, &episode, err);
        enum km_code back = km_ngram_learn(profile->ngram, &before, episode.packed, attrs, episode.count, err);
        if (back == KM_OK)
            back = km_nearest_learn(&profile->sets, episode.totals.set, err);
        code = code == KM_OK ? back : code;
        memcpy(rows[i].value, measure->value, sizeof rows[i].value);
        memcpy(rows[i].present, measure->present, sizeof rows[i].present);
        rows[i].novel = measure->misses > 0;
        rows[i].told = view == KM_VIEW_FULL || rows[i].novel;
        if (filling)
            add_to_filling(filling, measure);
    }
    return code;
}

/* Of the rows [begin, end) those with or without unknown windows; their scores are appended. */
static size_t take_stratum(struct km_history *history, const struct km_calibration_row *rows, size_t begin, size_t end,
                           bool novel)
{
    size_t before = history->count;
    for (size_t i = begin; i < end; i++)
        if (rows[i].novel == novel)
            history->scores[history->count++] = rows[i].score;
    return history->count - before;
}

/* Every episode that has unknown windows when it is left out brought some when it was learned: it is in the fair sample
 * or was offered to the novel, of which each stands for offered / kept. */
static enum km_code remember_novel(struct km_profile *profile, enum km_stratum stratum,
                                   const struct km_calibration_row *rows, struct km_err *err)
{
    const struct km_kept_list *novel = &profile->novel;
    size_t fair = profile->kept.count, all = fair + novel->count;
    struct km_history fresh = {.scores = km_calloc(all + 1, sizeof *fresh.scores, SIZE_MAX, err)};
    if (!fresh.scores)
        return err->code;
    fresh.episodes = (double)take_stratum(&fresh, rows, 0, fair, true);
    size_t besides = take_stratum(&fresh, rows, fair, all, true);
    if (novel->count > 0)
        fresh.episodes += (double)besides * (double)novel->offered / (double)novel->count;
    free(profile->history[stratum].scores);
    profile->history[stratum] = fresh;
    return KM_OK;
}

static enum km_code remember_known(struct km_profile *profile, const struct km_calibration_row *rows,
                                   struct km_err *err)
{
    struct km_history fresh = {.scores = km_calloc(profile->kept.count + 1, sizeof *fresh.scores, SIZE_MAX, err)};
    if (!fresh.scores)
        return err->code;
    (void)take_stratum(&fresh, rows, 0, profile->kept.count, false);
    fresh.episodes = fmax((double)profile->episodes - profile->history[KM_STRATUM_NOVEL].episodes, 0);
    free(profile->history[KM_STRATUM_KNOWN].scores);
    profile->history[KM_STRATUM_KNOWN] = fresh;
    return KM_OK;
}

enum km_code km_profile_calibrate(struct km_profile *profile, struct km_err *err)
{
    size_t fair = profile->kept.count, all = fair + profile->novel.count;
    struct km_calibration_row *rows KM_CLEANUP(km_cleanup_free) = km_calloc(all + 1, sizeof *rows, SIZE_MAX, err);
    if (!rows)
        return err->code;
    enum km_code code = KM_OK;
    for (int v = 0; v < KM_VIEWS && code == KM_OK; v++) {
        struct filling filling = {0};
        bool full = v == KM_VIEW_FULL;
        memset(rows, 0, all * sizeof *rows);
        code = measure_left_out(profile, &profile->kept, (enum km_view)v, rows, &filling, err);
        if (code == KM_OK)
            code = measure_left_out(profile, &profile->novel, (enum km_view)v, rows + fair, NULL, err);
        if (code == KM_OK)
            code = km_calibration_fit(&profile->calibration[v], rows, fair, full ? fair : all, all, err);
        if (code == KM_OK)
            code = remember_novel(profile, full ? KM_STRATUM_NOVEL : KM_STRATUM_TOLD, rows, err);
        if (code == KM_OK && full)
            code = remember_known(profile, rows, err);
        if (code == KM_OK && full)
            use_filling(profile, &filling);
    }
    return code;
}
