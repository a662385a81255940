#include "container/tokens/wordscan.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "container/tokens/tokenhash.h"
#include "container/tokens/wordleak.h"

#define BLOCK 64

/* A byte per byte, all ones where the class holds: loops that compilers turn into vector code. */
struct classes {
    uint8_t word[BLOCK], print[BLOCK], mark[BLOCK];
};

static void classify(const uint8_t *bytes, struct classes *out)
{
    for (int i = 0; i < BLOCK; i++) {
        uint8_t b = bytes[i], folded = b | 0x20;
        uint8_t letter = (uint8_t)(folded - 'a') < 26 ? 0xff : 0;
        uint8_t digit = (uint8_t)(b - '0') < 10 ? 0xff : 0;
        uint8_t line = b == '_' ? 0xff : 0;
        uint8_t tab = b == '\t' ? 0xff : 0;
        out->word[i] = letter | digit | line;
        out->print[i] = (uint8_t)((uint8_t)(b - ' ') < 95 ? 0xff : 0) | tab;
    }
    for (int i = 0; i < BLOCK; i++) {
        uint8_t open = bytes[i] == '(' ? 0xff : 0, close = bytes[i + 2] == ')' ? 0xff : 0;
        uint8_t letter = (bytes[i + 1] | 0x20) == 'c' ? 0xff : 0, at = bytes[i] == '@' ? 0xff : 0;
        out->mark[i] = at | (open & close & letter);
    }
}

/* The highest bit of each byte, the first byte's lowest. */
#if defined(__SSE2__)
static uint64_t gather(const uint8_t bytes[BLOCK])
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < BLOCK; i += 16) {
        __m128i sixteen;
        memcpy(&sixteen, bytes + i, sizeof sixteen);
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(sixteen) << i;
    }
    return bits;
}
#else
static uint64_t gather(const uint8_t bytes[BLOCK])
{
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; i++) {
        uint64_t eight;
        memcpy(&eight, bytes + 8 * i, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        eight = __builtin_bswap64(eight);
#endif
        bits |= ((eight & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56) << 8 * i;
    }
    return bits;
}
#endif

static void make_masks(struct km_wordmasks *masks, const uint8_t *buffer, size_t blocks)
{
    struct classes classes;
    for (size_t block = 0; block < blocks; block++) {
        classify(buffer + block * BLOCK, &classes);
        masks->word[block] = gather(classes.word);
        masks->print[block] = gather(classes.print);
        masks->mark[block] = gather(classes.mark);
    }
}

/* Bits of positions that lie in runs of at least KM_TOKEN_RUN_BYTES printable bytes. */
static uint64_t long_runs(const uint64_t *print, size_t block)
{
    _Static_assert(KM_TOKEN_RUN_BYTES == 5, "the shifts below");
    uint64_t before = print[block - 1], here = print[block], behind = print[block + 1];
    uint64_t begins = here, before_begins = before;
    for (unsigned i = 1; i < KM_TOKEN_RUN_BYTES; i++) {
        begins &= here >> i | behind << (64 - i);
        before_begins &= before >> i | here << (64 - i);
    }
    uint64_t runs = begins;
    for (unsigned i = 1; i < KM_TOKEN_RUN_BYTES; i++)
        runs |= begins << i | before_begins >> (64 - i);
    return runs;
}

/* Where words of at least KM_TOKEN_MIN_BYTES begin. */
static uint64_t word_begins(const uint64_t *word, size_t block)
{
    _Static_assert(KM_TOKEN_MIN_BYTES == 3, "the shifts below");
    uint64_t here = word[block], behind = word[block + 1];
    uint64_t second = here >> 1 | behind << 63, third = here >> 2 | behind << 62;
    return here & second & third & ~(here << 1 | word[block - 1] >> 63);
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static void tell_part(const uint8_t *text, size_t length, const struct km_word_sink *sink)
{
    if (length < KM_TOKEN_MIN_BYTES || is_digit(text[0]))
        return;
    uint64_t hash = km_token_hash_padded(text, length);
    if (sink->is_new(sink->context, hash))
        sink->word(sink->context, text, length, hash);
}

/* open_socket, openSocket, HTTPServer. */
static void tell_parts(const uint8_t *text, size_t length, const struct km_word_sink *sink)
{
    size_t begin = 0;
    for (size_t i = 1; i <= length; i++) {
        bool ends = i == length || text[i] == '_';
        bool upper = !ends && text[i] >= 'A' && text[i] <= 'Z';
        bool after_lower = text[i - 1] >= 'a' && text[i - 1] <= 'z';
        bool before_lower = i + 1 < length && text[i + 1] >= 'a' && text[i + 1] <= 'z';
        bool hump = upper && text[i - 1] != '_' && (after_lower || before_lower);
        if (!ends && !hump)
            continue;
        if (i - begin < length)
            tell_part(text + begin, i - begin, sink);
        begin = ends ? i + 1 : i;
    }
}

static void tell_word(struct km_wordscan *scan, const uint8_t *buffer, size_t begin, const struct km_word_sink *sink)
{
    uint64_t stop = ~km_wordmask_at(scan->masks.word, begin);
    size_t length = stop ? (size_t)__builtin_ctzll(stop) : 64;
    if (length > KM_TOKEN_MAX_BYTES || is_digit(buffer[begin]) || begin < scan->quiet_until)
        return;
    uint64_t hash = km_token_hash_padded(buffer + begin, length);
    size_t reach = km_wordleak_reach(&scan->masks, buffer, begin, begin + length);
    if (reach > begin + length)
        scan->quiet_until = reach;
    if (!sink->is_new(sink->context, hash) || km_wordleak_is_leak(&scan->masks, buffer, begin, begin + length))
        return;
    sink->word(sink->context, buffer + begin, length, hash);
    tell_parts(buffer + begin, length, sink);
}

/* UTF-16: printable bytes with a zero behind each (little endian; big endian differs only at a run's ends). */
static void tell_wide_word(const uint8_t *buffer, size_t begin, const struct km_word_sink *sink)
{
    uint8_t text[KM_TOKEN_MAX_BYTES + 9] = {0};
    size_t length = 0;
    for (size_t at = begin; length <= KM_TOKEN_MAX_BYTES; at += 2) {
        uint8_t byte = buffer[at], folded = byte | 0x20;
        if (!((folded >= 'a' && folded <= 'z') || is_digit(byte) || byte == '_'))
            break;
        text[length++] = byte;
        if (buffer[at + 1] != 0)
            break;
    }
    if (length < KM_TOKEN_MIN_BYTES || length > KM_TOKEN_MAX_BYTES || is_digit(text[0]))
        return;
    text[length] = 0;
    uint64_t hash = km_token_hash_padded(text, length);
    if (!sink->is_new(sink->context, hash))
        return;
    sink->word(sink->context, text, length, hash);
    tell_parts(text, length, sink);
}

/* Positions of printable bytes that stand alone: no printable byte beside them. Five of them two bytes apart are text
 * in UTF-16; alone they are far too common to be looked at one by one. */
static uint64_t lonely(const uint64_t *print, size_t block)
{
    uint64_t here = print[block];
    return here & ~(here << 1 | print[block - 1] >> 63) & ~(here >> 1 | print[block + 1] << 63);
}

/* Positions in runs of at least five lonely bytes, two bytes apart. */
static uint64_t wide_runs(uint64_t before, uint64_t here, uint64_t behind)
{
    _Static_assert(KM_TOKEN_RUN_BYTES == 5, "the shifts below");
    uint64_t begins = here, before_begins = before;
    for (unsigned i = 2; i < 2 * KM_TOKEN_RUN_BYTES; i += 2) {
        begins &= here >> i | behind << (64 - i);
        before_begins &= before >> i | here << (64 - i);
    }
    uint64_t runs = begins;
    for (unsigned i = 2; i < 2 * KM_TOKEN_RUN_BYTES; i += 2)
        runs |= begins << i | before_begins >> (64 - i);
    return runs;
}

static void tell_wide(const struct km_wordscan *scan, const uint8_t *buffer, size_t block, uint64_t valid,
                      const struct km_word_sink *sink)
{
    const uint64_t *print = scan->masks.print, *word = scan->masks.word;
    uint64_t here = lonely(print, block);
    if ((here & here >> 2 & here >> 4) == 0 && here >> 60 == 0) /* no three, none that go on behind the block */
        return;
    uint64_t before = lonely(print, block - 1), behind = lonely(print, block + 1);
    uint64_t previous = (here & word[block]) << 2 | (before & word[block - 1]) >> 62;
    uint64_t begins = wide_runs(before, here, behind) & word[block] & ~previous & valid;
    for (; begins; begins &= begins - 1) {
        size_t at = block * BLOCK + (size_t)__builtin_ctzll(begins);
        if (buffer[at + 1] == 0 && buffer[at + 3] == 0)
            tell_wide_word(buffer, at, sink);
    }
}

void km_wordscan_reset(struct km_wordscan *scan)
{
    memset(scan, 0, sizeof *scan);
}

void km_wordscan_run(struct km_wordscan *scan, const uint8_t *buffer, size_t length, const struct km_word_sink *sink)
{
    size_t end = KM_WORDSCAN_MARGIN + length;
    make_masks(&scan->masks, buffer, (end + KM_WORDSCAN_MARGIN + BLOCK - 1) / BLOCK);
    for (size_t block = KM_WORDSCAN_MARGIN / BLOCK; block * BLOCK < end; block++) {
        size_t left = end - block * BLOCK;
        uint64_t valid = left >= BLOCK ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        uint64_t begins = word_begins(scan->masks.word, block) & valid;
        if (begins)
            begins &= long_runs(scan->masks.print, block);
        for (; begins; begins &= begins - 1)
            tell_word(scan, buffer, block * BLOCK + (size_t)__builtin_ctzll(begins), sink);
        tell_wide(scan, buffer, block, valid, sink);
    }
    scan->quiet_until = scan->quiet_until > end ? scan->quiet_until - KM_TOKEN_WINDOW_BYTES : 0;
}
