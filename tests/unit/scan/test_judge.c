#define KM_TEST_NAME "judge"
#include "../source/layouts.h"

#include "container/scan/judge.h"

#define MAX_FOUND 8
#define STATUS    "var/lib/dpkg/status"
#define INFO(x)   "var/lib/dpkg/info/" x
#define PACKAGE   "Package: p\nStatus: install ok installed\nVersion: 1\n"
#define MD5_SH    "3e2b31c72181b87149ff995e7202c0e3" /* of "#!/bin/sh\n" */
#define MD5_NONE  "00000000000000000000000000000000"

/* A source that is fed by hand, and what the judge said about it. */
struct scene {
    struct fixture f;
    struct km_examine_options examine_options;
    struct km_examine *examine;
    struct km_sink sink;
    struct km_judgement judgement;
    size_t found;
    struct {
        char path[64], image[16];
        enum km_verdict verdict;
        bool hidden;
    } list[MAX_FOUND];
    const char *odd; /* this path's stored name was odd; or NULL */
    char gap[512];
    enum km_gap_reason gap_reason;
    size_t gaps;
};

static enum km_code take_finding(void *context, const struct km_finding *finding, struct km_err *err)
{
    struct scene *s = context;
    (void)err;
    assert_in_range(s->found, 0, MAX_FOUND - 1);
    (void)snprintf(s->list[s->found].path, sizeof s->list[0].path, "%s", finding->subject.path);
    (void)snprintf(s->list[s->found].image, sizeof s->list[0].image, "%s",
                   finding->subject.image ? finding->subject.image : "");
    s->list[s->found].verdict = finding->verdict;
    s->list[s->found++].hidden = finding->subject.deleted_by || finding->subject.replaced_by;
    return KM_OK;
}

static enum km_code take_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct scene *s = context;
    (void)err;
    (void)snprintf(s->gap, sizeof s->gap, "%s", gap->detail);
    s->gap_reason = gap->reason;
    s->gaps++;
    return KM_OK;
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    fixture_init(&s->f);
    s->sink = (struct km_sink){.context = s, .finding = take_finding, .gap = take_gap};
    s->examine_options = (struct km_examine_options){.sink = &s->sink};
    s->examine = km_examine_new(&s->examine_options, &s->f.err);
    assert_non_null(s->examine);
}

static void scene_done(struct scene *s)
{
    km_judgement_done(&s->judgement);
    km_examine_free(s->examine);
    fixture_done(&s->f);
}

static void put(struct scene *s, uint32_t blob, enum km_entry_type type, const char *path, const char *content)
{
    const struct km_entry_sink *sink = km_examine_sink(s->examine);
    const struct km_entry entry = {.id = s->f.entries,
                                   .blob = blob,
                                   .parent = KM_ENTRY_NONE,
                                   .type = type,
                                   .path = path,
                                   .odd_name = s->odd && strcmp(path, s->odd) == 0,
                                   .mode = 0755};
    void *state = NULL;
    assert_int_equal(add_entry(&s->f, blob, type, path), entry.id);
    assert_ok(sink->begin(sink->context, &entry, &state, &s->f.err), s->f.err);
    if (content && *content)
        assert_ok(sink->data(sink->context, state, 0, content, strlen(content), &s->f.err), s->f.err);
    assert_ok(sink->end(sink->context, state, true, &s->f.err), s->f.err);
}

/* "a:1" is the layer base; "b:1" has a layer over it that `over` puts, in pairs of path and content (NULL: a whiteout),
 * and "c:1" is base over itself. The base has the package p with /usr/bin/p, whose checksum is given. */
static void three_images(struct scene *s, const char *md5, const char *const (*over)[2])
{
    const char *odd = s->odd;
    scene_init(s);
    s->odd = odd;
    char sums[128];
    (void)snprintf(sums, sizeof sums, "%s  usr/bin/p\n", md5);
    uint32_t base = add_blob(&s->f, "base.tar", KM_BLOB_TREE, "base");
    put(s, base, KM_ENTRY_FILE, STATUS, PACKAGE);
    put(s, base, KM_ENTRY_FILE, INFO("p.list"), "/usr/bin/p\n");
    put(s, base, KM_ENTRY_FILE, INFO("p.md5sums"), sums);
    put(s, base, KM_ENTRY_FILE, "usr/bin/p", "#!/bin/sh\n");
    uint32_t top = add_blob(&s->f, "top.tar", KM_BLOB_TREE, "top");
    for (; (*over)[0]; over++)
        put(s, top, (*over)[1] ? KM_ENTRY_FILE : KM_ENTRY_WHITEOUT, (*over)[0], (*over)[1]);
    add_document(&s->f, "config.json", "{\"os\":\"linux\",\"architecture\":\"amd64\"}");
    add_document(&s->f, "manifest.json",
                 "[{\"Config\":\"config.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"base.tar\"]},"
                 "{\"Config\":\"config.json\",\"RepoTags\":[\"b:1\"],\"Layers\":[\"base.tar\",\"top.tar\"]},"
                 "{\"Config\":\"config.json\",\"RepoTags\":[\"c:1\"],\"Layers\":[\"base.tar\",\"base.tar\"]}]");
    assert_ok(km_layout_resolve_images(s->f.layout, &s->f.sink, &s->f.err), s->f.err);
}

static void judge(struct scene *s, uint64_t max_steps)
{
    const struct km_judge_options options = {.max_findings = MAX_FOUND, .max_steps = max_steps};
    assert_ok(km_judge_run(s->examine, s->f.layout, &options, &s->sink, &s->judgement, &s->f.err), s->f.err);
    assert_int_equal(s->judgement.image_count, 3);
    assert_int_equal(s->judgement.gaps, s->gaps);
}

static void each_image_has_its_own_database(void **state)
{
    (void)state;
    static const char *const sums[][2] = {{INFO("p.md5sums"), MD5_NONE "  usr/bin/p\n"}, {NULL, NULL}};
    struct scene s = {0};
    three_images(&s, MD5_SH, sums);
    judge(&s, KM_JUDGE_MAX_STEPS);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(s.judgement.images[i].database, "dpkg");
        assert_int_equal(s.judgement.images[i].files_intact, i == 1 ? 0 : 1);
        assert_int_equal(s.judgement.images[i].files_changed, i == 1 ? 1 : 0);
    }
    assert_string_equal(s.judgement.integrity.database, "dpkg");
    assert_int_equal(s.judgement.integrity.packages, 3);
    assert_int_equal(s.judgement.integrity.files_intact, 2);
    assert_int_equal(s.judgement.integrity.files_changed, 1);
    assert_int_equal(s.found, 1);
    assert_string_equal(s.list[0].path, "usr/bin/p");
    assert_string_equal(s.list[0].image, "b:1");
    assert_int_equal(s.gaps, 0);
    scene_done(&s);
}

static void an_entry_is_found_once_where_it_is_worst(void **state)
{
    (void)state;
    static const struct {
        const char *const over[4][2];
        const char *image;
        size_t changed; /* files of all images */
    } rows[] = {
        {{{"etc/x", "x"}, {NULL, NULL}}, "a:1", 3},      /* the same in each: the first */
        {{{"usr/bin/p", NULL}, {NULL, NULL}}, "a:1", 2}, /* deleted in b */
        {{{INFO("p.md5sums"), NULL}, {NULL, NULL}}, "a:1", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene s = {0};
        three_images(&s, MD5_NONE, rows[i].over);
        judge(&s, KM_JUDGE_MAX_STEPS);
        assert_int_equal(s.judgement.integrity.files_changed, rows[i].changed);
        assert_int_equal(s.found, 1);
        assert_string_equal(s.list[0].path, "usr/bin/p");
        assert_string_equal(s.list[0].image, rows[i].image);
        assert_false(s.list[0].hidden);
        scene_done(&s);
    }
}

/* Also of data, which is not listed for being unowned alone. */
static void an_odd_name_is_said(void **state)
{
    (void)state;
    static const char *const over[][2] = {
        {"etc/cron.d/x", "* * * * * root true\n"}, {"etc/motd", "hello\n"}, {NULL, NULL}};
    struct scene s = {.odd = "etc/cron.d/x"};
    three_images(&s, MD5_SH, over);
    judge(&s, UINT64_MAX);
    assert_int_equal(s.found, 1);
    assert_string_equal(s.list[0].path, "etc/cron.d/x");
    assert_int_equal(s.list[0].verdict, KM_VERDICT_CLEAN);
    scene_done(&s);
}

static void gaps_of_databases(void **state)
{
    (void)state;
    static const struct {
        const char *const over[5][2];
        const char *database, *detail; /* of b; detail "": no gap */
        size_t intact;                 /* files of all images */
    } rows[] = {
        {{{STATUS, PACKAGE "\nPackage: q\nStatus: install ok installed\n"}, {NULL, NULL}},
         "dpkg",
         "b:1: 1 of 2 packages have no list of files: theirs look unowned and are not compared",
         3},
        {{{INFO("p.md5sums"), "damaged\n"}, {NULL, NULL}},
         "dpkg",
         "b:1: 1 lists of checksums, configuration files or alternatives are damaged and left out",
         2},
        {{{STATUS, "damaged\n"}, {NULL, NULL}},
         "unusable",
         "b:1: var/lib/dpkg/status, line 1: a line without a field name",
         2},
        {{{INFO("p.list"), NULL}, {INFO("p.md5sums"), NULL}, {NULL, NULL}}, "none", "", 2}, /* a generated status */
        {{{STATUS, NULL}, {NULL, NULL}}, "none", "", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene s = {0};
        three_images(&s, MD5_SH, rows[i].over);
        judge(&s, KM_JUDGE_MAX_STEPS);
        assert_string_equal(s.judgement.images[0].database, "dpkg");
        assert_string_equal(s.judgement.images[1].database, rows[i].database);
        assert_int_equal(s.gaps, *rows[i].detail ? 1 : 0);
        if (s.gaps)
            assert_int_equal(s.gap_reason, KM_GAP_DAMAGED);
        assert_string_equal(s.gap, rows[i].detail);
        assert_int_equal(s.judgement.integrity.files_intact, rows[i].intact);
        scene_done(&s);
    }
}

/* Wherever the limit falls: images are compared whole or not at all, and those that are not are a gap. */
static void images_beyond_the_limit_are_a_gap(void **state)
{
    (void)state;
    static const char *const extra[][2] = {{"opt/x", "x"}, {NULL, NULL}};
    bool seen[4] = {false};
    for (uint64_t limit = 0; limit < 400 && !seen[3]; limit++) {
        struct scene s = {0};
        three_images(&s, MD5_SH, extra);
        judge(&s, limit);
        size_t compared = 0;
        for (size_t i = 0; i < 3; i++) {
            bool is_compared = strcmp(s.judgement.images[i].database, "dpkg") == 0;
            assert_true(is_compared || strcmp(s.judgement.images[i].database, "unusable") == 0);
            assert_int_equal(s.judgement.images[i].files_intact, is_compared);
            assert_int_equal(s.judgement.images[i].detail == NULL, is_compared);
            compared += is_compared;
        }
        seen[compared] = true;
        assert_int_equal(s.gaps, compared < 3 ? 1 : 0);
        char expected[64];
        (void)snprintf(expected, sizeof expected, "%zu of 3 images were not compared", 3 - compared);
        if (compared < 3) {
            assert_int_equal(s.gap_reason, KM_GAP_LIMIT);
            assert_memory_equal(s.gap, expected, strlen(expected));
            assert_string_equal(s.judgement.integrity.database, "unusable");
        }
        scene_done(&s);
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_image_has_its_own_database),
        cmocka_unit_test(an_entry_is_found_once_where_it_is_worst),
        cmocka_unit_test(an_odd_name_is_said),
        cmocka_unit_test(gaps_of_databases),
        cmocka_unit_test(images_beyond_the_limit_are_a_gap),
    };
    return KM_RUN_TESTS(tests);
}
