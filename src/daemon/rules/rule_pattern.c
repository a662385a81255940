#define PCRE2_CODE_UNIT_WIDTH 8
#include "daemon/rules/rule_pattern.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "daemon/rules/rules.h"

#define REGEX_HEAP_KIB     1024
#define REGEX_MAX_NESTING  50
#define SIGNATURE_BITS     (KM_RULE_SIGNATURE_WORDS * 64)
#define SIGNATURE_BIT_BITS 10 /* 1024 */

_Static_assert(1 << SIGNATURE_BIT_BITS == SIGNATURE_BITS, "a bit's number fills the table");

struct km_rule_regex {
    pcre2_code *code;
    struct km_rule_regex *next;
};

struct km_rule_engine {
    pcre2_match_context *context;
    pcre2_match_data *data;
    uint64_t exceeded;
};

/* ---- modifiers ---- */

enum kind { OPERATOR, ALL, CASED, FLAG_I, FLAG_M, FLAG_S, NOT_HERE };

static const struct {
    const char *name;
    enum kind kind;
    enum km_rule_operator op;
} modifier_table[] = {
    {"contains", OPERATOR, KM_RULE_CONTAINS},
    {"startswith", OPERATOR, KM_RULE_STARTSWITH},
    {"endswith", OPERATOR, KM_RULE_ENDSWITH},
    {"re", OPERATOR, KM_RULE_RE},
    {"cidr", OPERATOR, KM_RULE_CIDR},
    {"exists", OPERATOR, KM_RULE_EXISTS},
    {"lt", OPERATOR, KM_RULE_LT},
    {"lte", OPERATOR, KM_RULE_LTE},
    {"gt", OPERATOR, KM_RULE_GT},
    {"gte", OPERATOR, KM_RULE_GTE},
    {"all", ALL, KM_RULE_EQUALS},
    {"cased", CASED, KM_RULE_EQUALS},
    {"i", FLAG_I, KM_RULE_EQUALS},
    {"m", FLAG_M, KM_RULE_EQUALS},
    {"s", FLAG_S, KM_RULE_EQUALS},
    {"base64", NOT_HERE, KM_RULE_EQUALS},
    {"base64offset", NOT_HERE, KM_RULE_EQUALS},
    {"wide", NOT_HERE, KM_RULE_EQUALS},
    {"utf16", NOT_HERE, KM_RULE_EQUALS},
    {"utf16le", NOT_HERE, KM_RULE_EQUALS},
    {"utf16be", NOT_HERE, KM_RULE_EQUALS},
    {"windash", NOT_HERE, KM_RULE_EQUALS},
    {"expand", NOT_HERE, KM_RULE_EQUALS},
    {"fieldref", NOT_HERE, KM_RULE_EQUALS},
    {"neq", NOT_HERE, KM_RULE_EQUALS},
};

static enum km_code take_modifier(size_t row, struct km_rule_modifiers *out, bool *has_operator, struct km_err *err)
{
    const char *name = modifier_table[row].name;
    switch (modifier_table[row].kind) {
    case NOT_HERE:
        return km_fail(err, KM_UNSUPPORTED, "the modifier '%s' is not supported", name);
    case OPERATOR:
        if (*has_operator)
            return km_fail(err, KM_FORMAT, "the modifier '%s' contradicts the one before it", name);
        *has_operator = true;
        out->op = modifier_table[row].op;
        return KM_OK;
    case ALL:
        out->all = true;
        return KM_OK;
    case CASED:
        out->cased = true;
        return KM_OK;
    case FLAG_I:
    case FLAG_M:
    case FLAG_S:
        if (out->op != KM_RULE_RE)
            return km_fail(err, KM_FORMAT, "the modifier '%s' stands behind 're' only", name);
        out->ignore_case |= modifier_table[row].kind == FLAG_I;
        out->multi_line |= modifier_table[row].kind == FLAG_M;
        out->dot_all |= modifier_table[row].kind == FLAG_S;
        return KM_OK;
    }
    return KM_OK;
}

enum km_code km_rule_modifiers_parse(const char *text, struct km_rule_modifiers *out, struct km_err *err)
{
    struct km_rule_modifiers modifiers = {0};
    bool has_operator = false;
    const size_t rows = sizeof modifier_table / sizeof modifier_table[0];
    while (*text) {
        size_t length = strcspn(text, "|");
        size_t row = 0;
        while (row < rows &&
               (strlen(modifier_table[row].name) != length || strncmp(modifier_table[row].name, text, length) != 0))
            row++;
        if (row == rows)
            return km_fail(err, KM_UNSUPPORTED, "the modifier '%.*s' is not known", (int)(length < 64 ? length : 64),
                           text);
        enum km_code code = take_modifier(row, &modifiers, &has_operator, err);
        if (code != KM_OK)
            return code;
        text += length;
        text += *text == '|';
    }
    if (modifiers.cased && modifiers.op > KM_RULE_ENDSWITH)
        return km_fail(err, KM_FORMAT, "the modifier 'cased' is for strings only");
    if (modifiers.all && modifiers.op == KM_RULE_EXISTS)
        return km_fail(err, KM_FORMAT, "'exists' takes one truth value");
    *out = modifiers;
    return KM_OK;
}

/* ---- strings ---- */

static char fold(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

static unsigned signature_bit(const char *three)
{
    uint32_t word = (uint8_t)three[0] | (uint32_t)(uint8_t)three[1] << 8 | (uint32_t)(uint8_t)three[2] << 16;
    return (word * 0x9e3779b1U) >> (32 - SIGNATURE_BIT_BITS);
}

/* Up to four pieces of three bytes, spread over the longest literal. */
static enum km_code choose_bits(struct km_rule_pattern *pattern, struct km_err *err)
{
    const struct km_rule_piece *best = NULL;
    for (size_t i = 0; i < pattern->piece_count; i++)
        if (!pattern->pieces[i].any && (!best || pattern->pieces[i].length > best->length))
            best = &pattern->pieces[i];
    if (!best || best->length < 3)
        return KM_OK;
    char lower[KM_RULE_MAX_PATTERN_BYTES];
    if (best->length > sizeof lower)
        return km_fail(err, KM_LIMIT, "a value of more than %d bytes", KM_RULE_MAX_PATTERN_BYTES);
    for (size_t i = 0; i < best->length; i++)
        lower[i] = fold(best->bytes[i]);
    size_t last = best->length - 3;
    unsigned wanted = last < 3 ? (unsigned)last + 1 : 4;
    for (unsigned i = 0; i < wanted; i++)
        pattern->bits[i] = (uint16_t)signature_bit(lower + (wanted == 1 ? 0 : last * i / (wanted - 1)));
    pattern->bit_count = (uint8_t)wanted;
    return KM_OK;
}

/* The text with its escapes resolved: what each byte is. */
enum meaning { LITERAL = 0, ANY_BYTE = 1, ANY_RUN = 2 };

static size_t read_wildcards(const char *text, size_t length, char *bytes, char *meanings)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char meaning = LITERAL;
        if (text[i] == '\\' && i + 1 < length && strchr("*?\\", text[i + 1]))
            i++; /* a backslash before anything else is itself */
        else if (text[i] == '*')
            meaning = ANY_RUN;
        else if (text[i] == '?')
            meaning = ANY_BYTE;
        bytes[used] = text[i];
        meanings[used++] = meaning;
    }
    return used;
}

static enum km_code add_piece(struct km_rule_pattern *pattern, struct km_arena *arena, const char *bytes,
                              const char *meanings, size_t length, struct km_err *err)
{
    struct km_rule_piece *piece = &pattern->pieces[pattern->piece_count];
    char *own = km_arena_strndup(arena, bytes, length, err);
    if (!own)
        return err->code;
    if (!pattern->cased)
        for (size_t i = 0; i < length; i++)
            own[i] = fold(own[i]);
    piece->bytes = own;
    piece->length = length;
    if (memchr(meanings, ANY_BYTE, length)) {
        piece->any = km_arena_strndup(arena, meanings, length, err);
        if (!piece->any)
            return err->code;
    }
    pattern->piece_count++;
    return KM_OK;
}

static enum km_code compile_string(const char *text, struct km_arena *arena, struct km_rule_pattern *out,
                                   struct km_err *err)
{
    char bytes[KM_RULE_MAX_PATTERN_BYTES];
    char meanings[KM_RULE_MAX_PATTERN_BYTES];
    size_t length = strlen(text);
    if (length == 0 && out->op == KM_RULE_EQUALS) {
        out->op = KM_RULE_MISSING;
        return KM_OK;
    }
    length = read_wildcards(text, length, bytes, meanings);
    out->open_start =
        out->op == KM_RULE_CONTAINS || out->op == KM_RULE_ENDSWITH || (length > 0 && meanings[0] == ANY_RUN);
    out->open_end =
        out->op == KM_RULE_CONTAINS || out->op == KM_RULE_STARTSWITH || (length > 0 && meanings[length - 1] == ANY_RUN);
    size_t pieces = 0;
    for (size_t i = 0; i < length; i++)
        pieces += meanings[i] != ANY_RUN && (i == 0 || meanings[i - 1] == ANY_RUN);
    out->pieces = km_arena_alloc(arena, (pieces + 1) * sizeof *out->pieces, err);
    if (!out->pieces)
        return err->code;
    for (size_t i = 0, end; i < length; i = end) {
        end = i + 1;
        if (meanings[i] == ANY_RUN)
            continue;
        while (end < length && meanings[end] != ANY_RUN)
            end++;
        enum km_code code = add_piece(out, arena, bytes + i, meanings + i, end - i, err);
        if (code != KM_OK)
            return code;
    }
    out->op = KM_RULE_EQUALS;
    return choose_bits(out, err);
}

/* ---- other values ---- */

static enum km_code compile_regex(const char *text, const struct km_rule_modifiers *modifiers, struct km_arena *arena,
                                  struct km_rule_regex **regexes, struct km_rule_pattern *out, struct km_err *err)
{
    size_t count = 0;
    for (const struct km_rule_regex *regex = *regexes; regex; regex = regex->next)
        count++;
    if (count >= KM_RULES_MAX_REGEX)
        return km_fail(err, KM_LIMIT, "more than %d regular expressions", KM_RULES_MAX_REGEX);
    struct km_rule_regex *regex = km_arena_alloc(arena, sizeof *regex, err);
    if (!regex)
        return err->code;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return km_fail(err, KM_NOMEM, "out of memory (regular expression)");
    (void)pcre2_set_parens_nest_limit(context, REGEX_MAX_NESTING);
    /* Values are bytes of an enemy, not UTF-8, and no expression may ask for more. */
    uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
    options |= modifiers->ignore_case ? PCRE2_CASELESS : 0;
    options |= modifiers->multi_line ? PCRE2_MULTILINE : 0;
    options |= modifiers->dot_all ? PCRE2_DOTALL : 0;
    int problem = 0;
    PCRE2_SIZE at = 0;
    regex->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &problem, &at, context);
    pcre2_compile_context_free(context);
    if (!regex->code) {
        PCRE2_UCHAR message[128] = "";
        (void)pcre2_get_error_message(problem, message, sizeof message);
        return km_fail(err, KM_FORMAT, "a regular expression is wrong at byte %zu: %s", at, (const char *)message);
    }
    regex->next = *regexes;
    *regexes = regex;
    out->regex = regex;
    return KM_OK;
}

static enum km_code compile_cidr(const char *text, struct km_rule_pattern *out, struct km_err *err)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");
    if (length >= sizeof address)
        return km_fail(err, KM_FORMAT, "'%s' is no network", text);
    memcpy(address, text, length);
    address[length] = '\0';
    if (inet_pton(AF_INET, address, out->address) == 1)
        out->family = AF_INET;
    else if (inet_pton(AF_INET6, address, out->address) == 1)
        out->family = AF_INET6;
    unsigned most = out->family == AF_INET ? 32 : 128, bits = most;
    const char *digits = text + length + (text[length] == '/');
    if (text[length] == '/') {
        bits = 0;
        size_t count = strspn(digits, "0123456789");
        for (size_t i = 0; i < count && i < 4; i++)
            bits = bits * 10 + (unsigned)(digits[i] - '0');
        if (count == 0 || count > 3 || digits[count] != '\0')
            bits = most + 1;
    }
    if (out->family == 0 || bits > most)
        return km_fail(err, KM_FORMAT, "'%s' is no network", text);
    out->prefix_bits = (uint8_t)bits;
    return KM_OK;
}

static bool read_integer(const char *text, size_t length, int64_t *out)
{
    bool negative = length > 0 && text[0] == '-';
    uint64_t number = 0;
    size_t i = negative;
    if (i == length || length - i > 18)
        return false;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    *out = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static const char *operator_name(enum km_rule_operator op)
{
    for (size_t i = 0; i < sizeof modifier_table / sizeof modifier_table[0]; i++)
        if (modifier_table[i].kind == OPERATOR && modifier_table[i].op == op)
            return modifier_table[i].name;
    return "";
}

static const char *written(const struct km_rule_modifiers *modifiers, const char *text, struct km_arena *arena,
                           struct km_err *err)
{
    char line[KM_RULE_MAX_PATTERN_BYTES + 64];
    const char *name = operator_name(modifiers->op);
    int length =
        snprintf(line, sizeof line, "%s%s%s%s", name, *name ? " " : "", modifiers->cased ? "cased " : "", text);
    return km_arena_strndup(arena, line, length < (int)sizeof line ? (size_t)length : sizeof line - 1, err);
}

/* The value as text, in `number` when it is none. NULL: it has no text. */
static const char *text_of(const struct km_json *value, char number[32])
{
    switch (km_json_type(value)) {
    case KM_JSON_STRING:
        return km_json_text(value);
    case KM_JSON_BOOL:
        return km_json_bool(value, "", false) ? "true" : "false";
    case KM_JSON_INTEGER:
        (void)snprintf(number, 32, "%" PRId64, km_json_integer(value, "", 0));
        return number;
    case KM_JSON_NULL:
    case KM_JSON_REAL:
    case KM_JSON_ARRAY:
    case KM_JSON_OBJECT:
        return NULL;
    }
    return NULL;
}

static enum km_code compile_text(const char *text, const struct km_rule_modifiers *modifiers, struct km_arena *arena,
                                 struct km_rule_regex **regexes, struct km_rule_pattern *out, struct km_err *err)
{
    switch (modifiers->op) {
    case KM_RULE_EQUALS:
    case KM_RULE_CONTAINS:
    case KM_RULE_STARTSWITH:
    case KM_RULE_ENDSWITH:
        return compile_string(text, arena, out, err);
    case KM_RULE_RE:
        return compile_regex(text, modifiers, arena, regexes, out, err);
    case KM_RULE_CIDR:
        return compile_cidr(text, out, err);
    case KM_RULE_EXISTS:
        out->truth = strcmp(text, "true") == 0;
        return out->truth || strcmp(text, "false") == 0 ? KM_OK
                                                        : km_fail(err, KM_FORMAT, "'exists' takes true or false");
    case KM_RULE_LT:
    case KM_RULE_LTE:
    case KM_RULE_GT:
    case KM_RULE_GTE:
        return read_integer(text, strlen(text), &out->number)
                   ? KM_OK
                   : km_fail(err, KM_FORMAT, "'%s' takes a whole number", operator_name(modifiers->op));
    case KM_RULE_MISSING:
        break;
    }
    return KM_OK;
}

enum km_code km_rule_pattern_compile(const struct km_json *value, const struct km_rule_modifiers *modifiers,
                                     struct km_arena *arena, struct km_rule_regex **regexes,
                                     struct km_rule_pattern *out, struct km_err *err)
{
    char number[32];
    struct km_rule_pattern pattern = {.op = modifiers->op, .cased = modifiers->cased};
    const char *text = text_of(value, number);
    if (km_json_type(value) == KM_JSON_NULL) {
        if (modifiers->op != KM_RULE_EQUALS)
            return km_fail(err, KM_FORMAT, "null goes with no modifier");
        pattern.op = KM_RULE_MISSING;
        text = "null";
    } else if (!text) {
        return km_json_type(value) == KM_JSON_REAL
                   ? km_fail(err, KM_UNSUPPORTED, "a number with a fraction as a value: put it in quotes")
                   : km_fail(err, KM_FORMAT, "a list or a map where a value belongs");
    }
    if (strlen(text) > KM_RULE_MAX_PATTERN_BYTES)
        return km_fail(err, KM_LIMIT, "a value of more than %d bytes", KM_RULE_MAX_PATTERN_BYTES);
    if (pattern.op != KM_RULE_MISSING) {
        enum km_code code = compile_text(text, modifiers, arena, regexes, &pattern, err);
        if (code != KM_OK)
            return code;
    }
    pattern.text = written(modifiers, text, arena, err);
    if (!pattern.text)
        return err->code;
    *out = pattern;
    return KM_OK;
}

void km_rule_regex_free_all(struct km_rule_regex *regexes)
{
    for (; regexes; regexes = regexes->next) /* the chain itself lies in the arena */
        pcre2_code_free(regexes->code);
}

/* ---- matching ---- */

struct km_rule_engine *km_rule_engine_new(struct km_err *err)
{
    struct km_rule_engine *engine = km_calloc(1, sizeof *engine, SIZE_MAX, err);
    if (!engine)
        return NULL;
    engine->context = pcre2_match_context_create(NULL);
    engine->data = pcre2_match_data_create(1, NULL);
    if (!engine->context || !engine->data) {
        km_rule_engine_free(engine);
        km_fail(err, KM_NOMEM, "out of memory (regular expressions)");
        return NULL;
    }
    (void)pcre2_set_match_limit(engine->context, KM_RULES_REGEX_STEPS);
    (void)pcre2_set_depth_limit(engine->context, KM_RULES_REGEX_STEPS);
    (void)pcre2_set_heap_limit(engine->context, REGEX_HEAP_KIB);
    return engine;
}

void km_rule_engine_free(struct km_rule_engine *engine)
{
    if (!engine)
        return;
    pcre2_match_data_free(engine->data);
    pcre2_match_context_free(engine->context);
    free(engine);
}

uint64_t km_rule_engine_take_exceeded(struct km_rule_engine *engine)
{
    uint64_t count = engine->exceeded;
    engine->exceeded = 0;
    return count;
}

static void prepare(struct km_rule_value *value)
{
    memset(value->signature, 0, sizeof value->signature);
    for (size_t i = 0; i < value->bytes.length; i++) {
        value->lower[i] = fold(value->bytes.data[i]);
        if (i >= 2) {
            unsigned bit = signature_bit(value->lower + i - 2);
            value->signature[bit / 64] |= UINT64_C(1) << bit % 64;
        }
    }
    value->prepared = true;
}

static bool piece_is_at(const struct km_rule_piece *piece, const char *text)
{
    if (!piece->any)
        return memcmp(piece->bytes, text, piece->length) == 0;
    for (size_t i = 0; i < piece->length; i++)
        if (!piece->any[i] && piece->bytes[i] != text[i])
            return false;
    return true;
}

static const char *find_piece(const struct km_rule_piece *piece, const char *text, size_t length)
{
    if (!piece->any)
        return memmem(text, length, piece->bytes, piece->length);
    for (size_t i = 0; i + piece->length <= length; i++)
        if (piece_is_at(piece, text + i))
            return text + i;
    return NULL;
}

/* Each piece at its first place leaves the most room for the rest; only the last may have to stand at the end. */
static bool pieces_match(const struct km_rule_pattern *pattern, const char *text, size_t length)
{
    const struct km_rule_piece *pieces = pattern->pieces;
    size_t first = 0, last = pattern->piece_count;
    if (last == 0)
        return pattern->open_start || pattern->open_end || length == 0;
    if (!pattern->open_start) {
        if (pieces[0].length > length || !piece_is_at(&pieces[0], text))
            return false;
        if (last == 1)
            return pattern->open_end || pieces[0].length == length;
        text += pieces[0].length;
        length -= pieces[0].length;
        first = 1;
    }
    if (!pattern->open_end) {
        last--;
        if (pieces[last].length > length || !piece_is_at(&pieces[last], text + length - pieces[last].length))
            return false;
        length -= pieces[last].length;
    }
    for (size_t i = first; i < last; i++) {
        const char *at = find_piece(&pieces[i], text, length);
        if (!at)
            return false;
        length -= (size_t)(at - text) + pieces[i].length;
        text = at + pieces[i].length;
    }
    return true;
}

static bool string_matches(const struct km_rule_pattern *pattern, struct km_rule_value *value)
{
    if (!value->bytes.data)
        return false;
    if (!value->prepared)
        prepare(value);
    for (unsigned i = 0; i < pattern->bit_count; i++)
        if (!(value->signature[pattern->bits[i] / 64] >> pattern->bits[i] % 64 & 1))
            return false;
    return pieces_match(pattern, pattern->cased ? value->bytes.data : value->lower, value->bytes.length);
}

static bool regex_matches(const struct km_rule_pattern *pattern, const struct km_rule_value *value,
                          struct km_rule_engine *engine)
{
    if (!value->bytes.data)
        return false;
    int result = pcre2_match(pattern->regex->code, (PCRE2_SPTR)value->bytes.data, value->bytes.length, 0, 0,
                             engine->data, engine->context);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH)
        engine->exceeded++; /* a limit, or no memory within it: not examined */
    return result >= 0;
}

static bool network_has(const struct km_rule_pattern *pattern, const struct km_bytes *text)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t address[16];
    if (!text->data || text->length >= sizeof copy)
        return false;
    memcpy(copy, text->data, text->length);
    copy[text->length] = '\0';
    if (inet_pton(pattern->family, copy, address) != 1)
        return false;
    unsigned whole = pattern->prefix_bits / 8, rest = pattern->prefix_bits % 8;
    if (memcmp(address, pattern->address, whole) != 0)
        return false;
    return rest == 0 || (address[whole] ^ pattern->address[whole]) >> (8 - rest) == 0;
}

bool km_rule_pattern_matches(const struct km_rule_pattern *pattern, struct km_rule_value *value,
                             struct km_rule_engine *engine)
{
    const struct km_bytes *bytes = &value->bytes;
    int64_t number = 0;
    bool is_number = pattern->op >= KM_RULE_LT && pattern->op <= KM_RULE_GTE && bytes->data &&
                     read_integer(bytes->data, bytes->length, &number);
    switch (pattern->op) {
    case KM_RULE_EQUALS:
    case KM_RULE_CONTAINS:
    case KM_RULE_STARTSWITH:
    case KM_RULE_ENDSWITH:
        return string_matches(pattern, value);
    case KM_RULE_RE:
        return regex_matches(pattern, value, engine);
    case KM_RULE_CIDR:
        return network_has(pattern, bytes);
    case KM_RULE_EXISTS:
        return (bytes->data != NULL) == pattern->truth;
    case KM_RULE_LT:
        return is_number && number < pattern->number;
    case KM_RULE_LTE:
        return is_number && number <= pattern->number;
    case KM_RULE_GT:
        return is_number && number > pattern->number;
    case KM_RULE_GTE:
        return is_number && number >= pattern->number;
    case KM_RULE_MISSING:
        return bytes->length == 0;
    }
    return false;
}
