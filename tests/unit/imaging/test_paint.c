#define KM_TEST_NAME "paint"
#include "../cm.h"

#include "container/imaging/paint.h"
#include "tarfake.h"

static struct tarfake fake;

static struct km_paint *open_paint(struct km_pathset *mask)
{
    struct km_err err = KM_ERR_INIT;
    struct km_tarwalk_input input = tarfake_input(&fake);
    struct km_paint *paint = km_paint_new(&input, mask, &err);
    assert_non_null(paint);
    return paint;
}

static uint8_t value_at(struct km_paint *paint, uint64_t offset)
{
    struct km_paint_run run;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_paint_next(paint, offset, &run, &err), err);
    assert_true(run.end > offset);
    return run.value;
}

static void headers_and_data_have_their_colours(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_file(&fake, "a", "alpha");
    tarfake_header(&fake, "dir", '5', 0);
    tarfake_header(&fake, "old", '\0', 3);
    tarfake_data(&fake, "abc", 3);
    tarfake_end(&fake);
    struct km_paint *paint = open_paint(NULL);
    static const struct {
        uint64_t offset;
        uint8_t value;
    } rows[] = {{0, 155},  {511, 155}, {512, 255},  {516, 255},  {517, 0},  {1024, 75}, {1535, 75},
                {1536, 0}, {2047, 0},  {2048, 205}, {2050, 205}, {2051, 0}, {3000, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(value_at(paint, rows[i].offset), rows[i].value);
    km_paint_free(paint);
}

static void later_claims_lie_on_top_of_earlier_ones(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_header(&fake, "far", '1', 2200);  /* [512, 2712) claimed, nothing stored */
    tarfake_header(&fake, "near", '2', 1000); /* [1024, 2024) */
    tarfake_file(&fake, "f", "xy");           /* header [1024, 1536), data [1536, 1538) */
    tarfake_end(&fake);
    struct km_paint *paint = open_paint(NULL);
    assert_int_equal(value_at(paint, 511), 140);
    assert_int_equal(value_at(paint, 600), 125);
    assert_int_equal(value_at(paint, 1100), 155);
    assert_int_equal(value_at(paint, 1537), 205);
    assert_int_equal(value_at(paint, 1538), 230); /* "near" still reaches here */
    assert_int_equal(value_at(paint, 2023), 230);
    assert_int_equal(value_at(paint, 2024), 255); /* and "far" here */
    assert_int_equal(value_at(paint, 2711), 255);
    assert_int_equal(value_at(paint, 2712), 0);
    km_paint_free(paint);
}

static void skipped_offsets_change_nothing(void **state)
{
    (void)state;
    fake.length = 0;
    for (int i = 0; i < 12; i++)
        tarfake_header(&fake, "l", '1', (unsigned long)(6000 - 500 * i));
    tarfake_end(&fake);
    static uint8_t whole[8192];
    struct km_paint *paint = open_paint(NULL);
    for (uint64_t offset = 0; offset < sizeof whole; offset++)
        whole[offset] = value_at(paint, offset);
    km_paint_free(paint);
    for (uint64_t step = 2; step < 3000; step = step * 3 / 2 + 1) {
        paint = open_paint(NULL);
        for (uint64_t offset = 0; offset < sizeof whole; offset += step)
            assert_int_equal(value_at(paint, offset), whole[offset]);
        km_paint_free(paint);
    }
}

/* An archive without end whose members claim data that ends one byte earlier each time. */
static enum km_code read_nested(void *context, uint64_t offset, void *out, size_t length, struct km_err *err)
{
    const uint64_t *size_bytes = context;
    (void)err;
    for (size_t done = 0; done < length; done += 512) {
        static struct tarfake one;
        one.length = 0;
        uint64_t at = offset + done;
        tarfake_header(&one, "l", '1', (unsigned long)(*size_bytes - at - at / 512));
        memcpy((uint8_t *)out + done, one.bytes, length - done < 512 ? length - done : 512);
    }
    return KM_OK;
}

static void deeper_claims_than_the_limit_are_refused(void **state)
{
    (void)state;
    uint64_t size_bytes = UINT64_C(1) << 26;
    struct km_tarwalk_input input = {&size_bytes, read_nested, size_bytes};
    struct km_err err = KM_ERR_INIT;
    struct km_paint *paint = km_paint_new(&input, NULL, &err);
    assert_non_null(paint);
    struct km_paint_run run;
    enum km_code code = KM_OK;
    for (uint64_t offset = 0; code == KM_OK && offset < size_bytes; offset += 512)
        code = km_paint_next(paint, offset, &run, &err);
    assert_int_equal(code, KM_LIMIT);
    km_paint_free(paint);
}

static void finishing_tells_the_end(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_file(&fake, "a", "1");
    tarfake_end(&fake);
    struct km_paint *paint = open_paint(NULL);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_paint_finish(paint, &err), err);
    uint64_t where;
    assert_int_equal(km_paint_get_members(paint), 1);
    assert_int_equal(km_paint_get_stop(paint, &where), KM_TARWALK_END_MARK);
    assert_int_equal(where, 1024);
    km_paint_free(paint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_data_have_their_colours),
        cmocka_unit_test(later_claims_lie_on_top_of_earlier_ones),
        cmocka_unit_test(skipped_offsets_change_nothing),
        cmocka_unit_test(deeper_claims_than_the_limit_are_refused),
        cmocka_unit_test(finishing_tells_the_end),
    };
    return KM_RUN_TESTS(tests);
}
