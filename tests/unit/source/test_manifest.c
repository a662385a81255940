#define KM_TEST_NAME "manifest"
#include "layouts.h"

static enum km_code resolve(struct fixture *f)
{
    return km_layout_resolve_images(f->layout, &f->sink, &f->err);
}

/* ---- docker-archive ---- */

static void docker_images_have_names_layers_and_history(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_blob(&f, "b/layer.tar", KM_BLOB_TREE, "B"); /* stored in another order than the manifest has */
    add_blob(&f, "a/layer.tar", KM_BLOB_TREE, "A");
    char config[1024];
    (void)snprintf(
        config, sizeof config,
        "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"rootfs\":{\"diff_ids\":[\"%s\",\"%s\"]},"
        "\"history\":[{\"created_by\":\"ADD base\"},{\"created_by\":\"ENV x\",\"empty_layer\":true},"
        "{\"created_by\":\"RUN y\"}]}",
        digest_of("raw-A"), digest_of("raw-B"));
    add_document(&f, "c.json", config);
    add_document(
        &f, "manifest.json",
        "[{\"Config\":\"c.json\",\"RepoTags\":[\"x:1\",\"x:2\"],\"Layers\":[\"a/layer.tar\",\"b/layer.tar\"]}]");
    add_document(&f, "repositories", "{}");
    add_document(&f, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/json", "{}");
    add_blob(&f, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/VERSION", KM_BLOB_OTHER, "1.0");
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 0);
    assert_int_equal(km_layout_image_count(f.layout), 1);
    const struct km_image *image = km_layout_image(f.layout, 0);
    assert_string_equal(image->name, "x:1");
    assert_string_equal(image->platform, "linux/arm64/v8");
    assert_string_equal(image->digest, digest_of(config));
    assert_int_equal(image->layer_count, 2);
    assert_int_equal(image->layers[0].blob, 1);
    assert_int_equal(image->layers[1].blob, 0);
    assert_string_equal(image->layers[0].diff_id, digest_of("raw-A"));
    assert_string_equal(image->layers[0].history, "ADD base");
    assert_string_equal(image->layers[1].history, "RUN y");
    fixture_done(&f);
}

static void a_history_that_does_not_add_up_is_not_used(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_blob(&f, "a.tar", KM_BLOB_TREE, "A");
    add_document(&f, "c.json", "{\"history\":[{\"created_by\":\"one\"},{\"created_by\":\"two\"}]}");
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\"]}]");
    assert_ok(resolve(&f), f.err);
    assert_null(km_layout_image(f.layout, 0)->layers[0].history);
    assert_null(km_layout_image(f.layout, 0)->name);
    assert_null(km_layout_image(f.layout, 0)->platform);
    fixture_done(&f);
}

static void links_lead_to_layers(void **state)
{
    (void)state;
    static const struct {
        const char *link, *target;
        bool found;
    } rows[] = {
        {"id/layer.tar", "../real.tar", true},     /* symbolic: from the link's directory */
        {"id/layer.tar", "real.tar", true},        /* hard: from the root */
        {"./id/layer.tar", "./../real.tar", true}, /* "./" in names means nothing */
        {"id/layer.tar", "../../real.tar", false}, /* climbs out */
        {"id/layer.tar", "/real.tar", true},       {"id/layer.tar", "layer.tar", false}, /* to itself */
        {"id/layer.tar", "missing.tar", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        add_blob(&f, "./real.tar", KM_BLOB_TREE, "A");
        assert_ok(km_layout_add_alias(f.layout, rows[i].link, rows[i].target, &f.err), f.err);
        add_document(&f, "c.json", "{}");
        add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"id/layer.tar\"]}]");
        assert_ok(resolve(&f), f.err);
        bool found = km_layout_image(f.layout, 0)->layers[0].blob == 0;
        if (found != rows[i].found)
            fail_msg("%s -> %s", rows[i].link, rows[i].target);
        assert_int_equal(count_gaps(&f, KM_GAP_MISSING, "id/layer.tar"), !found);
        fixture_done(&f);
    }
}

static void cyclic_and_long_chains_of_links_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_ok(km_layout_add_alias(f.layout, "a", "b", &f.err), f.err);
    assert_ok(km_layout_add_alias(f.layout, "b", "c", &f.err), f.err);
    assert_ok(km_layout_add_alias(f.layout, "c", "a", &f.err), f.err);
    add_blob(&f, "end", KM_BLOB_TREE, "A");
    char name[16], target[16];
    for (unsigned i = 0; i < 17; i++) { /* l0 is 17 links away, l1 16: the limit */
        (void)snprintf(name, sizeof name, "l%u", i);
        (void)snprintf(target, sizeof target, "l%u", i + 1);
        assert_ok(km_layout_add_alias(f.layout, name, i == 16 ? "end" : target, &f.err), f.err);
    }
    add_document(&f, "c.json", "{}");
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"a\",\"l0\",\"l1\"]}]");
    assert_ok(resolve(&f), f.err);
    const struct km_image *image = km_layout_image(f.layout, 0);
    assert_int_equal(image->layers[0].blob, UINT32_MAX);
    assert_int_equal(image->layers[1].blob, UINT32_MAX);
    assert_int_equal(image->layers[2].blob, 0);
    assert_gap_count(&f, 2);
    fixture_done(&f);
}

static void what_is_missing_is_a_gap_and_keeps_its_place(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t blob = add_blob(&f, "a.tar", KM_BLOB_TREE, "A");
    add_entries(&f, blob, "f:x");
    char config[512];
    (void)snprintf(config, sizeof config, "{\"rootfs\":{\"diff_ids\":[\"%s\",\"%s\",\"nonsense\"]}}", digest_of("gone"),
                   digest_of("raw-A"));
    add_document(&f, "c.json", config);
    add_document(&f, "manifest.json",
                 "[{\"Config\":\"c.json\",\"Layers\":[\"gone.tar\",\"a.tar\",7]},{\"Config\":\"none.json\"}]");
    assert_ok(resolve(&f), f.err);
    assert_int_equal(km_layout_image_count(f.layout), 2);
    const struct km_image *image = km_layout_image(f.layout, 0);
    assert_int_equal(image->layer_count, 3);
    assert_int_equal(image->layers[0].blob, UINT32_MAX);
    assert_string_equal(image->layers[0].diff_id, digest_of("gone"));
    assert_int_equal(image->layers[2].blob, UINT32_MAX);
    assert_null(image->layers[2].diff_id);
    assert_int_equal(km_layout_place(f.layout, 0).layer_index, 1);
    assert_int_equal(count_gaps(&f, KM_GAP_MISSING, "gone.tar"), 1);
    assert_int_equal(count_gaps(&f, KM_GAP_MISSING, "none.json"), 1);
    assert_gap_count(&f, 3);
    assert_null(km_layout_image(f.layout, 1)->digest);
    fixture_done(&f);
}

static void lies_about_content_are_gaps(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_blob(&f, "a.tar", KM_BLOB_TREE, "A");
    char config[512];
    (void)snprintf(config, sizeof config, "{\"rootfs\":{\"diff_ids\":[\"%s\",\"%s\"]}}", digest_of("other"),
                   digest_of("raw-A"));
    add_document(&f, "c.json", config);
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\"]}]");
    add_blob(&f, "blobs/sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", KM_BLOB_OTHER, "B");
    assert_ok(resolve(&f), f.err);
    assert_int_equal(count_gaps(&f, KM_GAP_MISMATCH, "a.tar"), 1);  /* diff_id */
    assert_int_equal(count_gaps(&f, KM_GAP_MISMATCH, "c.json"), 1); /* two promised, one listed */
    assert_int_equal(count_gaps(&f, KM_GAP_MISMATCH, "cdef"), 1);   /* name */
    assert_int_equal(count_gaps(&f, KM_GAP_UNREFERENCED, "cdef"), 1);
    assert_gap_count(&f, 4);
    assert_string_equal(km_layout_image(f.layout, 0)->layers[0].diff_id, digest_of("raw-A")); /* what it is */
    fixture_done(&f);
}

static void unreferenced_blobs_are_gaps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *stored;
        enum km_blob_kind kind;
        bool gap;
    } rows[] = {
        {"extra/layer.tar", "E", KM_BLOB_TREE, true},
        {"extra.bin", "E", KM_BLOB_OTHER, true},
        {"extra.json", "{\"e\":1}", KM_BLOB_DOCUMENT, true},
        {"repositories", "{\"e\":1}", KM_BLOB_DOCUMENT, false},
        {"./oci-layout", "{\"e\":1}", KM_BLOB_DOCUMENT, false},
        {"repositories", "E", KM_BLOB_TREE, true}, /* a name that hides something else */
        {"oci-layout", "E", KM_BLOB_OTHER, true},
        {"x/repositories", "{\"e\":1}", KM_BLOB_DOCUMENT, true},
        {"abc/json", "{\"e\":1}", KM_BLOB_DOCUMENT, true}, /* an id has 64 digits */
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/json", "E", KM_BLOB_TREE, true},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/VERSION", "seventeen bytes..", KM_BLOB_OTHER,
         true},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/other", "1.0", KM_BLOB_OTHER, true},
        {"manifest.json", "[]", KM_BLOB_DOCUMENT, true}, /* an earlier one that extracting tools overwrite */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        add_blob(&f, rows[i].name, rows[i].kind, rows[i].stored);
        add_document(&f, "manifest.json", "[]");
        assert_ok(resolve(&f), f.err);
        if (count_gaps(&f, KM_GAP_UNREFERENCED, rows[i].name) != rows[i].gap)
            fail_msg("row %zu: %s", i, rows[i].name);
        assert_gap_count(&f, rows[i].gap);
        if (rows[i].gap)
            assert_int_equal(f.gaps[0].bytes, strlen(rows[i].stored));
        fixture_done(&f);
    }
}

static void blobs_that_were_not_read_whole_get_no_second_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t blob = UINT32_MAX;
    assert_ok(km_layout_begin_blob(f.layout, oci_name("whole"), &blob, &f.err), f.err);
    km_layout_end_blob(f.layout, blob, &(struct km_blob){.kind = KM_BLOB_OTHER, .stored_bytes = 2});
    char config[512];
    (void)snprintf(config, sizeof config, "{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", digest_of("stream"));
    add_document(&f, "c.json", config);
    char manifest[512];
    (void)snprintf(manifest, sizeof manifest, "[{\"Config\":\"c.json\",\"Layers\":[\"%s\"]}]", oci_name("whole"));
    add_document(&f, "manifest.json", manifest);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 0);
    assert_string_equal(km_layout_image(f.layout, 0)->layers[0].diff_id, digest_of("stream")); /* as promised */
    fixture_done(&f);
}

static void a_layer_that_is_no_file_system_is_opaque(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_blob(&f, "a.tar", KM_BLOB_OTHER, "A");
    add_document(&f, "c.json", "{}");
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\"]}]");
    assert_ok(resolve(&f), f.err);
    assert_int_equal(count_gaps(&f, KM_GAP_UNSUPPORTED, "a.tar"), 1);
    assert_int_equal(km_layout_image(f.layout, 0)->layer_count, 1);
    fixture_done(&f);
}

/* ---- OCI ---- */

static const char oci_image[] = "application/vnd.oci.image.manifest.v1+json";
static const char oci_layer[] = "application/vnd.oci.image.layer.v1.tar+gzip";
static const char in_toto[] = "application/vnd.in-toto+json";

struct text {
    char text[2048];
};

static struct text format(const char *fmt, ...) KM_PRINTF(1, 2);
static struct text format(const char *fmt, ...)
{
    struct text out;
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(out.text, sizeof out.text, fmt, args);
    va_end(args);
    assert_true(length > 0 && (size_t)length < sizeof out.text);
    return out;
}

/* A descriptor with more members given as JSON text that begins with a comma. */
static struct text descriptor(const char *media_type, const char *content, const char *more)
{
    return format("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", media_type, digest_of(content),
                  strlen(content), more);
}

/* A manifest of one layer, its config stored under its digest. The layer's blob is the caller's business. */
static struct text manifest_of(struct fixture *f, const char *config, const char *media_type, const char *layer)
{
    add_document(f, oci_name(config), config);
    return format("{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}",
                  descriptor("application/vnd.oci.image.config.v1+json", config, "").text,
                  descriptor(media_type, layer, "").text);
}

static struct text index_of(const struct text *descriptors, size_t count)
{
    struct text out = {"{\"schemaVersion\":2,\"manifests\":["};
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(out.text);
        int length = snprintf(out.text + used, sizeof out.text - used, "%s%s%s", i ? "," : "", descriptors[i].text,
                              i + 1 == count ? "]}" : "");
        assert_true(length > 0 && (size_t)length < sizeof out.text - used);
    }
    return out;
}

static void an_oci_image(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char config[512];
    (void)snprintf(config, sizeof config,
                   "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"%s\"]},"
                   "\"history\":[{\"created_by\":\"COPY\"}]}",
                   digest_of("raw-L"));
    struct text manifest = manifest_of(&f, config, oci_layer, "L");
    struct text one =
        descriptor(oci_image, manifest.text, ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"app:2\"}");
    add_document(&f, "index.json", index_of(&one, 1).text);
    add_document(&f, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    uint32_t layer = add_blob(&f, oci_name("L"), KM_BLOB_TREE, "L");
    add_document(&f, oci_name(manifest.text), manifest.text);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 0);
    assert_int_equal(km_layout_image_count(f.layout), 1);
    const struct km_image *image = km_layout_image(f.layout, 0);
    assert_string_equal(image->name, "app:2");
    assert_string_equal(image->digest, digest_of(manifest.text));
    assert_string_equal(image->platform, "linux/amd64");
    assert_int_equal(image->layers[0].blob, layer);
    assert_string_equal(image->layers[0].diff_id, digest_of("raw-L"));
    assert_string_equal(image->layers[0].history, "COPY");
    fixture_done(&f);
}

/* An index in an index: two platforms that share a layer, one attestation, one platform that was not exported. */
static void platforms_and_attestations(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct text amd = manifest_of(&f, "{\"architecture\":\"amd64\",\"os\":\"linux\"}", oci_layer, "L");
    struct text arm = manifest_of(&f, "{\"architecture\":\"arm64\",\"os\":\"linux\"}", oci_layer, "L");
    struct text proof =
        manifest_of(&f, "{\"architecture\":\"unknown\",\"os\":\"unknown\"}", in_toto, "{\"_type\":\"in\"}");
    add_document(&f, oci_name(amd.text), amd.text);
    add_document(&f, oci_name(arm.text), arm.text);
    add_document(&f, oci_name(proof.text), proof.text);
    add_document(&f, oci_name("{\"_type\":\"in\"}"), "{\"_type\":\"in\"}");
    add_blob(&f, oci_name("L"), KM_BLOB_TREE, "L");
    static const char attestation[] = ",\"platform\":{\"architecture\":\"unknown\",\"os\":\"unknown\"},"
                                      "\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}";
    struct text children[] = {
        descriptor(oci_image, amd.text, ",\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}"),
        descriptor(oci_image, arm.text, ",\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"}"),
        descriptor(oci_image, proof.text, attestation),
        descriptor(oci_image, "{\"absent\":1}", ",\"platform\":{\"architecture\":\"s390x\",\"os\":\"linux\"}"),
        descriptor(oci_image, "{\"absent\":2}", attestation),
    };
    struct text inner = index_of(children, 5);
    add_document(&f, oci_name(inner.text), inner.text);
    struct text outer = descriptor("application/vnd.oci.image.index.v1+json", inner.text,
                                   ",\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/a:1\"}");
    add_document(&f, "index.json", index_of(&outer, 1).text);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 0);
    assert_int_equal(km_layout_image_count(f.layout), 2);
    assert_string_equal(km_layout_image(f.layout, 0)->platform, "linux/amd64");
    assert_string_equal(km_layout_image(f.layout, 1)->platform, "linux/arm64");
    assert_string_equal(km_layout_image(f.layout, 1)->name, "docker.io/library/a:1");
    fixture_done(&f);
}

static void no_platform_at_all_is_missing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct text children[] = {
        descriptor(oci_image, "{\"absent\":1}", ",\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}"),
        descriptor(oci_image, "{\"absent\":2}", ",\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"}"),
    };
    struct text inner = index_of(children, 2);
    add_document(&f, oci_name(inner.text), inner.text);
    struct text outer[] = {descriptor("application/vnd.oci.image.index.v1+json", inner.text, ""),
                           descriptor(oci_image, "{\"absent\":3}", "")};
    add_document(&f, "index.json", index_of(outer, 2).text);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 3);
    assert_int_equal(count_gaps(&f, KM_GAP_MISSING, digest_of("{\"absent\":1}")), 1);
    assert_int_equal(count_gaps(&f, KM_GAP_MISSING, digest_of("{\"absent\":3}")), 1);
    assert_int_equal(f.gaps[0].bytes, strlen("{\"absent\":3}"));
    fixture_done(&f);
}

/* Calling an image an attestation must not hide it: its layer has files. */
static void a_false_attestation_is_an_image(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct text manifest = manifest_of(&f, "{\"x\":1}", in_toto, "L");
    uint32_t layer = add_blob(&f, oci_name("L"), KM_BLOB_TREE, "L");
    add_entries(&f, layer, "f:x");
    add_document(&f, oci_name(manifest.text), manifest.text);
    struct text one = descriptor(oci_image, manifest.text,
                                 ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}");
    add_document(&f, "index.json", index_of(&one, 1).text);
    assert_ok(resolve(&f), f.err);
    assert_int_equal(km_layout_image_count(f.layout), 1);
    assert_non_null(km_layout_place(f.layout, 0).image);
    fixture_done(&f);
}

static void layers_by_media_type(void **state)
{
    (void)state;
    static const struct {
        const char *media_type;
        enum km_blob_kind kind;
        int gap; /* enum km_gap_reason, or -1 */
        unsigned images;
    } rows[] = {
        {"application/vnd.oci.image.layer.v1.tar", KM_BLOB_TREE, -1, 1},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", KM_BLOB_TREE, -1, 1},
        {"application/vnd.oci.image.layer.v1.tar+zstd", KM_BLOB_OTHER, KM_GAP_UNSUPPORTED, 1},
        {"application/vnd.oci.image.layer.v1.tar+gzip", KM_BLOB_DOCUMENT, KM_GAP_UNSUPPORTED, 1},
        {"application/vnd.oci.image.layer.v1.tar+gzip+encrypted", KM_BLOB_OTHER, KM_GAP_ENCRYPTED, 1},
        {"application/vnd.dev.cosign.simplesigning.v1+json", KM_BLOB_DOCUMENT, -1, 0},
        {"application/vnd.example.model", KM_BLOB_OTHER, KM_GAP_UNSUPPORTED, 0},
        {"application/vnd.cncf.helm.chart.content.v1", KM_BLOB_TREE, -1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        struct text manifest = manifest_of(&f, "{\"x\":1}", rows[i].media_type, "L");
        add_blob(&f, oci_name("L"), rows[i].kind, "L");
        add_document(&f, oci_name(manifest.text), manifest.text);
        struct text one = descriptor(oci_image, manifest.text, "");
        add_document(&f, "index.json", index_of(&one, 1).text);
        assert_ok(resolve(&f), f.err);
        if (km_layout_image_count(f.layout) != rows[i].images || f.gap_count != (rows[i].gap >= 0) ||
            (rows[i].gap >= 0 && (int)f.gaps[0].reason != rows[i].gap))
            fail_msg("row %zu: %s", i, rows[i].media_type);
        fixture_done(&f);
    }
}

static void wrong_sizes_and_digests_are_mismatches(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_document(&f, oci_name("{\"x\":1}"), "{\"x\":1}");
    struct text manifest =
        format("{\"config\":%s,\"layers\":[{\"digest\":\"%s\",\"size\":99},{\"digest\":\"%s\",\"size\":1}]}",
               descriptor("", "{\"x\":1}", "").text, digest_of("L"), digest_of("M"));
    add_blob(&f, oci_name("L"), KM_BLOB_TREE, "L");
    uint32_t lie = add_blob(&f, oci_name("M"), KM_BLOB_TREE, "not M"); /* under M's name */
    add_document(&f, oci_name(manifest.text), manifest.text);
    struct text one = descriptor(oci_image, manifest.text, "");
    add_document(&f, "index.json", index_of(&one, 1).text);
    assert_ok(resolve(&f), f.err);
    assert_int_equal(count_gaps(&f, KM_GAP_MISMATCH, oci_name("L")), 1);
    assert_int_equal(count_gaps(&f, KM_GAP_MISMATCH, oci_name("M")), 2); /* its size and its name */
    assert_gap_count(&f, 3);
    assert_int_equal(km_layout_image(f.layout, 0)->layers[1].blob, lie);
    fixture_done(&f);
}

static void content_is_found_under_another_name(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct text manifest = manifest_of(&f, "{\"x\":1}", oci_layer, "L");
    uint32_t layer = add_blob(&f, "elsewhere", KM_BLOB_TREE, "L");
    add_document(&f, oci_name(manifest.text), manifest.text);
    struct text one = descriptor(oci_image, manifest.text, "");
    add_document(&f, "index.json", index_of(&one, 1).text);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 0);
    assert_int_equal(km_layout_image(f.layout, 0)->layers[0].blob, layer);
    fixture_done(&f);
}

/* Docker 25 and later write both documents. */
static void both_documents_make_one_set_of_images(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct text manifest = manifest_of(&f, "{\"x\":1}", oci_layer, "L");
    add_blob(&f, oci_name("L"), KM_BLOB_TREE, "L");
    add_blob(&f, "other.tar", KM_BLOB_TREE, "O");
    add_document(&f, oci_name(manifest.text), manifest.text);
    struct text one = descriptor(oci_image, manifest.text,
                                 ",\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/both:1\"}");
    add_document(&f, "index.json", index_of(&one, 1).text);
    struct text docker = format("[{\"Config\":\"%s\",\"RepoTags\":[\"both:1\"],\"Layers\":[\"%s\"]},"
                                "{\"Config\":\"%s\",\"RepoTags\":[\"second:1\"],\"Layers\":[\"%s\",\"other.tar\"]}]",
                                oci_name("{\"x\":1}"), oci_name("L"), oci_name("{\"x\":1}"), oci_name("L"));
    add_document(&f, "manifest.json", docker.text);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 0);
    assert_int_equal(km_layout_image_count(f.layout),
                     2); /* the documents disagree about the second: both are scanned */
    assert_string_equal(km_layout_image(f.layout, 0)->name, "both:1"); /* as the user knows it */
    assert_string_equal(km_layout_image(f.layout, 0)->digest, digest_of(manifest.text));
    assert_string_equal(km_layout_image(f.layout, 1)->name, "second:1");
    fixture_done(&f);
}

static void indexes_that_name_each_other_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    /* No content can hold its own digest, but a name can be a lie: this index is stored under the name it points to. */
    struct text self = descriptor("application/vnd.oci.image.index.v1+json", "SELF", "");
    add_document(&f, oci_name("SELF"), index_of(&self, 1).text);
    add_document(&f, "index.json", index_of(&self, 1).text);
    assert_ok(resolve(&f), f.err);
    assert_int_equal(km_layout_image_count(f.layout), 0);
    assert_true(count_gaps(&f, KM_GAP_MISMATCH, oci_name("SELF")) >= 1);
    assert_int_equal(count_gaps(&f, KM_GAP_LIMIT, ""), 0); /* read once, not until the depth is over */
    fixture_done(&f);
}

static void indexes_too_deep_are_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct text inner = {"{\"manifests\":[]}"};
    for (unsigned i = 0; i < 4; i++) {
        add_document(&f, oci_name(inner.text), inner.text);
        struct text one = descriptor("application/vnd.oci.image.index.v1+json", inner.text, "");
        inner = index_of(&one, 1);
    }
    add_document(&f, "index.json", inner.text);
    assert_ok(resolve(&f), f.err);
    assert_gap_count(&f, 1);
    assert_int_equal(f.gaps[0].reason, KM_GAP_LIMIT);
    fixture_done(&f);
}

/* ---- Documents that cannot be read ---- */

static void unreadable_documents_are_gaps(void **state)
{
    (void)state;
    static const struct {
        const char *manifest;
        int gap;
        enum km_code code;
    } rows[] = {
        {"[]", -1, KM_OK},
        {"{}", KM_GAP_DAMAGED, KM_FORMAT},
        {"[", KM_GAP_DAMAGED, KM_FORMAT},
        {"", KM_GAP_DAMAGED, KM_FORMAT},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", KM_GAP_LIMIT, KM_FORMAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        add_document(&f, "manifest.json", rows[i].manifest);
        assert_int_equal(resolve(&f), rows[i].code);
        assert_gap_count(&f, rows[i].gap >= 0);
        if (rows[i].gap >= 0)
            assert_int_equal(f.gaps[0].reason, rows[i].gap);
        fixture_done(&f);
    }
}

static void no_manifest_at_all_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t blob = add_blob(&f, "a.tar", KM_BLOB_TREE, "A");
    add_entries(&f, blob, "f:x");
    assert_int_equal(resolve(&f), KM_FORMAT);
    assert_int_equal(count_gaps(&f, KM_GAP_UNREFERENCED, "a.tar"), 1);
    assert_null(km_layout_place(f.layout, 0).image);
    assert_string_equal(km_layout_place(f.layout, 0).path, "x");
    fixture_done(&f);
}

static void a_document_that_is_no_json_text_is_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_blob(&f, "manifest.json", KM_BLOB_OTHER, "x");
    uint32_t large = UINT32_MAX;
    assert_ok(km_layout_begin_blob(f.layout, "index.json", &large, &f.err), f.err);
    km_layout_end_blob(f.layout, large,
                       &(struct km_blob){.kind = KM_BLOB_OTHER, .complete = true, .stored_bytes = (uint64_t)5 << 20});
    assert_int_equal(resolve(&f), KM_FORMAT);
    assert_int_equal(count_gaps(&f, KM_GAP_DAMAGED, "manifest.json"), 1);
    assert_int_equal(count_gaps(&f, KM_GAP_LIMIT, "index.json"), 1);
    fixture_done(&f);
}

/* ---- Limits ---- */

/* A manifest.json of `images` images of `layers` missing layers each. */
static void add_large_manifest(struct fixture *f, size_t images, size_t layers)
{
    char *text = malloc(images * (4 * layers + 32) + 8);
    assert_non_null(text);
    size_t used = 0;
    text[used++] = '[';
    for (size_t i = 0; i < images; i++) {
        used += (size_t)sprintf(text + used, "%s{\"Config\":\"c%zu\",\"Layers\":[", i ? "," : "", i);
        for (size_t j = 0; j < layers; j++)
            used += (size_t)sprintf(text + used, "%s\"x\"", j ? "," : "");
        used += (size_t)sprintf(text + used, "]}");
    }
    text[used++] = ']';
    text[used] = '\0';
    add_document(f, "manifest.json", text);
    free(text);
}

static void images_and_layers_are_limited(void **state)
{
    (void)state;
    static const struct {
        size_t images, layers, expected_images;
    } rows[] = {
        {KM_LAYOUT_MAX_IMAGES, 1, KM_LAYOUT_MAX_IMAGES},
        {KM_LAYOUT_MAX_IMAGES + 1, 1, KM_LAYOUT_MAX_IMAGES},
        {2, KM_LAYOUT_MAX_LAYERS, 2},
        {2, KM_LAYOUT_MAX_LAYERS + 1, 0},
        {KM_LAYOUT_MAX_LAYERS_TOTAL / 1000 + 1, 1000, KM_LAYOUT_MAX_LAYERS_TOTAL / 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        add_large_manifest(&f, rows[i].images, rows[i].layers);
        assert_ok(resolve(&f), f.err);
        assert_int_equal(km_layout_image_count(f.layout), rows[i].expected_images);
        assert_true(f.gap_count <= KM_LAYOUT_MAX_LAYERS_TOTAL + KM_LAYOUT_MAX_IMAGES + 2);
        fixture_done(&f);
    }
}

static void one_config_named_by_many_is_not_parsed_forever(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    size_t length = (size_t)3 << 20;
    char *config = malloc(length + 1);
    assert_non_null(config);
    memset(config, ' ', length);
    memcpy(config, "{}", 2);
    config[length] = '\0';
    uint32_t blob = add_blob(&f, "c", KM_BLOB_DOCUMENT, "c");
    assert_ok(km_layout_add_document(f.layout, blob, config, length, &f.err), f.err);
    free(config);
    char manifest[32768] = "[";
    size_t used = 1;
    for (unsigned i = 0; i < 200; i++)
        used += (size_t)sprintf(manifest + used, "%s{\"Config\":\"c\",\"Layers\":[\"%u\"]}", i ? "," : "", i);
    (void)sprintf(manifest + used, "]");
    for (unsigned i = 0; i < 200; i++) { /* layers that differ, so that the images do */
        char name[16];
        (void)snprintf(name, sizeof name, "%u", i);
        add_blob(&f, name, KM_BLOB_TREE, name);
    }
    add_document(&f, "manifest.json", manifest);
    assert_ok(resolve(&f), f.err);
    assert_int_equal(km_layout_image_count(f.layout), 200);
    assert_int_equal(f.gap_count, 200 - 85); /* 256 MiB / 3 MiB, less the manifest itself */
    assert_int_equal(f.gaps[0].reason, KM_GAP_LIMIT);
    fixture_done(&f);
}

static void documents_and_blobs_are_limited(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char *text = malloc(KM_LAYOUT_MAX_DOCUMENT_BYTES + 1);
    assert_non_null(text);
    memset(text, ' ', KM_LAYOUT_MAX_DOCUMENT_BYTES + 1);
    uint32_t blob = add_blob(&f, "a", KM_BLOB_DOCUMENT, "a");
    assert_int_equal(km_layout_add_document(f.layout, blob, text, KM_LAYOUT_MAX_DOCUMENT_BYTES + 1, &f.err), KM_LIMIT);
    for (unsigned i = 0; i < 16; i++) {
        blob = add_blob(&f, "a", KM_BLOB_DOCUMENT, "a");
        assert_ok(km_layout_add_document(f.layout, blob, text, KM_LAYOUT_MAX_DOCUMENT_BYTES, &f.err), f.err);
    }
    blob = add_blob(&f, "a", KM_BLOB_DOCUMENT, "a");
    assert_int_equal(km_layout_add_document(f.layout, blob, text, 1, &f.err), KM_LIMIT);
    free(text);
    while (km_layout_blob_count(f.layout) < 100000)
        assert_ok(km_layout_begin_blob(f.layout, "b", &blob, &f.err), f.err);
    assert_int_equal(km_layout_begin_blob(f.layout, "b", &blob, &f.err), KM_LIMIT);
    fixture_done(&f);
}

static void entries_are_limited_for_good(void **state)
{
    (void)state;
    struct fixture f = {.err = KM_ERR_INIT};
    f.layout = km_layout_new((size_t)1 << 20, &f.err);
    assert_non_null(f.layout);
    uint32_t blob = add_blob(&f, "", KM_BLOB_TREE, "A");
    enum km_code code = KM_OK;
    char path[64];
    struct km_entry entry = {.blob = blob, .parent = KM_ENTRY_NONE, .path = path};
    for (; code == KM_OK; entry.id++) {
        assert_true(entry.id < 100000);
        (void)snprintf(path, sizeof path, "usr/share/file-%u", entry.id);
        code = km_layout_add_entry(f.layout, &entry, &f.err);
    }
    assert_int_equal(code, KM_LIMIT);
    size_t count = km_layout_entry_count(f.layout);
    assert_int_equal(count, entry.id - 1);
    assert_true(count > 8000);
    (void)snprintf(path, sizeof path, "a");
    assert_int_equal(km_layout_add_entry(f.layout, &entry, &f.err), KM_LIMIT);
    assert_int_equal(km_layout_entry_count(f.layout), count);
    assert_ok(km_layout_resolve_single(f.layout, NULL, &f.err), f.err);
    assert_string_equal(km_layout_place(f.layout, 0).path, "usr/share/file-0");
    fixture_done(&f);
}

static void a_sink_that_fails_ends_the_run_with_its_code(void **state)
{
    (void)state;
    static const enum km_code codes[] = {KM_CANCELLED, KM_LIMIT, KM_IO};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        f.gap_answer = codes[i];
        add_document(&f, "manifest.json", "[{\"Config\":\"none\",\"Layers\":[\"none\"]}]");
        assert_int_equal(resolve(&f), codes[i]);
        assert_int_equal(f.gap_count, 1);
        assert_string_equal(f.err.text, "the sink failed");
        fixture_done(&f);
    }
    km_layout_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docker_images_have_names_layers_and_history),
        cmocka_unit_test(a_history_that_does_not_add_up_is_not_used),
        cmocka_unit_test(links_lead_to_layers),
        cmocka_unit_test(cyclic_and_long_chains_of_links_end),
        cmocka_unit_test(what_is_missing_is_a_gap_and_keeps_its_place),
        cmocka_unit_test(lies_about_content_are_gaps),
        cmocka_unit_test(unreferenced_blobs_are_gaps),
        cmocka_unit_test(blobs_that_were_not_read_whole_get_no_second_gap),
        cmocka_unit_test(a_layer_that_is_no_file_system_is_opaque),
        cmocka_unit_test(an_oci_image),
        cmocka_unit_test(platforms_and_attestations),
        cmocka_unit_test(no_platform_at_all_is_missing),
        cmocka_unit_test(a_false_attestation_is_an_image),
        cmocka_unit_test(layers_by_media_type),
        cmocka_unit_test(wrong_sizes_and_digests_are_mismatches),
        cmocka_unit_test(content_is_found_under_another_name),
        cmocka_unit_test(both_documents_make_one_set_of_images),
        cmocka_unit_test(indexes_that_name_each_other_end),
        cmocka_unit_test(indexes_too_deep_are_a_gap),
        cmocka_unit_test(unreadable_documents_are_gaps),
        cmocka_unit_test(no_manifest_at_all_is_an_error),
        cmocka_unit_test(a_document_that_is_no_json_text_is_a_gap),
        cmocka_unit_test(images_and_layers_are_limited),
        cmocka_unit_test(one_config_named_by_many_is_not_parsed_forever),
        cmocka_unit_test(documents_and_blobs_are_limited),
        cmocka_unit_test(entries_are_limited_for_good),
        cmocka_unit_test(a_sink_that_fails_ends_the_run_with_its_code),
    };
    return KM_RUN_TESTS(tests);
}
