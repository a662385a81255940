#define KM_TEST_NAME "rules_memory"
#include "../cm.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../failing.h"
#include "daemon/rules/rules.h"

static const char text[] = "title: A shell with arguments\n"
                           "id: 6b5f1d30-0000-4000-8000-000000000001\n"
                           "level: high\n"
                           "logsource: {product: linux, category: process_creation}\n"
                           "detection:\n"
                           "  shell:\n"
                           "    Image|endswith: ['/sh', '/bash']\n"
                           "    CommandLine|contains|all: [' -c', 'curl']\n"
                           "  pattern:\n"
                           "    CommandLine|re: 'wget [a-z]+'\n"
                           "  keywords: ['nc -e']\n"
                           "  condition: (shell or pattern) and not 1 of keywords\n";

struct told {
    unsigned loaded, refused;
};

static void count_report(void *context, const struct km_rule_report *report)
{
    struct told *told = context;
    if (report->outcome == KM_RULE_LOADED)
        told->loaded++;
    else
        told->refused++;
}

static enum km_code load(int fd, struct told *told, struct km_err *err)
{
    const struct km_rules_listener listener = {told, count_report};
    KM_CLEANUP(km_rules_cleanup) struct km_rules *rules = km_rules_new(err);
    *told = (struct told){0};
    return rules ? km_rules_load_file(rules, fd, "test", &listener, err) : err->code;
}

/* A rule must not count as refused for want of memory: the caller would guard without it. */
static void every_failed_allocation_ends_the_loading(void **state)
{
    (void)state;
    int fd = memfd_create("rules", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    bool whole = false;
    for (int n = 0; n < 2000 && !whole; n++) {
        struct km_err err = KM_ERR_INIT;
        struct told told;
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        fail_allocations_after(n);
        enum km_code code = load(fd, &told, &err);
        whole = end_failing() == 0;
        if (!whole && (code != KM_NOMEM || told.refused != 0))
            fail_msg("allocation %d: %s, %u refused: %s", n, km_code_to_string(code), told.refused, err.text);
        if (whole) {
            assert_ok(code, err);
            assert_int_equal(told.loaded, 1);
            assert_int_equal(told.refused, 0);
            assert_in_range(n, 10, 1999);
        }
    }
    assert_true(whole);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failed_allocation_ends_the_loading)};
    return KM_RUN_TESTS(tests);
}
