#define KM_TEST_NAME "payload"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archives.h"
#include "container/source/payload.h"

static struct seen seen; /* large: not for the stack */

#define SCRIPT "#!/bin/sh\ntail -n +3 \"$0\" | unpack\n"

static void init(struct km_buf *buf)
{
    km_buf_init(buf, (size_t)64 << 20);
}

static void add(struct km_buf *buf, const void *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_buf_append(buf, bytes, length, &err), err);
}

static void add_text(struct km_buf *buf, const char *text)
{
    add(buf, text, strlen(text));
}

static void add_noise(struct km_buf *buf, size_t length)
{
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        uint8_t byte = (uint8_t)(x >> 9);
        add(buf, &byte, 1);
    }
}

/* A little-endian 64-bit ELF of 400 bytes, one segment, no sections. */
static void add_elf(struct km_buf *buf, uint64_t segment_bytes, uint64_t section_at)
{
    uint8_t elf[400] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    elf[16] = 2;
    elf[18] = 62;
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf[58] = 64;
    elf[64] = 1;
    elf[68] = 5;
    for (size_t i = 0; i < 8; i++) {
        elf[40 + i] = (uint8_t)(section_at >> (8 * i));
        elf[96 + i] = (uint8_t)(segment_bytes >> (8 * i));
    }
    if (section_at > 0)
        elf[60] = 1;
    add(buf, elf, sizeof elf);
}

/* One stored member, as zip writes it without seeking. */
static void add_zip(struct km_buf *buf)
{
    static const uint8_t zip[] = "PK\3\4\x0a\0\0\0\0\0\0\0\0\0\x86\xa6\x10\x36\5\0\0\0\5\0\0\0\1\0\0\0ahello"
                                 "PK\1\2\x1e\3\x0a\0\0\0\0\0\0\0\0\0\x86\xa6\x10\x36\5\0\0\0\5\0\0\0\1\0\0\0\0\0\0\0"
                                 "\0\0\0\0\0\0\0\0\0\0a"
                                 "PK\5\6\0\0\0\0\1\0\1\0\x2f\0\0\0\x24\0\0\0\0";
    add(buf, zip, sizeof zip - 1);
}

static void see_limited(const struct km_buf *file, const struct km_source_limits *limits)
{
    struct km_buf tar;
    init(&tar);
    tar_add(&tar, &(struct made_member){.path = "f", .data = file->data, .length = file->length});
    tar_end(&tar);
    static const size_t blocks[] = {0, 1000, 70000};
    for (size_t i = 0; i < 3; i++) { /* however the bytes come, the last time is kept */
        see_bytes(tar.data, tar.length,
                  &(struct seen_options){.kind = KM_SOURCE_TAR, .limits = limits, .block_bytes = blocks[2 - i]}, &seen);
        assert_int_equal(seen.code, KM_OK);
        assert_int_equal(seen.entries[0].delivered, file->length); /* nothing of the file itself is ever lost */
        assert_true(seen.entries[0].complete);
    }
    km_buf_done(&tar);
}

static void see(const struct km_buf *file)
{
    see_limited(file, NULL);
}

static const struct seen_entry *expect_payload(const char *path, const char *text)
{
    const struct seen_entry *entry = seen_find(&seen, path);
    assert_non_null(entry);
    assert_true(entry->complete);
    assert_int_equal(entry->entry.depth, 1);
    if (text) {
        assert_int_equal(entry->delivered, strlen(text));
        assert_memory_equal(entry->first, text, strlen(text) < SEEN_BYTES_MAX ? strlen(text) : SEEN_BYTES_MAX);
    }
    return entry;
}

typedef void make_compressed(const struct km_buf *raw, struct km_buf *out);

static make_compressed *const makers[] = {make_gzip, make_xz, make_zstd, make_bzip2};

/* ---- Tests ---- */

static void compressed_data_behind_a_script_are_looked_into(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct km_buf raw, payload, file;
        init(&raw), init(&payload), init(&file);
        add_text(&raw, "a program, or so");
        makers[i](&raw, &payload);
        add_text(&file, SCRIPT);
        add(&file, payload.data, payload.length);
        see(&file);
        assert_int_equal(seen.gap_count, 0);
        assert_int_equal(seen.entry_count, 2);
        expect_payload("payload", "a program, or so");
        km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
    }
}

static void archives_behind_a_script_are_opened(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++) { /* compressed, and as it is */
        struct km_buf tar, payload, file;
        init(&tar), init(&payload), init(&file);
        tar_add_file(&tar, "bin/tool", "content of the tool");
        tar_end(&tar);
        if (i < 4)
            makers[i](&tar, &payload);
        else
            add(&payload, tar.data, tar.length);
        add_text(&file, SCRIPT);
        add(&file, payload.data, payload.length);
        see(&file);
        assert_int_equal(seen.gap_count, 0);
        expect_payload("payload", NULL);
        const struct seen_entry *inner = seen_find(&seen, "bin/tool");
        assert_non_null(inner);
        assert_int_equal(inner->entry.depth, 2);
        assert_int_equal(inner->delivered, 19);
        km_buf_done(&tar), km_buf_done(&payload), km_buf_done(&file);
    }
}

static void a_zip_behind_its_interpreter_line_is_opened(void **state)
{
    (void)state;
    struct km_buf file;
    init(&file);
    add_text(&file, "#!/usr/bin/env python3\n");
    add_zip(&file);
    see(&file);
    assert_int_equal(seen.gap_count, 0);
    assert_non_null(seen_find(&seen, "a"));
    assert_int_equal(seen_find(&seen, "a")->delivered, 5);
    km_buf_done(&file);
}

static void what_is_appended_to_a_program_is_found_wherever_it_begins(void **state)
{
    (void)state;
    static const size_t distances[] = {0, 1, 7, 512, 5000, 300000};
    for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        struct km_buf raw, payload, file;
        init(&raw), init(&payload), init(&file);
        add_text(&raw, "appended");
        make_gzip(&raw, &payload);
        add_elf(&file, 400, 0);
        for (size_t k = 0; k < distances[i]; k++)
            add(&file, "", 1);
        add(&file, payload.data, payload.length);
        see(&file);
        assert_int_equal(seen.gap_count, 0);
        expect_payload("payload", "appended");
        km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
    }
}

static void headers_of_a_program_cannot_hide_its_end(void **state)
{
    (void)state;
    static const uint64_t lies[][2] = {{400, UINT64_MAX - 5}, {400, 1 << 30}, {UINT64_MAX, 0}, {1 << 30, 0}};
    for (size_t i = 0; i < 4; i++) {
        struct km_buf raw, payload, file;
        init(&raw), init(&payload), init(&file);
        add_text(&raw, "appended");
        make_xz(&raw, &payload);
        add_elf(&file, lies[i][0], lies[i][1]);
        add(&file, payload.data, payload.length);
        see(&file);
        assert_int_equal(seen.gap_count, 0);
        expect_payload("payload", "appended");
        km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
    }
}

static void what_belongs_to_a_program_is_not_searched(void **state)
{
    (void)state;
    struct km_buf raw, payload, file;
    init(&raw), init(&payload), init(&file);
    add_text(&raw, "a resource");
    make_gzip(&raw, &payload);
    add_elf(&file, 400 + payload.length, 0);
    add(&file, payload.data, payload.length);
    see(&file);
    assert_int_equal(seen.entry_count, 1);
    assert_int_equal(seen.gap_count, 0);
    km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
}

static void several_payloads_follow_each_other(void **state)
{
    (void)state;
    struct km_buf raw, payload, file;
    init(&raw), init(&payload), init(&file);
    add_text(&raw, "first");
    make_gzip(&raw, &payload);
    add_text(&file, SCRIPT);
    add(&file, payload.data, payload.length);
    add_text(&file, "\nmore script\n");
    km_buf_clear(&raw);
    add_text(&raw, "second");
    make_xz(&raw, &payload);
    add(&file, payload.data, payload.length);
    see(&file);
    assert_int_equal(seen.gap_count, 0);
    expect_payload("payload", "first");
    expect_payload("payload-2", "second");
    km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
}

static void add_fakes(struct km_buf *file, size_t count)
{
    static const char fake[] = "\x1f\x8b\x08\0AAAAAAAAAAAAAAAA\n";
    for (size_t i = 0; i < count; i++)
        add(file, fake, sizeof fake - 1);
}

static void false_magic_costs_a_try_and_hides_nothing(void **state)
{
    (void)state;
    struct km_buf raw, payload, file;
    init(&raw), init(&payload), init(&file);
    add_text(&raw, "the real one");
    make_zstd(&raw, &payload);
    add_text(&file, SCRIPT);
    add_fakes(&file, 60);
    add_text(&file, "\x28\xb5\x2f\xfd nonsense\nBZh91AY&SYnonsense\nPK\3\4 is how a zip begins\n\xfd"
                    "7zXZ\n");
    add(&file, payload.data, payload.length);
    see(&file);
    assert_int_equal(seen.gap_count, 0);
    expect_payload("payload", "the real one");
    km_buf_clear(&file);
    add_text(&file, SCRIPT);
    add_fakes(&file, KM_PAYLOAD_MAX_TRIES + 1);
    add(&file, payload.data, payload.length);
    see(&file);
    assert_int_equal(seen.entry_count, 1);
    assert_non_null(seen_gap(&seen, KM_GAP_LIMIT)); /* nothing more is claimed */
    km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
}

static void texts_and_short_files_are_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "#!/bin/sh\necho hello to everybody\n",
        "#!",
        "#!/bin/sh\n\x1f\x8b\x08",
        "About the files that openssl makes:\nSalted__ is their first word\nand more of the same\n",
        "#!/bin/sh\nPK\n7z\nhsqs\nBZh9\n070701\n!<arch>\n-----BEGIN PGP MESSAGE-----\nLZIP\nRar!\nMSCF\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct km_buf file;
        init(&file);
        add_text(&file, texts[i]);
        see(&file);
        assert_int_equal(seen.entry_count, 1);
        assert_int_equal(seen.gap_count, 0);
        km_buf_done(&file);
    }
}

static void what_is_not_opened_is_opaque(void **state)
{
    (void)state;
    struct km_buf file;
    init(&file);
    add_elf(&file, 400, 0);
    char squashfs[96] = "hsqs";
    squashfs[28] = 4;
    add(&file, squashfs, sizeof squashfs);
    see(&file);
    assert_non_null(seen_gap(&seen, KM_GAP_UNSUPPORTED));
    assert_string_equal(seen_gap(&seen, KM_GAP_UNSUPPORTED)->detail, "squashfs image");
    assert_string_equal(seen_gap(&seen, KM_GAP_UNSUPPORTED)->where, "f");
    assert_int_equal(seen.coverage.bytes_opaque, file.length);
    km_buf_clear(&file);
    add_text(&file, SCRIPT "Salted__\x01\xf0\x9d\x02yq\xff\x10 and so on, encrypted");
    see(&file);
    assert_non_null(seen_gap(&seen, KM_GAP_ENCRYPTED));
    assert_int_equal(seen.coverage.bytes_opaque, file.length);
    km_buf_clear(&file);
    add_elf(&file, 400, 0);
    static const char signature[36] = "UPX!\x0e\x16\x02\x0a";
    add(&file, signature, sizeof signature);
    see(&file);
    assert_non_null(seen_gap(&seen, KM_GAP_UNSUPPORTED));
    assert_non_null(strstr(seen_gap(&seen, KM_GAP_UNSUPPORTED)->detail, "shared library"));
    km_buf_clear(&file);
    add_elf(&file, 200, 0);
    file.data[72] = (char)200; /* the code begins here, and with UPX's header */
    see(&file);
    assert_int_equal(seen.gap_count, 0);
    memcpy(file.data + 204, signature, 4);
    see(&file);
    assert_int_equal(seen.gap_count, 1);
    assert_non_null(strstr(seen_gap(&seen, KM_GAP_UNSUPPORTED)->detail, "shared library"));
    km_buf_done(&file);
}

static void a_payload_that_breaks_off_is_told(void **state)
{
    (void)state;
    struct km_buf raw, payload, file;
    init(&raw), init(&payload), init(&file);
    add_noise(&raw, 400000); /* so that the try of 256 KiB is over before the damage */
    make_gzip(&raw, &payload);
    add_text(&file, SCRIPT);
    add(&file, payload.data, payload.length / 2 + 150000 - payload.length / 8);
    see(&file);
    assert_non_null(seen_gap(&seen, KM_GAP_TRUNCATED));
    assert_int_equal(seen.gap_count, 1);
    assert_string_equal(seen_gap(&seen, KM_GAP_TRUNCATED)->where, "f!/payload");
    assert_false(seen_find(&seen, "payload")->complete);
    assert_int_equal(seen.coverage.bytes_opaque, file.length);
    km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
}

static void beyond_the_depth_a_payload_is_told_and_a_plain_script_is_not(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    struct km_buf raw, payload, file;
    init(&raw), init(&payload), init(&file);
    limits.nested_depth = 0;
    add_text(&raw, "a program, or so");
    make_gzip(&raw, &payload);
    add_text(&file, SCRIPT);
    see_limited(&file, &limits);
    assert_int_equal(seen.gap_count, 0);
    add(&file, payload.data, payload.length);
    see_limited(&file, &limits);
    assert_int_equal(seen.entry_count, 1);
    assert_non_null(seen_gap(&seen, KM_GAP_NESTED));
    assert_string_equal(seen_gap(&seen, KM_GAP_NESTED)->where, "f");
    limits.nested_depth = KM_SOURCE_MAX_NESTED_DEPTH;
    see_limited(&file, &limits);
    expect_payload("payload", "a program, or so");
    km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
}

/* Script in script in script: the depth is the archives', and it ends. */
static void scripts_nest_like_archives(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    struct km_buf file, raw;
    init(&file), init(&raw);
    add_text(&file, "the innermost, which is no script of any kind");
    for (size_t i = 0; i < KM_SOURCE_MAX_NESTED_DEPTH + 2; i++) {
        struct km_buf payload;
        init(&payload);
        make_gzip(&file, &payload);
        km_buf_clear(&file);
        add_text(&file, SCRIPT);
        add(&file, payload.data, payload.length);
        km_buf_done(&payload);
    }
    for (unsigned depth = 0; depth <= KM_SOURCE_MAX_NESTED_DEPTH; depth++) {
        limits.nested_depth = depth;
        see_limited(&file, &limits);
        assert_int_equal(seen.entry_count, 1 + depth);
        assert_int_equal(seen.gap_count, 1);
        assert_non_null(seen_gap(&seen, KM_GAP_NESTED));
    }
    km_buf_done(&file), km_buf_done(&raw);
}

static void a_bomb_behind_a_script_meets_the_ratio(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    struct km_buf raw, payload, file;
    init(&raw), init(&payload), init(&file);
    limits.max_ratio = 20;
    limits.nested_grace = 100000;
    for (size_t i = 0; i < 4000; i++)
        add(&raw, (const char[1024]){0}, 1024);
    make_gzip(&raw, &payload);
    add_text(&file, SCRIPT);
    add(&file, payload.data, payload.length);
    see_limited(&file, &limits);
    assert_non_null(seen_gap(&seen, KM_GAP_LIMIT));
    assert_true(seen_find(&seen, "payload")->delivered < raw.length);
    km_buf_done(&raw), km_buf_done(&payload), km_buf_done(&file);
}

static void heads_are_told_apart(void **state)
{
    (void)state;
    struct km_buf head;
    init(&head);
    assert_int_equal(km_payload_expect((const uint8_t *)"#!x", 3, 3).head, KM_PAYLOAD_TEXT);
    assert_int_equal(km_payload_expect((const uint8_t *)"", 0, 0).head, KM_PAYLOAD_NONE);
    assert_int_equal(km_payload_expect((const uint8_t *)"\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\0\0", 18, 18).head,
                     KM_PAYLOAD_NONE);
    add_noise(&head, 4096);
    assert_int_equal(km_payload_expect((const uint8_t *)head.data, 4096, 4096).head, KM_PAYLOAD_NONE);
    memset(head.data, 'x', 4096);
    assert_int_equal(km_payload_expect((const uint8_t *)head.data, 4096, 4096).head, KM_PAYLOAD_TEXT);
    head.data[10] = 1;
    assert_int_equal(km_payload_expect((const uint8_t *)head.data, 4096, 4096).head, KM_PAYLOAD_NONE);
    km_buf_clear(&head);
    add_elf(&head, 300, 350);
    struct km_payload_place place = km_payload_expect((const uint8_t *)head.data, head.length, 1000);
    assert_int_equal(place.head, KM_PAYLOAD_ELF);
    assert_int_equal(place.from, 350 + 64);
    assert_int_equal(km_payload_expect((const uint8_t *)head.data, head.length, 400).from,
                     300); /* no room for sections */
    km_buf_done(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compressed_data_behind_a_script_are_looked_into),
        cmocka_unit_test(archives_behind_a_script_are_opened),
        cmocka_unit_test(a_zip_behind_its_interpreter_line_is_opened),
        cmocka_unit_test(what_is_appended_to_a_program_is_found_wherever_it_begins),
        cmocka_unit_test(headers_of_a_program_cannot_hide_its_end),
        cmocka_unit_test(what_belongs_to_a_program_is_not_searched),
        cmocka_unit_test(several_payloads_follow_each_other),
        cmocka_unit_test(false_magic_costs_a_try_and_hides_nothing),
        cmocka_unit_test(texts_and_short_files_are_left_alone),
        cmocka_unit_test(what_is_not_opened_is_opaque),
        cmocka_unit_test(a_payload_that_breaks_off_is_told),
        cmocka_unit_test(beyond_the_depth_a_payload_is_told_and_a_plain_script_is_not),
        cmocka_unit_test(scripts_nest_like_archives),
        cmocka_unit_test(a_bomb_behind_a_script_meets_the_ratio),
        cmocka_unit_test(heads_are_told_apart),
    };
    return KM_RUN_TESTS(tests);
}
