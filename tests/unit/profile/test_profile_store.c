#define KM_TEST_NAME "profile_store"
#include "../cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/profile/profile_file.h"
#include "daemon/profile/store_dir.h"
#include "made_episodes.h"

#define DAY_NS INT64_C(86400000000000)

static struct km_profile *learned(unsigned episodes)
{
    static struct km_profile_identity identity = {.unit = "../made.service", .role = "made+", .package = "made 1.0"};
    struct km_episode_rule rule;
    struct km_err err = KM_ERR_INIT;
    km_episode_rule_default(&rule);
    struct km_profile *profile = km_profile_new(&identity, &rule, &err);
    assert_non_null(profile);
    struct made m;
    struct km_event_landmark mark = {.kind = KM_LANDMARK_EXEC, .path = {"/bin/made", 9}};
    for (unsigned i = 0; i < episodes; i++) {
        made_normal(&m, i);
        m.attrs[0] = 1;
        m.episode.landmarks = &mark;
        m.episode.landmark_count = 1;
        assert_ok(km_profile_learn(profile, &m.episode, &err), err);
    }
    assert_ok(km_profile_calibrate(profile, &err), err);
    return profile;
}

static void save(const struct km_profile *profile, struct km_buf *out)
{
    struct km_err err = KM_ERR_INIT;
    km_buf_init(out, KM_PROFILE_MAX_FILE_BYTES);
    assert_ok(km_profile_save(profile, "learned", out, &err), err);
}

static void a_loaded_profile_is_the_same(void **state)
{
    (void)state;
    struct km_profile *profile = learned(100);
    struct km_buf bytes, again;
    save(profile, &bytes);
    struct km_err err = KM_ERR_INIT;
    char note[KM_EVENT_MAX_NAME_BYTES];
    struct km_profile *loaded = km_profile_load(bytes.data, bytes.length, note, &err);
    assert_non_null(loaded);
    assert_string_equal(note, "learned");
    save(loaded, &again);
    assert_int_equal(bytes.length, again.length);
    assert_memory_equal(bytes.data, again.data, bytes.length);
    struct made strange;
    struct km_assessment a, b;
    made_strange(&strange);
    km_profile_score(profile, &strange.episode, &a);
    km_profile_score(loaded, &strange.episode, &b);
    assert_true(a.score == b.score && a.p == b.p);
    km_profile_free(profile);
    km_profile_free(loaded);
    km_buf_done(&bytes);
    km_buf_done(&again);
}

static void every_changed_byte_and_every_cut_is_refused(void **state)
{
    (void)state;
    struct km_profile *profile = learned(3);
    struct km_buf bytes;
    save(profile, &bytes);
    struct km_err err = KM_ERR_INIT;
    for (size_t at = 0; at < bytes.length; at++) {
        bytes.data[at] ^= 0x41;
        err.text[0] = '\0';
        assert_null(km_profile_load(bytes.data, bytes.length, NULL, &err));
        assert_true(err.text[0] != '\0');
        bytes.data[at] ^= 0x41;
    }
    for (size_t keep = 0; keep < bytes.length; keep += 7)
        assert_null(km_profile_load(bytes.data, keep, NULL, &err));
    km_profile_free(profile);
    km_buf_done(&bytes);
}

static struct km_store *new_store(char *path)
{
    struct km_err err = KM_ERR_INIT;
    strcpy(path, "/tmp/komainu-store-XXXXXX");
    assert_non_null(mkdtemp(path));
    struct km_store *store = km_store_open(path, &err);
    assert_non_null(store);
    return store;
}

static void remove_store(const char *path)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folder */
}

static unsigned version_in_force(struct km_store *store, struct km_err *damage)
{
    struct km_err err = KM_ERR_INIT;
    struct km_store_loaded loaded;
    struct km_profile *profile = km_store_load(store, "../made.service", "made+", 0, &loaded, &err);
    if (damage)
        *damage = loaded.damage;
    km_profile_free(profile);
    return loaded.version;
}

static void names_do_not_leave_the_store(void **state)
{
    (void)state;
    char path[64], inside[160];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(2);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    (void)snprintf(inside, sizeof inside, "%s/%%2E.%%2Fmade.service/made+/v000001.kmp", path);
    assert_int_equal(access(inside, R_OK), 0);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

static void a_damaged_version_is_passed_over(void **state)
{
    (void)state;
    char path[64], newest[160];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(2);
    struct km_err err = KM_ERR_INIT, damage;
    struct km_store_loaded loaded;
    assert_null(km_store_load(store, "none", "none", 0, &loaded, &err));
    assert_int_equal(err.code, KM_NOTFOUND);
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    assert_ok(km_store_save(store, profile, "accepted x", &err), err);
    assert_int_equal(version_in_force(store, &damage), 2);
    assert_int_equal(damage.code, KM_OK);
    (void)snprintf(newest, sizeof newest, "%s/%%2E.%%2Fmade.service/made+/v000002.kmp", path);
    assert_int_equal(truncate(newest, 100), 0);
    assert_int_equal(version_in_force(store, &damage), 1);
    assert_int_equal(damage.code, KM_FORMAT);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

/* The version is read before the checksum: an earlier program's file is whole, and of another version. */
static void an_earlier_file_version_is_named(void **state)
{
    (void)state;
    char path[64], newest[160];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(2);
    struct km_err err = KM_ERR_INIT, damage;
    uint8_t earlier = KM_PROFILE_VERSION - 1;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    (void)snprintf(newest, sizeof newest, "%s/%%2E.%%2Fmade.service/made+/v000001.kmp", path);
    assert_int_equal(chmod(newest, 0600), 0);
    int fd = open(newest, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, &earlier, 1, 8) == 1);
    (void)close(fd);
    assert_int_equal(version_in_force(store, &damage), 0);
    assert_int_equal(damage.code, KM_UNSUPPORTED);
    assert_non_null(strstr(damage.text, "version 3 and this program reads version 4: learn the daemon again"));
    assert_non_null(strstr(damage.text, "v000001.kmp"));
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

/* Quarantines the strange episode twice; gives its id. */
static void quarantine(struct km_store *store, const struct km_profile *profile, char *id)
{
    struct made strange;
    struct km_assessment a;
    struct km_err err = KM_ERR_INIT;
    made_strange(&strange);
    km_profile_score(profile, &strange.episode, &a);
    for (int i = 1; i <= 2; i++)
        assert_ok(km_store_quarantine(store, profile, &strange.episode, &a, i * DAY_NS, &err), err);
    struct km_json *list KM_CLEANUP(km_json_cleanup) = km_store_waiting(store, "../made.service", "made+", &err);
    assert_non_null(list);
    (void)snprintf(id, KM_STORE_ID_BYTES, "%s", km_json_string(list, "0.id", ""));
}

static unsigned misses_now(struct km_store *store)
{
    struct km_err err = KM_ERR_INIT;
    struct km_store_loaded loaded;
    struct km_profile *profile = km_store_load(store, "../made.service", "made+", 0, &loaded, &err);
    assert_non_null(profile);
    struct made strange;
    struct km_assessment a;
    made_strange(&strange);
    km_profile_score(profile, &strange.episode, &a);
    km_profile_free(profile);
    return a.measure.misses;
}

static size_t waiting(struct km_store *store)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *list KM_CLEANUP(km_json_cleanup) = km_store_waiting(store, "../made.service", "made+", &err);
    assert_non_null(list);
    if (km_json_size(list) > 0)
        assert_int_equal(km_json_integer(list, "0.count", 0), 2);
    return km_json_size(list);
}

static enum km_code accept(struct km_store *store, const char *id, int64_t until_ns)
{
    struct km_err err = KM_ERR_INIT;
    bool learned;
    return km_store_accept(store, "../made.service", "made+",
                           &(struct km_store_acceptance){.id = id, .until_ns = until_ns}, &learned, &err);
}

static void accept_rollback_and_expiry(void **state)
{
    (void)state;
    char path[64], id[KM_STORE_ID_BYTES];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(50);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    quarantine(store, profile, id);
    assert_int_equal(waiting(store), 1); /* nothing is learned by waiting */
    assert_true(misses_now(store) > 20);
    assert_int_equal(accept(store, "0000000000000000", 0), KM_NOTFOUND);
    assert_int_equal(accept(store, "../../etc/x", 0), KM_NOTFOUND);

    assert_int_equal(accept(store, id, 5 * DAY_NS), KM_OK);
    assert_int_equal(version_in_force(store, NULL), 2);
    assert_int_equal(misses_now(store), 0);
    assert_int_equal(waiting(store), 0);

    unsigned version, ended;
    assert_ok(km_store_rollback(store, "../made.service", "made+", &version, &err), err);
    assert_int_equal(version, 1);
    assert_int_equal(waiting(store), 1);
    assert_true(misses_now(store) > 20);
    assert_int_equal(km_store_rollback(store, "../made.service", "made+", &version, &err), KM_NOTFOUND);

    assert_int_equal(accept(store, id, 5 * DAY_NS), KM_OK);
    assert_ok(km_store_expire(store, "../made.service", "made+", 4 * DAY_NS, &ended, &err), err);
    assert_int_equal(ended, 0);
    assert_int_equal(misses_now(store), 0);
    assert_ok(km_store_expire(store, "../made.service", "made+", 5 * DAY_NS, &ended, &err), err);
    assert_int_equal(ended, 1);
    assert_true(misses_now(store) > 20);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

static void a_decision_is_withdrawn_though_others_came_later(void **state)
{
    (void)state;
    char path[64], id[KM_STORE_ID_BYTES];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(50);
    struct km_err err = KM_ERR_INIT;
    static const char program[] = "/bin/ls";
    const struct km_event_landmark act = {.kind = KM_LANDMARK_EXEC, .path = {program, sizeof program - 1}};
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    quarantine(store, profile, id);
    assert_string_equal(km_store_quarantined(store), id);
    bool learns = false;
    struct km_store_acceptance first = {.id = id, .decision = 7};
    assert_ok(km_store_accept(store, "../made.service", "made+", &first, &learns, &err), err);
    assert_true(learns);
    assert_ok(km_store_quarantine_act(store, profile, &act, DAY_NS, &err), err);
    char second_id[KM_STORE_ID_BYTES];
    (void)snprintf(second_id, sizeof second_id, "%s", km_store_quarantined(store));
    struct km_store_acceptance second = {.id = second_id, .decision = 8};
    assert_ok(km_store_accept(store, "../made.service", "made+", &second, &learns, &err), err);
    assert_int_equal(misses_now(store), 0);

    assert_int_equal(km_store_withdraw(store, "../made.service", "made+", 9, &err), KM_NOTFOUND);
    assert_ok(km_store_withdraw(store, "../made.service", "made+", 7, &err), err);
    assert_true(misses_now(store) > 20);
    assert_int_equal(waiting(store), 1);
    struct km_store_loaded loaded;
    struct km_profile *now = km_store_load(store, "../made.service", "made+", 0, &loaded, &err);
    assert_non_null(now);
    assert_non_null(km_entity_find(km_profile_get_entities(now), "exec /bin/ls"));
    km_profile_free(now);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

/* The same alarm in two incidents: the second decision finds it learned, and keeps it learned when the first is undone.
 */
static void what_two_decisions_hold_outlives_one_of_them(void **state)
{
    (void)state;
    char path[64], id[KM_STORE_ID_BYTES];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(50);
    struct km_err err = KM_ERR_INIT;
    bool learns = false;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    quarantine(store, profile, id);
    struct km_store_acceptance given = {.id = id, .until_ns = 5 * DAY_NS, .decision = 7};
    assert_ok(km_store_accept(store, "../made.service", "made+", &given, &learns, &err), err);
    assert_true(learns);
    given.decision = 8;
    for (int i = 0; i < 2; i++) {
        assert_ok(km_store_accept(store, "../made.service", "made+", &given, &learns, &err), err);
        assert_false(learns);
    }
    assert_int_equal(version_in_force(store, NULL), 2);
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) = km_store_accepted(store, "../made.service", "made+", &err);
    assert_non_null(accepted);
    assert_int_equal(km_json_size(km_json_find(accepted, "0.decisions")), 2);
    assert_true(km_json_integer(accepted, "0.until_ns", 0) == 5 * DAY_NS);

    assert_ok(km_store_withdraw(store, "../made.service", "made+", 7, &err), err);
    assert_int_equal(misses_now(store), 0);
    assert_int_equal(version_in_force(store, NULL), 2);
    assert_int_equal(km_store_withdraw(store, "../made.service", "made+", 7, &err), KM_NOTFOUND);
    /* a third one, without end, lifts the end of the second */
    given = (struct km_store_acceptance){.id = id, .decision = 9};
    assert_ok(km_store_accept(store, "../made.service", "made+", &given, &learns, &err), err);
    unsigned ended = 0;
    assert_ok(km_store_expire(store, "../made.service", "made+", 6 * DAY_NS, &ended, &err), err);
    assert_int_equal(ended, 0);
    assert_ok(km_store_withdraw(store, "../made.service", "made+", 8, &err), err);
    assert_ok(km_store_withdraw(store, "../made.service", "made+", 9, &err), err);
    assert_true(misses_now(store) > 20);
    assert_int_equal(waiting(store), 1);
    /* it comes again while another one waits: both hold it */
    assert_ok(km_store_accept(store, "../made.service", "made+", &given, &learns, &err), err);
    quarantine(store, profile, id);
    given.decision = 10;
    assert_ok(km_store_accept(store, "../made.service", "made+", &given, &learns, &err), err);
    assert_true(learns);
    assert_ok(km_store_withdraw(store, "../made.service", "made+", 10, &err), err);
    assert_int_equal(misses_now(store), 0);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

static void an_older_store_names_one_decision(void **state)
{
    (void)state;
    char path[64], id[KM_STORE_ID_BYTES], command[256];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(50);
    struct km_err err = KM_ERR_INIT;
    bool learns = false;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    quarantine(store, profile, id);
    struct km_store_acceptance given = {.id = id, .decision = 7};
    assert_ok(km_store_accept(store, "../made.service", "made+", &given, &learns, &err), err);
    (void)snprintf(
        command, sizeof command,
        "find %s -path '*accepted/*.json' -exec sed -z -i -E 's/\"decisions\": *\\[[^]]*\\]/\"decision\":7/' {} +",
        path);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) = km_store_accepted(store, "../made.service", "made+", &err);
    assert_int_equal(km_json_integer(accepted, "0.decision", 0), 7);
    assert_int_equal(km_json_size(km_json_find(accepted, "0.decisions")), 0);
    assert_ok(km_store_withdraw(store, "../made.service", "made+", 7, &err), err);
    assert_true(misses_now(store) > 20);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

static void what_waits_too_long_is_forgotten(void **state)
{
    (void)state;
    char path[64], id[KM_STORE_ID_BYTES];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(20);
    struct km_err err = KM_ERR_INIT;
    unsigned ended;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    quarantine(store, profile, id);
    assert_ok(km_store_expire(store, "../made.service", "made+", 31 * DAY_NS, &ended, &err), err);
    assert_int_equal(waiting(store), 1);
    assert_ok(km_store_expire(store, "../made.service", "made+", 32 * DAY_NS, &ended, &err), err);
    assert_int_equal(waiting(store), 0);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

static void old_versions_go_but_the_learned_one_stays(void **state)
{
    (void)state;
    char path[64];
    struct km_store *store = new_store(path);
    struct km_profile *profile = learned(2);
    struct km_err err = KM_ERR_INIT;
    struct km_store_loaded loaded;
    assert_ok(km_store_save(store, profile, "learned", &err), err);
    for (int i = 0; i < KM_STORE_VERSIONS + 3; i++)
        assert_ok(km_store_save(store, profile, "accepted x", &err), err);
    struct km_profile *first = km_store_load(store, "../made.service", "made+", 1, &loaded, &err);
    assert_non_null(first);
    assert_null(km_store_load(store, "../made.service", "made+", 2, &loaded, &err));
    assert_int_equal(version_in_force(store, NULL), KM_STORE_VERSIONS + 4);
    km_profile_free(first);
    km_profile_free(profile);
    km_store_close(store);
    remove_store(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_profile_is_the_same),
        cmocka_unit_test(every_changed_byte_and_every_cut_is_refused),
        cmocka_unit_test(names_do_not_leave_the_store),
        cmocka_unit_test(a_damaged_version_is_passed_over),
        cmocka_unit_test(an_earlier_file_version_is_named),
        cmocka_unit_test(accept_rollback_and_expiry),
        cmocka_unit_test(a_decision_is_withdrawn_though_others_came_later),
        cmocka_unit_test(what_two_decisions_hold_outlives_one_of_them),
        cmocka_unit_test(an_older_store_names_one_decision),
        cmocka_unit_test(what_waits_too_long_is_forgotten),
        cmocka_unit_test(old_versions_go_but_the_learned_one_stays),
    };
    return KM_RUN_TESTS(tests);
}
