#include "desk/store/evidence_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static struct km_json *new_argument(const char *id, const struct km_arg *arg, const struct km_collect *collect)
{
    char kept[KM_COLLECT_TEXT_BYTES];
    struct km_json *pair = km_json_new_array();
    km_json_append(pair, km_json_new_string(arg->name));
    switch (arg->type) {
    case KM_ARG_TEXT:
        km_json_append(pair, km_json_new_string(km_collect_argument(collect, id, arg->name, arg->text, kept)));
        break;
    case KM_ARG_INTEGER:
        km_json_append(pair, km_json_new_integer(arg->integer));
        break;
    case KM_ARG_REAL:
        km_json_append(pair, km_json_new_real(arg->real));
        break;
    }
    return pair;
}

enum km_code km_evidence_json_format(const struct km_evidence *evidence, size_t count, const struct km_collect *collect,
                                     struct km_buf *out, struct km_err *err)
{
    if (count > KM_EVIDENCE_JSON_MAX_COUNT)
        return km_fail(err, KM_LIMIT, "a finding with %zu pieces of evidence", count);
    struct km_json *list KM_CLEANUP(km_json_cleanup) = km_json_new_array();
    for (size_t i = 0; i < count; i++) {
        struct km_json *object = km_json_new_object();
        km_json_set_string(object, "id", evidence[i].id);
        km_json_set_real(object, "weight", evidence[i].weight);
        if (evidence[i].reference)
            km_json_set_string(object, "reference", evidence[i].reference);
        struct km_json *args = km_json_new_array();
        for (size_t k = 0; k < evidence[i].arg_count; k++)
            km_json_append(args, new_argument(evidence[i].id, &evidence[i].args[k], collect));
        km_json_set(object, "args", args);
        km_json_append(list, object);
    }
    return km_json_format(list, 0, out, err);
}

enum km_code km_ranges_json_format(const struct km_range *ranges, size_t count, struct km_buf *out, struct km_err *err)
{
    enum km_code code = km_buf_append_text(out, "[", err);
    for (size_t i = 0; code == KM_OK && i < count && i < KM_RANGES_JSON_MAX_COUNT; i++)
        code =
            km_buf_append_format(out, err, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "", ranges[i].begin, ranges[i].end);
    return code == KM_OK ? km_buf_append_text(out, "]", err) : code;
}

static const char *keep(struct km_arena *arena, const char *text, struct km_err *err)
{
    return km_arena_strndup(arena, text, strlen(text), err);
}

static enum km_code parse_argument(const struct km_json *pair, struct km_arena *arena, struct km_arg *out,
                                   struct km_err *err)
{
    const struct km_json *value = km_json_at(pair, 1);
    const char *name = km_json_text(km_json_at(pair, 0));
    if (km_json_type(pair) != KM_JSON_ARRAY || km_json_size(pair) != 2 || !name)
        return km_fail(err, KM_FORMAT, "an argument of evidence is no pair of name and value");
    out->name = keep(arena, name, err);
    if (!out->name)
        return err->code;
    if (km_json_type(value) == KM_JSON_STRING) {
        out->type = KM_ARG_TEXT;
        out->text = keep(arena, km_json_text(value), err);
        return out->text ? KM_OK : err->code;
    }
    if (km_json_type(value) == KM_JSON_INTEGER) {
        out->type = KM_ARG_INTEGER;
        out->integer = km_json_integer(pair, "1", 0);
        return KM_OK;
    }
    if (km_json_type(value) != KM_JSON_REAL && km_json_type(value) != KM_JSON_NULL)
        return km_fail(err, KM_FORMAT, "an argument of evidence is neither text nor number");
    out->type = KM_ARG_REAL;
    out->real = km_json_real(pair, "1", 0);
    return KM_OK;
}

static enum km_code parse_evidence(const struct km_json *object, struct km_arena *arena, struct km_evidence *out,
                                   struct km_err *err)
{
    const char *id = km_json_string(object, "id", NULL), *reference = km_json_string(object, "reference", NULL);
    const struct km_json *args = km_json_find(object, "args");
    if (!id)
        return km_fail(err, KM_FORMAT, "evidence without id");
    if (km_json_size(args) > KM_EVIDENCE_MAX_ARGS)
        return km_fail(err, KM_FORMAT, "evidence with too many arguments");
    out->weight = km_json_real(object, "weight", 0);
    out->id = keep(arena, id, err);
    if (!out->id)
        return err->code;
    if (reference) {
        out->reference = keep(arena, reference, err);
        if (!out->reference)
            return err->code;
    }
    for (size_t i = 0; i < km_json_size(args); i++)
        if (parse_argument(km_json_at(args, i), arena, &out->args[out->arg_count++], err) != KM_OK)
            return err->code;
    return KM_OK;
}

/* An array of at most max_count elements; *out stays NULL for "". */
static enum km_code parse_list(const char *text, size_t max_count, struct km_json **out, struct km_err *err)
{
    size_t length = strlen(text);
    if (length == 0)
        return KM_OK;
    struct km_json *list KM_CLEANUP(km_json_cleanup) = km_json_parse(text, length, KM_EVIDENCE_JSON_MAX_BYTES, err);
    if (!list)
        return err->code;
    if (km_json_type(list) != KM_JSON_ARRAY)
        return km_fail(err, KM_FORMAT, "a list is expected");
    if (km_json_size(list) > max_count)
        return km_fail(err, KM_LIMIT, "a list of more than %zu", max_count);
    *out = km_steal(list);
    return KM_OK;
}

enum km_code km_evidence_json_parse(const char *text, struct km_arena *arena, const struct km_evidence **out,
                                    size_t *out_count, struct km_err *err)
{
    struct km_json *list KM_CLEANUP(km_json_cleanup) = NULL;
    if (parse_list(text, KM_EVIDENCE_JSON_MAX_COUNT, &list, err) != KM_OK)
        return err->code;
    size_t count = list ? km_json_size(list) : 0;
    struct km_evidence *evidence = km_arena_alloc(arena, (count ? count : 1) * sizeof *evidence, err);
    if (!evidence)
        return err->code;
    for (size_t i = 0; i < count; i++)
        if (parse_evidence(km_json_at(list, i), arena, &evidence[i], err) != KM_OK)
            return err->code;
    *out = evidence;
    *out_count = count;
    return KM_OK;
}

enum km_code km_ranges_json_parse(const char *text, struct km_arena *arena, const struct km_range **out,
                                  size_t *out_count, struct km_err *err)
{
    struct km_json *list KM_CLEANUP(km_json_cleanup) = NULL;
    if (parse_list(text, KM_RANGES_JSON_MAX_COUNT, &list, err) != KM_OK)
        return err->code;
    size_t count = list ? km_json_size(list) : 0;
    struct km_range *ranges = km_arena_alloc(arena, (count ? count : 1) * sizeof *ranges, err);
    if (!ranges)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        const struct km_json *pair = km_json_at(list, i);
        int64_t begin = km_json_integer(pair, "0", -1), end = km_json_integer(pair, "1", -1);
        if (km_json_size(pair) != 2 || begin < 0 || end < begin)
            return km_fail(err, KM_FORMAT, "a range is no pair of ascending numbers");
        ranges[i] = (struct km_range){(uint64_t)begin, (uint64_t)end};
    }
    *out = ranges;
    *out_count = count;
    return KM_OK;
}
