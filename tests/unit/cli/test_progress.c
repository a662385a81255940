#define KM_TEST_NAME "progress"
#include "../cm.h"

#include <string.h>

#include "base/clock.h"
#include "cli/progress.h"

#define COLUMNS_MAX 200

static const char *line_of(uint64_t done, uint64_t total, int64_t seconds, unsigned columns)
{
    static char line[256];
    struct km_progress progress = {.label = "app.tar", .start_ns = 1, .done = done, .total = total};
    km_progress_format(&progress, 1 + seconds * KM_NS_PER_S, columns, line, sizeof line);
    return line;
}

static void bytes_rate_and_remaining_time(void **state)
{
    (void)state;
    assert_string_equal(line_of(500000000, 2000000000, 5, 100),
                        "app.tar  [######..................]  500 MB of 2.0 GB  100 MB/s  15 s left");
    assert_string_equal(line_of(2000000000, 2000000000, 20, 100),
                        "app.tar  [########################]  2.0 GB of 2.0 GB  100 MB/s  0 s left");
}

static void an_unknown_total_has_no_bar(void **state)
{
    (void)state;
    assert_string_equal(line_of(500000000, UINT64_MAX, 5, 100), "app.tar  500 MB  100 MB/s");
}

static void nothing_yet_is_no_division_by_zero(void **state)
{
    (void)state;
    assert_non_null(strstr(line_of(0, 1000, 0, 100), "unknown left"));
    assert_non_null(strstr(line_of(0, 0, 0, 100), "0 B of 0 B"));
    assert_non_null(strstr(line_of(2000, 1000, 1, 100), "0 s left"));
}

static void a_narrow_terminal_cuts_the_line(void **state)
{
    (void)state;
    assert_int_equal(strlen(line_of(500000000, 2000000000, 5, 20)), 19);
    assert_int_equal(strlen(line_of(500000000, 2000000000, 5, 0)), 1);
}

static void make(const char *label, uint64_t total, struct km_progress *out)
{
    km_progress_begin(out, label, false);
    out->start_ns = 0;
    out->done = 50000000;
    out->total = total;
}

static void numbers_outlive_the_label(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        unsigned columns;
        const char *line;
    } rows[] = {
        {"a.tar", 80, "a.tar  [############............]  50.0 MB of 100 MB  50.0 MB/s  1 s left"},
        {"/images/from/yesterday/base.tar", 80,
         "ay/base.tar  [############............]  50.0 MB of 100 MB  50.0 MB/s  1 s left"},
        {"a.tar", 20, "[############......"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_progress progress;
        char line[COLUMNS_MAX + 8];
        make(rows[i].label, 100000000, &progress);
        size_t length = km_progress_format(&progress, KM_NS_PER_S, rows[i].columns, line, sizeof line);
        assert_int_equal(length, strlen(line));
        assert_true(length < rows[i].columns);
        assert_string_equal(line, rows[i].line);
    }
}

static void a_label_is_not_cut_within_a_character(void **state)
{
    (void)state;
    struct km_progress progress;
    make("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e.tar", UINT64_MAX, &progress);
    for (unsigned columns = 1; columns <= 60; columns++) {
        char line[COLUMNS_MAX + 8];
        size_t length = km_progress_format(&progress, KM_NS_PER_S, columns, line, sizeof line);
        assert_true(length < columns || columns == 1);
        assert_true(((unsigned char)line[0] & 0xc0) != 0x80);
    }
}

static void each_part_has_a_bar_of_its_own(void **state)
{
    (void)state;
    static const char first[] = "reading", second[] = "learning";
    struct km_progress_parts parts = {.wanted = false};
    km_progress_show_part(&parts, first, 7, 10);
    assert_string_equal(parts.progress.label, "reading");
    int64_t start_ns = parts.progress.start_ns;
    km_progress_show_part(&parts, first, 8, 10);
    assert_int_equal(parts.progress.start_ns, start_ns);
    assert_int_equal(parts.progress.done, 8);
    km_progress_show_part(&parts, second, 1, 20);
    assert_string_equal(parts.progress.label, "learning");
    assert_int_equal(parts.progress.done, 1);
    assert_int_equal(parts.progress.total, 20);
    km_progress_parts_end(&parts);
    assert_null(parts.part);
    km_progress_show_part(&parts, second, 0, UINT64_MAX); /* a part may come again */
    assert_int_equal(parts.progress.total, UINT64_MAX);
    km_progress_parts_end(&parts);
    km_progress_parts_end(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_rate_and_remaining_time),      cmocka_unit_test(an_unknown_total_has_no_bar),
        cmocka_unit_test(nothing_yet_is_no_division_by_zero), cmocka_unit_test(a_narrow_terminal_cuts_the_line),
        cmocka_unit_test(numbers_outlive_the_label),          cmocka_unit_test(a_label_is_not_cut_within_a_character),
        cmocka_unit_test(each_part_has_a_bar_of_its_own),
    };
    return KM_RUN_TESTS(tests);
}
