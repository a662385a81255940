#define KM_TEST_NAME "trainwindows"
#include "unit/cm.h"

#include <string.h>

#include "container/lab/trainwindows.h"
#include "container/tokens/tokentrain.h"

#define SAMPLES 40
#define WINDOW  KM_TOKEN_WINDOW_BYTES

static uint32_t id_of(const char *word)
{
    return km_token_id(km_token_hash(KM_TOKEN_WORD, word, strlen(word)));
}

/* "attack" is what positives have, "garden" what the others have. */
static struct km_token_model *make_model(void)
{
    static uint32_t bad, good;
    struct km_token_sample samples[SAMPLES];
    bad = id_of("attack");
    good = id_of("garden");
    for (size_t i = 0; i < SAMPLES; i++)
        samples[i] = (struct km_token_sample){{i % 2 ? &bad : &good, 1}, 1, i % 2};
    struct km_err err = KM_ERR_INIT;
    struct km_token_model *model = NULL;
    assert_ok(km_token_train(samples, SAMPLES, NULL, &model, NULL, &err), err);
    return model;
}

static bool has(const struct km_token_set *set, const char *word)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->ids[i] == id_of(word))
            return true;
    return false;
}

static void put(char *bytes, size_t offset, const char *words)
{
    for (size_t i = 0; words[i]; i++)
        bytes[offset + i] = words[i];
}

static void the_strongest_window_is_kept(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_model *model = make_model();
    char *bytes = calloc(3, WINDOW);
    assert_non_null(bytes);
    struct km_trainwindows *windows = km_trainwindows_new(model, 5, &err);
    assert_non_null(windows);
    const struct km_token_set *sets = km_trainwindows_sets(windows);
    put(bytes, 100, " garden first ");
    put(bytes, WINDOW + 1000, " attack second ");
    put(bytes, 2 * WINDOW + 1000, " garden third ");
    assert_ok(km_trainwindows_read(windows, 1, (const uint8_t *)bytes, 3 * WINDOW, &err), err);
    assert_true(has(&sets[1], "attack") && has(&sets[1], "second") && !has(&sets[1], "garden"));
    /* of equals the first */
    put(bytes, WINDOW + 1000, " garden second ");
    assert_ok(km_trainwindows_read(windows, 2, (const uint8_t *)bytes, 3 * WINDOW, &err), err);
    assert_true(has(&sets[2], "first"));
    /* one window, or one that alone has words: the file says it all */
    assert_ok(km_trainwindows_read(windows, 3, (const uint8_t *)bytes, WINDOW, &err), err);
    memset(bytes + WINDOW, 0, 2 * WINDOW);
    assert_ok(km_trainwindows_read(windows, 4, (const uint8_t *)bytes, 3 * WINDOW, &err), err);
    assert_int_equal(sets[0].count + sets[3].count + sets[4].count, 0);
    km_trainwindows_free(windows);
    km_token_model_free(model);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_strongest_window_is_kept),
    };
    return KM_RUN_TESTS(tests);
}
