#define KM_TEST_NAME "dataset"
#include "unit/cm.h"

#include "unit/lab/minicorpus.h"

static char content[8192];

static void add(struct minicorpus *corpus, const char *first, char letter, size_t length)
{
    memset(content, letter, sizeof content);
    minicorpus_add(corpus, first, content, length);
}

static struct km_dataset *open_corpus(struct minicorpus *corpus)
{
    struct km_err err = KM_ERR_INIT;
    struct km_dataset *dataset = NULL;
    minicorpus_close(corpus);
    assert_ok(km_dataset_open(corpus->folder, &dataset, &err), err);
    return dataset;
}

static void samples_are_what_was_written(void **state)
{
    (void)state;
    struct minicorpus corpus;
    minicorpus_begin(&corpus);
    add(&corpus, "positive\ttrain\tpython\tf\tbookworm\tamd64\tp\t1\tpython", 'a', 1500);
    add(&corpus, "benign\ttest\tprogram\tf\ttrixie\ti386\tq\t2\tc", 'b', 2000);
    struct km_dataset *dataset = open_corpus(&corpus);
    assert_int_equal(km_dataset_count(dataset), 2);
    const struct km_sample *second = km_dataset_get(dataset, 1);
    assert_int_equal(second->role, KM_RECIPE_BENIGN);
    assert_int_equal(second->kind, KM_SAMPLE_PROGRAM);
    assert_string_equal(second->suite, "trixie");
    assert_string_equal(second->path, "usr/bin/x");
    assert_int_equal(second->length, 2000);
    assert_int_equal(second->bytes[1999], 'b');
    /* A positive and a benign family of one name are two. */
    assert_int_equal(km_dataset_families(dataset), 2);
    assert_int_not_equal(second->family_id, km_dataset_get(dataset, 0)->family_id);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_dataset_verify(dataset, NULL, NULL, &err), err);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

static void verify_finds_a_changed_byte(void **state)
{
    (void)state;
    struct minicorpus corpus;
    minicorpus_begin(&corpus);
    add(&corpus, "positive\ttrain\tpython\tf\tbookworm\tamd64\tp\t1\tpython", 'a', 1500);
    add(&corpus, "benign\ttrain\tpython\tg\tbookworm\tamd64\tq\t1\tpython", 'b', 1500);
    assert_int_equal(fseek(corpus.blob, 1700, SEEK_SET), 0);
    assert_int_equal(fputc('c', corpus.blob), 'c');
    struct km_dataset *dataset = open_corpus(&corpus);
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_dataset_verify(dataset, NULL, NULL, &err), KM_CONFLICT);
    assert_non_null(strstr(err.text, "sample 1"));
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

static void bytes_beyond_the_blob_are_refused(void **state)
{
    (void)state;
    static const char *const ends[] = {"\t0\t2000\t", "\t1500\t1\t", "\t18446744073709551615\t2\t", "\t0\t0\t"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct minicorpus corpus;
        minicorpus_begin(&corpus);
        add(&corpus, "positive\ttrain\tpython\tf\tbookworm\tamd64\tp\t1\tpython", 'a', 1500);
        (void)fprintf(corpus.table, "benign\ttrain\tpython\tg\tbookworm\tamd64\tq\t1\tpython%s%064d\tx\n", ends[i], 1);
        minicorpus_close(&corpus);
        struct km_err err = KM_ERR_INIT;
        struct km_dataset *dataset = NULL;
        assert_int_equal(km_dataset_open(corpus.folder, &dataset, &err), KM_FORMAT);
        assert_null(dataset);
        assert_non_null(strstr(err.text, "line 3"));
        minicorpus_remove(&corpus);
    }
}

static void a_twin_is_alike_in_all_but_its_class(void **state)
{
    (void)state;
    struct minicorpus corpus;
    minicorpus_begin(&corpus);
    add(&corpus, "positive\ttrain\tprogram\tf\tbookworm\tamd64\tp\t1\tc", 'a', 2000);
    add(&corpus, "benign\ttrain\tprogram\tg\tbookworm\tamd64\tq\t1\tc", 'b', 2600);    /* too large */
    add(&corpus, "benign\ttrain\tprogram\tg\tbookworm\tamd64\tq\t1\tgo", 'c', 2000);   /* another language */
    add(&corpus, "benign\ttest\tprogram\tg2\tbookworm\tamd64\tq\t1\tc", 'd', 2000);    /* another split */
    add(&corpus, "benign\ttrain\tlibrary\tg\tbookworm\tamd64\tq\t1\tc", 'e', 2000);    /* another kind */
    add(&corpus, "benign\ttrain\tprogram\tg\tbookworm\ti386\tq\t1\tc", 'f', 2000);     /* another architecture */
    add(&corpus, "positive\ttrain\tprogram\tf3\tbookworm\tamd64\tq\t1\tc", 'g', 2001); /* positive */
    add(&corpus, "benign\ttrain\tprogram\tg\tbookworm\tamd64\tq\t1\tc", 'h', 2400);    /* farther */
    add(&corpus, "hard\ttrain\tprogram\tg3\tbookworm\tamd64\tq\t1\tc", 'i', 1700);     /* the one */
    struct km_dataset *dataset = open_corpus(&corpus);
    uint32_t twins[9];
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_dataset_find_twins(dataset, 1, twins, &err), err);
    assert_int_equal(twins[0], 8);
    assert_int_equal(twins[1], KM_DATASET_NO_TWIN);
    bool among[9] = {true, true, true, true, true, true, true, true, true};
    assert_ok(km_dataset_find_twins_among(dataset, among, 1, twins, &err), err);
    assert_int_equal(twins[0], 3); /* of whatever split */
    among[3] = false;
    assert_ok(km_dataset_find_twins_among(dataset, among, 1, twins, &err), err);
    assert_int_equal(twins[0], 8);
    among[0] = false;
    assert_ok(km_dataset_find_twins_among(dataset, among, 1, twins, &err), err);
    assert_int_equal(twins[0], KM_DATASET_NO_TWIN);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

static void the_seed_decides_among_equals(void **state)
{
    (void)state;
    struct minicorpus corpus;
    minicorpus_begin(&corpus);
    add(&corpus, "positive\ttrain\tshell\tf\tbookworm\tall\tp\t1\tscript", 'a', 2000);
    for (char letter = 'b'; letter < 'j'; letter++)
        add(&corpus, "benign\ttrain\tshell\tg\tbookworm\tall\tq\t1\tscript", letter, 2000);
    struct km_dataset *dataset = open_corpus(&corpus);
    uint32_t first[9], again[9], different = 0;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_dataset_find_twins(dataset, 1, first, &err), err);
    for (uint64_t seed = 1; seed < 20; seed++) {
        assert_ok(km_dataset_find_twins(dataset, seed, again, &err), err);
        assert_true(again[0] >= 1 && again[0] <= 8);
        assert_true(seed != 1 || again[0] == first[0]);
        different += again[0] != first[0];
    }
    assert_true(different > 0);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_what_was_written),      cmocka_unit_test(verify_finds_a_changed_byte),
        cmocka_unit_test(bytes_beyond_the_blob_are_refused), cmocka_unit_test(a_twin_is_alike_in_all_but_its_class),
        cmocka_unit_test(the_seed_decides_among_equals),
    };
    return KM_RUN_TESTS(tests);
}
