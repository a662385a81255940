/*
 * Documents into images. An OCI index is read first, then docker's manifest.json, whose images are mostly the same
 * (docker 25 and later write both): an image is known by its config and its layers. Every document, name and number
 * here is an enemy's: work is limited by counts and by bytes parsed, never by what a document promises.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "container/source/imageset.h"

#define MAX_INDEX_DEPTH 4
#define MAX_PENDING     ((size_t)8192)

struct pending {
    uint32_t blob;
    unsigned depth;
    const char *name, *platform; /* in reader->texts */
};

struct reader {
    struct km_imageset set;
    struct km_arena *texts; /* of what is pending */
    struct pending *pending;
    size_t pending_count, pending_capacity;
    bool found_manifest;
};

/* ---- docker-archive ---- */

/* The blob that a manifest.json names; KM_LAYOUT_NONE after reporting that it is missing. */
static enum km_code find_named(struct reader *reader, const char *name, const char *detail, uint32_t *out_blob,
                               struct km_err *err)
{
    *out_blob = name ? km_blobindex_find_name(&reader->set.index, name) : KM_LAYOUT_NONE;
    if (*out_blob == KM_LAYOUT_NONE)
        return km_imageset_report_missing(&reader->set, name ? name : "", -1, detail, err);
    reader->set.layout->blobs[*out_blob].referenced = true;
    return KM_OK;
}

static enum km_code read_docker_image(struct reader *reader, const struct km_json *item, struct km_err *err)
{
    struct km_draft *draft = reader->set.draft;
    km_imageset_begin(&reader->set);
    draft->name = km_json_string(item, "RepoTags.0", NULL);
    draft->tagged_by_docker = true;
    enum km_code code = find_named(reader, km_json_string(item, "Config", NULL), "the config of an image is missing",
                                   &draft->config, err);
    draft->manifest = draft->config;
    const struct km_json *layers = km_json_member(item, "Layers");
    for (size_t i = 0; code == KM_OK && i < km_json_size(layers); i++) {
        uint32_t blob = KM_LAYOUT_NONE;
        draft->positions++;
        code = km_imageset_count_descriptor(&reader->set, err);
        if (code == KM_OK)
            code = find_named(reader, km_json_text(km_json_at(layers, i)), "a layer is missing", &blob, err);
        if (code == KM_OK && blob != KM_LAYOUT_NONE)
            code = km_imageset_check_kind(&reader->set, blob, KM_LAYER_FILE_SYSTEM, err);
        if (code == KM_OK)
            code = km_imageset_add_layer(draft, blob, err);
    }
    return code == KM_OK ? km_imageset_add(&reader->set, err) : code;
}

static enum km_code read_docker(struct reader *reader, struct km_err *err)
{
    uint32_t blob = km_blobindex_find_name(&reader->set.index, "manifest.json");
    if (blob == KM_LAYOUT_NONE)
        return KM_OK;
    reader->set.layout->blobs[blob].referenced = true;
    struct km_json *json KM_CLEANUP(km_json_cleanup) = NULL;
    enum km_code code = km_imageset_load(&reader->set, blob, &json, err);
    if (code != KM_OK || !json)
        return code;
    if (km_json_type(json) != KM_JSON_ARRAY)
        return km_imageset_report_blob(&reader->set, KM_GAP_DAMAGED, blob, "is not a list of images", err);
    reader->found_manifest = true;
    for (size_t i = 0; code == KM_OK && !reader->set.full && i < km_json_size(json); i++)
        code = km_imageset_stop_at_limit(&reader->set, read_docker_image(reader, km_json_at(json, i), err), err);
    return code;
}

/* ---- OCI ---- */

static enum km_layer_media media_of(const struct km_json *descriptor)
{
    const char *type = km_json_string(descriptor, "mediaType", NULL);
    if (type && strstr(type, "+encrypted"))
        return KM_LAYER_ENCRYPTED;
    return !type || strstr(type, ".tar") ? KM_LAYER_FILE_SYSTEM : KM_LAYER_OTHER;
}

static enum km_code read_oci_layer(struct reader *reader, const struct km_json *descriptor, struct km_err *err)
{
    struct km_draft *draft = reader->set.draft;
    const char *digest = km_json_string(descriptor, "digest", "");
    enum km_layer_media media = media_of(descriptor);
    uint32_t blob = km_blobindex_find_digest(&reader->set.index, digest);
    draft->positions++;
    enum km_code code = km_imageset_count_descriptor(&reader->set, err);
    if (code != KM_OK)
        return code;
    if (blob == KM_LAYOUT_NONE) {
        code = km_imageset_report_missing(&reader->set, digest, km_json_integer(descriptor, "size", -1),
                                          "a layer is missing", err);
    } else {
        reader->set.layout->blobs[blob].referenced = true;
        code = km_imageset_check_size(&reader->set, descriptor, blob, err);
        if (code == KM_OK)
            code = km_imageset_check_kind(&reader->set, blob, media, err);
    }
    bool is_tree = blob != KM_LAYOUT_NONE && reader->set.layout->blobs[blob].info.kind == KM_BLOB_TREE;
    bool is_layer = is_tree || media != KM_LAYER_OTHER;
    return code == KM_OK && is_layer ? km_imageset_add_layer(draft, blob, err) : code;
}

static enum km_code read_oci_config(struct reader *reader, const struct km_json *descriptor, struct km_err *err)
{
    const char *digest = km_json_string(descriptor, "digest", "");
    uint32_t blob = km_blobindex_find_digest(&reader->set.index, digest);
    if (blob == KM_LAYOUT_NONE)
        return km_imageset_report_missing(&reader->set, digest, km_json_integer(descriptor, "size", -1),
                                          "the config of an image is missing", err);
    reader->set.layout->blobs[blob].referenced = true;
    reader->set.draft->config = blob;
    return km_imageset_check_size(&reader->set, descriptor, blob, err);
}

/* A manifest all of whose layers are something else than file systems (an attestation, a signature) is no image. */
static enum km_code read_oci_manifest(struct reader *reader, const struct pending *item, const struct km_json *json,
                                      struct km_err *err)
{
    struct km_draft *draft = reader->set.draft;
    km_imageset_begin(&reader->set);
    draft->name = item->name;
    draft->platform = item->platform;
    draft->manifest = item->blob;
    enum km_code code = read_oci_config(reader, km_json_member(json, "config"), err);
    const struct km_json *layers = km_json_member(json, "layers");
    for (size_t i = 0; code == KM_OK && i < km_json_size(layers); i++)
        code = read_oci_layer(reader, km_json_at(layers, i), err);
    if (code != KM_OK || (draft->layer_count == 0 && draft->positions > 0))
        return code;
    return km_imageset_add(&reader->set, err);
}

static bool is_attestation(const struct km_json *descriptor)
{
    const char *type =
        km_json_text(km_json_member(km_json_member(descriptor, "annotations"), "vnd.docker.reference.type"));
    return type && strcmp(type, "attestation-manifest") == 0;
}

/* The name that an index gives an image: containerd's is whole, OCI's own often the tag alone. */
static const char *name_of(const struct km_json *descriptor, const char *inherited)
{
    const struct km_json *annotations = km_json_member(descriptor, "annotations");
    const char *name = km_json_text(km_json_member(annotations, "io.containerd.image.name"));
    if (!name)
        name = km_json_text(km_json_member(annotations, "org.opencontainers.image.ref.name"));
    return name ? name : inherited;
}

static enum km_code push(struct reader *reader, const struct km_json *descriptor, const struct pending *parent,
                         struct km_err *err)
{
    struct km_layout *layout = reader->set.layout;
    uint32_t blob = km_blobindex_find_digest(&reader->set.index, km_json_string(descriptor, "digest", ""));
    if (blob == KM_LAYOUT_NONE)
        return KM_OK;
    layout->blobs[blob].referenced = true;
    struct pending item = {.blob = blob, .depth = parent->depth + 1};
    const char *name = name_of(descriptor, parent->name);
    const char *os = km_json_string(descriptor, "platform.os", NULL);
    const char *architecture = km_json_string(descriptor, "platform.architecture", NULL);
    char platform[192] = "";
    if (os && architecture)
        (void)snprintf(platform, sizeof platform, "%.64s/%.64s", os, architecture);
    if (name)
        item.name = km_arena_strndup(reader->texts, name, strnlen(name, KM_IMAGESET_MAX_TEXT_BYTES), err);
    if (platform[0] && (item.name || !name))
        item.platform = km_arena_strndup(reader->texts, platform, strlen(platform), err);
    if ((name && !item.name) || (platform[0] && !item.platform))
        return err->code;
    void *pending = reader->pending;
    enum km_code code = km_grow(&pending, &reader->pending_capacity, reader->pending_count + 1, sizeof *reader->pending,
                                MAX_PENDING, err);
    reader->pending = pending;
    if (code != KM_OK)
        return code;
    reader->pending[reader->pending_count++] = item;
    return km_imageset_check_size(&reader->set, descriptor, blob, err);
}

/* An engine exports the index of a multi-platform image whole and the platforms that it has: the others are not part of
 * the source, and neither are their attestations. When no platform is there, something is missing. */
static enum km_code report_missing_manifests(struct reader *reader, const struct km_json *manifests, unsigned depth,
                                             struct km_err *err)
{
    bool any_present = false;
    for (size_t i = 0; !any_present && i < km_json_size(manifests); i++) {
        const struct km_json *descriptor = km_json_at(manifests, i);
        any_present =
            !is_attestation(descriptor) &&
            km_blobindex_find_digest(&reader->set.index, km_json_string(descriptor, "digest", "")) != KM_LAYOUT_NONE;
    }
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < km_json_size(manifests); i++) {
        const struct km_json *descriptor = km_json_at(manifests, i);
        const char *digest = km_json_string(descriptor, "digest", "");
        bool other_platform = depth > 0 && any_present && km_json_find(descriptor, "platform.architecture");
        if (other_platform || is_attestation(descriptor) ||
            km_blobindex_find_digest(&reader->set.index, digest) != KM_LAYOUT_NONE)
            continue;
        code = km_imageset_report_missing(&reader->set, digest, km_json_integer(descriptor, "size", -1),
                                          "a manifest is missing", err);
    }
    return code;
}

/* Pushed last to first, so that they are read first to last. */
static enum km_code read_index(struct reader *reader, const struct pending *item, const struct km_json *json,
                               struct km_err *err)
{
    const struct km_json *manifests = km_json_member(json, "manifests");
    if (item->depth == MAX_INDEX_DEPTH)
        return km_imageset_report_blob(&reader->set, KM_GAP_LIMIT, item->blob, "indexes within indexes, too deep", err);
    enum km_code code = KM_OK;
    for (size_t i = km_json_size(manifests); code == KM_OK && i-- > 0;)
        code = km_imageset_count_descriptor(&reader->set, err);
    if (code == KM_OK)
        code = report_missing_manifests(reader, manifests, item->depth, err);
    for (size_t i = km_json_size(manifests); code == KM_OK && i-- > 0;)
        code = push(reader, km_json_at(manifests, i), item, err);
    return code;
}

static enum km_code read_pending(struct reader *reader, const struct pending *item, struct km_err *err)
{
    struct km_layout_blob *record = &reader->set.layout->blobs[item->blob];
    if (record->visited)
        return KM_OK;
    record->visited = true;
    struct km_json *json KM_CLEANUP(km_json_cleanup) = NULL;
    enum km_code code = km_imageset_load(&reader->set, item->blob, &json, err);
    if (code != KM_OK || !json)
        return code;
    /* By content: media types may be left out, and a wrong one must not hide an image. */
    if (km_json_type(km_json_member(json, "manifests")) == KM_JSON_ARRAY) {
        reader->found_manifest = true;
        return read_index(reader, item, json, err);
    }
    if (km_json_type(km_json_member(json, "layers")) == KM_JSON_ARRAY) {
        reader->found_manifest = true;
        return read_oci_manifest(reader, item, json, err);
    }
    if (km_json_member(json, "fsLayers"))
        return km_imageset_report_blob(&reader->set, KM_GAP_UNSUPPORTED, item->blob, "a manifest of schema 1", err);
    return km_imageset_report_blob(&reader->set, KM_GAP_DAMAGED, item->blob, "is neither an index nor a manifest", err);
}

static enum km_code read_oci(struct reader *reader, struct km_err *err)
{
    uint32_t blob = km_blobindex_find_name(&reader->set.index, "index.json");
    if (blob == KM_LAYOUT_NONE)
        return KM_OK;
    reader->set.layout->blobs[blob].referenced = true;
    const struct pending root = {.blob = blob};
    enum km_code code = km_imageset_stop_at_limit(&reader->set, read_pending(reader, &root, err), err);
    while (code == KM_OK && !reader->set.full && reader->pending_count > 0) {
        struct pending item = reader->pending[--reader->pending_count];
        code = km_imageset_stop_at_limit(&reader->set, read_pending(reader, &item, err), err);
    }
    return code;
}

/* ---- What does not fit ---- */

static bool is_legacy_file(const char *name, const struct km_blob *info)
{
    uint8_t id[KM_SHA256_BYTES];
    struct km_err ignored;
    size_t digits = 2 * (size_t)KM_SHA256_BYTES;
    if (strlen(name) < digits || km_hex_parse(name, KM_SHA256_BYTES, id, &ignored) != KM_OK)
        return false;
    if (strcmp(name + digits, "/json") == 0)
        return info->kind == KM_BLOB_DOCUMENT;
    return strcmp(name + digits, "/VERSION") == 0 && info->kind != KM_BLOB_TREE && info->stored_bytes <= 16;
}

/* Documents that the formats define and that no manifest names. */
static bool is_part_of_format(const struct reader *reader, uint32_t blob)
{
    const struct km_blob *info = &reader->set.layout->blobs[blob].info;
    const char *name = info->name;
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    if (is_legacy_file(name, info))
        return true;
    bool named = strcmp(name, "repositories") == 0 || strcmp(name, "oci-layout") == 0;
    return named && info->kind == KM_BLOB_DOCUMENT && km_blobindex_find_name(&reader->set.index, name) == blob;
}

static enum km_code check_blob_name(struct reader *reader, uint32_t blob, struct km_err *err)
{
    const struct km_blob *info = &reader->set.layout->blobs[blob].info;
    static const char folder[] = "sha256/";
    size_t expected = strlen(folder) + 2 * (size_t)KM_SHA256_BYTES, length = strlen(info->name);
    uint8_t sha256[KM_SHA256_BYTES];
    struct km_err ignored;
    if (!info->complete || length < expected)
        return KM_OK;
    const char *tail = info->name + length - expected;
    bool in_folder = tail == info->name || tail[-1] == '/';
    if (!in_folder || strncmp(tail, folder, strlen(folder)) != 0 ||
        km_hex_parse(tail + strlen(folder), KM_SHA256_BYTES, sha256, &ignored) != KM_OK ||
        memcmp(sha256, info->stored_sha256, KM_SHA256_BYTES) == 0)
        return KM_OK;
    return km_imageset_report_blob(&reader->set, KM_GAP_MISMATCH, blob, "its content has another digest than its name",
                                   err);
}

static enum km_code check_blobs(struct reader *reader, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (uint32_t blob = 0; code == KM_OK && blob < reader->set.layout->blob_count; blob++) {
        code = check_blob_name(reader, blob, err);
        if (code == KM_OK && !reader->set.layout->blobs[blob].referenced && !is_part_of_format(reader, blob))
            code = km_imageset_report_blob(&reader->set, KM_GAP_UNREFERENCED, blob, "no manifest names it", err);
    }
    return code;
}

static enum km_code read_all(struct reader *reader, struct km_err *err)
{
    reader->texts = km_arena_new(MAX_PENDING * KM_IMAGESET_MAX_TEXT_BYTES, err);
    if (!reader->texts)
        return err->code;
    enum km_code code = read_oci(reader, err);
    if (code == KM_OK)
        code = read_docker(reader, err);
    if (code == KM_OK)
        code = check_blobs(reader, err);
    if (code == KM_OK && !reader->found_manifest)
        code = km_fail(err, KM_FORMAT, "no readable manifest: neither manifest.json nor index.json describes images");
    return code;
}

enum km_code km_manifest_read(struct km_layout *layout, const struct km_entry_sink *sink, struct km_err *err)
{
    struct reader reader = {0};
    enum km_code code = km_imageset_init(&reader.set, layout, sink, err);
    if (code != KM_OK)
        return code;
    code = read_all(&reader, err);
    free(reader.pending);
    km_arena_free(reader.texts);
    km_imageset_done(&reader.set);
    return code;
}
