#define KM_TEST_NAME "profile_memory"
#include "../cm.h"

#include "../failing.h"
#include "daemon/profile/profile_file.h"
#include "made_episodes.h"

static void save_a_learned_profile(struct km_buf *out)
{
    static const struct km_profile_identity identity = {.unit = "made.service", .role = "made"};
    struct km_episode_rule rule;
    struct km_err err = KM_ERR_INIT;
    km_episode_rule_life(&rule);
    KM_CLEANUP(km_profile_cleanup) struct km_profile *profile = km_profile_new(&identity, &rule, &err);
    assert_non_null(profile);
    struct made made;
    for (unsigned i = 0; i < 40; i++) {
        made_normal(&made, i);
        assert_ok(km_profile_learn(profile, &made.episode, &err), err);
    }
    assert_ok(km_profile_calibrate(profile, &err), err);
    assert_ok(km_profile_save(profile, "learned", out, &err), err);
}

static void every_failed_allocation_of_loading_is_reported(void **state)
{
    (void)state;
    struct km_buf bytes, again;
    km_buf_init(&bytes, KM_PROFILE_MAX_FILE_BYTES);
    km_buf_init(&again, KM_PROFILE_MAX_FILE_BYTES);
    save_a_learned_profile(&bytes);
    bool whole = false;
    for (int n = 0; n < 10000 && !whole; n++) {
        struct km_err err = KM_ERR_INIT;
        char note[KM_EVENT_MAX_NAME_BYTES] = "untouched";
        fail_allocations_after(n);
        struct km_profile *profile = km_profile_load(bytes.data, bytes.length, note, &err);
        whole = end_failing() == 0;
        if (whole) {
            assert_non_null(profile);
            assert_in_range(n, 10, 9999);
            assert_string_equal(note, "learned");
            assert_ok(km_profile_save(profile, note, &again, &err), err);
            assert_int_equal(again.length, bytes.length);
            assert_memory_equal(again.data, bytes.data, bytes.length);
        } else {
            assert_null(profile);
            assert_int_equal(err.code, KM_NOMEM);
            assert_string_equal(note, "untouched");
        }
        km_profile_free(profile);
    }
    assert_true(whole);
    km_buf_done(&bytes);
    km_buf_done(&again);
}

static void learning_without_memory_is_reported_and_can_go_on(void **state)
{
    (void)state;
    struct km_buf bytes;
    km_buf_init(&bytes, KM_PROFILE_MAX_FILE_BYTES);
    save_a_learned_profile(&bytes);
    struct made strange;
    made_strange(&strange);
    bool whole = false;
    for (int n = 0; n < 1000 && !whole; n++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_profile_cleanup)
        struct km_profile *profile = km_profile_load(bytes.data, bytes.length, NULL, &err);
        assert_non_null(profile);
        fail_allocations_after(n);
        enum km_code code = km_profile_learn(profile, &strange.episode, &err);
        whole = end_failing() == 0;
        assert_int_equal(code, whole ? KM_OK : KM_NOMEM);
        struct km_assessment assessment;
        km_profile_score(profile, &strange.episode, &assessment); /* what is there is still of use */
    }
    assert_true(whole);
    km_buf_done(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_of_loading_is_reported),
        cmocka_unit_test(learning_without_memory_is_reported_and_can_go_on),
    };
    return KM_RUN_TESTS(tests);
}
