#define KM_TEST_NAME "users"
#include "../cm.h"

#include "daemon/guard/users.h"

static void names_are_asked_once(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_users *users KM_CLEANUP(km_users_cleanup) = km_users_new(&err);
    assert_non_null(users);
    assert_string_equal(km_users_name(users, 0), "root");
    assert_string_equal(km_users_name(users, 0), "root");
    assert_int_equal(km_users_asked(users), 1);
    assert_string_equal(km_users_name(users, UINT32_MAX), "");
    assert_int_equal(km_users_asked(users), 1);
}

static void an_unknown_number_is_asked_once_too(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_users *users KM_CLEANUP(km_users_cleanup) = km_users_new(&err);
    assert_string_equal(km_users_name(users, 3999999999U), "");
    assert_string_equal(km_users_name(users, 3999999999U), "");
    assert_int_equal(km_users_asked(users), 1);
    for (uint32_t i = 0; i < KM_USERS_MAX; i++)
        assert_string_equal(km_users_name(users, 3900000000U + i), "");
    assert_string_equal(km_users_name(users, 3999999999U), ""); /* it had to go meanwhile */
    assert_int_equal(km_users_asked(users), KM_USERS_MAX + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_asked_once),
        cmocka_unit_test(an_unknown_number_is_asked_once_too),
    };
    return KM_RUN_TESTS(tests);
}
