#define KM_TEST_NAME "package_damage"
#include "../cm.h"

#include "image.h"

#define OK_STATUS                                                                                                      \
    {                                                                                                                  \
        STATUS, STANZA("p", INSTALLED), 0                                                                              \
    }
#define OK_LIST                                                                                                        \
    {                                                                                                                  \
        INFO("p.list"), "/usr/bin/x\n", 0                                                                              \
    }

static void damage_makes_the_view_unusable(void **state)
{
    (void)state;
    static const struct {
        struct text bad;
        const char *line; /* what the reason says */
    } table[] = {
        {{STATUS, "Package p\n", 0}, "status, line 1: "},
        {{STATUS, "Package: p\nVersion: 1\nnothing here\n", 0}, "line 3: "},
        {{STATUS, ": p\n", 0}, "line 1: "},
        {{STATUS, " continued\n", 0}, "line 1: "},
        {{STATUS, "Package: p\nPackage: q\n", 0}, "line 2: "},
        {{STATUS, "Package: p\nStatus: installed\n", 0}, "line 2: "},
        {{STATUS, "Package: p\nStatus: install ok sleeping\n", 0}, "line 2: "},
        {{STATUS, "Package: p\nStatus: very install ok installed\n", 0}, "line 2: "},
        {{STATUS, "Package: ../p\n", 0}, "line 1: "},
        {{STATUS, "Package:\n", 0}, "line 1: "},
        {{STATUS, "Version: 1\n\n", 0}, "line 2: "},
        {{STATUS, "Package: p\0q\n", 13}, "line 1: "},
        {{STATUS, "Package: p\nConffiles:\n /etc/x 123\n", 0}, "line 3: "},
        {{STATUS, "Package: p\nConffiles:\n " MD5_A "\n", 0}, "line 3: "},
        {{STATUS, "Package: p\nConffiles: /etc/x " MD5_A "\n", 0}, "line 2: "},
        {{INFO("p.list"), "usr/bin/x\n", 0}, "info/p.list, line 1: "},
        {{INFO("p.list"), "/a\n\n/b\n", 0}, "line 2: "},
        {{INFO("p.list"), "/a\0b\n", 5}, "line 1: "},
        {{DIVERSIONS, "/a\n/b\n", 0}, "diversions, line 3: "},
        {{DIVERSIONS, "/a\nb\np\n", 0}, "line 2: "},
        {{DIVERSIONS, "/a\n/b\n\n", 0}, "line 3: "},
        {{PART("q.md5sums"), "nothing\n", 0}, "q.md5sums, line 1: "},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t chunk = 0; chunk < 2; chunk++) {
            const struct text texts[] = {OK_STATUS, OK_LIST, table[i].bad, NO_MORE};
            struct km_err err = KM_ERR_INIT;
            KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, chunk, false, &err);
            assert_non_null(view);
            struct km_package_summary summary;
            km_package_view_summarize(view, &summary);
            if (summary.usability != KM_PACKAGE_UNUSABLE || !strstr(summary.reason, table[i].line))
                fail_msg("%s, \"%s\": \"%s\"", table[i].bad.path, table[i].bad.content, summary.reason);
            assert_int_equal(state_of(view, "usr/bin/x", NULL), KM_PACKAGE_NO_DATABASE);
        }
    }
}

static void damaged_details_leave_files_unchecked(void **state)
{
    (void)state;
    static const struct text bad[] = {
        {INFO("p.md5sums"), MD5_A "  usr/bin/x\nbroken\n", 0},
        {INFO("p.md5sums"), MD5_A " usr/bin/x\n", 0},
        {INFO("p.md5sums"), MD5_A "  \n", 0},
        {INFO("p.md5sums"), "\n", 0},
        {INFO("p.md5sums"), "0cc175b9c0f1b6a831c399e26977266  usr/bin/x\n", 0},
        {INFO("p.md5sums"), "0cc175b9c0f1b6a831c399e26977266g  usr/bin/x\n", 0},
        {INFO("p.conffiles"), "etc/x\n", 0},
        {"var/lib/dpkg/alternatives/a", "auto\nno path\n", 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct text texts[] = {OK_STATUS, OK_LIST, bad[i], NO_MORE};
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
        assert_non_null(view);
        struct km_package_summary summary;
        km_package_view_summarize(view, &summary);
        assert_int_equal(summary.usability, KM_PACKAGE_USABLE);
        assert_int_equal(summary.damaged_details, 1);
        assert_int_equal(state_of(view, "usr/bin/x", md5_a), KM_PACKAGE_UNCHECKED);
    }
}

static void checksum_lines_have_variants(void **state)
{
    (void)state;
    static const struct {
        const char *line, *path;
    } table[] = {
        {MD5_A "  usr/x", "usr/x"},
        {MD5_A "  ./usr/x\n", "usr/x"},
        {MD5_A "  /usr/x\n", "usr/x"},
        {MD5_A " *usr/x\n", "usr/x"},
        {MD5_A "  usr/a b\n", "usr/a b"},
        {MD5_A "  usr/x\r\n", "usr/x\r"},
        {MD5_A "  usr/a\\b\n", "usr/a\\b"},
        {"\\" MD5_A "  usr/a\\\\b\n", "usr/a\\b"},
        {"\\" MD5_A "  usr/a\\nb\n", "usr/a\nb"},
        {"0CC175B9C0F1B6A831C399E269772661  usr/x\n", "usr/x"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct text texts[] = {OK_STATUS, OK_LIST, {INFO("p.md5sums"), table[i].line, 0}, NO_MORE};
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
        assert_non_null(view);
        if (state_of(view, table[i].path, md5_a) != KM_PACKAGE_INTACT)
            fail_msg("%s", table[i].line);
    }
}

static void unread_files_are_damage(void **state)
{
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(1 << 20, &err);
        assert_non_null(db);
        const struct text status = OK_STATUS;
        struct km_package_file *file = feed_text(db, &status, 0, &err);
        assert_non_null(file);
        km_package_db_select(db, file);
        file = km_package_db_begin(db, INFO("p.list"), &err);
        assert_non_null(file);
        assert_ok(km_package_file_feed(file, "/usr/bin/x\n/usr/b", 17, &err), err);
        if (ended)
            assert_ok(km_package_file_end(file, false, &err), err);
        km_package_db_select(db, file);
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
        assert_non_null(view);
        assert_int_equal(usability_of(view), KM_PACKAGE_UNUSABLE);
        assert_int_equal(state_of(view, "usr/bin/x", NULL), KM_PACKAGE_NO_DATABASE);
    }
}

static void a_spoiled_collection_is_unusable(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(1 << 20, &err);
    assert_non_null(db);
    km_package_db_spoil(db, "the status could not be\033 kept");
    km_package_db_spoil(db, "later");
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
    assert_non_null(view);
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    assert_int_equal(summary.usability, KM_PACKAGE_UNUSABLE);
    assert_string_equal(summary.reason, "the status could not be\\x1b kept");
}

/* head + n times 'a' + tail, malloc'd */
static char *long_text(const char *head, size_t n, const char *tail)
{
    size_t before = strlen(head), after = strlen(tail);
    char *text = malloc(before + n + after + 1);
    assert_non_null(text);
    memcpy(text, head, before);
    memset(text + before, 'a', n);
    memcpy(text + before + n, tail, after + 1);
    return text;
}

static void long_lines_harm_only_fields_that_matter(void **state)
{
    (void)state;
    static const struct {
        const char *path, *head, *tail;
        size_t length;
        enum km_package_usability usability;
    } table[] = {
        {STATUS, STANZA("p", INSTALLED) "Description: ", "\n", 10 << 20, KM_PACKAGE_USABLE},
        {STATUS, STANZA("p", INSTALLED) "Description: x\n ", "\n", 10 << 20, KM_PACKAGE_USABLE},
        {STATUS, STANZA("p", INSTALLED) "Source: ", "\n", 10 << 20, KM_PACKAGE_UNUSABLE},
        {STATUS, STANZA("p", INSTALLED) "Conffiles:\n /", " " MD5_A "\n", 10 << 20, KM_PACKAGE_UNUSABLE},
        {STATUS, STANZA("p", INSTALLED), "\n", 10 << 20, KM_PACKAGE_UNUSABLE},
        {INFO("q.list"), "/", "\n", 10 << 20, KM_PACKAGE_UNUSABLE},
        {INFO("q.list"), "/", "\n", 8191, KM_PACKAGE_USABLE},
        {INFO("q.list"), "/", "\n", 8192, KM_PACKAGE_UNUSABLE},
        {INFO("q.list"), "/", "", 8192, KM_PACKAGE_UNUSABLE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t chunk = 0; chunk <= 4097; chunk += 4097) {
            KM_CLEANUP(km_cleanup_free) char *text = long_text(table[i].head, table[i].length, table[i].tail);
            struct text texts[] = {OK_STATUS, OK_LIST, {table[i].path, text, 0}, NO_MORE};
            if (strcmp(table[i].path, STATUS) == 0)
                texts[0] = texts[1];
            struct km_err err = KM_ERR_INIT;
            KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, chunk, false, &err);
            assert_non_null(view);
            if (usability_of(view) != table[i].usability)
                fail_msg("case %zu, chunk %zu", i, chunk);
        }
    }
}

static void the_memory_limit_is_kept_and_said(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(64 << 10, &err);
    assert_non_null(db);
    const struct text status = OK_STATUS;
    struct km_package_file *file = feed_text(db, &status, 0, &err);
    assert_non_null(file);
    km_package_db_select(db, file);
    file = km_package_db_begin(db, INFO("p.list"), &err);
    assert_non_null(file);
    for (int i = 0; i < 20000; i++)
        assert_ok(km_package_file_feed(file, "/usr/bin/x\n", 11, &err), err);
    assert_ok(km_package_file_end(file, true, &err), err);
    km_package_db_select(db, file);
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
    assert_non_null(view);
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    assert_int_equal(summary.usability, KM_PACKAGE_UNUSABLE);
    assert_non_null(strstr(summary.reason, "memory limit"));
}

static void the_view_keeps_the_memory_limit(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(64 << 10, &err);
    assert_non_null(db);
    const struct text status = OK_STATUS;
    struct km_package_file *file = feed_text(db, &status, 0, &err);
    assert_non_null(file);
    km_package_db_select(db, file);
    file = km_package_db_begin(db, INFO("p.list"), &err);
    assert_non_null(file);
    for (int i = 0; i < 4000; i++) { /* 8 bytes each now, 40 in the view */
        char line[32];
        int n = snprintf(line, sizeof line, "/usr/bin/%d\n", i);
        assert_ok(km_package_file_feed(file, line, (size_t)n, &err), err);
    }
    assert_ok(km_package_file_end(file, true, &err), err);
    km_package_db_select(db, file);
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_UNUSABLE);
}

static void begin_meets_the_limit(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(8 << 10, &err);
    assert_non_null(db);
    unsigned begun = 0;
    while (begun < 1000 && km_package_db_begin(db, INFO("p.list"), &err))
        begun++;
    assert_in_range(begun, 1, 100);
    assert_int_equal(err.code, KM_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_makes_the_view_unusable),
        cmocka_unit_test(damaged_details_leave_files_unchecked),
        cmocka_unit_test(checksum_lines_have_variants),
        cmocka_unit_test(unread_files_are_damage),
        cmocka_unit_test(a_spoiled_collection_is_unusable),
        cmocka_unit_test(long_lines_harm_only_fields_that_matter),
        cmocka_unit_test(the_memory_limit_is_kept_and_said),
        cmocka_unit_test(the_view_keeps_the_memory_limit),
        cmocka_unit_test(begin_meets_the_limit),
    };
    return KM_RUN_TESTS(tests);
}
