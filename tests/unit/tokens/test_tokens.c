#define KM_TEST_NAME "tokens"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container/tokens/elfsymbols.h"
#include "container/tokens/tokens.h"
#include "madeelf.h"

#define WINDOW KM_TOKEN_WINDOW_BYTES

/* Everything that an extractor says: the windows' sets one after the other, then the file's. */
struct told {
    uint64_t digest;
    size_t windows;
    uint64_t last_offset;
    uint32_t last_bytes;
    struct km_token_file file;
};

static uint64_t fold_set(uint64_t digest, const struct km_token_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        assert_true(set->ids[i] < KM_TOKEN_IDS);
        assert_true(i == 0 || set->ids[i] > set->ids[i - 1]);
        digest = (digest ^ set->ids[i]) * UINT64_C(0x100000001B3);
    }
    return digest * 31 + set->count;
}

static enum km_code on_window(void *context, const struct km_token_window *window, struct km_err *err)
{
    (void)err;
    struct told *told = context;
    assert_int_equal(window->offset % WINDOW, 0);
    assert_true(window->set.count > 0);
    told->digest += fold_set(window->offset, &window->set) * 2654435761u;
    told->windows++;
    told->last_offset = window->offset;
    told->last_bytes = window->bytes;
    return KM_OK;
}

static struct told extract(struct km_token_extractor *extractor, const uint8_t *bytes, size_t length, size_t step)
{
    struct km_err err = KM_ERR_INIT;
    struct told told = {0};
    struct km_token_sink sink = {.context = &told, .window = on_window};
    km_token_extractor_begin(extractor, &sink);
    for (size_t at = 0; at < length; at += step)
        assert_ok(km_token_extractor_feed(extractor, bytes + at, length - at < step ? length - at : step, &err), err);
    assert_ok(km_token_extractor_end(extractor, &told.file, &err), err);
    told.digest += fold_set(7, &told.file.set);
    assert_int_equal(told.windows, told.file.windows);
    assert_int_equal(told.file.bytes, length);
    return told;
}

static struct km_token_extractor *extractor_new(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = km_token_extractor_new(&err);
    assert_non_null(extractor);
    return extractor;
}

static bool has(const struct km_token_file *file, enum km_token_kind kind, const char *text)
{
    uint32_t id = km_token_id(km_token_hash(kind, text, strlen(text)));
    for (size_t i = 0; i < file->set.count; i++)
        if (file->set.ids[i] == id)
            return true;
    return false;
}

/* "a b -c": the text has words a and b, and not c. */
static void check_words(const char *text, const char *expected)
{
    struct km_token_extractor *extractor = extractor_new();
    struct told told = extract(extractor, (const uint8_t *)text, strlen(text), strlen(text));
    char list[256], *save = NULL;
    assert_true(strlen(expected) < sizeof list);
    strcpy(list, expected);
    for (char *word = strtok_r(list, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool wanted = word[0] != '-';
        if (has(&told.file, KM_TOKEN_WORD, wanted ? word : word + 1) != wanted)
            fail_msg("'%s': %s%s", text, word, wanted ? " is missing" : " is there");
    }
    km_token_extractor_free(extractor);
}

static void words_and_their_parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"scan the Network", "scan the network NETWORK"},
        {"open_socket", "open_socket open socket"},
        {"openSocket HTTPServer", "opensocket open socket httpserver http server"},
        {"ab abc 9abc abc9", "-ab abc -9abc abc9"},
        {"x\x01 abc\x02", "-abc"},  /* a run that is too short */
        {"\x01word5\x02", "word5"}, /* just long enough */
        {"a23456789_123456789_123456789_123456789_1", "-a23456789_123456789_123456789_123456789_1 -a23456789"},
        {"abcdefghij_abcdefghij_abcdefghij_abcdefg", "abcdefghij_abcdefghij_abcdefghij_abcdefg abcdefghij abcdefg"},
        {"word\ttab", "word tab"},
        {"line1a\nline2b", "line1a line2b"},
        {"caf\xc3\xa9 society", "-caf society"}, /* runs are ASCII */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_words(cases[i].text, cases[i].expected);
}

static void words_count_by_how_they_begin(void **state)
{
    (void)state;
    static const struct {
        const char *text, *stem;
        bool there;
    } cases[] = {
        {"Cracking", "crack", true},         {"crack", "crack", true},
        {"CRACKER", "crack", true},          {"crac", "crac", false},
        {"password_cracker", "crack", true}, {"open_socket", "open_", false},
        {"sha256sum", "sha25", true},        {"Author: Hauser", "hause", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct km_token_extractor *extractor = extractor_new();
        struct told told = extract(extractor, (const uint8_t *)cases[i].text, strlen(cases[i].text), 3);
        assert_int_equal(has(&told.file, KM_TOKEN_STEM, cases[i].stem), cases[i].there);
        char text[KM_TOKEN_TEXT_BYTES];
        uint32_t id = km_token_id(km_token_hash(KM_TOKEN_STEM, cases[i].stem, strlen(cases[i].stem)));
        assert_int_equal(km_token_extractor_text(extractor, id, text), cases[i].there);
        assert_true(!cases[i].there || strcmp(text + KM_TOKEN_STEM_BYTES, "*") == 0);
        km_token_extractor_free(extractor);
    }
}

static void origins_are_kept_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"Author: Jane Doe\nsocket", "author -jane -doe socket"},
        {"Copyright (C) 2004 Van Hauser and friends\nsniff", "-hauser -friends sniff"},
        {"(c) 2004 Van Hauser\nsniff", "-hauser sniff"},
        {"written by Jane Doe", "written -jane -doe"},
        {"bytes written and Jane", "written and jane"},
        {"mail jane.doe@example.org now", "mail -jane -doe -example -org now"},
        {"Jane Doe <jd@example.org> scan", "-jane -doe -example scan"},
        {"scan Jane <jd@example.org>", "scan -jane"},
        {"printf user@ and list @array", "user and array"},
        {"see https://example.org/path/word here", "see https -example -org path word here"},
        {"import github.com/jane/tool/pkg/scan", "import github -jane -tool pkg scan"},
        {"at https://github.com/jane/tool/issues/new", "https -jane -tool issues new"},
        {"www.example.org/attack now", "www -example attack now"},
        {"www.github.com/jane/tool/path now", "www -github -jane -tool path now"},
        {"https://www.gitlab.com/jane/tool now", "https -jane -tool now"},
        {"/build/tool-1.2/src/main.c: error", "build -tool -src -main error"},
        {"/home/jane/src/x.c error", "home -jane -src error"},
        {"go home and build it", "home and build"},
        {"version 1.2.3rc1 of a20231105 GLIBC_2.2.5 md5", "version -3rc1 -rc1 -a20231105 glibc_2 md5"},
        {"__author__ = 'Jane Doe'", "__author__ -jane"},
        {"thanks to Jane Doe for bugs", "thanks -jane -bugs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_words(cases[i].text, cases[i].expected);
}

static void rules_reach_over_a_window(void **state)
{
    (void)state;
    struct km_token_extractor *extractor = extractor_new();
    size_t length = WINDOW + 400;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t shift = 0; shift < 40; shift++) {
        memset(bytes, '\n', length);
        memcpy(bytes + WINDOW - 20 + shift - 20, "written by Jane Doe\nsniffer", 27);
        struct told told = extract(extractor, bytes, length, length);
        assert_true(has(&told.file, KM_TOKEN_WORD, "sniffer"));
        assert_false(has(&told.file, KM_TOKEN_WORD, "jane"));
    }
    free(bytes);
    km_token_extractor_free(extractor);
}

static void wide_strings(void **state)
{
    (void)state;
    struct km_token_extractor *extractor = extractor_new();
    for (int big = 0; big < 2; big++)
        for (size_t shift = 0; shift < 70; shift++) {
            uint8_t bytes[256];
            memset(bytes, 0xff, sizeof bytes);
            const char *text = "a Wide_word here";
            for (size_t i = 0; text[i]; i++) {
                bytes[shift + 2 * i + (big ? 1 : 0)] = (uint8_t)text[i];
                bytes[shift + 2 * i + (big ? 0 : 1)] = 0;
            }
            struct told told = extract(extractor, bytes, sizeof bytes, sizeof bytes);
            assert_true(has(&told.file, KM_TOKEN_WORD, "wide_word"));
            assert_true(has(&told.file, KM_TOKEN_WORD, "wide"));
            if (!big)
                assert_true(has(&told.file, KM_TOKEN_WORD, "here"));
        }
    km_token_extractor_free(extractor);
}

static void interpreter_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *program;
    } cases[] = {
        {"#!/usr/bin/env python3.11 -E\nimport", "python"},
        {"#!/usr/bin/python3\n", "python"},
        {"#! /bin/sh\n", "sh"},
        {"#!/usr/bin/env -S perl -w\n", "perl"},
        {"#!bash", "bash"},
    };
    struct km_token_extractor *extractor = extractor_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].text;
        struct told told = extract(extractor, bytes, strlen(cases[i].text), 1);
        assert_true(has(&told.file, KM_TOKEN_INTERPRETER, cases[i].program));
    }
    static const char *const none[] = {"#!", "#!\n", "#! \t", "#!/", "#", "", "#!/usr/bin/env"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        (void)extract(extractor, (const uint8_t *)none[i], strlen(none[i]), 1);
    km_token_extractor_free(extractor);
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Text, binary noise, wide text and addresses, mixed. */
static void fill_mixture(uint8_t *bytes, size_t length, uint64_t seed)
{
    static const char *const pieces[] = {
        "open_socket ",    "Jane <jd@example.org>\n", "written by ", "https://", "Word",
        "w\0i\0d\0e\0r\0", "Copyright (c) ",          "\x90\x90",    "/build/x", "a.b"};
    static const size_t sizes[] = {12, 22, 11, 8, 4, 10, 14, 2, 8, 3};
    for (size_t at = 0; at < length;) {
        size_t i = next(&seed) % 12;
        if (i < 10 && sizes[i] <= length - at) {
            memcpy(bytes + at, pieces[i], sizes[i]);
            at += sizes[i];
        } else {
            bytes[at++] = (uint8_t)next(&seed);
        }
    }
}

static void pieces_of_any_size_say_the_same(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 255, 257, WINDOW - 1, WINDOW, WINDOW + 256, WINDOW + 257, 3 * WINDOW + 11};
    static const size_t steps[] = {1, 7, 4096, WINDOW - 1, WINDOW + 256, WINDOW + 257};
    struct km_token_extractor *extractor = extractor_new(), *other = extractor_new();
    uint8_t *bytes = malloc(4 * WINDOW);
    assert_non_null(bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        fill_mixture(bytes, 4 * WINDOW, i);
        if (i % 2 == 1 && lengths[i] >= MADE_ELF_BYTES)
            made_elf_write(&(struct made_elf){.wide = true}, bytes);
        struct told whole = extract(extractor, bytes, lengths[i], lengths[i] + 1);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            struct told split = extract(other, bytes, lengths[i], steps[k]);
            assert_int_equal(split.digest, whole.digest);
            assert_int_equal(split.windows, whole.windows);
            assert_int_equal(split.file.symbols, whole.file.symbols);
        }
    }
    free(bytes);
    km_token_extractor_free(extractor);
    km_token_extractor_free(other);
}

static void windows_lie_at_their_offsets(void **state)
{
    (void)state;
    struct km_token_extractor *extractor = extractor_new();
    uint8_t *bytes = calloc(1, 5 * WINDOW);
    assert_non_null(bytes);
    memcpy(bytes + 3 * WINDOW - 3, "straddles", 9);
    struct told told = extract(extractor, bytes, 5 * WINDOW - 9, 1000);
    assert_int_equal(told.windows, 1);
    assert_int_equal(told.last_offset, 2 * WINDOW);
    memcpy(bytes + 5 * WINDOW - 29, "lastword", 8);
    told = extract(extractor, bytes, 5 * WINDOW - 9, 1000);
    assert_int_equal(told.windows, 2);
    assert_int_equal(told.last_offset, 4 * WINDOW);
    assert_int_equal(told.last_bytes, WINDOW - 9);
    free(bytes);
    km_token_extractor_free(extractor);
}

static void holes_are_zeros(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = extractor_new();
    size_t length = 20 * WINDOW + 77;
    uint8_t *bytes = calloc(1, length);
    assert_non_null(bytes);
    made_elf_write(&(struct made_elf){.wide = true, .dynamic_at = 19 * WINDOW}, bytes);
    memset(bytes + 19 * WINDOW, 0, 256);
    memcpy(bytes + length - 9, "lastword", 8);
    struct told zeros = extract(extractor, bytes, length, length);
    struct told told = {0};
    struct km_token_sink sink = {.context = &told, .window = on_window};
    km_token_extractor_begin(extractor, &sink);
    assert_ok(km_token_extractor_feed(extractor, bytes, 5000, &err), err);
    assert_ok(km_token_extractor_feed(extractor, NULL, length - 5000 - 9, &err), err);
    assert_ok(km_token_extractor_feed(extractor, bytes + length - 9, 9, &err), err);
    assert_ok(km_token_extractor_end(extractor, &told.file, &err), err);
    told.digest += fold_set(7, &told.file.set);
    assert_int_equal(told.digest, zeros.digest);
    assert_int_equal(told.last_offset, zeros.last_offset);
    /* 8 EiB of nothing take no time. */
    km_token_extractor_begin(extractor, &sink);
    assert_ok(km_token_extractor_feed(extractor, NULL, UINT64_C(1) << 63, &err), err);
    assert_ok(km_token_extractor_end(extractor, &told.file, &err), err);
    assert_int_equal(told.file.set.count, 0);
    assert_int_equal(told.file.bytes, UINT64_C(1) << 63);
    free(bytes);
    km_token_extractor_free(extractor);
}

static void symbols_of_every_class_and_order(void **state)
{
    (void)state;
    struct km_token_extractor *extractor = extractor_new();
    size_t length = 20 * WINDOW;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    for (unsigned i = 0; i < 8; i++) {
        memset(bytes, 0, length);
        struct made_elf elf = {.wide = i & 1, .big = i & 2, .dynamic_at = i & 4 ? 18 * WINDOW - 20 : 0};
        made_elf_write(&elf, bytes);
        struct told told = extract(extractor, bytes, i & 4 ? length : MADE_ELF_BYTES, 999);
        assert_int_equal(told.file.symbols, KM_TOKEN_SYMBOLS_READ);
        assert_true(has(&told.file, KM_TOKEN_IMPORT, "open_device"));
        assert_true(has(&told.file, KM_TOKEN_EXPORT, "run_plugin"));
        assert_true(has(&told.file, KM_TOKEN_NEEDED, "libpcap"));
        assert_true(has(&told.file, KM_TOKEN_WORD, "open_device"));
        assert_false(has(&told.file, KM_TOKEN_EXPORT, "open_device"));
        assert_int_equal(told.windows, 1);
        assert_int_equal(told.last_offset, 0);
        char text[KM_TOKEN_TEXT_BYTES];
        uint32_t id = km_token_id(km_token_hash(KM_TOKEN_IMPORT, "open_device", 11));
        assert_true(km_token_extractor_text(extractor, id, text));
        assert_string_equal(text, "import open_device");
    }
    free(bytes);
    km_token_extractor_free(extractor);
}

static void hostile_headers_only_cost_symbols(void **state)
{
    (void)state;
    struct km_token_extractor *extractor = extractor_new();
    uint8_t bytes[MADE_ELF_BYTES];
    for (unsigned kind = 0; kind < 4; kind++) {
        struct made_elf elf = {.wide = kind & 1, .big = kind & 2};
        /* Every byte of headers and dynamic segment, with the values that hurt most. */
        for (size_t at = 4; at < 1200; at++) {
            static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
            for (size_t v = 0; v < sizeof values; v++) {
                made_elf_write(&elf, bytes);
                bytes[at] = values[v];
                (void)extract(extractor, bytes, sizeof bytes, sizeof bytes);
            }
            if (at == 200)
                at = 1023;
        }
        for (size_t length = 0; length < 1200; length++) {
            made_elf_write(&elf, bytes);
            (void)extract(extractor, bytes, length, length + 1);
        }
    }
    made_elf_write(&(struct made_elf){.wide = true}, bytes);
    memset(bytes + 1024 + 24, 0xff, 8); /* the symbols' address */
    struct told told = extract(extractor, bytes, sizeof bytes, sizeof bytes);
    assert_int_equal(told.file.symbols, KM_TOKEN_SYMBOLS_PARTLY);
    assert_true(has(&told.file, KM_TOKEN_WORD, "open_device"));
    assert_true(has(&told.file, KM_TOKEN_NEEDED, "libpcap"));
    km_token_extractor_free(extractor);
}

static void three_gigabytes_of_one_string(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = extractor_new();
    uint8_t *piece = malloc((size_t)1 << 20);
    assert_non_null(piece);
    memset(piece, 'x', (size_t)1 << 20);
    km_token_extractor_begin(extractor, NULL);
    for (int i = 0; i < 3 << 10; i++)
        assert_ok(km_token_extractor_feed(extractor, piece, (size_t)1 << 20, &err), err);
    struct km_token_file file;
    assert_ok(km_token_extractor_end(extractor, &file, &err), err);
    assert_int_equal(file.bytes, UINT64_C(3) << 30);
    assert_int_equal(file.set.count, 0);
    free(piece);
    km_token_extractor_free(extractor);
}

static void a_million_words_push_none_out(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = extractor_new();
    static uint64_t wanted[KM_TOKEN_IDS / 64];
    uint32_t id = km_token_id(km_token_hash(KM_TOKEN_WORD, "wordlist", 8));
    memset(wanted, 0, sizeof wanted);
    wanted[id >> 6] |= UINT64_C(1) << (id & 63);
    km_token_extractor_want(extractor, wanted);
    km_token_extractor_begin(extractor, NULL);
    char word[32];
    for (unsigned i = 0; i < 1000000; i++) {
        (void)snprintf(word, sizeof word, "w%c%c%c%cx%x ", (int)('a' + i % 26), (int)('a' + i / 26 % 26),
                       (int)('a' + i / 676 % 26), (int)('a' + i / 17576 % 26), i & 15);
        assert_ok(km_token_extractor_feed(extractor, word, strlen(word), &err), err);
    }
    assert_ok(km_token_extractor_feed(extractor, "wordlist\n", 9, &err), err);
    struct km_token_file file;
    assert_ok(km_token_extractor_end(extractor, &file, &err), err);
    assert_true(file.set.count > KM_TOKEN_IDS / 2);
    assert_true(has(&file, KM_TOKEN_WORD, "wordlist"));
    char text[KM_TOKEN_TEXT_BYTES];
    assert_true(km_token_extractor_text(extractor, id, text));
    assert_false(km_token_extractor_text(extractor, km_token_id(~UINT64_C(0)), text) && text[0] != 'w');
    km_token_extractor_free(extractor);
}

static enum km_code refuse(void *context, const struct km_token_window *window, struct km_err *err)
{
    (void)context;
    (void)window;
    return km_fail(err, KM_CANCELLED, "enough");
}

static void the_sinks_code_ends_it(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = extractor_new();
    struct km_token_sink sink = {.window = refuse};
    km_token_extractor_begin(extractor, &sink);
    assert_ok(km_token_extractor_feed(extractor, "words here", 10, &err), err);
    struct km_token_file file = {.bytes = 99};
    assert_int_equal(km_token_extractor_end(extractor, &file, &err), KM_CANCELLED);
    assert_int_equal(file.bytes, 99);
    km_token_extractor_free(extractor);
}

/* Models and indexes on disk depend on these numbers: another value needs another KM_TOKEN_SCHEME. */
static void hashes_never_change(void **state)
{
    (void)state;
    assert_int_equal(km_token_hash(KM_TOKEN_WORD, "scan", 4), UINT64_C(0x2644D1B8F5863553));
    assert_int_equal(km_token_hash(KM_TOKEN_WORD, "SCAN", 4), UINT64_C(0x2644D1B8F5863553));
    assert_int_equal(km_token_hash(KM_TOKEN_WORD, "open_socket", 11), UINT64_C(0x25A3C11FD9F81936));
    assert_int_equal(km_token_hash(KM_TOKEN_IMPORT, "open_socket", 11), UINT64_C(0xEA9560E1ADC2BDA0));
    assert_true(km_token_hash(KM_TOKEN_IMPORT, "Open", 4) != km_token_hash(KM_TOKEN_IMPORT, "open", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_their_parts),
        cmocka_unit_test(words_count_by_how_they_begin),
        cmocka_unit_test(origins_are_kept_out),
        cmocka_unit_test(rules_reach_over_a_window),
        cmocka_unit_test(wide_strings),
        cmocka_unit_test(interpreter_lines),
        cmocka_unit_test(pieces_of_any_size_say_the_same),
        cmocka_unit_test(windows_lie_at_their_offsets),
        cmocka_unit_test(holes_are_zeros),
        cmocka_unit_test(symbols_of_every_class_and_order),
        cmocka_unit_test(hostile_headers_only_cost_symbols),
        cmocka_unit_test(three_gigabytes_of_one_string),
        cmocka_unit_test(a_million_words_push_none_out),
        cmocka_unit_test(the_sinks_code_ends_it),
        cmocka_unit_test(hashes_never_change),
    };
    return KM_RUN_TESTS(tests);
}
