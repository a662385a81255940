#define KM_TEST_NAME "focus"
#include "layouts.h"

#include "container/source/focus.h"

/* Three images of four layers: "a" is base and patch, "b" is base and other, "c" is other, base, other. */
enum { KEPT, DELETED, REPLACED, OUTER, MEMBER, WHITEOUT, NEW, OTHER, ORPHAN, ENTRIES };

static void three_images(struct fixture *f)
{
    fixture_init(f);
    uint32_t base = add_blob(f, "base.tar", KM_BLOB_TREE, "base");
    add_entries(f, base, "f:bin/kept f:bin/deleted f:bin/replaced f:opt/in.tar");
    const struct km_entry member = {.id = MEMBER, .blob = base, .parent = OUTER, .depth = 1, .path = "x"};
    assert_ok(km_layout_add_entry(f->layout, &member, &f->err), f->err);
    f->entries++;
    uint32_t patch = add_blob(f, "patch.tar", KM_BLOB_TREE, "patch");
    add_entries(f, patch, "w:bin/deleted f:bin/replaced");
    uint32_t other = add_blob(f, "other.tar", KM_BLOB_TREE, "other");
    add_entries(f, other, "f:opt");
    uint32_t orphan = add_blob(f, "orphan.tar", KM_BLOB_TREE, "orphan");
    add_entries(f, orphan, "f:bin/kept");
    add_document(f, "config.json", "{\"os\":\"linux\",\"architecture\":\"amd64\"}");
    add_document(
        f, "manifest.json",
        "[{\"Config\":\"config.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"base.tar\",\"patch.tar\"]},"
        "{\"Config\":\"config.json\",\"RepoTags\":[\"b:1\"],\"Layers\":[\"base.tar\",\"other.tar\"]},"
        "{\"Config\":\"config.json\",\"RepoTags\":[\"c:1\"],\"Layers\":[\"other.tar\",\"base.tar\",\"other.tar\"]}]");
    assert_ok(km_layout_resolve_images(f->layout, &f->sink, &f->err), f->err);
    assert_int_equal(km_layout_image_count(f->layout), 3);
    assert_int_equal(km_layout_entry_count(f->layout), ENTRIES);
}

/* "-" in no image, else the layer and "d" or "r" with the layer that hides it. */
static void describe(const struct km_place *place, char out[16])
{
    const struct km_layer *hider = place->deleted_by ? place->deleted_by : place->replaced_by;
    if (!place->image)
        (void)snprintf(out, 16, "-");
    else if (hider)
        (void)snprintf(out, 16, "%d%c%d", (int)place->layer_index, place->deleted_by ? 'd' : 'r',
                       (int)(hider - place->image->layers));
    else
        (void)snprintf(out, 16, "%d", (int)place->layer_index);
}

static const char *const expected[3][ENTRIES] = {
    {"0", "0d1", "0r1", "0", "0", "1", "1", "-", "-"},
    {"0", "0", "0", "0r1", "0r1", "-", "-", "1", "-"},
    {"1", "1", "1", "1r2", "1r2", "-", "-", "2", "-"}, /* the layer that is there twice, at its upper place */
};

static void check_image(const struct km_focus *focus, size_t image)
{
    for (uint32_t id = 0; id < ENTRIES; id++) {
        char text[16];
        struct km_place place = km_focus_place(focus, id);
        describe(&place, text);
        if (strcmp(text, expected[image][id]) != 0)
            fail_msg("image %zu, entry %u: '%s', expected '%s'", image, id, text, expected[image][id]);
    }
}

static void each_image_has_its_own_view(void **state)
{
    (void)state;
    struct fixture f;
    three_images(&f);
    struct km_focus *focus = km_focus_new(f.layout, &f.err);
    assert_non_null(focus);
    static const size_t order[] = {0, 1, 2, 1, 1, 0, 2};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        uint64_t steps = 1000;
        assert_ok(km_focus_set(focus, order[i], &steps, &f.err), f.err);
        assert_in_range(steps, 1, 999);
        check_image(focus, order[i]);
    }
    struct km_place place = km_focus_place(focus, MEMBER);
    assert_string_equal(place.path, "x");
    assert_int_equal(place.parent, OUTER);
    assert_string_equal(place.image->name, "c:1");
    km_focus_free(focus);
    fixture_done(&f);
}

static void entries_come_once_from_the_top(void **state)
{
    (void)state;
    struct fixture f;
    three_images(&f);
    struct km_focus *focus = km_focus_new(f.layout, &f.err);
    assert_non_null(focus);
    static const struct {
        size_t count;
        uint32_t ids[ENTRIES];
    } rows[] = {{7, {WHITEOUT, NEW, KEPT, DELETED, REPLACED, OUTER, MEMBER}},
                {6, {OTHER, KEPT, DELETED, REPLACED, OUTER, MEMBER}},
                {6, {OTHER, KEPT, DELETED, REPLACED, OUTER, MEMBER}}};
    const uint32_t *ids;
    assert_int_equal(km_focus_entries(focus, &ids), 0);
    for (size_t i = 0; i < 3; i++) {
        uint64_t steps = UINT64_MAX;
        assert_ok(km_focus_set(focus, i, &steps, &f.err), f.err);
        assert_int_equal(km_focus_entries(focus, &ids), rows[i].count);
        assert_memory_equal(ids, rows[i].ids, rows[i].count * sizeof *ids);
    }
    km_focus_free(focus);
    fixture_done(&f);
}

/* Whatever the limit was, no image is half in focus, and the next one is not disturbed by what was left. */
static void the_step_limit_leaves_nothing_behind(void **state)
{
    (void)state;
    struct fixture f;
    three_images(&f);
    struct km_focus *focus = km_focus_new(f.layout, &f.err);
    assert_non_null(focus);
    uint64_t limit = 0;
    for (;; limit++) {
        uint64_t steps = limit;
        if (km_focus_set(focus, 0, &steps, &f.err) == KM_OK)
            break;
        assert_int_equal(f.err.code, KM_LIMIT);
        assert_int_equal(steps, 0);
        const uint32_t *ids;
        assert_int_equal(km_focus_entries(focus, &ids), 0);
        for (uint32_t id = 0; id < ENTRIES; id++)
            assert_null(km_focus_place(focus, id).image);
        steps = UINT64_MAX;
        assert_ok(km_focus_set(focus, 1, &steps, &f.err), f.err);
        check_image(focus, 1);
        assert_in_range(limit, 0, 100);
    }
    check_image(focus, 0);
    assert_in_range(limit, 21, 60); /* three steps for each of 7 entries, and directories */
    km_focus_free(focus);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_image_has_its_own_view),
        cmocka_unit_test(entries_come_once_from_the_top),
        cmocka_unit_test(the_step_limit_leaves_nothing_behind),
    };
    return KM_RUN_TESTS(tests);
}
