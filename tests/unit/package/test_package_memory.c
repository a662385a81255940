#define KM_TEST_NAME "package_memory"
#include "../cm.h"

#include "../failing.h"
#include "image.h"

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, "Package: p\nStatus: install ok installed\nVersion: 1\nConffiles:\n /etc/p " MD5_A "\n\n", 0},
        {INFO("p.list"), "/usr/bin/p\n/usr/bin/q\n/etc/p\n", 0},
        {INFO("p.md5sums"), MD5_A "  usr/bin/p\n", 0},
        {DIVERSIONS, "/usr/bin/q\n/usr/bin/q.real\n:\n", 0},
        {"var/lib/dpkg/alternatives/awk", "auto\n/usr/bin/awk\n\n", 0},
        {NULL, NULL, 0},
    };
    for (int n = 0; n < 1000; n++) {
        struct km_err err = KM_ERR_INIT;
        fail_allocations_after(n);
        struct km_package_view *view = view_of(texts, 3, true, &err);
        if (end_failing() == 0) {
            assert_non_null(view);
            assert_int_equal(state_of(view, "usr/bin/p", md5_a), KM_PACKAGE_INTACT);
            km_package_view_free(view);
            assert_in_range(n, 15, 999);
            return;
        }
        assert_null(view);
        assert_int_equal(err.code, KM_NOMEM);
    }
    fail_msg("the limit was never high enough");
}

static void a_failed_view_leaves_the_records(void **state)
{
    (void)state;
    static const struct text texts[] = {{STATUS, STANZA("p", INSTALLED), 0},
                                        {INFO("p.list"), "/usr/bin/p\n", 0},
                                        {INFO("p.md5sums"), MD5_A "  usr/bin/p\n", 0}};
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(1 << 20, &err);
    assert_non_null(db);
    for (size_t i = 0; i < 3; i++) {
        struct km_package_file *file = feed_text(db, &texts[i], 0, &err);
        assert_non_null(file);
        km_package_db_select(db, file);
    }
    for (int n = 0; n < 100; n++) {
        fail_allocations_after(n);
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_view(db, &err);
        if (end_failing() == 0) {
            assert_non_null(view);
            assert_int_equal(state_of(view, "usr/bin/p", md5_a), KM_PACKAGE_INTACT);
            assert_in_range(n, 4, 99);
            return;
        }
        assert_null(view);
        assert_int_equal(err.code, KM_NOMEM);
    }
    fail_msg("the limit was never high enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failed_allocation_is_reported),
                                       cmocka_unit_test(a_failed_view_leaves_the_records)};
    return KM_RUN_TESTS(tests);
}
