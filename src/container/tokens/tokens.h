/*
 * What a file says in words: identifiers in its printable runs, the symbols it imports and exports, the libraries it
 * needs, its interpreter line. A token is a number below KM_TOKEN_IDS: the upper bits of a fixed 64-bit hash of kind
 * and text, the same on every machine and in every version of this format (KM_TOKEN_SCHEME).
 *
 * An extractor takes one file at a time (or one piece of a file that is judged alone), fed in pieces of any size; how
 * it was cut into pieces changes nothing. It tells the set of tokens of each window of KM_TOKEN_WINDOW_BYTES as the
 * file goes by, and the set of the whole file at its end. Windows lie at multiples of their size. A word belongs to
 * the window in which it begins; a symbol to the window where its name's bytes lie; needed libraries to the window of
 * their names too; the interpreter line to the first.
 *
 * Words are runs of [A-Za-z0-9_] that begin with no digit, of KM_TOKEN_MIN_BYTES to KM_TOKEN_MAX_BYTES, inside
 * printable runs of at least KM_TOKEN_RUN_BYTES; in ASCII or in UTF-16 of either order; letters are folded to lower
 * case. Words made of parts (open_socket, openSocket) count as a whole and for each part; each of them, from
 * KM_TOKEN_STEM_BYTES letters and digits on, also by those that it begins with. README.md says which words are kept out
 * because they name people, places of a build, versions or origins.
 *
 * Symbols are read from the first KM_TOKEN_HEAD_BYTES of an ELF file (32 and 64 bit, both orders), found by its dynamic
 * segment wherever that lies; tables beyond are not read and counted as words only. Section headers are not used.
 *
 * Memory is fixed at birth, below 4 MiB, whatever the file says: sets are bit sets over all ids, so that no number of
 * words can push another out. An extractor belongs to one thread.
 */
#ifndef KM_CONTAINER_TOKENS_TOKENS_H
#define KM_CONTAINER_TOKENS_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_TOKEN_SCHEME       2 /* changes with everything that changes an id or a set */
#define KM_TOKEN_BITS         18
#define KM_TOKEN_IDS          ((uint32_t)1 << KM_TOKEN_BITS)
#define KM_TOKEN_WINDOW_BYTES ((size_t)1 << 16)
#define KM_TOKEN_HEAD_BYTES   ((size_t)1 << 20)
#define KM_TOKEN_MIN_BYTES    3
#define KM_TOKEN_MAX_BYTES    40
#define KM_TOKEN_RUN_BYTES    5
#define KM_TOKEN_STEM_BYTES   5
#define KM_TOKEN_TEXT_BYTES   64 /* of a token's text with its kind, and the NUL */

enum km_token_kind {
    KM_TOKEN_WORD = 0, /* and parts of words */
    KM_TOKEN_IMPORT = 1,
    KM_TOKEN_EXPORT = 2,
    KM_TOKEN_NEEDED = 3,      /* a library, without its version */
    KM_TOKEN_INTERPRETER = 4, /* "python" for "#!/usr/bin/env python3.11 -E" */
    KM_TOKEN_STEM = 5,        /* how a word begins: "crack" for "cracker" and "cracking" */
};

/* The documented hash, and its id. text need not end with NUL. */
uint64_t km_token_hash(enum km_token_kind kind, const char *text, size_t length);
static inline uint32_t km_token_id(uint64_t hash)
{
    return (uint32_t)(hash >> (64 - KM_TOKEN_BITS));
}

/* Ascending, no id twice. Borrowed from who gave it. */
struct km_token_set {
    const uint32_t *ids;
    size_t count;
};

struct km_token_window {
    uint64_t offset; /* in the file, a multiple of KM_TOKEN_WINDOW_BYTES */
    uint32_t bytes;  /* of the file in it: KM_TOKEN_WINDOW_BYTES but in the last one */
    struct km_token_set set;
};

/* Called once for each window that has tokens, in no particular order, from feed and end; the set is borrowed for the
 * call. A code other than KM_OK ends feed or end with it. */
struct km_token_sink {
    void *context;
    enum km_code (*window)(void *context, const struct km_token_window *window, struct km_err *err);
};

enum km_token_symbols {
    KM_TOKEN_SYMBOLS_NONE = 0, /* no ELF file, or without a dynamic segment */
    KM_TOKEN_SYMBOLS_READ = 1,
    KM_TOKEN_SYMBOLS_PARTLY = 2, /* tables beyond the limits, or headers that contradict each other: words only */
};

struct km_token_file {
    struct km_token_set set; /* valid until the extractor's next begin */
    uint64_t bytes;
    uint32_t windows; /* that had tokens */
    enum km_token_symbols symbols;
};

struct km_token_extractor;

/* NULL with *err set: KM_NOMEM. */
struct km_token_extractor *km_token_extractor_new(struct km_err *err) KM_MUST_USE;
void km_token_extractor_free(struct km_token_extractor *extractor);
KM_DEFINE_CLEANUP(struct km_token_extractor, km_token_extractor_cleanup, km_token_extractor_free);

/* Starts a file, forgetting the one before it. sink NULL: windows are not wanted; else copied. */
void km_token_extractor_begin(struct km_token_extractor *extractor, const struct km_token_sink *sink);

/* The file's next bytes; NULL is a hole of zeros (costs nothing, however long). The sink's codes; after one, only begin
 * may follow. */
enum km_code km_token_extractor_feed(struct km_token_extractor *extractor, const void *bytes, uint64_t length,
                                     struct km_err *err) KM_MUST_USE;

/* The file is over. The sink's codes. */
enum km_code km_token_extractor_end(struct km_token_extractor *extractor, struct km_token_file *out,
                                    struct km_err *err) KM_MUST_USE;

/* The text of a token of the last file, as the file wrote it: "essid", "import pcap_open_live", "needs libpcap",
 * "runs python", "crack*"; printable, at most KM_TOKEN_TEXT_BYTES with its NUL. When two texts share the id, the first
 * one. False: the file has no such token, or its text was not kept: texts take at most 768 KiB, half of it for ids that
 * km_token_extractor_want named. For a few look-ups a file: reads all texts. */
bool km_token_extractor_text(const struct km_token_extractor *extractor, uint32_t id, char out[KM_TOKEN_TEXT_BYTES]);

/* Ids whose texts must be kept before others: KM_TOKEN_IDS bits, borrowed until the next call; NULL: none. */
void km_token_extractor_want(struct km_token_extractor *extractor, const uint64_t *ids);

#endif
