#include "container/tokens/lbfgs.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

#define MAX_VARIABLES ((size_t)1 << 24)
#define SHRINK        0.5
#define DESCENT       1e-4 /* Armijo's constant */
#define MAX_TRIES     30

struct state {
    const struct km_lbfgs_problem *problem;
    double *gradient, *direction, *trial, *trial_gradient;
    double *steps[KM_LBFGS_PAIRS], *changes[KM_LBFGS_PAIRS];
    double inverse[KM_LBFGS_PAIRS]; /* 1 / (step . change) */
    unsigned pairs, newest;
};

static double dot(const double *a, const double *b, size_t size)
{
    double sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *a, double factor, const double *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        a[i] += factor * b[i];
}

/* direction = -H gradient, by the two loops. */
static void find_direction(struct state *state)
{
    size_t size = state->problem->size;
    double alpha[KM_LBFGS_PAIRS] = {0};
    for (size_t i = 0; i < size; i++)
        state->direction[i] = -state->gradient[i];
    for (unsigned k = 0; k < state->pairs; k++) {
        unsigned at = (state->newest + KM_LBFGS_PAIRS - k) % KM_LBFGS_PAIRS;
        alpha[at] = state->inverse[at] * dot(state->steps[at], state->direction, size);
        add_scaled(state->direction, -alpha[at], state->changes[at], size);
    }
    if (state->pairs > 0) {
        const double *change = state->changes[state->newest];
        double scale = 1 / (state->inverse[state->newest] * dot(change, change, size));
        for (size_t i = 0; i < size; i++)
            state->direction[i] *= scale;
    }
    for (unsigned k = state->pairs; k-- > 0;) {
        unsigned at = (state->newest + KM_LBFGS_PAIRS - k) % KM_LBFGS_PAIRS;
        double beta = state->inverse[at] * dot(state->changes[at], state->direction, size);
        add_scaled(state->direction, alpha[at] - beta, state->steps[at], size);
    }
}

/* Walks along the direction until the value has fallen enough. False: nowhere. */
static bool search_line(struct state *state, const double *point, double *value)
{
    size_t size = state->problem->size;
    double slope = dot(state->gradient, state->direction, size);
    double length = state->pairs > 0 ? 1 : 1 / fmax(1, sqrt(dot(state->gradient, state->gradient, size)));
    for (int try = 0; try < MAX_TRIES && slope < 0; try++, length *= SHRINK) {
        memcpy(state->trial, point, size * sizeof *point);
        add_scaled(state->trial, length, state->direction, size);
        double reached = state->problem->evaluate(state->problem->context, state->trial, state->trial_gradient);
        if (reached <= *value + DESCENT * length * slope) {
            *value = reached;
            return true;
        }
    }
    return false;
}

/* Remembers how the gradient changed over the step from point to trial. */
static void remember_pair(struct state *state, const double *point)
{
    size_t size = state->problem->size;
    unsigned at = state->pairs == 0 ? 0 : (state->newest + 1) % KM_LBFGS_PAIRS;
    for (size_t i = 0; i < size; i++) {
        state->steps[at][i] = state->trial[i] - point[i];
        state->changes[at][i] = state->trial_gradient[i] - state->gradient[i];
    }
    double curvature = dot(state->steps[at], state->changes[at], size);
    if (curvature <= 1e-12 * dot(state->changes[at], state->changes[at], size))
        return;
    state->inverse[at] = 1 / curvature;
    state->newest = at;
    state->pairs += state->pairs < KM_LBFGS_PAIRS;
}

static void iterate(struct state *state, double *point, struct km_lbfgs_report *out)
{
    const struct km_lbfgs_problem *problem = state->problem;
    size_t size = problem->size;
    double value = problem->evaluate(problem->context, point, state->gradient);
    double first = sqrt(dot(state->gradient, state->gradient, size));
    *out = (struct km_lbfgs_report){.value = value, .converged = first == 0};
    while (!out->converged && out->iterations < problem->max_iterations) {
        find_direction(state);
        if (!search_line(state, point, &value))
            break;
        remember_pair(state, point);
        memcpy(point, state->trial, size * sizeof *point);
        memcpy(state->gradient, state->trial_gradient, size * sizeof *point);
        out->iterations++;
        out->value = value;
        out->converged = sqrt(dot(state->gradient, state->gradient, size)) <= problem->tolerance * first;
    }
}

enum km_code km_lbfgs_minimise(const struct km_lbfgs_problem *problem, double *point, struct km_lbfgs_report *out,
                               struct km_err *err)
{
    size_t size = problem->size;
    KM_ASSERT(size <= MAX_VARIABLES);
    KM_CLEANUP(km_cleanup_free)
    double *memory = km_calloc((size_t)2 * KM_LBFGS_PAIRS + 4, size * sizeof *memory, SIZE_MAX, err);
    if (!memory)
        return err->code;
    struct state state = {.problem = problem,
                          .gradient = memory,
                          .direction = memory + size,
                          .trial = memory + 2 * size,
                          .trial_gradient = memory + 3 * size};
    for (unsigned i = 0; i < KM_LBFGS_PAIRS; i++) {
        state.steps[i] = memory + (4 + 2 * (size_t)i) * size;
        state.changes[i] = state.steps[i] + size;
    }
    iterate(&state, point, out);
    return KM_OK;
}
