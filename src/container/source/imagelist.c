#include "container/source/imagelist.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/yaml.h"
#include "container/source/imageref.h"

#define MAX_TEXT_BYTES   1024 /* of a name or a value that is taken for a reference */
#define MAX_KEY_BYTES    128  /* of one key in a path; longer ones are cut */
#define MAX_EXPANSIONS   32   /* variables in one compose value */
#define MAX_MEMORY_BYTES ((size_t)16 << 20)

struct km_imagelist {
    struct km_arena *memory;
    struct km_imagelist_row *rows;
    size_t count, capacity;
};

/* ---- Rows ---- */

static enum km_code store_row(struct km_imagelist *list, const char *name, const char *reference, const char *error,
                              struct km_err *err)
{
    void *rows = list->rows;
    enum km_code code =
        km_grow(&rows, &list->capacity, list->count + 1, sizeof *list->rows, KM_IMAGELIST_MAX_ROWS, err);
    list->rows = rows;
    if (code != KM_OK)
        return km_err_wrap(err, "list of images");
    const char *text = reference ? reference : error;
    const char *own_name = km_arena_strndup(list->memory, name, strnlen(name, MAX_TEXT_BYTES), err);
    const char *own_text = own_name ? km_arena_strndup(list->memory, text, strlen(text), err) : NULL;
    if (!own_text)
        return err->code;
    list->rows[list->count++] =
        (struct km_imagelist_row){own_name, reference ? own_text : NULL, reference ? NULL : own_text};
    return KM_OK;
}

static enum km_code add_error(struct km_imagelist *list, const char *name, const char *error, struct km_err *err)
{
    return store_row(list, name, NULL, error, err);
}

static enum km_code add_reference(struct km_imagelist *list, const char *name, const char *text, struct km_err *err)
{
    char reference[KM_IMAGEREF_MAX_BYTES];
    struct km_err cause = KM_ERR_INIT;
    if (km_imageref_normalise(text, reference, &cause) != KM_OK)
        return add_error(list, name, cause.text, err);
    return store_row(list, name, reference, NULL, err);
}

/* ---- Compose ---- */

/* What ${expression} stands for when no variable is set: its default, "" for an alternative, or NULL when it needs the
 * variable. */
static const char *without_variable(const char *expression)
{
    size_t name = strspn(expression, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    const char *rest = expression + name;
    rest += *rest == ':';
    if (*rest == '-')
        return rest + 1;
    return *rest == '+' ? "" : NULL;
}

/* Expands ${…} from the last one to the first, which takes the inner before the outer. "$$" was taken out before. */
static enum km_code expand(char text[MAX_TEXT_BYTES], struct km_err *err)
{
    for (unsigned i = 0; i < MAX_EXPANSIONS; i++) {
        char *begin = strrchr(text, '$');
        if (!begin)
            return KM_OK;
        char *end = begin[1] == '{' ? strchr(begin, '}') : NULL;
        if (!end)
            return km_fail(err, KM_UNSUPPORTED, "needs the variable %.200s", begin);
        *end = '\0';
        const char *value = without_variable(begin + 2);
        if (!value)
            return km_fail(err, KM_UNSUPPORTED, "needs the variable %.200s", begin + 2);
        char expanded[2 * MAX_TEXT_BYTES];
        (void)snprintf(expanded, sizeof expanded, "%.*s%s%s", (int)(begin - text), text, value, end + 1);
        (void)snprintf(text, MAX_TEXT_BYTES, "%.*s", MAX_TEXT_BYTES - 1, expanded); /* never longer than before */
    }
    return km_fail(err, KM_LIMIT, "has more than %d variables", MAX_EXPANSIONS);
}

static enum km_code add_compose_reference(struct km_imagelist *list, const char *name, const char *text,
                                          struct km_err *err)
{
    char copy[MAX_TEXT_BYTES];
    struct km_err cause = KM_ERR_INIT;
    if (strlen(text) >= sizeof copy)
        return add_error(list, name, "the image's name is too long", err);
    if (strstr(text, "$$")) /* an escaped dollar, which no reference can hold */
        return add_reference(list, name, text, err);
    (void)snprintf(copy, sizeof copy, "%s", text);
    if (expand(copy, &cause) != KM_OK)
        return add_error(list, name, cause.text, err);
    return add_reference(list, name, copy, err);
}

static enum km_code read_compose(struct km_imagelist *list, const struct km_json *document, struct km_err *err)
{
    enum km_code code = KM_OK;
    if (km_json_member(document, "include"))
        code = add_error(list, "include", "compose files that this one includes are not read", err);
    const struct km_json *services = km_json_member(document, "services");
    const struct km_json *service = NULL;
    const char *name = NULL;
    for (void *cursor = NULL; code == KM_OK && (service = km_json_next(services, &cursor, &name));) {
        const struct km_json *image = km_json_member(service, "image");
        if (km_json_text(image))
            code = add_compose_reference(list, name, km_json_text(image), err);
        else if (image)
            code = add_error(list, name, "its image is no text", err);
        else if (km_json_member(service, "build"))
            code = add_error(list, name, "is built from source: build it and scan the image that comes out", err);
        else if (km_json_member(service, "extends"))
            code = add_error(list, name, "takes its image from another service or file (extends)", err);
        else
            code = add_error(list, name, "names no image", err);
    }
    return code;
}

/* ---- Walking values ---- */

struct level {
    const struct km_json *value;
    void *cursor;
    size_t next;
    size_t path_length; /* of the path to this value */
};

struct walk {
    struct level levels[KM_JSON_MAX_DEPTH + 1];
    size_t depth;
    char path[MAX_TEXT_BYTES];
};

static void enter(struct walk *walk, const struct km_json *value)
{
    if (km_json_size(value) > 0 && walk->depth < sizeof walk->levels / sizeof walk->levels[0])
        walk->levels[walk->depth++] = (struct level){.value = value, .path_length = strlen(walk->path)};
}

/* The next member in document order, depth first as far as enter() is called; walk->path is its path. *out_key is ""
 * for elements of arrays. NULL at the end. */
static const struct km_json *step(struct walk *walk, const char **out_key)
{
    while (walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        char number[24];
        const char *key = "";
        const struct km_json *member = km_json_type(level->value) == KM_JSON_OBJECT
                                           ? km_json_next(level->value, &level->cursor, &key)
                                           : km_json_at(level->value, level->next);
        if (!member) {
            walk->depth--;
            continue;
        }
        (void)snprintf(number, sizeof number, "%zu", level->next++);
        (void)snprintf(walk->path + level->path_length, sizeof walk->path - level->path_length, "%s%.*s",
                       level->path_length ? "." : "", MAX_KEY_BYTES, *key ? key : number);
        *out_key = key;
        return member;
    }
    return NULL;
}

/* ---- Helm values ---- */

/* A tag may be text or, unquoted, a number. "" when there is none; false when it is neither. */
static bool read_tag(const struct km_json *tag, char *out, size_t out_bytes)
{
    const char *text = km_json_text(tag);
    out[0] = '\0';
    if (!tag || km_json_type(tag) == KM_JSON_NULL)
        return true;
    if (text)
        return snprintf(out, out_bytes, "%s", text) < (int)out_bytes;
    if (km_json_type(tag) == KM_JSON_INTEGER)
        return snprintf(out, out_bytes, "%" PRId64, km_json_integer(tag, "", 0)) < (int)out_bytes;
    return km_json_type(tag) == KM_JSON_REAL &&
           snprintf(out, out_bytes, "%.15g", km_json_real(tag, "", 0)) < (int)out_bytes;
}

static enum km_code add_parts(struct km_imagelist *list, const char *name, const struct km_json *image,
                              struct km_err *err)
{
    const char *registry = km_json_string(image, "registry", "");
    const char *repository = km_json_string(image, "repository", "");
    const char *digest = km_json_string(image, "digest", "");
    char tag[160], text[MAX_TEXT_BYTES];
    if (!*repository)
        return add_error(list, name, "names no repository", err);
    if (!read_tag(km_json_member(image, "tag"), tag, sizeof tag))
        return add_error(list, name, "its tag is no text and no number", err);
    int length = snprintf(text, sizeof text, "%s%s%s%s%s%s%s", registry, *registry ? "/" : "", repository,
                          *tag ? ":" : "", tag, *digest ? "@" : "", digest);
    if (length < 0 || (size_t)length >= sizeof text)
        return add_error(list, name, "the image's name is too long", err);
    return add_reference(list, name, text, err);
}

static bool has_mapping(const struct km_json *object)
{
    const char *key = NULL;
    const struct km_json *member = NULL;
    for (void *cursor = NULL; (member = km_json_next(object, &cursor, &key));)
        if (km_json_type(member) == KM_JSON_OBJECT)
            return true;
    return false;
}

/* Charts name images by many keys; what marks them is a repository beside a tag or the like. A repository with a
 * scheme is one of source code. */
static bool has_image_parts(const struct km_json *object)
{
    static const char *const others[] = {"tag", "digest", "registry", "pullPolicy"};
    const char *repository = km_json_text(km_json_member(object, "repository"));
    if (!repository || strstr(repository, "://"))
        return false;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (km_json_member(object, others[i]))
            return true;
    return false;
}

/* "web.image" is called "web"; an image at the top keeps its key. */
static void name_of_path(const char *path, const char *key, char out[MAX_TEXT_BYTES])
{
    (void)snprintf(out, MAX_TEXT_BYTES, "%s", path);
    size_t length = strlen(out), tail = strlen(".image");
    if (strcmp(key, "image") == 0 && length > tail)
        out[length - tail] = '\0';
}

/* Takes what names an image; *out_taken is false for what must be walked further. */
static enum km_code take_helm_image(struct km_imagelist *list, const struct walk *walk, const char *key,
                                    const struct km_json *value, bool *out_taken, struct km_err *err)
{
    char name[MAX_TEXT_BYTES];
    bool exact = strcmp(key, "image") == 0, is_mapping = km_json_type(value) == KM_JSON_OBJECT;
    name_of_path(walk->path, key, name);
    *out_taken = true;
    if (exact && km_json_text(value))
        return *km_json_text(value) ? add_reference(list, name, km_json_text(value), err)
                                    : add_error(list, name, "names no image", err);
    bool within_image = exact || strncmp(walk->path, "image.", 6) == 0 || strstr(walk->path, ".image.");
    if (is_mapping && ((within_image && km_json_member(value, "repository")) || has_image_parts(value)))
        return add_parts(list, name, value, err);
    if (is_mapping && exact && !has_mapping(value))
        return add_error(list, name, "names no repository", err);
    *out_taken = false;
    return KM_OK;
}

static enum km_code read_helm(struct km_imagelist *list, const struct km_json *document, struct km_err *err)
{
    struct walk walk = {0};
    const char *key = "";
    const struct km_json *value = NULL;
    enum km_code code = KM_OK;
    enter(&walk, document);
    while (code == KM_OK && (value = step(&walk, &key))) {
        bool taken = false;
        code = take_helm_image(list, &walk, key, value, &taken, err);
        if (!taken)
            enter(&walk, value);
    }
    return code;
}

/* ---- Kubernetes ---- */

static bool is_container_list(const char *key, const struct km_json *value)
{
    return km_json_type(value) == KM_JSON_ARRAY &&
           (strcmp(key, "containers") == 0 || strcmp(key, "initContainers") == 0 ||
            strcmp(key, "ephemeralContainers") == 0);
}

static enum km_code add_containers(struct km_imagelist *list, const char *owner, const struct km_json *containers,
                                   struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < km_json_size(containers); i++) {
        const struct km_json *container = km_json_at(containers, i);
        char name[MAX_TEXT_BYTES];
        (void)snprintf(name, sizeof name, "%.600s/%.200s", owner, km_json_string(container, "name", "?"));
        const char *image = km_json_text(km_json_member(container, "image"));
        code = image && *image ? add_reference(list, name, image, err) : add_error(list, name, "names no image", err);
    }
    return code;
}

static void name_owner(const struct km_json *object, char out[MAX_TEXT_BYTES])
{
    (void)snprintf(out, MAX_TEXT_BYTES, "%.200s/%.300s", km_json_string(object, "kind", "?"),
                   km_json_string(object, "metadata.name", "?"));
}

static bool is_kubernetes(const struct km_json *document)
{
    return km_json_text(km_json_member(document, "apiVersion")) && km_json_text(km_json_member(document, "kind"));
}

static enum km_code read_kubernetes(struct km_imagelist *list, const struct km_json *document, struct km_err *err)
{
    struct walk walk = {0};
    char owner[MAX_TEXT_BYTES];
    const char *key = "";
    const struct km_json *value = NULL;
    enum km_code code = KM_OK;
    name_owner(document, owner);
    enter(&walk, document);
    while (code == KM_OK && (value = step(&walk, &key))) {
        if (is_kubernetes(value)) /* an item of a List */
            name_owner(value, owner);
        bool taken = is_container_list(key, value);
        if (taken)
            code = add_containers(list, owner, value, err);
        else
            code = take_helm_image(list, &walk, key, value, &taken, err);
        if (!taken)
            enter(&walk, value);
    }
    return code;
}

/* ---- The whole ---- */

static enum km_code read_document(struct km_imagelist *list, const struct km_json *document, struct km_err *err)
{
    if (is_kubernetes(document))
        return read_kubernetes(list, document, err);
    if (km_json_member(document, "services"))
        return read_compose(list, document, err);
    return read_helm(list, document, err);
}

static enum km_code read_stream(struct km_imagelist *list, struct km_yaml *yaml, struct km_err *err)
{
    for (;;) {
        struct km_json *document KM_CLEANUP(km_json_cleanup) = NULL;
        enum km_code code = km_yaml_next(yaml, &document, err);
        if (code != KM_OK || !document)
            return code;
        code = read_document(list, document, err);
        if (code != KM_OK)
            return code;
    }
}

struct km_imagelist *km_imagelist_parse(const char *text, size_t length, struct km_err *err)
{
    struct km_imagelist *list KM_CLEANUP(km_imagelist_cleanup) = km_calloc(1, sizeof *list, SIZE_MAX, err);
    if (!list)
        return NULL;
    list->memory = km_arena_new(MAX_MEMORY_BYTES, err);
    struct km_yaml *yaml KM_CLEANUP(km_yaml_cleanup) =
        list->memory ? km_yaml_open(text, length, KM_IMAGELIST_MAX_BYTES, err) : NULL;
    if (!yaml || read_stream(list, yaml, err) != KM_OK)
        return NULL;
    if (list->count == 0) {
        km_fail(err, KM_FORMAT, "names no image: neither a compose file, nor Helm values, nor Kubernetes manifests");
        return NULL;
    }
    return km_steal(list);
}

void km_imagelist_free(struct km_imagelist *list)
{
    if (!list)
        return;
    km_arena_free(list->memory);
    free(list->rows);
    free(list);
}

size_t km_imagelist_count(const struct km_imagelist *list)
{
    return list->count;
}

const struct km_imagelist_row *km_imagelist_row(const struct km_imagelist *list, size_t i)
{
    KM_ASSERT(i < list->count);
    return &list->rows[i];
}
