#include "cli/scan_targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "container/source/engine.h"
#include "container/source/imagelist.h"
#include "container/source/registry.h"
#include "container/source/stream.h"

#define MAX_ITEMS 100000

struct km_scan_access km_scan_access_read(const struct km_options *options, const struct km_cancel *cancel)
{
    struct km_scan_access access = {
        .socket = km_options_text(options, "socket"),
        .platform = km_options_text(options, "platform"),
        .authfile = km_options_text(options, "authfile"),
        .tls_verify = km_options_flag(options, "tls-verify"),
        .limits = KM_SOURCE_LIMITS_INIT,
        .cancel = cancel,
    };
    access.limits.nested_depth = (unsigned)km_options_integer(options, "depth");
    return access;
}

void km_scan_items_done(struct km_scan_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->items[i].name);
        free(items->items[i].spec);
    }
    free(items->items);
}

/* spec NULL: problem says why. */
static enum km_code add_item(struct km_scan_items *items, const char *name, const char *spec,
                             const struct km_err *problem, struct km_err *err)
{
    void *list = items->items;
    enum km_code code = km_grow(&list, &items->capacity, items->count + 1, sizeof *items->items, MAX_ITEMS, err);
    items->items = list;
    if (code != KM_OK)
        return code;
    struct km_scan_item item = {.name = km_strndup(name, strlen(name), err)};
    if (item.name && spec)
        item.spec = km_strndup(spec, strlen(spec), err);
    if (!item.name || (spec && !item.spec)) {
        free(item.name);
        return err->code;
    }
    if (problem)
        item.problem = *problem;
    items->items[items->count++] = item;
    return KM_OK;
}

static bool has_ending(const char *text, const char *ending)
{
    size_t length = strlen(text), wanted = strlen(ending);
    return length > wanted && strcmp(text + length - wanted, ending) == 0;
}

static enum km_code add_rows(struct km_scan_items *items, const char *target, const struct km_imagelist *list,
                             struct km_err *err)
{
    for (size_t i = 0; i < km_imagelist_count(list); i++) {
        const struct km_imagelist_row *row = km_imagelist_row(list, i);
        char name[2048], spec[2048] = "";
        struct km_err problem = KM_ERR_INIT;
        snprintf(name, sizeof name, "%s: %s", target, row->name);
        if (row->reference && snprintf(spec, sizeof spec, "registry:%s", row->reference) < (int)sizeof spec)
            snprintf(name, sizeof name, "%s: %s (%s)", target, row->name, row->reference);
        else
            km_fail(&problem, KM_FORMAT, "the reference is too long");
        if (row->error) /* escaped when it was made */
            snprintf(problem.text, sizeof problem.text, "%s", row->error);
        if (add_item(items, name, *spec ? spec : NULL, &problem, err) != KM_OK)
            return err->code;
    }
    return KM_OK;
}

/* A file called *.yaml or *.yml is a list of images, for archives are not called that. */
static enum km_code add_list(struct km_scan_items *items, const char *target, struct km_err *err)
{
    struct km_err problem = KM_ERR_INIT;
    struct km_buf text;
    km_buf_init(&text, KM_IMAGELIST_MAX_BYTES);
    items->from_list = true;
    struct km_imagelist *list KM_CLEANUP(km_imagelist_cleanup) = NULL;
    if (km_buf_append_file(&text, target, &problem) == KM_OK)
        list = km_imagelist_parse(km_buf_text(&text), text.length, &problem);
    enum km_code code = list ? add_rows(items, target, list, err) : add_item(items, target, NULL, &problem, err);
    km_buf_done(&text);
    return code;
}

enum km_code km_scan_items_add(struct km_scan_items *items, const char *target, struct km_err *err)
{
    struct stat status;
    bool file = stat(target, &status) == 0 && S_ISREG(status.st_mode);
    if (file && (has_ending(target, ".yaml") || has_ending(target, ".yml")))
        return add_list(items, target, err);
    return add_item(items, target, target, NULL, err);
}

/* What stands behind "scheme:", or NULL. */
static const char *behind(const char *spec, const char *scheme)
{
    size_t length = strlen(scheme);
    return strncmp(spec, scheme, length) == 0 ? spec + length : NULL;
}

static enum km_code open_engine(enum km_engine engine, const char *target, const char *spec,
                                const struct km_scan_access *access, struct km_source **out, struct km_err *err)
{
    const struct km_engine_request request = {
        .engine = engine, .target = target, .socket = access->socket, .cancel = access->cancel};
    struct km_stream *stream = NULL;
    bool container = false;
    enum km_code code = km_engine_open(&request, &stream, &container, err);
    if (code != KM_OK)
        return code;
    return km_source_open_stream(stream, container ? KM_SOURCE_TAR : KM_SOURCE_IMAGES, spec, &access->limits, out, err);
}

static enum km_code open_registry(const char *reference, const char *spec, const struct km_scan_access *access,
                                  struct km_source **out, struct km_err *err)
{
    const struct km_registry_request request = {.reference = reference,
                                                .platform = access->platform,
                                                .auth_file = access->authfile,
                                                .no_tls = !access->tls_verify,
                                                .cancel = access->cancel};
    struct km_stream *stream = NULL;
    enum km_code code = km_registry_open(&request, &stream, err);
    return code == KM_OK ? km_source_open_stream(stream, KM_SOURCE_IMAGES, spec, &access->limits, out, err) : code;
}

enum km_code km_scan_target_open(const char *spec, const struct km_scan_access *access, struct km_source **out,
                                 struct km_err *err)
{
    const char *rest;
    if ((rest = behind(spec, "docker:")) != NULL)
        return open_engine(KM_ENGINE_DOCKER, rest, spec, access, out, err);
    if ((rest = behind(spec, "podman:")) != NULL)
        return open_engine(KM_ENGINE_PODMAN, rest, spec, access, out, err);
    if ((rest = behind(spec, "registry:")) != NULL)
        return open_registry(rest, spec, access, out, err);
    return km_source_open(spec, &access->limits, out, err);
}
