/*
 * One value of a rule, compiled, and one value of a record to be compared with it.
 *
 * Strings are compared byte by byte, the letters A to Z like a to z unless `cased`. Before a string is searched for,
 * four of its three-byte pieces are looked up in a table of the value's pieces, which is made once per value: most of a
 * thousand rules end there.
 */
#ifndef KM_RULES_RULE_PATTERN_H
#define KM_RULES_RULE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "daemon/trace/event.h"

#define KM_RULE_MAX_PATTERN_BYTES 4096
#define KM_RULE_SIGNATURE_WORDS   16

enum km_rule_operator {
    KM_RULE_EQUALS = 0,
    KM_RULE_CONTAINS = 1,
    KM_RULE_STARTSWITH = 2,
    KM_RULE_ENDSWITH = 3,
    KM_RULE_RE = 4,
    KM_RULE_CIDR = 5,
    KM_RULE_EXISTS = 6,
    KM_RULE_LT = 7,
    KM_RULE_LTE = 8,
    KM_RULE_GT = 9,
    KM_RULE_GTE = 10,
    KM_RULE_MISSING = 11, /* null, or the empty string: no value, or an empty one */
};

/* What stands behind a field's name: "CommandLine|contains|all". */
struct km_rule_modifiers {
    enum km_rule_operator op;
    bool all, cased;
    bool ignore_case, multi_line, dot_all; /* of re */
};

/* Reads modifiers from `text`, which begins behind the first '|', or is empty. KM_UNSUPPORTED, KM_FORMAT. */
enum km_code km_rule_modifiers_parse(const char *text, struct km_rule_modifiers *out, struct km_err *err) KM_MUST_USE;

struct km_rule_piece {
    const char *bytes;
    const char *any; /* where not 0, any byte ('?'); NULL: nowhere */
    size_t length;
};

struct km_rule_regex; /* a chain of all of a rule */

struct km_rule_pattern {
    enum km_rule_operator op;
    bool cased;
    bool open_start, open_end; /* anything may stand there */
    uint8_t bit_count;
    uint8_t prefix_bits; /* of an address */
    uint8_t family;
    bool truth;
    uint16_t bits[4]; /* in the signature of any value that matches */
    struct km_rule_piece *pieces;
    size_t piece_count;
    const struct km_rule_regex *regex;
    int64_t number;
    uint8_t address[16];
    const char *text; /* as written, with the modifiers */
};

/* Compiles one value into arena; an expression is added to *regexes. KM_FORMAT, KM_UNSUPPORTED, KM_LIMIT, KM_NOMEM. */
enum km_code km_rule_pattern_compile(const struct km_json *value, const struct km_rule_modifiers *modifiers,
                                     struct km_arena *arena, struct km_rule_regex **regexes,
                                     struct km_rule_pattern *out, struct km_err *err) KM_MUST_USE;
void km_rule_regex_free_all(struct km_rule_regex *regexes);

/* A record's value; all but bytes is worked out when it is first wanted. */
struct km_rule_value {
    struct km_bytes bytes; /* data NULL: no value */
    bool prepared;
    char *lower; /* room for bytes.length, given with the value */
    uint64_t signature[KM_RULE_SIGNATURE_WORDS];
};

/* What matching needs beside: memory of the expression engine. */
struct km_rule_engine;
struct km_rule_engine *km_rule_engine_new(struct km_err *err) KM_MUST_USE;
void km_rule_engine_free(struct km_rule_engine *engine);
/* Expressions given up since the last call. */
uint64_t km_rule_engine_take_exceeded(struct km_rule_engine *engine);

bool km_rule_pattern_matches(const struct km_rule_pattern *pattern, struct km_rule_value *value,
                             struct km_rule_engine *engine);

#endif
