#define KM_TEST_NAME "source"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archives.h"

static struct seen seen; /* large: not for the stack */

static const struct seen_options as_tar = {.kind = KM_SOURCE_TAR};

static void init(struct km_buf *buf)
{
    km_buf_init(buf, (size_t)64 << 20);
}

static void add(struct km_buf *buf, const void *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_buf_append(buf, bytes, length, &err), err);
}

static void see(const struct km_buf *tar)
{
    see_bytes(tar->data, tar->length, &as_tar, &seen);
}

/* ---- Tar ---- */

static void entries_come_with_names_types_and_offsets(void **state)
{
    (void)state;
    struct km_buf tar;
    init(&tar);
    tar_add(&tar, &(struct made_member){.path = "./", .type = '5'});
    tar_add(&tar, &(struct made_member){.path = "./dev/null", .type = '3'});
    tar_add_file(&tar, "/etc/passwd", "root");
    tar_add(&tar, &(struct made_member){.path = "etc/link", .type = '2', .link = "passwd"});
    tar_add(&tar, &(struct made_member){.path = "etc/hard", .type = '1', .link = "etc/passwd"});
    tar_add(&tar, &(struct made_member){.path = "fifo", .type = '6'});
    tar_add_file(&tar, "../etc/passwd", "again");
    tar_add(&tar, &(struct made_member){.path = "odd", .type = '?', .data = "data", .length = 4});
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.entry_count, 8);
    assert_int_equal(seen.gap_count, 0);
    static const enum km_entry_type types[] = {KM_ENTRY_DIRECTORY, KM_ENTRY_CHARACTER, KM_ENTRY_FILE, KM_ENTRY_SYMLINK,
                                               KM_ENTRY_HARDLINK,  KM_ENTRY_FIFO,      KM_ENTRY_FILE, KM_ENTRY_FILE};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(seen.entries[i].entry.type, types[i]);
        assert_true(seen.entries[i].complete);
        assert_int_equal(seen.entries[i].entry.parent, KM_ENTRY_NONE);
    }
    assert_string_equal(seen.entries[0].path, "");
    assert_string_equal(seen.entries[1].path, "dev/null");
    assert_false(seen.entries[2].entry.odd_name);
    assert_int_equal(seen.entries[2].entry.stream_offset, 1024);
    assert_memory_equal(seen.entries[2].first, "root", 4);
    assert_string_equal(seen.entries[3].link, "passwd");
    assert_string_equal(seen.entries[6].path, "etc/passwd");
    assert_true(seen.entries[6].entry.odd_name);
    assert_int_equal(seen.coverage.bytes_total, 4 + 5 + 4);
    assert_int_equal(seen.coverage.files_examined, 3);
    km_buf_done(&tar);
}

static void long_and_odd_names_stay_raw(void **state)
{
    (void)state;
    struct km_buf tar;
    char name[300];
    init(&tar);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    tar_add(&tar, &(struct made_member){.path = "././@LongLink", .type = 'L', .data = name, .length = sizeof name});
    tar_add_file(&tar, "cut", "1");
    tar_add_pax(&tar, "path", "pax/\xff\xfe/a\nb\033[31m/cafe\xcc\x81"); /* not UTF-8; e + combining accent stays two */
    tar_add_file(&tar, "short", "2");
    tar_add_pax(&tar, "linkpath", "to/\xff");
    tar_add(&tar, &(struct made_member){.path = "l", .type = '2', .link = "short"});
    tar_add_pax(&tar, "path", "");
    tar_add_file(&tar, "plain", "3");
    tar_add(&tar, &(struct made_member){.path = "g", .type = 'g', .data = "16 path=global!\n", .length = 16});
    tar_add_file(&tar, "not-global", "4");
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.gap_count, 0);
    assert_int_equal(seen.entry_count, 5);
    assert_int_equal(strncmp(seen.entries[0].path, name, 199), 0);
    assert_int_equal(seen.entries[0].entry.stream_offset, 0); /* of the long name's header */
    assert_string_equal(seen.entries[1].path, "pax/\xff\xfe/a\nb\033[31m/cafe\xcc\x81");
    assert_string_equal(seen.entries[2].link, "to/\xff");
    assert_string_equal(seen.entries[3].path, "plain");
    assert_string_equal(seen.entries[4].path, "not-global");
    km_buf_done(&tar);
}

static void pax_sizes_win(void **state)
{
    (void)state;
    struct km_buf tar;
    char data[1024] = {0};
    init(&tar);
    memset(data, 'x', 600);
    tar_add_pax(&tar, "size", "600");
    tar_add_file(&tar, "sized", ""); /* its own header says 0 */
    add(&tar, data, sizeof data);
    tar_add_file(&tar, "after", "1");
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.gap_count, 0);
    assert_non_null(seen_find(&seen, "after"));
    assert_int_equal(seen_find(&seen, "sized")->delivered, 600);
    km_buf_done(&tar);
}

static void sparse_maps_that_do_not_fit_are_damage(void **state)
{
    (void)state;
    struct km_buf tar;
    init(&tar);
    tar_add_pax(&tar, "GNU.sparse.map", "0,3,1000,2"); /* without GNU.sparse.size it does not fit five bytes */
    tar_add_file(&tar, "unsized", "abcde");
    tar_end(&tar);
    see(&tar);
    assert_non_null(seen_gap(&seen, KM_GAP_DAMAGED));
    assert_int_equal(seen_find(&seen, "unsized")->delivered, 5); /* as stored */
    km_buf_done(&tar);
}

static void holes_are_told_and_not_filled(void **state)
{
    (void)state;
    struct km_buf tar;
    init(&tar);
    static const char records[] = "28 GNU.sparse.map=0,3,100,2\n30 GNU.sparse.size=8000000000\n";
    tar_add(&tar, &(struct made_member){.path = "p", .type = 'x', .data = records, .length = sizeof records - 1});
    tar_add_file(&tar, "sparse", "abcde");
    tar_add_file(&tar, "after", "1");
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.gap_count, 0);
    const struct seen_entry *sparse = seen_find(&seen, "sparse");
    assert_non_null(sparse);
    assert_int_equal(sparse->entry.size, UINT64_C(8000000000));
    assert_int_equal(sparse->holes, UINT64_C(8000000000) - 5);
    assert_true(sparse->complete);
    assert_memory_equal(sparse->first, "abc\0", 4);
    assert_non_null(seen_find(&seen, "after"));
    km_buf_done(&tar);
}

static void make_sample(struct km_buf *tar)
{
    char large[3000];
    memset(large, 'y', sizeof large);
    init(tar);
    tar_add_file(tar, "a", "content of a");
    tar_add_pax(tar, "path", "a rather long name");
    tar_add(tar, &(struct made_member){.path = "b", .data = large, .length = sizeof large});
    tar_add(tar, &(struct made_member){.path = "d", .type = '5'});
    tar_add_file(tar, "d/c", "content of c");
    tar_end(tar);
}

static void any_cut_is_a_gap(void **state)
{
    (void)state;
    struct km_buf tar;
    make_sample(&tar);
    size_t full = tar.length - 1024;
    for (size_t length = 1; length < full + 512; length += length % 512 == 0 ? 1 : 511) {
        see_bytes(tar.data, length, &as_tar, &seen);
        if (seen.code == KM_FORMAT && length < 512)
            continue;
        assert_int_equal(seen.code, KM_OK);
        if (!seen_gap(&seen, KM_GAP_TRUNCATED))
            fail_msg("cut to %zu: no gap", length);
    }
    see_bytes(tar.data, full + 512, &as_tar, &seen); /* one closing block is what some writers leave */
    assert_int_equal(seen.gap_count, 0);
    km_buf_done(&tar);
}

static void any_blocking_reads_the_same(void **state)
{
    (void)state;
    struct km_buf tar;
    make_sample(&tar);
    static const size_t blocks[] = {1, 7, 511, 512, 513, 1000, 4096, 10000};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        see_bytes(tar.data, tar.length, &(struct seen_options){.block_bytes = blocks[i]}, &seen);
        assert_int_equal(seen.code, KM_OK);
        assert_int_equal(seen.entry_count, 4);
        assert_int_equal(seen.gap_count, 0);
        assert_int_equal(seen.coverage.bytes_examined, 3000 + 24);
    }
    km_buf_done(&tar);
}

/* A byte of a header that changes: the checksum shows it, the block becomes a gap, the next member is found. */
static void any_flipped_header_byte_is_a_gap(void **state)
{
    (void)state;
    struct km_buf tar;
    make_sample(&tar);
    for (size_t at = 0; at < 512; at++) {
        tar.data[at] ^= 0x15;
        see(&tar);
        tar.data[at] ^= 0x15;
        assert_int_equal(seen.code, KM_OK);
        const struct seen_gap *gap = seen_gap(&seen, KM_GAP_DAMAGED);
        bool in_checksum_padding =
            at >= 148 && at < 156 && seen.gap_count == 0; /* a space for a NUL: the same number */
        if (!gap && !in_checksum_padding)
            fail_msg("byte %zu: no gap", at);
        if (gap) {
            assert_int_equal(gap->gap.offset, 0);
            assert_int_equal(gap->gap.bytes, 1024); /* the header, and its data that nothing describes */
        }
        assert_non_null(seen_find(&seen, "a rather long name"));
        assert_non_null(seen_find(&seen, "d/c"));
    }
    km_buf_done(&tar);
}

static void a_size_that_is_no_number_is_damage(void **state)
{
    (void)state;
    struct km_buf tar;
    make_sample(&tar);
    memcpy(tar.data + 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12); /* -1 */
    tar_fix_checksum(&tar, 0);
    see(&tar);
    assert_int_equal(seen.code, KM_OK);
    assert_non_null(seen_gap(&seen, KM_GAP_DAMAGED));
    assert_null(seen_find(&seen, "a"));
    assert_non_null(seen_find(&seen, "d/c"));
    km_buf_done(&tar);
}

static void a_size_that_lies_is_missing_bytes(void **state)
{
    (void)state;
    struct km_buf tar;
    make_sample(&tar);
    memcpy(tar.data + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12); /* 8 EiB */
    tar_fix_checksum(&tar, 0);
    see(&tar);
    assert_int_equal(seen.code, KM_OK);
    const struct seen_gap *gap = seen_gap(&seen, KM_GAP_TRUNCATED);
    assert_non_null(gap);
    assert_string_equal(gap->where, "a");
    assert_int_equal(gap->gap.offset, tar.length - 512);
    assert_int_equal(gap->gap.bytes, INT64_MAX - (tar.length - 512));
    assert_int_equal(seen.coverage.bytes_total, INT64_MAX);
    assert_int_equal(seen.coverage.files_examined, 0);
    km_buf_done(&tar);
}

static void what_stands_behind_the_end_is_a_gap(void **state)
{
    (void)state;
    struct km_buf tar;
    make_sample(&tar);
    size_t end = tar.length;
    char zeros[3000] = {0};
    add(&tar, zeros, sizeof zeros);
    see(&tar);
    assert_int_equal(seen.gap_count, 0);
    tar_add_file(&tar, "hidden", "payload");
    see(&tar);
    assert_int_equal(seen.gap_count, 1);
    const struct seen_gap *gap = seen_gap(&seen, KM_GAP_TRAILING);
    assert_non_null(gap);
    assert_int_equal(gap->gap.offset, end + sizeof zeros);
    assert_null(seen_find(&seen, "hidden"));
    km_buf_done(&tar);
}

static void a_lone_block_of_zeros_does_not_hide_what_follows(void **state)
{
    (void)state;
    struct km_buf tar;
    init(&tar);
    char zeros[512] = {0};
    tar_add_file(&tar, "a", "1");
    add(&tar, zeros, sizeof zeros);
    tar_add_file(&tar, "b", "2");
    tar_end(&tar);
    see(&tar);
    assert_non_null(seen_find(&seen, "b"));
    const struct seen_gap *gap = seen_gap(&seen, KM_GAP_DAMAGED);
    assert_non_null(gap);
    assert_int_equal(gap->gap.offset, 1024);
    assert_int_equal(gap->gap.bytes, 512);
    km_buf_done(&tar);
}

static void directories_and_links_with_sizes_hide_nothing(void **state)
{
    (void)state;
    struct km_buf tar;
    init(&tar);
    tar_add(&tar, &(struct made_member){.path = "d", .type = '5'});
    memcpy(tar.data + 124, "00000001000", 11); /* 512: a reader that believes it skips the next header */
    tar_fix_checksum(&tar, 0);
    tar_add_file(&tar, "in-the-shadow", "payload");
    tar_add(&tar, &(struct made_member){.path = "looks/like/dir/", .type = '\0', .data = "payload", .length = 7});
    tar.data[tar.length - 1024 + 156] = '\0'; /* V7 has no types */
    tar_fix_checksum(&tar, tar.length - 1024);
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.gap_count, 0);
    assert_non_null(seen_find(&seen, "in-the-shadow"));
    const struct seen_entry *file = seen_find(&seen, "looks/like/dir");
    assert_non_null(file);
    assert_int_equal(file->entry.type, KM_ENTRY_FILE);
    assert_int_equal(file->delivered, 7);
    km_buf_done(&tar);
}

static void huge_header_data_is_a_limit(void **state)
{
    (void)state;
    struct km_buf tar;
    size_t length = ((size_t)1 << 20) + 1;
    char *name = malloc(length);
    assert_non_null(name);
    memset(name, 'n', length);
    init(&tar);
    tar_add(&tar, &(struct made_member){.path = "L", .type = 'L', .data = name, .length = length});
    tar_add_file(&tar, "a", "1");
    tar_add(&tar, &(struct made_member){.path = "L", .type = 'L', .data = name, .length = 70000});
    tar_add_file(&tar, "b", "2");
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.gap_count, 2);
    assert_int_equal(seen.gaps[0].gap.reason, KM_GAP_LIMIT);
    assert_int_equal(seen.gaps[1].gap.reason, KM_GAP_LIMIT);
    assert_non_null(seen_find(&seen, "a"));
    assert_non_null(seen_find(&seen, "b"));
    free(name);
    km_buf_done(&tar);
}

static void whiteouts_delete_and_their_bytes_are_read(void **state)
{
    (void)state;
    struct km_buf tar;
    init(&tar);
    tar_add_file(&tar, "etc/.wh.gone", "");
    tar_add_file(&tar, "opt/.wh..wh..opq", "");
    tar_add_file(&tar, "etc/.wh.full", "payload");
    tar_add(&tar, &(struct made_member){.path = ".wh..wh.plnk", .type = '5'});
    tar_end(&tar);
    see(&tar);
    assert_int_equal(seen.gap_count, 0);
    assert_int_equal(seen.entry_count, 5);
    assert_int_equal(seen.entries[0].entry.type, KM_ENTRY_WHITEOUT);
    assert_string_equal(seen.entries[0].path, "etc/gone");
    assert_int_equal(seen.entries[1].entry.type, KM_ENTRY_OPAQUE);
    assert_string_equal(seen.entries[1].path, "opt");
    assert_int_equal(seen.entries[2].entry.type, KM_ENTRY_WHITEOUT);
    assert_string_equal(seen.entries[2].path, "etc/full");
    assert_int_equal(seen.entries[3].entry.type, KM_ENTRY_FILE);
    assert_string_equal(seen.entries[3].path, "etc/.wh.full");
    assert_int_equal(seen.entries[3].delivered, 7);
    assert_int_equal(seen.entries[4].entry.type, KM_ENTRY_DIRECTORY);
    assert_int_equal(seen.coverage.bytes_total, 7);
    km_buf_done(&tar);
}

/* ---- Kinds of input ---- */

static void what_is_no_archive_is_an_error(void **state)
{
    (void)state;
    static const char text[] = "#!/bin/sh\necho this is no archive, however long it is\n";
    char large[5000];
    memset(large, 'z', sizeof large);
    see_bytes("", 0, NULL, &seen);
    assert_int_equal(seen.code, KM_FORMAT);
    see_bytes(text, sizeof text, NULL, &seen);
    assert_int_equal(seen.code, KM_FORMAT);
    see_bytes(large, sizeof large, &as_tar, &seen);
    assert_int_equal(seen.code, KM_FORMAT);
    see_bytes(large, sizeof large, &(struct seen_options){.kind = KM_SOURCE_IMAGES}, &seen);
    assert_int_equal(seen.code, KM_FORMAT);
    see_target("/nonexistent/archive.tar", NULL, &seen);
    assert_int_equal(seen.code, KM_NOTFOUND);
    see_target("tar:/dev/null", NULL, &seen);
    assert_int_equal(seen.code, KM_UNSUPPORTED);
    see_target("dir:/proc", NULL, &seen);
    assert_int_equal(seen.code, KM_UNSUPPORTED);
    see_target("tar:/usr", NULL, &seen);
    assert_int_equal(seen.code, KM_UNSUPPORTED);
}

static void compressed_trees_are_hashed_twice_and_read(void **state)
{
    (void)state;
    struct km_buf tar, packed;
    void (*const makers[])(const struct km_buf *, struct km_buf *) = {make_gzip, make_xz, make_zstd, make_bzip2};
    make_sample(&tar);
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        init(&packed);
        makers[i](&tar, &packed);
        see_bytes(packed.data, packed.length, NULL, &seen);
        assert_int_equal(seen.code, KM_OK);
        assert_string_equal(seen.scheme, "tar");
        assert_int_equal(seen.entry_count, 4);
        assert_int_equal(seen.gap_count, 0);
        add(&packed, "tail", 4);
        see_bytes(packed.data, packed.length, NULL, &seen);
        assert_int_equal(seen.gap_count, 1);
        assert_int_equal(seen.gaps[0].gap.reason, KM_GAP_TRAILING);
        assert_int_equal(seen.gaps[0].gap.bytes, 4);
        see_bytes(packed.data, packed.length - 20, NULL, &seen);
        if (seen.code == KM_OK) /* the decoder gave something before it met the cut */
            assert_true(seen.gap_count > 0);
        else
            assert_string_equal(seen.err.text, "nothing to read: compressed data end too early");
        km_buf_done(&packed);
    }
    km_buf_done(&tar);
}

/* ---- Nested ---- */

static void nested_members_come_while_their_outer_file_does(void **state)
{
    (void)state;
    struct km_buf inner, packed, outer;
    make_sample(&inner);
    init(&packed);
    init(&outer);
    make_gzip(&inner, &packed);
    tar_add(&outer, &(struct made_member){.path = "app.tar.gz", .data = packed.data, .length = packed.length});
    make_gzip(&packed, &packed);
    tar_add(&outer, &(struct made_member){.path = "x/twice.gz", .data = packed.data, .length = packed.length});
    tar_add_file(&outer, "last", "1");
    tar_end(&outer);
    see(&outer);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.gap_count, 0);
    assert_int_equal(seen.entry_count, 1 + 4 + 1 + 1 + 4 + 1);
    assert_int_equal(seen.entries[1].entry.parent, 0);
    assert_int_equal(seen.entries[1].entry.depth, 1);
    const struct seen_entry *twice = seen_find(&seen, "twice"); /* what x/twice.gz holds */
    assert_non_null(twice);
    assert_int_equal(twice->entry.size, KM_SIZE_UNKNOWN);
    assert_int_equal(twice->entry.depth, 1);
    assert_true(twice->complete);
    assert_int_equal(seen.entries[7].entry.parent, 6);
    assert_int_equal(seen.entries[7].entry.depth, 2);
    assert_int_equal(seen.coverage.files_total, 3);
    km_buf_done(&inner);
    km_buf_done(&packed);
    km_buf_done(&outer);
}

static void archives_too_deep_are_opaque(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    struct km_buf levels[4];
    limits.nested_depth = 2;
    make_sample(&levels[0]);
    for (int i = 1; i < 4; i++) {
        init(&levels[i]);
        tar_add(&levels[i],
                &(struct made_member){.path = "inner.tar", .data = levels[i - 1].data, .length = levels[i - 1].length});
        tar_end(&levels[i]);
    }
    tar_add_file(&levels[3], "x", "");
    see_bytes(levels[2].data, levels[2].length, &(struct seen_options){.kind = KM_SOURCE_TAR, .limits = &limits},
              &seen);
    assert_int_equal(seen.gap_count, 0);
    assert_non_null(seen_find(&seen, "d/c"));
    see_bytes(levels[3].data, levels[3].length - 512, &(struct seen_options){.kind = KM_SOURCE_TAR, .limits = &limits},
              &seen);
    const struct seen_gap *gap = seen_gap(&seen, KM_GAP_NESTED);
    assert_non_null(gap);
    assert_string_equal(gap->where, "inner.tar!/inner.tar!/inner.tar");
    assert_null(seen_find(&seen, "d/c"));
    assert_int_equal(seen.coverage.bytes_opaque, levels[2].length);
    assert_int_equal(seen.coverage.bytes_examined, 0);
    for (int i = 0; i < 4; i++)
        km_buf_done(&levels[i]);
}

static void damage_inside_makes_opaque_and_stops_nothing(void **state)
{
    (void)state;
    struct km_buf inner, packed, outer;
    make_sample(&inner);
    init(&packed);
    make_gzip(&inner, &packed);
    for (size_t at = 0; at < packed.length; at += 3) {
        init(&outer);
        packed.data[at] ^= 0x5a;
        tar_add(&outer, &(struct made_member){.path = "bad.gz", .data = packed.data, .length = packed.length});
        packed.data[at] ^= 0x5a;
        tar_add_file(&outer, "last", "1");
        tar_end(&outer);
        see(&outer);
        assert_int_equal(seen.code, KM_OK);
        const struct seen_entry *bad = seen_find(&seen, "bad.gz"), *last = seen_find(&seen, "last");
        assert_non_null(bad);
        assert_non_null(last);
        assert_true(bad->complete); /* its own bytes were all delivered */
        assert_true(last->complete);
        assert_int_equal(seen.coverage.bytes_opaque, seen.gap_count ? packed.length : 0);
        km_buf_done(&outer);
    }
    km_buf_done(&inner);
    km_buf_done(&packed);
}

static void what_only_looks_like_an_archive_is_an_ordinary_file(void **state)
{
    (void)state;
    static const char xz[] = {(char)0xfd, '7', 'z', 'X', 'Z', '\0'};
    static const char *const begins[] = {
        "\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "PK\x03\x04", "BZh91AY&SY", "070701", "!<arch>\n", xz};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        char data[700];
        memset(data, 0xee, sizeof data);
        memcpy(data, begins[i], strlen(begins[i]));
        struct km_buf tar;
        init(&tar);
        tar_add(&tar, &(struct made_member){.path = "by-chance", .data = data, .length = sizeof data});
        tar_end(&tar);
        see(&tar);
        if (seen.gap_count > 0 || seen.coverage.bytes_examined != sizeof data)
            fail_msg("case %zu: %zu gaps, %s", i, seen.gap_count, seen.gaps[0].detail);
        km_buf_done(&tar);
    }
}

static void unsupported_and_encrypted_content_is_opaque(void **state)
{
    (void)state;
    static const struct {
        const char *begin;
        size_t length;
        enum km_gap_reason reason;
    } cases[] = {
        {"7z\xbc\xaf\x27\x1c", 6, KM_GAP_UNSUPPORTED}, {"Rar!\x1a\x07", 6, KM_GAP_UNSUPPORTED},
        {"\xed\xab\xee\xdb", 4, KM_GAP_UNSUPPORTED},   {"Salted__", 8, KM_GAP_ENCRYPTED},
        {"LUKS\xba\xbe", 6, KM_GAP_ENCRYPTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char data[100] = {0};
        memcpy(data, cases[i].begin, cases[i].length);
        struct km_buf tar;
        init(&tar);
        tar_add(&tar, &(struct made_member){.path = "closed", .data = data, .length = sizeof data});
        tar_add_file(&tar, "open", "1");
        tar_end(&tar);
        see(&tar);
        assert_int_equal(seen.gap_count, 1);
        assert_int_equal(seen.gaps[0].gap.reason, cases[i].reason);
        assert_int_equal(seen.gaps[0].gap.bytes, sizeof data);
        assert_string_equal(seen.gaps[0].where, "closed");
        assert_int_equal(seen.coverage.bytes_opaque, sizeof data);
        assert_int_equal(seen.coverage.bytes_examined, 1);
        km_buf_done(&tar);
    }
}

static void nested_bombs_stop(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.nested_grace = 100000;
    struct km_buf raw, packed, tar;
    init(&raw);
    init(&packed);
    init(&tar);
    char *zeros = calloc(1, (size_t)20 << 20);
    assert_non_null(zeros);
    add(&raw, zeros, (size_t)20 << 20);
    make_zstd(&raw, &packed);
    tar_add(&tar, &(struct made_member){.path = "bomb.zst", .data = packed.data, .length = packed.length});
    tar_add_file(&tar, "after", "1");
    tar_end(&tar);
    const struct seen_options options = {.kind = KM_SOURCE_TAR, .limits = &limits};
    see_bytes(tar.data, tar.length, &options, &seen);
    assert_int_equal(seen.code, KM_OK);
    assert_non_null(seen_gap(&seen, KM_GAP_LIMIT));
    assert_non_null(seen_find(&seen, "after"));
    const struct seen_entry *inside = seen_find(&seen, "bomb");
    assert_non_null(inside);
    assert_false(inside->complete);
    assert_true(inside->delivered < (uint64_t)20 << 20);
    limits.max_ratio = 1000000;
    limits.max_nested_bytes = 1000000;
    see_bytes(tar.data, tar.length, &options, &seen);
    assert_non_null(seen_gap(&seen, KM_GAP_LIMIT));
    assert_int_equal(seen.gap_count, 1);
    limits.max_nested_bytes = UINT64_MAX;
    see_bytes(tar.data, tar.length, &options, &seen);
    assert_int_equal(seen.gap_count, 0);
    free(zeros);
    km_buf_done(&raw);
    km_buf_done(&packed);
    km_buf_done(&tar);
}

/* ---- Limits and ends ---- */

static void files_past_the_limit_are_counted_and_not_called_examined(void **state)
{
    (void)state;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    struct km_buf tar;
    char name[16];
    init(&tar);
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "f%d", i);
        tar_add_file(&tar, name, "12345");
    }
    tar_end(&tar);
    limits.max_entries = 4;
    const struct seen_options options = {.kind = KM_SOURCE_TAR, .limits = &limits};
    see_bytes(tar.data, tar.length, &options, &seen);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.entry_count, 4);
    assert_int_equal(seen.gap_count, 1);
    assert_int_equal(seen.gaps[0].gap.reason, KM_GAP_LIMIT);
    assert_int_equal(seen.gaps[0].gap.bytes, 30);
    assert_int_equal(seen.coverage.bytes_total, 50);
    assert_int_equal(seen.coverage.bytes_examined, 20);
    limits = (struct km_source_limits)KM_SOURCE_LIMITS_INIT;
    limits.max_index_bytes = 4096;
    see_bytes(tar.data, tar.length, &options, &seen);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.coverage.bytes_total, 50);
    km_buf_done(&tar);
}

static void any_failing_callback_ends_the_run_and_every_entry(void **state)
{
    (void)state;
    struct km_buf inner, packed, outer;
    make_sample(&inner);
    init(&packed);
    init(&outer);
    make_xz(&inner, &packed);
    tar_add(&outer, &(struct made_member){.path = "a.xz", .data = packed.data, .length = packed.length});
    tar_add_file(&outer, "b", "1");
    tar_end(&outer);
    see(&outer);
    size_t calls = seen.calls;
    assert_true(calls > 10);
    for (size_t i = 1; i <= calls; i++) {
        see_bytes(outer.data, outer.length, &(struct seen_options){.kind = KM_SOURCE_TAR, .fail_at_call = i}, &seen);
        assert_int_equal(seen.code, KM_CONFLICT); /* and see_bytes checks that nothing stays open */
    }
    km_buf_done(&inner);
    km_buf_done(&packed);
    km_buf_done(&outer);
}

static void cancelling_ends_with_a_gap(void **state)
{
    (void)state;
    struct km_cancel cancel = KM_CANCEL_INIT;
    struct km_buf tar;
    make_sample(&tar);
    km_cancel_request(&cancel);
    see_bytes(tar.data, tar.length, &(struct seen_options){.cancel = &cancel, .kind = KM_SOURCE_TAR}, &seen);
    assert_int_equal(seen.code, KM_CANCELLED);
    assert_non_null(seen_gap(&seen, KM_GAP_CANCELLED));
    km_buf_done(&tar);
}

/* ---- Archives of images ---- */

static void make_image(struct km_buf *image, const struct km_buf *layer)
{
    static const char manifest[] = "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:b\"],\"Layers\":[\"l/layer.tar\"]}]";
    init(image);
    tar_add(image, &(struct made_member){.path = "l/layer.tar", .data = layer->data, .length = layer->length});
    tar_add_file(image, "c.json", "{\"rootfs\":{\"type\":\"layers\"}}");
    tar_add_file(image, "manifest.json", manifest);
    tar_end(image);
}

static void layers_are_read_before_their_manifest_comes(void **state)
{
    (void)state;
    struct km_buf layer, image;
    make_sample(&layer);
    make_image(&image, &layer);
    see_bytes(image.data, image.length, &(struct seen_options){.kind = KM_SOURCE_IMAGES}, &seen);
    assert_int_equal(seen.code, KM_OK);
    assert_string_equal(seen.scheme, "docker-archive");
    assert_int_equal(seen.entry_count, 4);
    assert_int_equal(seen.coverage.bytes_total, 3024);
    km_buf_done(&layer);
    km_buf_done(&image);
}

static void an_image_cut_anywhere_is_never_complete(void **state)
{
    (void)state;
    struct km_buf layer, image;
    make_sample(&layer);
    make_image(&image, &layer);
    for (size_t length = 512; length < image.length - 512; length += 256) {
        see_bytes(image.data, length, &(struct seen_options){.kind = KM_SOURCE_IMAGES}, &seen);
        if (seen.code == KM_OK && !seen_gap(&seen, KM_GAP_TRUNCATED))
            fail_msg("cut to %zu: no gap", length);
        if (seen.code != KM_OK) /* the manifest is cut off */
            assert_int_equal(seen.code, KM_FORMAT);
    }
    km_buf_done(&layer);
    km_buf_done(&image);
}

static void a_damaged_layer_is_looked_through(void **state)
{
    (void)state;
    struct km_buf layer, image;
    make_sample(&layer);
    layer.data[0] ^= 1;
    make_image(&image, &layer);
    see_bytes(image.data, image.length, &(struct seen_options){.kind = KM_SOURCE_IMAGES}, &seen);
    assert_int_equal(seen.code, KM_OK);
    const struct seen_gap *gap = seen_gap(&seen, KM_GAP_DAMAGED);
    assert_non_null(gap);
    assert_string_equal(gap->where, "l/layer.tar");
    assert_non_null(seen_find(&seen, "d/c"));
    km_buf_done(&layer);
    km_buf_done(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_with_names_types_and_offsets),
        cmocka_unit_test(long_and_odd_names_stay_raw),
        cmocka_unit_test(pax_sizes_win),
        cmocka_unit_test(sparse_maps_that_do_not_fit_are_damage),
        cmocka_unit_test(holes_are_told_and_not_filled),
        cmocka_unit_test(any_cut_is_a_gap),
        cmocka_unit_test(any_blocking_reads_the_same),
        cmocka_unit_test(any_flipped_header_byte_is_a_gap),
        cmocka_unit_test(a_size_that_is_no_number_is_damage),
        cmocka_unit_test(a_size_that_lies_is_missing_bytes),
        cmocka_unit_test(what_stands_behind_the_end_is_a_gap),
        cmocka_unit_test(a_lone_block_of_zeros_does_not_hide_what_follows),
        cmocka_unit_test(directories_and_links_with_sizes_hide_nothing),
        cmocka_unit_test(huge_header_data_is_a_limit),
        cmocka_unit_test(whiteouts_delete_and_their_bytes_are_read),
        cmocka_unit_test(what_is_no_archive_is_an_error),
        cmocka_unit_test(compressed_trees_are_hashed_twice_and_read),
        cmocka_unit_test(nested_members_come_while_their_outer_file_does),
        cmocka_unit_test(archives_too_deep_are_opaque),
        cmocka_unit_test(damage_inside_makes_opaque_and_stops_nothing),
        cmocka_unit_test(what_only_looks_like_an_archive_is_an_ordinary_file),
        cmocka_unit_test(unsupported_and_encrypted_content_is_opaque),
        cmocka_unit_test(nested_bombs_stop),
        cmocka_unit_test(files_past_the_limit_are_counted_and_not_called_examined),
        cmocka_unit_test(any_failing_callback_ends_the_run_and_every_entry),
        cmocka_unit_test(cancelling_ends_with_a_gap),
        cmocka_unit_test(layers_are_read_before_their_manifest_comes),
        cmocka_unit_test(an_image_cut_anywhere_is_never_complete),
        cmocka_unit_test(a_damaged_layer_is_looked_through),
    };
    return KM_RUN_TESTS(tests);
}
