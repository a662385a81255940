#define KM_TEST_NAME "whiteout"
#include "layouts.h"

#include "container/source/focus.h"

#define MAX_LAYERS 5

/* One docker-archive image "t:1" of the given layers; each line is the entries of one layer, from the base up. */
static void image_of(struct fixture *f, const char *const *layers)
{
    fixture_init(f);
    char manifest[1024] = "[{\"Config\":\"config.json\",\"RepoTags\":[\"t:1\"],\"Layers\":[";
    for (unsigned i = 0; i < MAX_LAYERS && layers[i]; i++) {
        char name[32], stored[32];
        (void)snprintf(name, sizeof name, "%u/layer.tar", i);
        (void)snprintf(stored, sizeof stored, "layer %u", i);
        uint32_t blob = add_blob(f, name, KM_BLOB_TREE, stored);
        add_entries(f, blob, layers[i]);
        size_t used = strlen(manifest);
        (void)snprintf(manifest + used, sizeof manifest - used, "%s\"%s\"", i ? "," : "", name);
    }
    add_document(f, "config.json", "{\"os\":\"linux\",\"architecture\":\"amd64\"}");
    size_t used = strlen(manifest);
    (void)snprintf(manifest + used, sizeof manifest - used, "]}]");
    add_document(f, "manifest.json", manifest);
    assert_ok(km_layout_resolve_images(f->layout, &f->sink, &f->err), f->err);
    assert_gap_count(f, 0);
    assert_int_equal(km_layout_image_count(f->layout), 1);
}

/* "" = shown; "d2" = deleted by layer 2; "r1" = replaced by layer 1. */
static const char *fate_of(const struct fixture *f, uint32_t id)
{
    static char text[8];
    struct km_place place = km_layout_place(f->layout, id);
    assert_non_null(place.image);
    const struct km_layer *hider = place.deleted_by ? place.deleted_by : place.replaced_by;
    assert_true(!place.deleted_by || !place.replaced_by);
    if (!hider)
        return "";
    (void)snprintf(text, sizeof text, "%c%d", place.deleted_by ? 'd' : 'r', (int)(hider - place.image->layers));
    return text;
}

/* In the only image there is. */
static void assert_focus_agrees(struct fixture *f)
{
    struct km_focus *focus = km_focus_new(f->layout, &f->err);
    assert_non_null(focus);
    uint64_t steps = UINT64_MAX;
    assert_ok(km_focus_set(focus, 0, &steps, &f->err), f->err);
    for (uint32_t id = 0; id < km_layout_entry_count(f->layout); id++) {
        struct km_place place = km_layout_place(f->layout, id), seen = km_focus_place(focus, id);
        assert_ptr_equal(seen.image, place.image);
        assert_int_equal(seen.layer_index, place.layer_index);
        assert_ptr_equal(seen.deleted_by, place.deleted_by);
        assert_ptr_equal(seen.replaced_by, place.replaced_by);
    }
    km_focus_free(focus);
}

static void fates_of_the_first_entry(void **state)
{
    (void)state;
    static const struct {
        const char *layers[MAX_LAYERS + 1];
        const char *fate;
    } rows[] = {
        {{"f:a/b"}, ""},
        {{"f:a/b", "w:a/b"}, "d1"},
        {{"f:a/b", "f:x", "w:a"}, "d2"},
        {{"f:a/b", "w:a/b", "w:a"}, "d1"}, /* the first to delete it */
        {{"f:a/b", "w:a", "w:a/b"}, "d1"},
        {{"f:a/b", "w:a/bc", "w:a/b/c", "w:b"}, ""}, /* neighbours, children, other places */
        {{"f:a/b", "o:a"}, "d1"},
        {{"f:a/b", "o:"}, "d1"},  /* opaque root */
        {{"f:a/b", "o:a/b"}, ""}, /* opaque acts below, not on itself */
        {{"d:a/b", "o:a/b"}, ""},
        {{"f:a/b/c/d", "f:x", "o:a"}, "d2"},
        {{"f:a/b", "f:a/b"}, "r1"},
        {{"f:a/b", "d:a/b"}, "r1"}, /* a directory in place of a file */
        {{"d:a/b", "d:a/b"}, ""},   /* directories merge */
        {{"d:a/b", "f:a/b"}, "r1"},
        {{"d:a/b", "l:a/b", "d:a/b"}, "r1"},
        {{"f:a/b", "l:a"}, "r1"}, /* its directory became a link */
        {{"f:a/b", "d:a"}, ""},
        {{"f:a/b", "w:a/b f:a/b"}, "r1"}, /* rm and create in one layer: something is there again */
        {{"f:a/b", "f:a/b w:a/b"}, "r1"}, /* in either order */
        {{"f:a/b", "w:a d:a f:a/c"}, "d1"},
        {{"f:a/b", "o:a f:a/b"}, "r1"},
        {{"f:a/b", "w:a l:a"}, "r1"},
        {{"f:a/b", "f:a/b", "w:a/b"}, "r1"},
        {{"f:a/b", "w:a/b", "f:a/b"}, "d1"},
        {{"f:a/b w:a/b"}, ""}, /* its own layer's whiteout acts on lower layers only */
        {{"f:a/b o:a"}, ""},
        {{"w:a/b"}, ""},          /* of something that never was */
        {{"w:a/b", "f:a/b"}, ""}, /* a whiteout is not hidden itself */
        {{"o:a", "w:a"}, ""},
        {{"f:a", "w:a", "f:b", "f:c", "w:c"}, "d1"},
        {{"f:a/b", "w:"}, "d1"}, /* a nameless whiteout takes the root */
        {{"l:a/b", "w:a/b"}, "d1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        image_of(&f, rows[i].layers);
        if (strcmp(fate_of(&f, 0), rows[i].fate) != 0)
            fail_msg("row %zu (%s | %s | …): '%s', expected '%s'", i, rows[i].layers[0],
                     rows[i].layers[1] ? rows[i].layers[1] : "", fate_of(&f, 0), rows[i].fate);
        assert_int_equal(km_layout_place(f.layout, 0).layer_index, 0);
        assert_focus_agrees(&f);
        fixture_done(&f);
    }
}

static void upper_layers_keep_their_own(void **state)
{
    (void)state;
    struct fixture f;
    static const char *const layers[] = {"f:a/old", "o:a f:a/new w:a/old", "f:a/later", NULL};
    image_of(&f, layers);
    assert_string_equal(fate_of(&f, 0), "d1");
    assert_string_equal(fate_of(&f, 2), "");
    assert_int_equal(km_layout_place(f.layout, 2).layer_index, 1);
    assert_string_equal(fate_of(&f, 4), "");
    fixture_done(&f);
}

static void members_share_the_fate_of_their_outermost_parent(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t base = add_blob(&f, "0/layer.tar", KM_BLOB_TREE, "base");
    uint32_t outer = add_entry(&f, base, KM_ENTRY_FILE, "app.tar");
    struct km_entry member = {.id = 1, .blob = base, .parent = outer, .depth = 1, .path = "in.tar"};
    assert_ok(km_layout_add_entry(f.layout, &member, &f.err), f.err);
    member = (struct km_entry){.id = 2, .blob = base, .parent = 1, .depth = 2, .path = "x"};
    assert_ok(km_layout_add_entry(f.layout, &member, &f.err), f.err);
    /* a whiteout inside a nested archive is only a name */
    member = (struct km_entry){.id = 3, .blob = base, .parent = 1, .depth = 2, .type = KM_ENTRY_WHITEOUT, .path = "y"};
    assert_ok(km_layout_add_entry(f.layout, &member, &f.err), f.err);
    f.entries = 4;
    uint32_t own = add_entry(&f, base, KM_ENTRY_FILE, "x");
    uint32_t other = add_entry(&f, base, KM_ENTRY_FILE, "y");
    uint32_t top = add_blob(&f, "1/layer.tar", KM_BLOB_TREE, "top");
    add_entries(&f, top, "w:app.tar");
    member = (struct km_entry){.id = f.entries, .blob = top, .parent = 6, .depth = 1, .path = "y"};
    assert_ok(km_layout_add_entry(f.layout, &member, &f.err), f.err);
    add_document(&f, "c.json", "{}");
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"0/layer.tar\",\"1/layer.tar\"]}]");
    assert_ok(km_layout_resolve_images(f.layout, &f.sink, &f.err), f.err);
    for (uint32_t id = outer; id <= 3; id++)
        assert_string_equal(fate_of(&f, id), "d1");
    assert_string_equal(fate_of(&f, own), "");
    assert_string_equal(fate_of(&f, other), "");
    struct km_place place = km_layout_place(f.layout, 2);
    assert_string_equal(place.path, "x");
    assert_int_equal(place.parent, 1);
    fixture_done(&f);
}

/* Images a and b share layer 0; a deletes its file, b does not. */
static void the_first_image_that_shows_it(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t base = add_blob(&f, "base.tar", KM_BLOB_TREE, "base");
    add_entries(&f, base, "f:only-in-b f:gone f:both");
    uint32_t a = add_blob(&f, "a.tar", KM_BLOB_TREE, "a");
    add_entries(&f, a, "w:only-in-b w:gone");
    uint32_t b = add_blob(&f, "b.tar", KM_BLOB_TREE, "b");
    add_entries(&f, b, "w:gone");
    uint32_t stray = add_blob(&f, "stray.tar", KM_BLOB_TREE, "stray");
    add_entries(&f, stray, "f:gone");
    add_document(&f, "a.json", "{\"a\":1}");
    add_document(&f, "b.json", "{\"b\":1}");
    add_document(&f, "manifest.json",
                 "[{\"Config\":\"a.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"base.tar\",\"a.tar\"]},"
                 "{\"Config\":\"b.json\",\"RepoTags\":[\"b:1\"],\"Layers\":[\"base.tar\",\"b.tar\"]}]");
    assert_ok(km_layout_resolve_images(f.layout, &f.sink, &f.err), f.err);
    struct km_place place = km_layout_place(f.layout, 0);
    assert_string_equal(place.image->name, "b:1");
    assert_null(place.deleted_by);
    place = km_layout_place(f.layout, 1);
    assert_string_equal(place.image->name, "a:1"); /* shown nowhere: the first that holds it */
    assert_string_equal(fate_of(&f, 1), "d1");
    assert_true(place.deleted_by == &place.image->layers[1]);
    assert_string_equal(km_layout_place(f.layout, 2).image->name, "a:1");
    assert_null(km_layout_place(f.layout, 6).image);
    assert_int_equal(km_layout_place(f.layout, 6).layer_index, -1);
    assert_gap_count(&f, 1);
    assert_int_equal(count_gaps(&f, KM_GAP_UNREFERENCED, "stray.tar"), 1);
    fixture_done(&f);
}

static void the_same_layer_twice_counts_where_it_lies_on_top(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t twice = add_blob(&f, "t.tar", KM_BLOB_TREE, "twice");
    add_entries(&f, twice, "f:a");
    uint32_t between = add_blob(&f, "w.tar", KM_BLOB_TREE, "between");
    add_entries(&f, between, "w:a");
    add_document(&f, "c.json", "{}");
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"t.tar\",\"w.tar\",\"t.tar\"]}]");
    assert_ok(km_layout_resolve_images(f.layout, &f.sink, &f.err), f.err);
    assert_string_equal(fate_of(&f, 0), "");
    assert_int_equal(km_layout_place(f.layout, 0).layer_index, 2);
    assert_int_equal(km_layout_image(f.layout, 0)->layer_count, 3);
    fixture_done(&f);
}

/* 100,000 entries under one long path against 100,000 whiteouts: a quadratic search would take hours. */
static void whiteouts_times_entries_is_not_quadratic(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct fixture f;
    fixture_init(&f);
    uint32_t base = add_blob(&f, "0.tar", KM_BLOB_TREE, "base");
    uint32_t top = add_blob(&f, "1.tar", KM_BLOB_TREE, "top");
    char path[128];
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(path, sizeof path, "d/e/e/p/f%u/x", i);
        add_entry(&f, base, KM_ENTRY_FILE, path);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(path, sizeof path, "d/e/e/p/f%u", 2 * i); /* every second one exists */
        add_entry(&f, top, i % 2 ? KM_ENTRY_OPAQUE : KM_ENTRY_WHITEOUT, path);
    }
    add_document(&f, "c.json", "{}");
    add_document(&f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"0.tar\",\"1.tar\"]}]");
    assert_ok(km_layout_resolve_images(f.layout, &f.sink, &f.err), f.err);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_string_equal(fate_of(&f, i), i % 2 ? "" : "d1");
    fixture_done(&f);
}

/* A deep path costs its depth once for its directory, and too much work ends in a stated gap, not in hours: 1,000
 * images that repeat one layer of 2,000 entries in 2,000 directories each. */
static void too_much_work_is_a_gap(void **state)
{
    (void)state;
    enum { IMAGES = 500, LAYERS = 100, ENTRIES = 20000 };
    struct fixture f;
    fixture_init(&f);
    uint32_t base = add_blob(&f, "0.tar", KM_BLOB_TREE, "base");
    char path[64];
    for (unsigned i = 0; i < ENTRIES; i++) {
        (void)snprintf(path, sizeof path, "f%u", i);
        add_entry(&f, base, KM_ENTRY_FILE, path);
    }
    uint32_t top = add_blob(&f, "1.tar", KM_BLOB_TREE, "top");
    add_entries(&f, top, "o:");
    char *manifest = malloc((size_t)IMAGES * (LAYERS * 8 + 64));
    assert_non_null(manifest);
    size_t used = (size_t)sprintf(manifest, "[");
    for (unsigned i = 0; i < IMAGES; i++) {
        char name[32], text[32];
        (void)snprintf(name, sizeof name, "c%u", i);
        (void)snprintf(text, sizeof text, "{\"n\":%u}", i);
        add_document(&f, name, text);
        used += (size_t)sprintf(manifest + used, "%s{\"Config\":\"%s\",\"Layers\":[", i ? "," : "", name);
        for (unsigned j = 0; j < LAYERS; j++)
            used += (size_t)sprintf(manifest + used, "\"0.tar\",");
        used += (size_t)sprintf(manifest + used, "\"1.tar\"]}");
    }
    (void)sprintf(manifest + used, "]");
    add_document(&f, "manifest.json", manifest);
    free(manifest);
    assert_ok(km_layout_resolve_images(f.layout, &f.sink, &f.err), f.err);
    assert_int_equal(km_layout_image_count(f.layout), IMAGES);
    assert_int_equal(count_gaps(&f, KM_GAP_LIMIT, ""), 1);
    assert_gap_count(&f, 1);
    assert_string_equal(fate_of(&f, 0), "d100");
    fixture_done(&f);
}

static void a_bare_file_system_is_one_layer(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(km_layout_resolve_single(f.layout, "x", &f.err), KM_FORMAT);
    uint32_t blob = add_blob(&f, "", KM_BLOB_TREE, "tar");
    add_entries(&f, blob, "f:a w:a o: d:b");
    assert_ok(km_layout_resolve_single(f.layout, "host", &f.err), f.err);
    assert_int_equal(km_layout_image_count(f.layout), 1);
    assert_string_equal(km_layout_image(f.layout, 0)->name, "host");
    assert_string_equal(km_layout_image(f.layout, 0)->layers[0].diff_id, digest_of("raw-tar"));
    for (uint32_t id = 0; id < 4; id++)
        assert_string_equal(fate_of(&f, id), "");
    fixture_done(&f);
}

static void a_directory_has_no_diff_id(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    uint32_t blob = UINT32_MAX;
    assert_ok(km_layout_begin_blob(f.layout, "", &blob, &f.err), f.err);
    add_entries(&f, blob, "f:a");
    km_layout_end_blob(f.layout, blob, &(struct km_blob){.complete = true});
    assert_ok(km_layout_resolve_single(f.layout, NULL, &f.err), f.err);
    assert_null(km_layout_image(f.layout, 0)->layers[0].diff_id);
    assert_null(km_layout_image(f.layout, 0)->name);
    assert_int_equal(km_layout_place(f.layout, 0).layer_index, 0);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fates_of_the_first_entry),
        cmocka_unit_test(upper_layers_keep_their_own),
        cmocka_unit_test(members_share_the_fate_of_their_outermost_parent),
        cmocka_unit_test(the_first_image_that_shows_it),
        cmocka_unit_test(the_same_layer_twice_counts_where_it_lies_on_top),
        cmocka_unit_test(whiteouts_times_entries_is_not_quadratic),
        cmocka_unit_test(too_much_work_is_a_gap),
        cmocka_unit_test(a_bare_file_system_is_one_layer),
        cmocka_unit_test(a_directory_has_no_diff_id),
    };
    return KM_RUN_TESTS(tests);
}
