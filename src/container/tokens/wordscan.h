/*
 * Finds the words of one window of a file. The window lies in a buffer with KM_WORDSCAN_MARGIN bytes of the file before
 * it and behind it (zeros where the file has none), so that every word that begins in the window is seen whole and with
 * its neighbourhood, which decides whether it is kept out (wordleak.h).
 */
#ifndef KM_CONTAINER_TOKENS_WORDSCAN_H
#define KM_CONTAINER_TOKENS_WORDSCAN_H

#include "container/tokens/tokens.h"

#define KM_WORDSCAN_MARGIN 256
#define KM_WORDSCAN_BUFFER (KM_WORDSCAN_MARGIN + KM_TOKEN_WINDOW_BYTES + KM_WORDSCAN_MARGIN)
#define KM_WORDSCAN_BLOCKS (KM_WORDSCAN_BUFFER / 64)

/* One bit a byte of the buffer. Two empty blocks behind the last. */
struct km_wordmasks {
    uint64_t word[KM_WORDSCAN_BLOCKS + 2];  /* [A-Za-z0-9_] */
    uint64_t print[KM_WORDSCAN_BLOCKS + 2]; /* ' ' to '~', and tab */
    uint64_t mark[KM_WORDSCAN_BLOCKS + 2];  /* "@", and "(" of "(c)" */
};

struct km_wordscan {
    struct km_wordmasks masks;
    size_t quiet_until; /* words before this place of the buffer are kept out */
};

/* What is done with a word: text may be read 8 bytes beyond its length, and is not folded. */
struct km_word_sink {
    void *context;
    void (*word)(void *context, const uint8_t *text, size_t length, uint64_t hash);
    /* False: neither hash nor text is news, nothing need be checked. */
    bool (*is_new)(void *context, uint64_t hash);
};

/* Before a file's first window. */
void km_wordscan_reset(struct km_wordscan *scan);

/* buffer: KM_WORDSCAN_BUFFER bytes and 64 more that may be read; the window begins at KM_WORDSCAN_MARGIN and is
 * `length` bytes long. Windows must come in file order, each complete but the last. */
void km_wordscan_run(struct km_wordscan *scan, const uint8_t *buffer, size_t length, const struct km_word_sink *sink);

/* The bits of a mask from position `at`. */
static inline uint64_t km_wordmask_at(const uint64_t *mask, size_t at)
{
    size_t block = at >> 6, shift = at & 63;
    return shift ? mask[block] >> shift | mask[block + 1] << (64 - shift) : mask[block];
}

#endif
