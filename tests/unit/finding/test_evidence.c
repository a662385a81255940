#define KM_TEST_NAME "evidence"
#include "../cm.h"

#include <string.h>

#include "finding/evidence.h"

static const char *sentence_of(const struct km_evidence *evidence, struct km_buf *buf)
{
    struct km_err err = KM_ERR_INIT;
    km_buf_clear(buf);
    assert_ok(km_evidence_format(evidence, buf, &err), err);
    return km_buf_text(buf);
}

static void arguments_fill_the_sentence(void **state)
{
    (void)state;
    struct km_buf buf;
    km_buf_init(&buf, 4096);
    struct km_evidence evidence = {.id = KM_EVIDENCE_SETUID};
    km_evidence_add_text(&evidence, "mode", "4755");
    km_evidence_add_integer(&evidence, "uid", 0);
    assert_string_equal(sentence_of(&evidence, &buf), "it runs with its owner's rights (mode 4755, owner 0)");
    km_buf_done(&buf);
}

static void hostile_arguments_are_escaped(void **state)
{
    (void)state;
    struct km_buf buf;
    km_buf_init(&buf, 4096);
    struct km_evidence evidence = {.id = KM_EVIDENCE_HIDDEN_NAME};
    km_evidence_add_text(&evidence, "name", ".a\x1b[2J\n");
    assert_string_equal(sentence_of(&evidence, &buf), "its name is hidden (.a\\x1b[2J\\n)");
    km_buf_done(&buf);
}

static void a_missing_argument_shows_as_a_question_mark(void **state)
{
    (void)state;
    struct km_buf buf;
    km_buf_init(&buf, 4096);
    struct km_evidence evidence = {.id = KM_EVIDENCE_HASH_LISTED};
    km_evidence_add_text(&evidence, "name", "x");
    assert_string_equal(sentence_of(&evidence, &buf), "its SHA-256 is on the list ? as \"x\"");
    km_buf_done(&buf);
}

static void an_unknown_id_hides_nothing(void **state)
{
    (void)state;
    struct km_buf buf;
    km_buf_init(&buf, 4096);
    struct km_evidence evidence = {.id = "later.kind"};
    km_evidence_add_text(&evidence, "why", "because");
    evidence.args[evidence.arg_count++] = (struct km_arg){.name = "share", .type = KM_ARG_REAL, .real = 0.25};
    assert_string_equal(sentence_of(&evidence, &buf), "later.kind why=because share=0.25");
    assert_null(km_evidence_advice("later.kind"));
    km_buf_done(&buf);
}

static void a_full_buffer_is_an_error(void **state)
{
    (void)state;
    struct km_buf buf;
    struct km_err err = KM_ERR_INIT;
    km_buf_init(&buf, 10);
    struct km_evidence evidence = {.id = KM_EVIDENCE_UNOWNED};
    km_evidence_add_text(&evidence, "database", "dpkg");
    assert_int_equal(km_evidence_format(&evidence, &buf, &err), KM_LIMIT);
    km_buf_done(&buf);
}

static void what_can_raise_an_alarm_has_advice(void **state)
{
    (void)state;
    assert_non_null(km_evidence_advice(KM_EVIDENCE_TEST_FILE));
    assert_non_null(km_evidence_advice(KM_EVIDENCE_HASH_LISTED));
    assert_non_null(km_evidence_advice(KM_EVIDENCE_UNOWNED));
    assert_non_null(km_evidence_advice(KM_EVIDENCE_CHANGED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_fill_the_sentence),
        cmocka_unit_test(hostile_arguments_are_escaped),
        cmocka_unit_test(a_missing_argument_shows_as_a_question_mark),
        cmocka_unit_test(an_unknown_id_hides_nothing),
        cmocka_unit_test(a_full_buffer_is_an_error),
        cmocka_unit_test(what_can_raise_an_alarm_has_advice),
    };
    return KM_RUN_TESTS(tests);
}
