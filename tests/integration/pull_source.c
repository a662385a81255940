/*
 * Test program: pulls a source and says what came.
 *     pull_source hash|list docker|podman SOCKET TARGET
 *     pull_source hash|list registry REFERENCE
 * hash prints "image|container BYTES SHA256"; list reads it as a source and prints what its layout says. Errors go to
 * standard error as "CODE: text", exit status 1.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "container/source/engine.h"
#include "container/source/layout.h"
#include "container/source/registry.h"
#include "container/source/source.h"
#include "container/source/stream.h"

static enum km_code open_stream(int argc, char **argv, struct km_stream **out, bool *out_is_container,
                                struct km_err *err)
{
    if (argc == 5) {
        const struct km_engine_request request = {
            .engine = strcmp(argv[2], "podman") == 0 ? KM_ENGINE_PODMAN : KM_ENGINE_DOCKER,
            .socket = argv[3],
            .target = argv[4],
            .first_byte_timeout_ms = 10000,
            .stall_timeout_ms = 2000,
        };
        return km_engine_open(&request, out, out_is_container, err);
    }
    const struct km_registry_request request = {.reference = argv[3], .no_tls = true, .time_limit_ms = 60000};
    return km_registry_open(&request, out, err);
}

static enum km_code print_hash(struct km_stream *stream, bool is_container, struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    uint64_t bytes = 0;
    enum km_code code = KM_OK;
    for (size_t length = 1; code == KM_OK && length > 0;) {
        const uint8_t *block = NULL;
        code = km_stream_next(stream, UINT64_MAX, &block, &length, err);
        if (code == KM_OK) {
            km_digest_update(digest, block, length);
            bytes += length;
        }
    }
    uint8_t sha256[KM_SHA256_BYTES];
    char hex[KM_SHA256_HEX_BYTES];
    km_digest_finish(digest, sha256);
    km_digest_free(digest);
    km_hex_format(sha256, sizeof sha256, hex);
    if (code == KM_OK)
        printf("%s %" PRIu64 " %s\n", is_container ? "container" : "image", bytes, hex);
    return code;
}

static enum km_code ignore_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    (void)context;
    (void)entry;
    (void)out_state;
    (void)err;
    return KM_OK;
}

static enum km_code ignore_data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                                struct km_err *err)
{
    (void)context;
    (void)state;
    (void)offset;
    (void)bytes;
    (void)length;
    (void)err;
    return KM_OK;
}

static enum km_code ignore_end(void *context, void *state, bool complete, struct km_err *err)
{
    (void)context;
    (void)state;
    (void)complete;
    (void)err;
    return KM_OK;
}

static enum km_code print_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context;
    (void)err;
    printf("gap %s %s %s\n", km_gap_reason_to_string(gap->reason), gap->where, gap->detail ? gap->detail : "");
    return KM_OK;
}

static void print_layout(const struct km_layout *layout)
{
    for (size_t i = 0; i < km_layout_image_count(layout); i++) {
        const struct km_image *image = km_layout_image(layout, i);
        printf("image %s layers %zu\n", image->name ? image->name : "-", image->layer_count);
    }
    for (uint32_t id = 0; id < km_layout_entry_count(layout); id++) {
        struct km_place place = km_layout_place(layout, id);
        if (place.type == KM_ENTRY_FILE)
            printf("file %s layer %d%s%s\n", place.path, (int)place.layer_index, place.deleted_by ? " deleted" : "",
                   place.replaced_by ? " replaced" : "");
    }
}

static enum km_code print_list(struct km_stream *stream, bool is_container, struct km_err *err)
{
    const struct km_entry_sink sink = {.begin = ignore_begin, .data = ignore_data, .end = ignore_end, .gap = print_gap};
    struct km_source *source = NULL;
    enum km_code code =
        km_source_open_stream(stream, is_container ? KM_SOURCE_TAR : KM_SOURCE_IMAGES, "target", NULL, &source, err);
    if (code != KM_OK)
        return code;
    code = km_source_run(source, &sink, NULL, err);
    if (code == KM_OK)
        print_layout(km_source_layout(source));
    km_source_close(source);
    return code;
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5)
        return 2;
    struct km_err err = KM_ERR_INIT;
    struct km_stream *stream = NULL;
    bool is_container = false;
    enum km_code code = open_stream(argc, argv, &stream, &is_container, &err);
    if (code == KM_OK && strcmp(argv[1], "list") == 0) {
        code = print_list(stream, is_container, &err);
    } else if (code == KM_OK) {
        code = print_hash(stream, is_container, &err);
        km_stream_close(stream);
    }
    if (code != KM_OK)
        fprintf(stderr, "%s: %s\n", km_code_to_string(code), err.text);
    return code != KM_OK;
}
