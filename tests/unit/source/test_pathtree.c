#define KM_TEST_NAME "pathtree"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container/source/pathtree.h"

static uint32_t add(struct km_pathtree *tree, const char *path)
{
    struct km_err err = KM_ERR_INIT;
    uint32_t node = KM_PATHTREE_NONE;
    assert_ok(km_pathtree_add(tree, path, &node, &err), err);
    return node;
}

static struct km_pathtree *new_tree(size_t max_bytes)
{
    struct km_err err = KM_ERR_INIT;
    struct km_pathtree *tree = km_pathtree_new(max_bytes, &err);
    assert_non_null(tree);
    return tree;
}

static void a_path_is_stored_once(void **state)
{
    (void)state;
    struct km_pathtree *tree = new_tree((size_t)1 << 20);
    uint32_t node = add(tree, "a/b/c");
    assert_int_equal(add(tree, "a/b/c"), node);
    assert_int_equal(km_pathtree_count(tree), 4); /* root, a, a/b, a/b/c */
    assert_string_equal(km_pathtree_path(tree, node), "a/b/c");
    km_pathtree_free(tree);
}

static void parents_lead_to_the_root(void **state)
{
    (void)state;
    struct km_pathtree *tree = new_tree((size_t)1 << 20);
    uint32_t file = add(tree, "a/b/c"), directory = add(tree, "a/b"), top = add(tree, "a");
    assert_int_equal(km_pathtree_parent(tree, file), directory);
    assert_int_equal(km_pathtree_parent(tree, directory), top);
    assert_int_equal(km_pathtree_parent(tree, top), 0);
    assert_int_equal(km_pathtree_parent(tree, 0), KM_PATHTREE_NONE);
    assert_int_equal(add(tree, ""), 0);
    assert_string_equal(km_pathtree_path(tree, directory), "a/b"); /* implied first, named later */
    assert_string_equal(km_pathtree_path(tree, top), "a");
    km_pathtree_free(tree);
}

static void loose_names_are_never_found(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_pathtree *tree = new_tree((size_t)1 << 20);
    uint32_t loose = 0;
    assert_ok(km_pathtree_add_loose(tree, "a/b", &loose, &err), err);
    assert_string_equal(km_pathtree_path(tree, loose), "a/b");
    assert_int_equal(km_pathtree_parent(tree, loose), KM_PATHTREE_NONE);
    assert_int_not_equal(add(tree, "a/b"), loose);
    km_pathtree_free(tree);
}

static void many_paths_survive_growth(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    struct km_pathtree *tree = new_tree((size_t)64 << 20);
    char path[64];
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(path, sizeof path, "d%u/f%u", i % 100, i);
        add(tree, path);
    }
    assert_int_equal(km_pathtree_count(tree), COUNT + 100 + 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(path, sizeof path, "d%u/f%u", i % 100, i);
        assert_string_equal(km_pathtree_path(tree, add(tree, path)), path);
    }
    assert_int_equal(km_pathtree_count(tree), COUNT + 100 + 1);
    km_pathtree_free(tree);
}

/* 4,096 bytes that make 2,048 directories: their nodes share the one copy of the path. */
static void a_deep_path_costs_nodes_not_copies(void **state)
{
    (void)state;
    enum { DEPTH = 2048 };
    struct km_pathtree *tree = new_tree((size_t)1 << 20);
    size_t before = km_pathtree_used(tree);
    char path[2 * DEPTH];
    for (size_t i = 0; i < DEPTH; i++) {
        path[2 * i] = 'a';
        path[2 * i + 1] = '/';
    }
    path[2 * DEPTH - 1] = '\0';
    add(tree, path);
    assert_int_equal(km_pathtree_count(tree), DEPTH + 1);
    assert_true(km_pathtree_used(tree) - before < (size_t)DEPTH * 48);
    km_pathtree_free(tree);
}

static void the_limit_is_kept_and_the_tree_stays_usable(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    size_t limit = (size_t)64 << 10;
    struct km_pathtree *tree = new_tree(limit);
    uint32_t first = add(tree, "first");
    enum km_code code = KM_OK;
    char path[64];
    uint32_t node = 0;
    for (unsigned i = 0; code == KM_OK; i++) {
        assert_true(i < 10000);
        (void)snprintf(path, sizeof path, "directory-%u/file", i);
        code = km_pathtree_add(tree, path, &node, &err);
    }
    assert_int_equal(code, KM_LIMIT);
    assert_true(km_pathtree_used(tree) <= limit);
    assert_int_equal(add(tree, "first"), first);
    char *large = malloc(limit + 1);
    assert_non_null(large);
    memset(large, 'x', limit);
    large[limit] = '\0';
    assert_int_equal(km_pathtree_add_loose(tree, large, &node, &err), KM_LIMIT);
    assert_int_equal(km_pathtree_add(tree, large, &node, &err), KM_LIMIT);
    free(large);
    km_pathtree_free(tree);
    km_pathtree_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_stored_once),
        cmocka_unit_test(parents_lead_to_the_root),
        cmocka_unit_test(loose_names_are_never_found),
        cmocka_unit_test(many_paths_survive_growth),
        cmocka_unit_test(a_deep_path_costs_nodes_not_copies),
        cmocka_unit_test(the_limit_is_kept_and_the_tree_stays_usable),
    };
    return KM_RUN_TESTS(tests);
}
