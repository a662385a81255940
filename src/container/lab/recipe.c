#include "container/lab/recipe.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "container/lab/tabline.h"

#define MAGIC "# komainu-recipe "
enum { ROLE, SPLIT, FAMILY, SUITE, ARCHITECTURE, PACKAGE, VERSION, LANGUAGE, BYTES, DIGEST, PATH, FIELDS };

static const char *const roles[KM_RECIPE_ROLES] = {"positive", "benign", "hard"};
static const char *const splits[KM_RECIPE_SPLITS] = {"train", "valid", "test"};

const char *km_recipe_role_to_string(enum km_recipe_role role)
{
    return roles[role];
}

const char *km_recipe_split_to_string(enum km_recipe_split split)
{
    return splits[split];
}

enum km_code km_recipe_role_from_string(const char *text, enum km_recipe_role *out, struct km_err *err)
{
    for (int i = 0; i < KM_RECIPE_ROLES; i++)
        if (strcmp(text, roles[i]) == 0) {
            *out = (enum km_recipe_role)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is no role", text);
}

enum km_code km_recipe_split_from_string(const char *text, enum km_recipe_split *out, struct km_err *err)
{
    for (int i = 0; i < KM_RECIPE_SPLITS; i++)
        if (strcmp(text, splits[i]) == 0) {
            *out = (enum km_recipe_split)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is no split", text);
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("+-.:~_", c));
}

static enum km_code read_word(const char *field, char out[KM_RECIPE_WORD_BYTES], struct km_err *err)
{
    size_t length = strlen(field);
    bool good = length > 0 && length < KM_RECIPE_WORD_BYTES && field[0] != '.' && field[0] != '-';
    for (size_t i = 0; good && i < length; i++)
        good = is_word_byte(field[i]);
    if (!good)
        return km_fail(err, KM_FORMAT, "'%s' is no name", field);
    memcpy(out, field, length + 1);
    return KM_OK;
}

static enum km_code read_path(const char *field, char out[KM_RECIPE_PATH_BYTES], struct km_err *err)
{
    size_t length = strlen(field);
    bool good = length < KM_RECIPE_PATH_BYTES && strncmp(field, "pool/", 5) == 0 && !strstr(field, "/.") &&
                !strstr(field, "//");
    for (size_t i = 0; good && i < length; i++)
        good = is_word_byte(field[i]) || field[i] == '/' || field[i] == '%';
    if (!good)
        return km_fail(err, KM_FORMAT, "'%s' is no path of a pool", field);
    memcpy(out, field, length + 1);
    return KM_OK;
}

static enum km_code read_row(char *line, struct km_recipe *out, struct km_err *err)
{
    char *fields[FIELDS];
    enum km_code code = km_tabline_cut(line, fields, FIELDS, err);
    if (code == KM_OK)
        code = km_recipe_role_from_string(fields[ROLE], &out->role, err);
    if (code == KM_OK)
        code = km_recipe_split_from_string(fields[SPLIT], &out->split, err);
    char *const words[] = {out->family, out->suite, out->architecture, out->package, out->version, out->language};
    for (size_t i = 0; code == KM_OK && i < sizeof words / sizeof words[0]; i++)
        code = read_word(fields[FAMILY + i], words[i], err);
    if (code == KM_OK)
        code = km_tabline_number(fields[BYTES], KM_RECIPE_MAX_PACKAGE_BYTES, &out->bytes, err);
    if (code == KM_OK && out->bytes == 0)
        code = km_fail(err, KM_FORMAT, "a package of no bytes");
    if (code == KM_OK && strlen(fields[DIGEST]) != KM_SHA256_HEX_BYTES - 1)
        code = km_fail(err, KM_FORMAT, "'%s' is no SHA-256", fields[DIGEST]);
    if (code == KM_OK)
        code = km_hex_parse(fields[DIGEST], KM_SHA256_BYTES, out->sha256, err);
    return code == KM_OK ? read_path(fields[PATH], out->path, err) : code;
}

/* ---- What rows may not say together ---- */

static bool is_positive(const struct km_recipe *row)
{
    return row->role == KM_RECIPE_POSITIVE;
}

static int by_family(const void *a, const void *b)
{
    const struct km_recipe *const *x = a, *const *y = b;
    int order = (int)is_positive(*x) - (int)is_positive(*y);
    return order ? order : strcmp((*x)->family, (*y)->family);
}

static int by_digest(const void *a, const void *b)
{
    const struct km_recipe *const *x = a, *const *y = b;
    return memcmp((*x)->sha256, (*y)->sha256, KM_SHA256_BYTES);
}

static enum km_code check_together(const struct km_recipe *rows, size_t count, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free)
    const struct km_recipe **order = km_calloc(count, sizeof(void *), KM_RECIPE_MAX_COUNT * sizeof(void *), err);
    if (!order)
        return err->code;
    for (size_t i = 0; i < count; i++)
        order[i] = &rows[i];
    qsort((void *)order, count, sizeof(void *), by_family);
    for (size_t i = 1; i < count; i++)
        if (by_family(&order[i - 1], &order[i]) == 0 && order[i - 1]->split != order[i]->split)
            return km_fail(err, KM_FORMAT, "family %s is in %s and in %s", order[i]->family,
                           splits[order[i - 1]->split], splits[order[i]->split]);
    qsort((void *)order, count, sizeof(void *), by_digest);
    for (size_t i = 1; i < count; i++)
        if (by_digest(&order[i - 1], &order[i]) == 0)
            return km_fail(err, KM_FORMAT, "%s is there twice", order[i]->path);
    return KM_OK;
}

/* ---- The table ---- */

static enum km_code read_version(const char *line, struct km_err *err)
{
    size_t length = strlen(MAGIC);
    if (!line || strncmp(line, MAGIC, length) != 0)
        return km_fail(err, KM_FORMAT, "line 1: no recipe table");
    return strcmp(line + length, "1") == 0 ? KM_OK
                                           : km_fail(err, KM_UNSUPPORTED, "line 1: version '%s'", line + length);
}

static enum km_code read_rows(char *text, size_t left, struct km_recipes *out, struct km_err *err)
{
    enum km_code code = read_version(km_tabline_next(&text, &left), err);
    size_t capacity = 0, number = 1;
    for (char *line; code == KM_OK && (line = km_tabline_next(&text, &left));) {
        number++;
        if (line[0] == '#' || line[0] == '\0')
            continue;
        code = km_grow((void **)&out->rows, &capacity, out->count + 1, sizeof *out->rows, KM_RECIPE_MAX_COUNT, err);
        if (code == KM_OK)
            code = read_row(line, &out->rows[out->count], err);
        if (code == KM_OK)
            out->count++;
        else
            code = km_err_wrap(err, "line %zu", number);
    }
    if (code == KM_OK && out->count == 0)
        code = km_fail(err, KM_FORMAT, "no recipes");
    return code == KM_OK ? check_together(out->rows, out->count, err) : code;
}

enum km_code km_recipe_parse(const char *text, size_t length, struct km_recipes *out, struct km_err *err)
{
    if (length > KM_RECIPE_MAX_BYTES)
        return km_fail(err, KM_LIMIT, "more than %zu bytes", KM_RECIPE_MAX_BYTES);
    if (memchr(text, '\0', length))
        return km_fail(err, KM_FORMAT, "a NUL character");
    KM_CLEANUP(km_cleanup_free) char *copy = km_strndup(text, length, err);
    if (!copy)
        return err->code;
    struct km_recipes recipes = {0};
    enum km_code code = read_rows(copy, length, &recipes, err);
    if (code == KM_OK)
        *out = recipes;
    else
        km_recipe_done(&recipes);
    return code;
}

enum km_code km_recipe_load(const char *path, struct km_recipes *out, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_RECIPE_MAX_BYTES);
    enum km_code code = km_buf_append_file(&text, path, err);
    if (code == KM_OK) {
        code = km_recipe_parse(km_buf_text(&text), text.length, out, err);
        if (code != KM_OK)
            code = km_err_wrap(err, "%s", path);
    }
    km_buf_done(&text);
    return code;
}

void km_recipe_done(struct km_recipes *recipes)
{
    free(recipes->rows);
    *recipes = (struct km_recipes){0};
}
