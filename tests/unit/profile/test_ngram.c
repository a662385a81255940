#define KM_TEST_NAME "ngram"
#include "../cm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/ngram.h"

static struct km_ngram *new_model(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_ngram *model = km_ngram_new(&err);
    assert_non_null(model);
    return model;
}

static void learn(struct km_ngram *model, const char *letters)
{
    uint16_t packed[256];
    size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++)
        packed[i] = km_call_pack(0, (unsigned char)letters[i]);
    struct km_ngram_walk start = {0};
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_ngram_learn(model, &start, packed, NULL, n, &err), err);
}

static void unlearn(struct km_ngram *model, const char *letters)
{
    uint16_t packed[256];
    size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++)
        packed[i] = km_call_pack(0, (unsigned char)letters[i]);
    struct km_ngram_walk start = {0};
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_ngram_unlearn(model, &start, packed, NULL, n, &err), err);
}

/* P of the last letter after the others. */
static double p_last(const struct km_ngram *model, const char *letters, unsigned *known)
{
    struct km_ngram_walk walk = {0};
    double bits = 0;
    for (; *letters; letters++)
        bits = km_ngram_step(model, &walk, km_call_pack(0, (unsigned char)*letters), known);
    return exp2(-bits);
}

static void probabilities_by_hand(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    learn(model, "ab"); /* a b; each n-gram once an episode */
    learn(model, "ac");
    learn(model, "ab");
    unsigned known;
    /* root: counts a 3, b 2, c 1 (n = 6), three kinds */
    double base = 1.0 / KM_CALL_NUMBERS, pa = (3 + 3 * base) / 9, pb = (2 + 3 * base) / 9;
    assert_true(fabs(p_last(model, "a", &known) - pa) < 1e-12);
    assert_int_equal(known, 1);
    /* after a: b 2, c 1 (n = 3), two kinds */
    assert_true(fabs(p_last(model, "ab", &known) - (2 + 2 * pb) / 5) < 1e-12);
    assert_int_equal(known, 2);
    assert_true(fabs(p_last(model, "aa", &known) - 2 * pa / 5) < 1e-12);
    assert_int_equal(known, 1);
    /* b has no continuation: the root decides */
    assert_true(fabs(p_last(model, "ba", &known) - pa) < 1e-12);
    assert_true(fabs(p_last(model, "z", &known) - 3 * base / 9) < 1e-12);
    assert_int_equal(known, 0);
    km_ngram_free(model);
}

static void probabilities_sum_to_one(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    learn(model, "abcabdabcaabbccabcabc");
    learn(model, "abcabxyz");
    static const char *const contexts[] = {"", "a", "ab", "abcab", "abcabc", "zzzzz", "xab"};
    for (size_t c = 0; c < sizeof contexts / sizeof contexts[0]; c++) {
        struct km_ngram_walk before = {0};
        unsigned known;
        for (const char *l = contexts[c]; *l; l++)
            (void)km_ngram_step(model, &before, km_call_pack(0, (unsigned char)*l), &known);
        double sum = 0;
        for (unsigned n = 0; n < KM_CALL_NUMBERS; n++) {
            struct km_ngram_walk walk = before;
            sum += exp2(-km_ngram_step(model, &walk, km_call_pack(0, n), &known));
        }
        assert_true(fabs(sum - 1) < 1e-9);
    }
    km_ngram_free(model);
}

/* Files hold every count: equal bytes are equal models. */
static void save(const struct km_ngram *model, struct km_buf *out)
{
    struct km_err err = KM_ERR_INIT;
    km_buf_init(out, 1 << 24);
    assert_ok(km_ngram_save(model, out, &err), err);
}

static void loops_count_once_and_unlearning_is_exact(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    learn(model, "abcdefgh");
    struct km_buf before, during, after;
    save(model, &before);
    learn(model, "ababababababxyzabcdefgh");
    save(model, &during);
    unlearn(model, "ababababababxyzabcdefgh");
    save(model, &after);
    assert_true(during.length > before.length);
    assert_int_equal(before.length, after.length);
    assert_memory_equal(before.data, after.data, before.length);
    unsigned known;
    struct km_ngram *other = new_model();
    learn(other, "abcdefgh");
    assert_true(p_last(model, "abcdef", &known) == p_last(other, "abcdef", &known));
    assert_true(p_last(model, "ababx", &known) == p_last(other, "ababx", &known));
    km_ngram_free(other);
    km_ngram_free(model);
    km_buf_done(&before);
    km_buf_done(&during);
    km_buf_done(&after);
}

static void novelty_of_the_last_episode(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    size_t fresh, windows;
    learn(model, "abcdefg");
    km_ngram_get_last_novelty(model, &fresh, &windows);
    assert_int_equal(fresh, 2);
    assert_int_equal(windows, 2);
    learn(model, "abcdefgabcdefg");
    km_ngram_get_last_novelty(model, &fresh, &windows);
    assert_int_equal(windows, 7);
    assert_int_equal(fresh, 5);
    km_ngram_free(model);
}

static void number_spaces_do_not_mix(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    learn(model, "abcdef");
    struct km_ngram_walk walk = {0};
    unsigned known;
    for (const char *l = "abcdef"; *l; l++)
        (void)km_ngram_step(model, &walk, km_call_pack(1, (unsigned char)*l), &known);
    assert_int_equal(known, 0);
    assert_true(km_ngram_knows_window(model, walk.window, 0));
    assert_false(km_ngram_knows_window(model, walk.window, 1));
    km_ngram_free(model);
}

static void windows_alone_are_learned(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    unsigned long long window = 0x123456;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_ngram_learn_windows(model, &window, 1, 2, &err), err);
    assert_true(km_ngram_knows_window(model, window, 2));
    struct km_ngram_stats stats;
    km_ngram_get_stats(model, &stats);
    assert_int_equal(stats.windows, 1);
    km_ngram_free(model);
}

static void outcomes_are_learned_given_the_call(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    uint16_t packed[] = {km_call_pack(0, 1), km_call_pack(0, 2)};
    uint8_t attrs[] = {1, 1};
    struct km_ngram_walk start = {0};
    struct km_err err = KM_ERR_INIT;
    for (int i = 0; i < 50; i++)
        assert_ok(km_ngram_learn(model, &start, packed, attrs, 2, &err), err);
    assert_true(km_ngram_attr_bits(model, packed[1], packed[0], 1) < 0.1);
    assert_true(km_ngram_attr_bits(model, packed[1], packed[0], 2) > 8);
    assert_true(km_ngram_attr_bits(model, packed[1], km_call_pack(0, 9), 1) < 0.3); /* by the call alone */
    km_ngram_free(model);
}

static void successors_come_best_first(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    learn(model, "ab");
    learn(model, "ab");
    learn(model, "ac");
    struct km_ngram_next next[2];
    assert_int_equal(km_ngram_successors(model, 'a', 1, 0, next, 2), 2);
    assert_int_equal(next[0].number, 'b');
    assert_int_equal(next[1].number, 'c');
    assert_true(next[0].p > next[1].p);
    km_ngram_free(model);
}

static void ageing_forgets_what_was_seen_once(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    for (int i = 0; i < 4; i++)
        learn(model, "abcdef");
    learn(model, "uvwxyz");
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_ngram_age(model, &err), err);
    unsigned known;
    (void)p_last(model, "abcdef", &known);
    assert_int_equal(known, 6);
    (void)p_last(model, "uvwxyz", &known);
    assert_int_equal(known, 0);
    km_ngram_free(model);
}

/* More different windows than there is room: the rest is counted, nothing breaks. */
static void a_full_table_drops_and_says_so(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    static uint16_t packed[KM_EPISODE_MAX_CALLS];
    uint64_t v = 1;
    struct km_err err = KM_ERR_INIT;
    for (int e = 0; e < 6; e++) {
        for (size_t i = 0; i < KM_EPISODE_MAX_CALLS; i++) {
            v = v * 6364136223846793005ULL + 1442695040888963407ULL;
            packed[i] = km_call_pack(0, (unsigned)(v >> 50) & 511);
        }
        struct km_ngram_walk start = {0};
        assert_ok(km_ngram_learn(model, &start, packed, NULL, KM_EPISODE_MAX_CALLS, &err), err);
    }
    struct km_ngram_stats stats;
    km_ngram_get_stats(model, &stats);
    assert_true(stats.dropped > 0);
    assert_int_equal(stats.slots, KM_NGRAM_MAX_SLOTS);
    km_ngram_free(model);
}

static void a_loaded_model_says_the_same(void **state)
{
    (void)state;
    struct km_ngram *model = new_model();
    learn(model, "abcabdabcaabbccabcabc");
    struct km_buf bytes, again;
    save(model, &bytes);
    struct km_err err = KM_ERR_INIT;
    struct km_ngram *loaded = km_ngram_load(bytes.data, bytes.length, &err);
    assert_non_null(loaded);
    save(loaded, &again);
    assert_int_equal(bytes.length, again.length);
    assert_memory_equal(bytes.data, again.data, bytes.length);
    unsigned known;
    assert_true(p_last(model, "abcab", &known) == p_last(loaded, "abcab", &known));
    for (size_t keep = 0; keep < bytes.length; keep++) /* every cut is refused */
        assert_null(km_ngram_load(bytes.data, keep, &err));
    km_ngram_free(loaded);
    km_ngram_free(model);
    km_buf_done(&bytes);
    km_buf_done(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_by_hand),
        cmocka_unit_test(probabilities_sum_to_one),
        cmocka_unit_test(loops_count_once_and_unlearning_is_exact),
        cmocka_unit_test(novelty_of_the_last_episode),
        cmocka_unit_test(number_spaces_do_not_mix),
        cmocka_unit_test(windows_alone_are_learned),
        cmocka_unit_test(outcomes_are_learned_given_the_call),
        cmocka_unit_test(successors_come_best_first),
        cmocka_unit_test(ageing_forgets_what_was_seen_once),
        cmocka_unit_test(a_full_table_drops_and_says_so),
        cmocka_unit_test(a_loaded_model_says_the_same),
    };
    return KM_RUN_TESTS(tests);
}
