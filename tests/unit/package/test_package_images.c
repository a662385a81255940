#define KM_TEST_NAME "package_images"
#include "../cm.h"

#include "image.h"

/* Two images of one source: a base with p, whose second image has a q and another p. */
static void images_are_viewed_one_after_the_other(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("p", INSTALLED), 0},
        {STATUS, STANZA("p", INSTALLED) "\n" STANZA("q", INSTALLED), 0},
        {INFO("p.list"), "/usr/bin/p\n", 0},
        {INFO("p.md5sums"), MD5_A "  usr/bin/p\n", 0},
        {INFO("p.md5sums"), MD5_B "  usr/bin/p\n", 0},
        {INFO("q.list"), "/bin/q\n", 0},
        {STATUS, "damaged\n", 0},
    };
    enum { COUNT = sizeof texts / sizeof texts[0] };
    static const struct {
        const char *selected; /* one character a text */
        bool merged;
        enum km_package_usability usability;
        size_t packages;
        enum km_package_state p, q;
    } rows[] = {
        {"x.xx...", false, KM_PACKAGE_USABLE, 1, KM_PACKAGE_INTACT, KM_PACKAGE_UNOWNED},
        {".xx.xx.", true, KM_PACKAGE_USABLE, 2, KM_PACKAGE_CHANGED, KM_PACKAGE_UNCHECKED},
        {".xx.xx.", false, KM_PACKAGE_USABLE, 2, KM_PACKAGE_CHANGED, KM_PACKAGE_UNOWNED}, /* aliases are taken back */
        {"..xx.xx", false, KM_PACKAGE_UNUSABLE, 0, KM_PACKAGE_NO_DATABASE, KM_PACKAGE_NO_DATABASE},
        {"..xx...", false, KM_PACKAGE_ABSENT, 0, KM_PACKAGE_NO_DATABASE, KM_PACKAGE_NO_DATABASE},
        {"x.xx...", false, KM_PACKAGE_USABLE, 1, KM_PACKAGE_INTACT, KM_PACKAGE_UNOWNED}, /* nothing was used up */
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(1 << 20, &err);
    assert_non_null(db);
    struct km_package_file *files[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        assert_non_null(files[i] = feed_text(db, &texts[i], 0, &err));
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        km_package_db_deselect_all(db);
        for (size_t i = 0; i < COUNT; i++)
            if (rows[row].selected[i] == 'x')
                km_package_db_select(db, files[i]);
        if (rows[row].merged)
            km_package_db_add_alias(db, "bin", "usr/bin");
        bool last = row == sizeof rows / sizeof rows[0] - 1;
        KM_CLEANUP(km_package_view_cleanup)
        struct km_package_view *view = last ? km_package_db_finish(db, &err) : km_package_db_view(db, &err);
        assert_non_null(view);
        struct km_package_summary summary;
        km_package_view_summarize(view, &summary);
        assert_int_equal(summary.usability, rows[row].usability);
        assert_int_equal(summary.packages, rows[row].packages);
        assert_int_equal(state_of(view, "usr/bin/p", md5_a), rows[row].p);
        assert_int_equal(state_of(view, "usr/bin/q", md5_a), rows[row].q);
        if (summary.usability == KM_PACKAGE_USABLE)
            assert_string_equal(km_package_view_at(view, 0)->name, "p");
    }
}

/* A list of p with `count` names. */
static struct km_package_file *feed_list(struct km_package_db *db, int count)
{
    struct km_err err = KM_ERR_INIT;
    struct km_package_file *file = km_package_db_begin(db, INFO("p.list"), &err);
    assert_non_null(file);
    for (int i = 0; i < count; i++) {
        char line[32];
        int n = snprintf(line, sizeof line, "/usr/share/%d\n", i);
        assert_ok(km_package_file_feed(file, line, (size_t)n, &err), err);
    }
    assert_ok(km_package_file_end(file, true, &err), err);
    return file;
}

/* A db with p, whose list has 250 names and is selected; another one with 1000 is not. */
static struct km_package_db *db_with_lists(size_t max_bytes)
{
    struct km_err err = KM_ERR_INIT;
    struct km_package_db *db = km_package_db_new(max_bytes, &err);
    assert_non_null(db);
    const struct text status = {STATUS, STANZA("p", INSTALLED), 0};
    struct km_package_file *file = feed_text(db, &status, 0, &err);
    assert_non_null(file);
    km_package_db_select(db, file);
    km_package_db_select(db, feed_list(db, 250));
    (void)feed_list(db, 1000);
    return db;
}

static void views_give_their_memory_back(void **state)
{
    (void)state;
    /* Room for one view beside the records, not for three. */
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = db_with_lists((size_t)64 << 10);
    for (int i = 0; i < 20; i++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_view(db, &err);
        assert_non_null(view);
        struct km_package_summary summary;
        km_package_view_summarize(view, &summary);
        if (summary.usability != KM_PACKAGE_USABLE)
            fail_msg("view %d: %s", i, summary.reason);
        assert_int_equal(summary.files, 250);
    }
}

/* Records and view together need more than a view that eats them; it fails as a whole and the db stays good. */
static void a_view_above_the_limit_is_unusable(void **state)
{
    (void)state;
    bool met = false;
    for (size_t limit = 16 << 10; limit < 64 << 10 && !met; limit += 1 << 10) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = db_with_lists(limit);
        struct km_package_view *view = km_package_db_view(db, &err);
        assert_non_null(view);
        enum km_package_usability kept = usability_of(view);
        assert_int_equal(state_of(view, "usr/share/7", NULL),
                         kept == KM_PACKAGE_USABLE ? KM_PACKAGE_UNCHECKED : KM_PACKAGE_NO_DATABASE);
        km_package_view_free(view);
        view = km_package_db_finish(db, &err);
        assert_non_null(view);
        met = kept == KM_PACKAGE_UNUSABLE && usability_of(view) == KM_PACKAGE_USABLE;
        km_package_view_free(view);
    }
    assert_true(met);
}

static void missing_lists_are_counted(void **state)
{
    (void)state;
    static const struct {
        struct text texts[5];
        size_t missing;
    } rows[] = {
        {{{STATUS, STANZA("p", INSTALLED), 0}, {INFO("p.list"), "/.\n", 0}, NO_MORE}, 0},
        {{{STATUS, STANZA("p", INSTALLED), 0}, NO_MORE}, 1},
        {{{STATUS, STANZA("p", INSTALLED), 0}, {INFO("p.list"), "", 0}, NO_MORE}, 1},
        {{{STATUS, STANZA("p", INSTALLED), 0}, {INFO("p.md5sums"), MD5_A "  usr/bin/p\n", 0}, NO_MORE}, 1},
        {{{STATUS, STANZA("p", INSTALLED), 0}, {INFO("p:amd64.list"), "/.\n", 0}, NO_MORE}, 0},
        {{{STATUS, STANZA("p", "install ok half-installed"), 0}, NO_MORE}, 0},
        {{{STATUS, STANZA("p", "deinstall ok config-files"), 0}, NO_MORE}, 0},
        {{{PART("p"), "Package: p\n", 0}, NO_MORE}, 0}, /* distroless: no lists at all, by design */
        {{{PART("p"), "Package: p\n", 0},
          {PART("p.md5sums"), MD5_A "  usr/bin/p\n", 0},
          {PART("q"), "Package: q\n", 0},
          NO_MORE},
         0},
        {{{STATUS, STANZA("p", INSTALLED) "\n" STANZA("q", INSTALLED), 0},
          {INFO("q.list"), "/.\n/usr/bin/q\n", 0},
          NO_MORE},
         1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(rows[i].texts, 0, false, &err);
        assert_non_null(view);
        struct km_package_summary summary;
        km_package_view_summarize(view, &summary);
        if (summary.lists_missing != rows[i].missing)
            fail_msg("row %zu: %zu, expected %zu", i, summary.lists_missing, rows[i].missing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_viewed_one_after_the_other),
        cmocka_unit_test(views_give_their_memory_back),
        cmocka_unit_test(a_view_above_the_limit_is_unusable),
        cmocka_unit_test(missing_lists_are_counted),
    };
    return KM_RUN_TESTS(tests);
}
