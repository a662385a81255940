#include "container/source/blobindex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_NAME_BYTES 4096

/* Some writers put "./" in front of member names, and manifests leave it out. */
static const char *plain(const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    return name;
}

static const char *blob_name(const struct km_layout *layout, uint32_t blob)
{
    return plain(layout->blobs[blob].info.name);
}

static int ascending(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_names(const void *a, const void *b, void *context)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = strcmp(blob_name(context, left), blob_name(context, right));
    return order ? order : ascending(left, right);
}

static int compare_digests(const void *a, const void *b, void *context)
{
    const struct km_layout *layout = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order =
        memcmp(layout->blobs[left].info.stored_sha256, layout->blobs[right].info.stored_sha256, KM_SHA256_BYTES);
    return order ? order : ascending(left, right);
}

static int compare_aliases(const void *a, const void *b, void *context)
{
    const struct km_layout *layout = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = strcmp(plain(layout->aliases[left].name), plain(layout->aliases[right].name));
    return order ? order : ascending(left, right);
}

enum km_code km_blobindex_init(struct km_blobindex *index, const struct km_layout *layout, struct km_err *err)
{
    *index = (struct km_blobindex){.layout = layout};
    index->by_name = km_calloc(layout->blob_count, sizeof *index->by_name, SIZE_MAX, err);
    index->by_digest = index->by_name ? km_calloc(layout->blob_count, sizeof *index->by_digest, SIZE_MAX, err) : NULL;
    index->alias_by_name =
        index->by_digest ? km_calloc(layout->alias_count, sizeof *index->alias_by_name, SIZE_MAX, err) : NULL;
    if (!index->alias_by_name) {
        km_blobindex_done(index);
        return err->code;
    }
    for (uint32_t i = 0; i < layout->blob_count; i++) {
        index->by_name[i] = i;
        if (layout->blobs[i].info.complete)
            index->by_digest[index->digest_count++] = i;
    }
    for (uint32_t i = 0; i < layout->alias_count; i++)
        index->alias_by_name[i] = i;
    void *context = (void *)(uintptr_t)layout;
    qsort_r(index->by_name, layout->blob_count, sizeof(uint32_t), compare_names, context);
    qsort_r(index->by_digest, index->digest_count, sizeof(uint32_t), compare_digests, context);
    qsort_r(index->alias_by_name, layout->alias_count, sizeof(uint32_t), compare_aliases, context);
    return KM_OK;
}

void km_blobindex_done(struct km_blobindex *index)
{
    free(index->by_name);
    free(index->by_digest);
    free(index->alias_by_name);
    *index = (struct km_blobindex){0};
}

static uint32_t find_blob(const struct km_blobindex *index, const char *name)
{
    size_t low = 0, high = index->layout->blob_count; /* behind the last name <= `name` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(blob_name(index->layout, index->by_name[middle]), name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || strcmp(blob_name(index->layout, index->by_name[low - 1]), name) != 0)
        return KM_LAYOUT_NONE;
    return index->by_name[low - 1];
}

static const struct km_layout_alias *find_alias(const struct km_blobindex *index, const char *name)
{
    size_t low = 0, high = index->layout->alias_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(plain(index->layout->aliases[index->alias_by_name[middle]].name), name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const struct km_layout_alias *alias = &index->layout->aliases[index->alias_by_name[low - 1]];
    return strcmp(plain(alias->name), name) == 0 ? alias : NULL;
}

/* Appends the components of `path` to the directory in out, going up for "..". false when it does not fit or climbs
 * out of the archive. */
static bool append_components(char *out, const char *path)
{
    size_t length = strlen(out);
    while (*path) {
        size_t part = strcspn(path, "/");
        if (part == 2 && memcmp(path, "..", 2) == 0) {
            if (length == 0)
                return false;
            while (length > 0 && out[length - 1] != '/')
                length--;
            length -= length > 0;
        } else if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (length + part + 2 > MAX_NAME_BYTES)
                return false;
            if (length > 0)
                out[length++] = '/';
            memcpy(out + length, path, part);
            length += part;
        }
        out[length] = '\0';
        path += part;
        path += *path == '/';
    }
    return true;
}

/* A symbolic link's target counts from the link's own directory, a hard link's from the archive's root. */
static bool follow(const struct km_blobindex *index, const struct km_layout_alias *alias, char *out)
{
    out[0] = '\0';
    if (append_components(out, alias->target) && (find_blob(index, out) != KM_LAYOUT_NONE || find_alias(index, out)))
        return true;
    const char *name = plain(alias->name);
    const char *slash = strrchr(name, '/');
    size_t directory = slash ? (size_t)(slash - name) : 0;
    if (directory >= MAX_NAME_BYTES)
        return false;
    memcpy(out, name, directory);
    out[directory] = '\0';
    return append_components(out, alias->target);
}

uint32_t km_blobindex_find_name(const struct km_blobindex *index, const char *name)
{
    char current[MAX_NAME_BYTES], next[MAX_NAME_BYTES];
    current[0] = '\0';
    if (!append_components(current, name))
        return KM_LAYOUT_NONE;
    for (unsigned links = 0; links <= KM_BLOBINDEX_MAX_LINKS; links++) {
        uint32_t blob = find_blob(index, current);
        if (blob != KM_LAYOUT_NONE)
            return blob;
        const struct km_layout_alias *alias = find_alias(index, current);
        if (!alias || !follow(index, alias, next))
            return KM_LAYOUT_NONE;
        memcpy(current, next, strlen(next) + 1);
    }
    return KM_LAYOUT_NONE;
}

bool km_blobindex_parse_digest(const char *text, uint8_t out_sha256[KM_SHA256_BYTES])
{
    static const char prefix[] = "sha256:";
    size_t skip = sizeof prefix - 1;
    struct km_err ignored;
    return strncmp(text, prefix, skip) == 0 && strlen(text + skip) == 2 * (size_t)KM_SHA256_BYTES &&
           km_hex_parse(text + skip, KM_SHA256_BYTES, out_sha256, &ignored) == KM_OK;
}

static uint32_t find_content(const struct km_blobindex *index, const uint8_t *sha256)
{
    size_t low = 0, high = index->digest_count; /* the first digest >= `sha256` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct km_blob *blob = &index->layout->blobs[index->by_digest[middle]].info;
        if (memcmp(blob->stored_sha256, sha256, KM_SHA256_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == index->digest_count)
        return KM_LAYOUT_NONE;
    uint32_t found = index->by_digest[low];
    return memcmp(index->layout->blobs[found].info.stored_sha256, sha256, KM_SHA256_BYTES) == 0 ? found
                                                                                                : KM_LAYOUT_NONE;
}

uint32_t km_blobindex_find_digest(const struct km_blobindex *index, const char *digest)
{
    const char *colon = strchr(digest, ':');
    char name[256];
    if (!colon || strchr(digest, '/') || strchr(digest, '.') ||
        snprintf(name, sizeof name, "blobs/%.*s/%s", (int)(colon - digest), digest, colon + 1) >= (int)sizeof name)
        return KM_LAYOUT_NONE;
    uint32_t named = km_blobindex_find_name(index, name);
    uint8_t sha256[KM_SHA256_BYTES];
    if (!km_blobindex_parse_digest(digest, sha256))
        return named;
    if (named != KM_LAYOUT_NONE && memcmp(index->layout->blobs[named].info.stored_sha256, sha256, KM_SHA256_BYTES) == 0)
        return named;
    uint32_t content = find_content(index, sha256);
    return content != KM_LAYOUT_NONE ? content : named;
}
