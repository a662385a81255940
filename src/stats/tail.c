#include "stats/tail.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BODY_SHARE      0.90
#define LEAST_EXCESSES  ((size_t)10)
#define LARGEST_SHAPE   0.9
#define HEAVY_SHAPE     0.5 /* infinite variance */
#define LEAST_VALUES    ((size_t)30)
#define PEAKS_PER_BODY  8  /* peaks kept: window / this */
#define REFIT_PER_BODY  16 /* values between two refits: window / this */
#define SMALLEST_WINDOW 16

struct km_gpd km_gpd_fit(const double *excesses, size_t count)
{
    struct km_gpd gpd = {0, 0};
    if (count < LEAST_EXCESSES)
        return gpd;
    double b0 = 0, b1 = 0;
    for (size_t i = 0; i < count; i++) {
        b0 += excesses[i];
        b1 += (double)i / (double)(count - 1) * excesses[i];
    }
    b0 /= (double)count;
    b1 /= (double)count;
    double l2 = 2 * b1 - b0; /* second L-moment: mean = s/(1-k), l2 = s/((1-k)(2-k)) */
    if (!(b0 > 0))
        return gpd;
    double shape = l2 > 0 ? 2 - b0 / l2 : 0;
    gpd.shape = shape < 0 ? 0 : shape > LARGEST_SHAPE ? LARGEST_SHAPE : shape;
    gpd.scale = b0 * (1 - gpd.shape);
    return gpd;
}

double km_gpd_p(const struct km_gpd *gpd, double excess)
{
    if (gpd->shape < 1e-9)
        return exp(-excess / gpd->scale);
    return pow(1 + gpd->shape * excess / gpd->scale, -1 / gpd->shape);
}

double km_gpd_quantile(const struct km_gpd *gpd, double p)
{
    if (gpd->shape < 1e-9)
        return -gpd->scale * log(p);
    return gpd->scale / gpd->shape * (pow(p, -gpd->shape) - 1);
}

static int compare_doubles(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* How many of the ascending values are below x. */
static size_t rank_of(const double *sorted, size_t count, double x)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The index of the 90th percentile, or of what leaves ten values above it while that is not below the median. */
static size_t tail_begin(size_t n)
{
    size_t begin = (size_t)(BODY_SHARE * (double)n);
    if (n - begin <= LEAST_EXCESSES && n > 2 * LEAST_EXCESSES)
        begin = n - LEAST_EXCESSES - 1;
    return begin;
}

enum km_code km_tail_init(struct km_tail *tail, const double *values, size_t count, struct km_err *err)
{
    if (count > KM_TAIL_MAX_VALUES)
        return km_fail(err, KM_LIMIT, "a tail of %zu values is above the limit of %d", count, KM_TAIL_MAX_VALUES);
    double *sorted = km_calloc(count + 1, sizeof *sorted, SIZE_MAX, err);
    if (!sorted)
        return err->code;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            sorted[n++] = values[i];
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    *tail = (struct km_tail){.sorted = sorted, .count = n};
    if (n == 0)
        return KM_OK;
    tail->threshold = sorted[tail_begin(n)];
    size_t above = n;
    while (above > 0 && sorted[above - 1] > tail->threshold)
        above--;
    tail->exceed_share = (double)(n - above) / (double)n;
    double *excesses = km_calloc(n - above + 1, sizeof *excesses, SIZE_MAX, err);
    if (!excesses) {
        km_tail_done(tail);
        return err->code;
    }
    for (size_t i = above; i < n; i++)
        excesses[i - above] = sorted[i] - tail->threshold;
    tail->gpd = km_gpd_fit(excesses, n - above);
    free(excesses);
    return KM_OK;
}

void km_tail_done(struct km_tail *tail)
{
    free(tail->sorted);
    *tail = (struct km_tail){0};
}

static double largest_of(const struct km_tail *tail)
{
    return tail->count > 0 ? tail->sorted[tail->count - 1] : 0;
}

/* Where ties leave no tail to fit, values beyond the largest still differ: the largest of n exponential values lies
 * about ln(n + 1) scales above their bulk, which gives a scale, and a heavy tail of that scale keeps it cautious. */
static double beyond_largest(const struct km_tail *tail, double x)
{
    if (tail->count < LEAST_VALUES || x <= largest_of(tail))
        return 1;
    double scale = (largest_of(tail) - tail->sorted[tail->count / 2]) / log((double)tail->count + 1);
    struct km_gpd heavy = {HEAVY_SHAPE, scale};
    return scale > 0 ? km_gpd_p(&heavy, x - largest_of(tail)) : 1;
}

double km_tail_p(const struct km_tail *tail, double x)
{
    double n = (double)tail->count;
    double p = tail->count > 0 ? (n - (double)rank_of(tail->sorted, tail->count, x) + 1) / (n + 1) : 1;
    if (x > tail->threshold && tail->gpd.scale > 0)
        p = tail->exceed_share * km_gpd_p(&tail->gpd, x - tail->threshold);
    else if (tail->unit > 0 && x > largest_of(tail))
        p = exp((largest_of(tail) - x) / tail->unit) / (n + 1);
    else
        p *= beyond_largest(tail, x);
    return p < KM_TAIL_LEAST_P ? KM_TAIL_LEAST_P : p;
}

double km_tail_quantile(const struct km_tail *tail, double p)
{
    if (p < tail->exceed_share && tail->gpd.scale > 0)
        return tail->threshold + km_gpd_quantile(&tail->gpd, p / tail->exceed_share);
    if (tail->unit > 0 && p * ((double)tail->count + 1) < 1)
        return largest_of(tail) - tail->unit * log(p * ((double)tail->count + 1));
    if (tail->count == 0)
        return 0;
    size_t rank = (size_t)((1 - p) * (double)tail->count);
    return tail->sorted[rank < tail->count ? rank : tail->count - 1];
}

struct km_spot {
    double *body;  /* ring of `window` values */
    double *peaks; /* ring of values above the threshold when they came */
    double *scratch;
    size_t window, stride, body_count, body_next, peak_room, peak_count, peak_next;
    uint64_t seen; /* values since the last one that entered the body */
    size_t since_fit;
    bool fitted;
    struct km_tail tail;
    double seen_weight, peak_weight; /* decayed counts of values and of peaks */
};

struct km_spot *km_spot_new(size_t window, size_t stride, struct km_err *err)
{
    if (window < SMALLEST_WINDOW || window > KM_TAIL_MAX_VALUES || stride == 0) {
        km_fail(err, KM_LIMIT, "a window of %zu values, stride %zu, is outside the limits", window, stride);
        return NULL;
    }
    struct km_spot *spot = km_calloc(1, sizeof *spot, SIZE_MAX, err);
    if (!spot)
        return NULL;
    spot->window = window;
    spot->stride = stride;
    spot->peak_room = window / PEAKS_PER_BODY > LEAST_EXCESSES * 2 ? window / PEAKS_PER_BODY : LEAST_EXCESSES * 2;
    spot->body = km_calloc(window, sizeof *spot->body, SIZE_MAX, err);
    spot->peaks = km_calloc(spot->peak_room, sizeof *spot->peaks, SIZE_MAX, err);
    spot->scratch = km_calloc(window, sizeof *spot->scratch, SIZE_MAX, err);
    if (!spot->body || !spot->peaks || !spot->scratch) {
        km_spot_free(spot);
        return NULL;
    }
    return spot;
}

void km_spot_free(struct km_spot *spot)
{
    if (!spot)
        return;
    free(spot->body);
    free(spot->peaks);
    free(spot->scratch);
    km_tail_done(&spot->tail);
    free(spot);
}

void km_spot_set_unit(struct km_spot *spot, double unit)
{
    spot->tail.unit = unit;
}

/* The body gives the threshold. With a stride above 1 the peaks, which no stride thins out, give the tail's shape and
 * share; with a stride of 1 the body holds them already. */
static void refit(struct km_spot *spot)
{
    spot->since_fit = 0;
    spot->fitted = true;
    struct km_err err = KM_ERR_INIT;
    struct km_tail tail;
    if (km_tail_init(&tail, spot->body, spot->body_count, &err) != KM_OK)
        return; /* out of memory: the former estimate stands */
    tail.unit = spot->tail.unit;
    km_tail_done(&spot->tail);
    spot->tail = tail;
    if (spot->stride == 1 || spot->peak_count < LEAST_EXCESSES)
        return;
    size_t n = 0;
    for (size_t i = 0; i < spot->peak_count; i++)
        if (spot->peaks[i] > spot->tail.threshold)
            spot->scratch[n++] = spot->peaks[i] - spot->tail.threshold;
    qsort(spot->scratch, n, sizeof *spot->scratch, compare_doubles);
    struct km_gpd gpd = km_gpd_fit(spot->scratch, n);
    if (gpd.scale > 0 && spot->seen_weight > 0) {
        spot->tail.gpd = gpd;
        double share = spot->peak_weight / spot->seen_weight;
        spot->tail.exceed_share = share > 0 && share < 1 ? share : spot->tail.exceed_share;
    }
}

static void make_current(struct km_spot *spot)
{
    if (!spot->fitted)
        refit(spot);
}

void km_spot_add(struct km_spot *spot, double value)
{
    if (!isfinite(value))
        return;
    double keep = 1 - 1 / ((double)spot->window * (double)spot->stride);
    spot->seen_weight = spot->seen_weight * keep + 1;
    spot->peak_weight *= keep;
    if (spot->tail.count > 0 && value > spot->tail.threshold) {
        spot->peak_weight += 1;
        spot->peaks[spot->peak_next] = value;
        spot->peak_next = (spot->peak_next + 1) % spot->peak_room;
        if (spot->peak_count < spot->peak_room)
            spot->peak_count++;
    }
    if (spot->seen++ % spot->stride == 0 || spot->body_count < spot->window) {
        spot->body[spot->body_next] = value;
        spot->body_next = (spot->body_next + 1) % spot->window;
        if (spot->body_count < spot->window)
            spot->body_count++;
        spot->since_fit++;
    }
    size_t pace = spot->window / REFIT_PER_BODY;
    if (spot->since_fit >= pace || spot->body_count < 2 * LEAST_EXCESSES)
        spot->fitted = false;
}

double km_spot_threshold(struct km_spot *spot, double rate)
{
    if (spot->body_count == 0 && spot->tail.unit == 0)
        return INFINITY;
    make_current(spot);
    return km_tail_quantile(&spot->tail, rate);
}

double km_spot_p(struct km_spot *spot, double x)
{
    if (spot->body_count == 0 && spot->tail.unit == 0)
        return 1;
    make_current(spot);
    return km_tail_p(&spot->tail, x);
}
