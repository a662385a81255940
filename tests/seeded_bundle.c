/*
 * Makes a detector bundle of seeded random weights in the folder given: for tests of the command line and for bench
 * runs without a trained model. Its scores mean nothing.
 */
#define KM_TEST_NAME "seeded_bundle"
#include "unit/scan/bundles.h"

static const char *path;

static void make(void **state)
{
    (void)state;
    struct bundle bundle = {.folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    assert_true(bundle.folder >= 0);
    bundle_add_all(&bundle, 7);
    (void)close(bundle.folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(make)};
    if (argc != 2)
        return 2;
    path = argv[1];
    return KM_RUN_TESTS(tests);
}
