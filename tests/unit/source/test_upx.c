#define KM_TEST_NAME "upx"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archives.h"
#include "base/digest.h"
#include "container/source/stream.h"
#include "container/source/upx.h"
#include "container/source/upxfilter.h"
#include "container/source/upxhead.h"

#define MAX_FIXTURE_BYTES ((size_t)20 << 10)

static const struct {
    const char *name, *sha256;
    size_t original_bytes;
} fixtures[] = {
    /* those of LZMA first: a build without libucl skips from the others on */
    {"amd64-pie-lzma.upx", "2f0465e05d351ff169ac08cbbe1eee03cfbd2d491d99b6549cbd0101e200c6a5", 44632},
    {"arm64-lzma.upx", "e46e3def794c7a9ea0363d83d0b294ccbcdb34a4b82c96277af490db5ac75cef", 44800},
    {"amd64-nrv2e.upx", "196a05f45dced9ccdd09aa308c6be5efd5fe0001224a5bf7ab3af4168a721cc9", 41328},
    {"i386-nrv2b.upx", "d862d58bee9c007620f39cc26e50f3d571908a3d41c9f803b1770729debf82ac", 46488},
    {"i386-nrv2d.upx", "d862d58bee9c007620f39cc26e50f3d571908a3d41c9f803b1770729debf82ac", 46488},
    {"arm64-nrv2e.upx", "e46e3def794c7a9ea0363d83d0b294ccbcdb34a4b82c96277af490db5ac75cef", 44800},
};
#define FIXTURES (sizeof fixtures / sizeof fixtures[0])

static uint8_t packed[MAX_FIXTURE_BYTES];
static size_t packed_bytes;

static void read_fixture(size_t i)
{
    char path[1024];
    const char *source = getenv("KOMAINU_SOURCE");
    if (!source) {
        print_message("KOMAINU_SOURCE does not name the project's folder\n");
        skip();
    }
    (void)snprintf(path, sizeof path, "%s/tests/unit/source/packed/%s", source, fixtures[i].name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    packed_bytes = fread(packed, 1, sizeof packed, file);
    assert_int_equal(fgetc(file), EOF);
    (void)fclose(file);
}

static void load(size_t i)
{
    read_fixture(i);
    if (strstr(fixtures[i].name, "nrv") && !km_upx_handles(KM_UPX_NRV2B)) {
        print_message("built without libucl: NRV is not opened\n");
        skip();
    }
}

/* ---- What comes out of a run ---- */

struct heard {
    struct km_digest *digest; /* of the entry "upx" */
    unsigned outer, inner;    /* entries begun */
    bool complete;            /* of "upx" */
    uint64_t outer_bytes, inner_bytes;
    char sha256[KM_SHA256_HEX_BYTES];
    unsigned gaps[16];
    char detail[256];
};

static enum km_code on_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct heard *heard = context;
    (void)err;
    bool inner = entry->depth == 1;
    if (inner) {
        assert_string_equal(entry->path, "upx");
        km_digest_reset(heard->digest);
    }
    heard->inner += inner;
    heard->outer += !inner;
    *out_state = inner ? &heard->inner_bytes : &heard->outer_bytes;
    return KM_OK;
}

static enum km_code on_data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                            struct km_err *err)
{
    const struct heard *heard = context;
    uint64_t *count = state;
    (void)err;
    assert_int_equal(offset, *count);
    *count += length;
    if (state == &heard->inner_bytes)
        km_digest_update(heard->digest, bytes, (size_t)length);
    return KM_OK;
}

static enum km_code on_end(void *context, void *state, bool complete, struct km_err *err)
{
    struct heard *heard = context;
    uint8_t sha256[KM_SHA256_BYTES];
    (void)err;
    if (state != &heard->inner_bytes)
        return KM_OK;
    heard->complete = complete;
    km_digest_finish(heard->digest, sha256);
    km_hex_format(sha256, sizeof sha256, heard->sha256);
    return KM_OK;
}

static enum km_code on_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct heard *heard = context;
    (void)err;
    heard->gaps[gap->reason]++;
    (void)snprintf(heard->detail, sizeof heard->detail, "%s", gap->detail ? gap->detail : "");
    return KM_OK;
}

static unsigned gaps(const struct heard *heard)
{
    unsigned sum = 0;
    for (size_t i = 0; i < 16; i++)
        sum += heard->gaps[i];
    return sum;
}

/* Runs a tar that holds the packed bytes. The outer file is always whole. */
static struct heard hear(const struct km_source_limits *limits)
{
    static struct km_digest *digest;
    struct km_err err = KM_ERR_INIT;
    if (!digest)
        digest = km_digest_new(KM_DIGEST_SHA256, &err);
    assert_non_null(digest);
    struct heard heard = {.digest = digest};
    struct km_buf tar;
    struct km_source *source = NULL;
    km_buf_init(&tar, (size_t)1 << 20);
    tar_add(&tar, &(struct made_member){.path = "p", .data = packed, .length = packed_bytes});
    tar_end(&tar);
    const struct km_entry_sink sink = {
        .context = &heard, .begin = on_begin, .data = on_data, .end = on_end, .gap = on_gap};
    struct km_stream *stream = km_stream_new_memory(tar.data, tar.length, &err);
    assert_non_null(stream);
    assert_ok(km_source_open_stream(stream, KM_SOURCE_TAR, "t", limits, &source, &err), err);
    assert_ok(km_source_run(source, &sink, NULL, &err), err);
    assert_int_equal(heard.outer, 1);
    assert_int_equal(heard.outer_bytes, packed_bytes);
    const struct km_coverage *coverage = km_source_coverage(source);
    assert_int_equal(coverage->bytes_examined + coverage->bytes_opaque, packed_bytes);
    assert_int_equal(coverage->bytes_opaque > 0, gaps(&heard) > 0);
    km_source_close(source);
    km_buf_done(&tar);
    return heard;
}

/* ---- Tests ---- */

static void programs_come_out_as_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIXTURES; i++) {
        load(i);
        struct heard heard = hear(NULL);
        assert_int_equal(gaps(&heard), 0);
        assert_int_equal(heard.inner, 1);
        assert_true(heard.complete);
        assert_int_equal(heard.inner_bytes, fixtures[i].original_bytes);
        assert_string_equal(heard.sha256, fixtures[i].sha256);
    }
}

static void without_its_name_it_is_recognised_all_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIXTURES; i++) {
        load(i);
        unsigned names = 0;
        for (size_t at = 0; at + 4 <= packed_bytes; at++)
            if (memcmp(packed + at, "UPX!", 4) == 0) {
                memset(packed + at, 0, 4);
                names++;
            }
        assert_true(names >= 2);
        struct heard heard = hear(NULL);
        assert_int_equal(gaps(&heard), 0);
        assert_string_equal(heard.sha256, fixtures[i].sha256);
    }
}

static size_t blocks_at(void)
{
    struct km_upx_head head;
    assert_true(km_upxhead_find(packed, packed_bytes, &head));
    return head.blocks_at;
}

/* Behind the headers, whatever is changed: the original comes out, or something is told. Never both wrong and silent.
 */
static void damage_is_never_silent(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIXTURES; i++) {
        load(i);
        size_t told = 0;
        for (size_t at = blocks_at(); at < packed_bytes; at += 61) {
            packed[at] ^= 0x21;
            struct heard heard = hear(NULL);
            if (strcmp(heard.sha256, fixtures[i].sha256) != 0)
                assert_true(gaps(&heard) > 0);
            told += gaps(&heard) > 0;
            packed[at] ^= 0x21;
        }
        assert_true(told > 50);
    }
}

static void a_wrong_checksum_is_told_beside_the_content(void **state)
{
    (void)state;
    load(2);
    packed[packed_bytes - 36 + 8] ^= 1;
    struct heard heard = hear(NULL);
    assert_string_equal(heard.sha256, fixtures[2].sha256);
    assert_true(heard.complete);
    assert_int_equal(heard.gaps[KM_GAP_DAMAGED], 1);
    assert_int_equal(gaps(&heard), 1);
}

static void a_cut_file_is_opaque(void **state)
{
    (void)state;
    load(0);
    size_t whole = packed_bytes;
    for (packed_bytes = blocks_at() + KM_UPX_BLOCK_BYTES; packed_bytes + 200 < whole; packed_bytes += 997) {
        struct heard heard = hear(NULL);
        assert_true(gaps(&heard) > 0);
        assert_string_not_equal(heard.sha256, fixtures[0].sha256);
    }
}

static void the_loader_may_lie_about_its_length(void **state)
{
    (void)state;
    load(2);
    size_t at = blocks_at() - 24 + 8;
    packed[at] ^= 0x10;
    packed[at + 1] ^= 0x01;
    struct heard heard = hear(NULL);
    assert_int_equal(gaps(&heard), 0);
    assert_string_equal(heard.sha256, fixtures[2].sha256);
}

static void unknown_methods_and_filters_are_unsupported(void **state)
{
    (void)state;
    load(2);
    size_t second = blocks_at() + KM_UPX_BLOCK_BYTES + 140 + KM_UPX_BLOCK_BYTES + 36; /* the filtered one */
    assert_int_equal(packed[second + 9], 0x49);
    packed[second + 9] = 0x4a;
    struct heard heard = hear(NULL);
    assert_int_equal(heard.gaps[KM_GAP_UNSUPPORTED], 1);
    assert_non_null(strstr(heard.detail, "unknown filter 0x4a"));
    assert_false(heard.complete);
    load(2);
    packed[blocks_at() + 8] = 15;
    heard = hear(NULL);
    assert_int_equal(heard.gaps[KM_GAP_UNSUPPORTED], 1);
    assert_non_null(strstr(heard.detail, "unknown method 15"));
    assert_int_equal(heard.inner, 0);
}

static void too_deep_is_told(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.nested_depth = 0;
    load(2);
    struct heard heard = hear(&limits);
    assert_int_equal(heard.gaps[KM_GAP_NESTED], 1);
    assert_int_equal(heard.inner, 0);
}

static void memory_has_a_limit(void **state)
{
    (void)state;
    static const size_t budgets[] = {1000, 65 << 10, 100 << 10};
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
        limits.decoder_bytes = budgets[i];
        load(0);
        struct heard heard = hear(&limits);
        assert_int_equal(heard.gaps[KM_GAP_LIMIT], 1);
        assert_false(heard.complete);
    }
}

static void a_block_that_promises_the_moon_is_refused(void **state)
{
    (void)state;
    load(2);
    size_t at = blocks_at();
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    memset(packed + at - 8, 0x7f, 8); /* the original's size, the block size */
    packed[at + 2] = 0x7f;            /* the first block's size */
    struct heard heard = hear(&limits);
    assert_int_equal(gaps(&heard), 1);
    assert_int_equal(heard.inner, 0);
}

/* ---- Filters ---- */

#define CODE_BYTES 4096
#define PARAMETER  0xc3

static uint8_t code[CODE_BYTES], filtered[CODE_BYTES];

static void put_be(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_le(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* The packer's side of the list of recent targets, written as it is described: a list with the newest first, in which a
 * target that is used again changes places with the one that a full list would lose. */
static void recent_targets_are_found_again(void **state)
{
    (void)state;
    /* First use of 100 and 200, then each again: the newest is at distance 0. A target's number is doubled; odd: new.
     */
    static const uint32_t sent[] = {100 << 1 | 1, 200 << 1 | 1, 1 << 1, 0 << 1, 1 << 1, 300 << 1 | 1, 2 << 1};
    static const uint32_t meant[] = {100, 200, 100, 100, 200, 300, 100};
    uint8_t bytes[80] = {0};
    for (size_t i = 0; i < 7; i++) {
        bytes[10 * i] = 0xe8;
        put_be(bytes + 10 * i + 1, sent[i] + ((uint32_t)PARAMETER << 24));
    }
    assert_true(km_upxfilter_undo(0x81, PARAMETER, bytes, sizeof bytes)); /* calls: recent, jumps: left alone */
    for (size_t i = 0; i < 7; i++) {
        uint8_t expected[4];
        put_le(expected, meant[i] - (uint32_t)(10 * i) - 1);
        assert_memory_equal(bytes + 10 * i + 1, expected, 4);
    }
}

/* Calls, jumps and conditional jumps at known places, made absolute as the packer does it. */
static void absolute_targets_become_relative(void **state)
{
    (void)state;
    static const uint8_t filters[] = {0x46, 0x49, 0x80, 0x83};
    for (size_t f = 0; f < sizeof filters; f++) {
        bool jumps = filters[f] != 0x80, conditional = filters[f] == 0x49 || filters[f] == 0x83;
        bool swapped = filters[f] == 0x83;
        memset(code, 0x90, sizeof code);
        memset(filtered, 0x90, sizeof filtered);
        for (size_t at = 16; at + 16 < CODE_BYTES; at += 16) {
            unsigned kind = (unsigned)(at / 16 % 3);
            uint32_t target = (uint32_t)((at * 7) % CODE_BYTES);
            size_t opcode = at + (kind == 2);
            code[at] = filtered[at] = kind == 0 ? 0xe8 : kind == 1 ? 0xe9 : 0x0f;
            if (kind == 2)
                code[opcode] = filtered[opcode] = 0x84;
            put_le(code + opcode + 1, target - (uint32_t)opcode - 1);
            bool touched = kind == 0 || (kind == 1 && jumps) || (kind == 2 && conditional);
            if (touched)
                put_be(filtered + opcode + 1, target + ((uint32_t)PARAMETER << 24));
            else
                put_le(filtered + opcode + 1, target - (uint32_t)opcode - 1);
            if (touched && kind == 2 && swapped) {
                filtered[at] = 0x84;
                filtered[opcode] = 0x0f;
            }
        }
        assert_true(km_upxfilter_undo(filters[f], PARAMETER, filtered, sizeof filtered));
        assert_memory_equal(filtered, code, sizeof code);
    }
}

static void arm_branches_become_relative(void **state)
{
    (void)state;
    uint8_t bytes[16] = {0, 0, 0, 0x94, 5, 0, 0, 0x94, 9, 0, 0, 0x14, 7, 0, 0, 0x94};
    static const uint8_t expected[16] = {0, 0, 0, 0x94, 4, 0, 0, 0x94, 7, 0, 0, 0x14, 7, 0, 0, 0x94};
    assert_true(km_upxfilter_undo(0x52, 0, bytes, sizeof bytes));
    assert_memory_equal(bytes, expected, sizeof bytes);
    uint8_t arm[12] = {0, 0, 0, 0xeb, 0, 0, 0, 0xeb, 1, 0, 0, 0xeb};
    static const uint8_t arm_expected[12] = {0, 0, 0, 0xeb, 0xff, 0xff, 0xff, 0xeb, 1, 0, 0, 0xeb};
    assert_true(km_upxfilter_undo(0x50, 0, arm, sizeof arm));
    assert_memory_equal(arm, arm_expected, sizeof arm);
}

static void unknown_filters_change_nothing(void **state)
{
    (void)state;
    uint8_t bytes[16];
    memset(bytes, 0xe8, sizeof bytes);
    assert_false(km_upxfilter_undo(0x4a, 0xe8, bytes, sizeof bytes));
    assert_false(km_upxfilter_undo(0xd0, 0xe8, bytes, sizeof bytes));
    assert_true(km_upxfilter_undo(0, 0xe8, bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], 0xe8);
    for (size_t length = 0; length < 6; length++) /* too short for any target */
        for (unsigned filter = 0x46; filter <= 0x87; filter++)
            (void)km_upxfilter_undo((uint8_t)filter, 0xe8, bytes, length);
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], 0xe8);
}

static void a_build_without_libucl_says_that_nrv_is_opaque(void **state)
{
    (void)state;
    if (km_upx_handles(KM_UPX_NRV2B)) {
        print_message("built with libucl: NRV is opened\n");
        skip();
    }
    for (size_t i = 0; i < FIXTURES; i++) {
        if (!strstr(fixtures[i].name, "nrv"))
            continue;
        read_fixture(i);
        struct heard heard = hear(NULL);
        assert_int_equal(heard.inner, 0);
        assert_int_equal(heard.gaps[KM_GAP_UNSUPPORTED], 1);
        assert_int_equal(gaps(&heard), 1);
        assert_non_null(strstr(heard.detail, "packed by UPX: "));
        assert_non_null(strstr(heard.detail, "this build does not open method"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_without_libucl_says_that_nrv_is_opaque),
        cmocka_unit_test(programs_come_out_as_they_were),
        cmocka_unit_test(without_its_name_it_is_recognised_all_the_same),
        cmocka_unit_test(damage_is_never_silent),
        cmocka_unit_test(a_wrong_checksum_is_told_beside_the_content),
        cmocka_unit_test(a_cut_file_is_opaque),
        cmocka_unit_test(the_loader_may_lie_about_its_length),
        cmocka_unit_test(unknown_methods_and_filters_are_unsupported),
        cmocka_unit_test(too_deep_is_told),
        cmocka_unit_test(memory_has_a_limit),
        cmocka_unit_test(a_block_that_promises_the_moon_is_refused),
        cmocka_unit_test(recent_targets_are_found_again),
        cmocka_unit_test(absolute_targets_become_relative),
        cmocka_unit_test(arm_branches_become_relative),
        cmocka_unit_test(unknown_filters_change_nothing),
    };
    return KM_RUN_TESTS(tests);
}
