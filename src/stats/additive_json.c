#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "stats/additive_parts.h"

#define VERSION   1
#define MAX_EXACT ((int64_t)1 << 53)

/* Members beyond these are refused, so that nothing is overlooked. */
static enum km_code check_members(const struct km_json *object, const char *const *known, const char *where,
                                  struct km_err *err)
{
    const char *key;
    if (!object || km_json_type(object) != KM_JSON_OBJECT)
        return km_fail(err, KM_FORMAT, "%s: an object is wanted", where);
    for (void *cursor = NULL; km_json_next(object, &cursor, &key);) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            return km_fail(err, KM_FORMAT, "%s: unknown member '%.64s'", where, key);
    }
    return KM_OK;
}

static enum km_code read_real(const struct km_json *object, const char *key, double *out, struct km_err *err)
{
    const struct km_json *value = km_json_member(object, key);
    double real = km_json_real(object, key, NAN);
    if (!value || !isfinite(real))
        return km_fail(err, KM_FORMAT, "'%s': a finite number is wanted", key);
    *out = real;
    return KM_OK;
}

static enum km_code read_optional(const struct km_json *object, const char *key, double *out, struct km_err *err)
{
    return km_json_member(object, key) ? read_real(object, key, out, err) : KM_OK;
}

static enum km_code read_text(const struct km_json *object, const char *key, char *out, size_t out_bytes,
                              struct km_err *err)
{
    const char *text = km_json_string(object, key, NULL);
    if (!text || !km_additive_name_is_good(text, out_bytes))
        return km_fail(err, KM_FORMAT, "'%s': a short text of printable ASCII is wanted", key);
    (void)snprintf(out, out_bytes, "%s", text);
    return KM_OK;
}

static enum km_code read_count(const struct km_json *object, const char *key, uint64_t *out, struct km_err *err)
{
    int64_t count = km_json_integer(object, key, -1);
    if (count < 0 || count > MAX_EXACT)
        return km_fail(err, KM_FORMAT, "'%s': a count is wanted", key);
    *out = (uint64_t)count;
    return KM_OK;
}

static enum km_code read_steps(const struct km_json *list, struct km_additive_term *term, struct km_err *err)
{
    static const char *const members[] = {"from", "weight", NULL};
    term->step_count = km_json_size(list);
    if (km_json_type(list) != KM_JSON_ARRAY || term->step_count == 0)
        return km_fail(err, KM_FORMAT, "'steps': a list is wanted");
    if (term->step_count > KM_ADDITIVE_MAX_STEPS)
        return km_fail(err, KM_LIMIT, "'steps': more than %d", KM_ADDITIVE_MAX_STEPS);
    for (size_t i = 0; i < term->step_count; i++) {
        const struct km_json *step = km_json_at(list, i);
        enum km_code code = check_members(step, members, "steps", err);
        if (code == KM_OK)
            code = read_real(step, "from", &term->steps[i].from, err);
        if (code == KM_OK)
            code = read_real(step, "weight", &term->steps[i].weight, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static enum km_code read_term(const struct km_json *value, struct km_additive *model, struct km_err *err)
{
    static const char *const members[] = {"name", "weight", "low", "high", "missing", "steps", NULL};
    struct km_additive_term term = {.low = -INFINITY, .high = INFINITY};
    enum km_code code = check_members(value, members, "terms", err);
    if (code == KM_OK)
        code = read_text(value, "name", term.name, sizeof term.name, err);
    if (code == KM_OK && km_additive_find(model, term.name) >= 0)
        return km_fail(err, KM_FORMAT, "term '%s' occurs twice", term.name);
    const struct km_json *steps = code == KM_OK ? km_json_member(value, "steps") : NULL;
    if (code == KM_OK && steps)
        code = read_steps(steps, &term, err);
    else if (code == KM_OK)
        code = read_real(value, "weight", &term.weight, err);
    if (code == KM_OK)
        code = read_optional(value, "low", &term.low, err);
    if (code == KM_OK)
        code = read_optional(value, "high", &term.high, err);
    if (code == KM_OK)
        code = read_optional(value, "missing", &term.missing, err);
    return code == KM_OK ? km_additive_set_term(model, &term, err) : code;
}

static enum km_code read_calibration(const struct km_json *value, struct km_additive *model, struct km_err *err)
{
    static const char *const members[] = {"threshold", "negatives", "above", "wanted", "set", NULL};
    struct km_calibration calibration = {0};
    enum km_code code = check_members(value, members, "calibration", err);
    if (code == KM_OK)
        code = read_real(value, "threshold", &calibration.threshold, err);
    if (code == KM_OK)
        code = read_count(value, "negatives", &calibration.negatives, err);
    if (code == KM_OK)
        code = read_count(value, "above", &calibration.above, err);
    if (code == KM_OK)
        code = read_real(value, "wanted", &calibration.wanted, err);
    if (code == KM_OK)
        code = read_text(value, "set", calibration.set, sizeof calibration.set, err);
    if (code != KM_OK)
        return code;
    if (calibration.above > calibration.negatives || !(calibration.wanted > 0 && calibration.wanted <= 1))
        return km_fail(err, KM_FORMAT, "more above the threshold than negatives, or a rate that is none");
    km_additive_set_calibration(model, &calibration);
    return KM_OK;
}

static enum km_code read_model(const struct km_json *document, struct km_additive *model, struct km_err *err)
{
    static const char *const members[] = {"komainu_additive", "bias", "terms", "calibration", NULL};
    if (km_json_integer(document, "komainu_additive", -1) != VERSION)
        return km_fail(err, km_json_member(document, "komainu_additive") ? KM_UNSUPPORTED : KM_FORMAT,
                       "not an additive model of version %d", VERSION);
    enum km_code code = check_members(document, members, "model", err);
    if (code == KM_OK)
        code = read_real(document, "bias", &model->bias, err);
    if (code != KM_OK)
        return code;
    const struct km_json *terms = km_json_member(document, "terms");
    if (!terms || km_json_type(terms) != KM_JSON_ARRAY)
        return km_fail(err, KM_FORMAT, "'terms': a list is wanted");
    if (km_json_size(terms) > KM_ADDITIVE_MAX_TERMS)
        return km_fail(err, KM_LIMIT, "more than %d terms", KM_ADDITIVE_MAX_TERMS);
    for (size_t i = 0; code == KM_OK && i < km_json_size(terms); i++)
        code = read_term(km_json_at(terms, i), model, err);
    const struct km_json *calibration = km_json_member(document, "calibration");
    return code == KM_OK && calibration ? read_calibration(calibration, model, err) : code;
}

struct km_additive *km_additive_parse(const char *text, size_t length, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *document = km_json_parse(text, length, KM_ADDITIVE_MAX_BYTES, err);
    if (!document)
        return NULL;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *model = km_additive_new(err);
    if (!model || read_model(document, model, err) != KM_OK)
        return NULL;
    return km_steal(model);
}

static struct km_json *term_to_json(const struct km_additive_term *term)
{
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "name", term->name);
    if (term->step_count == 0)
        km_json_set_real(object, "weight", term->weight);
    if (isfinite(term->low))
        km_json_set_real(object, "low", term->low);
    if (isfinite(term->high))
        km_json_set_real(object, "high", term->high);
    km_json_set_real(object, "missing", term->missing);
    if (term->step_count == 0)
        return object;
    struct km_json *steps = km_json_new_array();
    for (size_t i = 0; i < term->step_count; i++) {
        struct km_json *step = km_json_new_object();
        km_json_set_real(step, "from", term->steps[i].from);
        km_json_set_real(step, "weight", term->steps[i].weight);
        km_json_append(steps, step);
    }
    km_json_set(object, "steps", steps);
    return object;
}

enum km_code km_additive_format(const struct km_additive *model, struct km_buf *out, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *document = km_json_new_object();
    km_json_set_integer(document, "komainu_additive", VERSION);
    km_json_set_real(document, "bias", model->bias);
    struct km_json *terms = km_json_new_array();
    for (size_t i = 0; i < model->term_count; i++)
        km_json_append(terms, term_to_json(&model->terms[i]));
    km_json_set(document, "terms", terms);
    const struct km_calibration *calibration = &model->calibration;
    if (calibration->negatives > 0) {
        struct km_json *object = km_json_new_object();
        km_json_set_real(object, "threshold", calibration->threshold);
        km_json_set_integer(object, "negatives", (int64_t)calibration->negatives);
        km_json_set_integer(object, "above", (int64_t)calibration->above);
        km_json_set_real(object, "wanted", calibration->wanted);
        km_json_set_string(object, "set", calibration->set);
        km_json_set(document, "calibration", object);
    }
    enum km_code code = km_json_format(document, 2, out, err);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}
