/*
 * A condition becomes a program in one pass with a stack of operators. The left operand's value is at hand when "and"
 * or "or" is read, so the skip over the right one is emitted there and aimed when the operator leaves the stack.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/rules/rule_internal.h"

#define MAX_WORD_BYTES 128

enum token { END, OPEN, CLOSE, WORD };
enum precedence { PAREN = 0, OR = 1, AND = 2, NOT = 3 };

struct parser {
    struct km_rule_program *program;
    const char *at;
    size_t tokens;
    enum token token;
    char word[MAX_WORD_BYTES];
    struct {
        enum precedence precedence;
        size_t skip; /* of AND and OR: the step to aim */
    } stack[KM_RULE_MAX_NESTING];
    size_t depth;
    unsigned nots; /* on the stack */
};

static enum km_code next_token(struct parser *p, struct km_err *err)
{
    p->at += strspn(p->at, " \t\r\n");
    if (++p->tokens > KM_RULE_MAX_TOKENS)
        return km_fail(err, KM_LIMIT, "the condition has more than %d words", KM_RULE_MAX_TOKENS);
    p->word[0] = '\0';
    if (*p->at == '\0') {
        p->token = END;
        return KM_OK;
    }
    if (*p->at == '|')
        return km_fail(err, KM_UNSUPPORTED, "the condition counts events (an aggregation behind '|')");
    if (*p->at == '(' || *p->at == ')') {
        p->token = *p->at++ == '(' ? OPEN : CLOSE;
        return KM_OK;
    }
    size_t length = strcspn(p->at, " \t\r\n()|");
    if (length >= sizeof p->word)
        return km_fail(err, KM_LIMIT, "the condition has a word of more than %d bytes", MAX_WORD_BYTES - 1);
    memcpy(p->word, p->at, length);
    p->word[length] = '\0';
    p->at += length;
    p->token = WORD;
    return KM_OK;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token == WORD && strcasecmp(p->word, word) == 0;
}

static enum km_code emit(struct parser *p, enum km_rule_op op, size_t to, struct km_err *err)
{
    struct km_rule_program *program = p->program;
    if (program->count >= KM_RULE_MAX_STEPS)
        return km_fail(err, KM_LIMIT, "the condition has more than %d steps", KM_RULE_MAX_STEPS);
    program->steps[program->count++] = (struct km_rule_step){
        .op = (uint8_t)op, .excepted = op == KM_RULE_SELECT && p->nots % 2 == 1, .to = (uint16_t)to};
    return KM_OK;
}

static enum km_code push(struct parser *p, enum precedence precedence, size_t skip, struct km_err *err)
{
    if (p->depth >= KM_RULE_MAX_NESTING)
        return km_fail(err, KM_LIMIT, "the condition is nested deeper than %d", KM_RULE_MAX_NESTING);
    p->stack[p->depth].precedence = precedence;
    p->stack[p->depth++].skip = skip;
    p->nots += precedence == NOT;
    return KM_OK;
}

/* Ends the operators that bind at least as tightly. */
static enum km_code reduce(struct parser *p, enum precedence least, struct km_err *err)
{
    while (p->depth > 0 && p->stack[p->depth - 1].precedence >= least && p->stack[p->depth - 1].precedence != PAREN) {
        p->depth--;
        if (p->stack[p->depth].precedence == NOT) {
            p->nots--;
            enum km_code code = emit(p, KM_RULE_NOT, 0, err);
            if (code != KM_OK)
                return code;
        } else {
            p->program->steps[p->stack[p->depth].skip].to = (uint16_t)p->program->count;
        }
    }
    return KM_OK;
}

/* Names that an "of" means: "them" is all that do not begin with '_', else a name in which '*' is any run. */
static bool means(const char *pattern, const char *name)
{
    if (strcasecmp(pattern, "them") == 0)
        return name[0] != '_';
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, name) == 0;
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1), length = strlen(name);
    return length >= head + tail && strncmp(pattern, name, head) == 0 && strcmp(name + length - tail, star + 1) == 0;
}

static enum km_code emit_of(struct parser *p, bool all, struct km_err *err)
{
    const struct km_rule_program *program = p->program;
    const char *star = strchr(p->word, '*');
    if (star && strchr(star + 1, '*'))
        return km_fail(err, KM_UNSUPPORTED, "'%s': only one '*' is supported in a selection's name", p->word);
    size_t first_skip = program->count, found = 0;
    for (size_t i = 0; i < program->selection_count; i++) {
        if (!means(p->word, program->selections[i].name))
            continue;
        enum km_code code = KM_OK;
        if (found++ > 0)
            code = emit(p, all ? KM_RULE_SKIP_IF_FALSE : KM_RULE_SKIP_IF_TRUE, 0, err);
        if (code == KM_OK)
            code = emit(p, KM_RULE_SELECT, i, err);
        if (code != KM_OK)
            return code;
    }
    if (found == 0)
        return km_fail(err, KM_FORMAT, "the condition names '%s', and no selection is called so", p->word);
    for (size_t i = first_skip; i < program->count; i++)
        if (program->steps[i].op != KM_RULE_SELECT)
            program->steps[i].to = (uint16_t)program->count;
    return KM_OK;
}

/* "1 of", "any of", "all of"; a word like that may also be a selection's name. */
static bool begins_of(const struct parser *p)
{
    const char *rest = p->at + strspn(p->at, " \t\r\n");
    return strncasecmp(rest, "of", 2) == 0 && strchr(" \t\r\n", rest[2]) && rest[2] != '\0';
}

static enum km_code read_of(struct parser *p, struct km_err *err)
{
    bool all = is_word(p, "all");
    if (!all && !is_word(p, "1") && !is_word(p, "any"))
        return km_fail(err, KM_UNSUPPORTED, "'%s of' in the condition: only '1 of' and 'all of' are supported",
                       p->word);
    enum km_code code = next_token(p, err); /* "of" */
    if (code == KM_OK)
        code = next_token(p, err);
    if (code != KM_OK)
        return code;
    return p->token == WORD ? emit_of(p, all, err) : km_fail(err, KM_FORMAT, "the condition has no name behind 'of'");
}

static enum km_code read_name(struct parser *p, struct km_err *err)
{
    for (size_t i = 0; i < p->program->selection_count; i++)
        if (strcmp(p->program->selections[i].name, p->word) == 0)
            return emit(p, KM_RULE_SELECT, i, err);
    if (strcasecmp(p->word, "near") == 0)
        return km_fail(err, KM_UNSUPPORTED, "the condition relates events to each other ('near')");
    return km_fail(err, KM_FORMAT, "the condition names '%s', and no selection is called so", p->word);
}

/* An operand, with what stands before it. *out_whole: a value is at hand now. */
static enum km_code read_operand(struct parser *p, bool *out_whole, struct km_err *err)
{
    *out_whole = false;
    if (is_word(p, "not"))
        return push(p, NOT, 0, err);
    if (p->token == OPEN)
        return push(p, PAREN, 0, err);
    if (p->token != WORD || is_word(p, "and") || is_word(p, "or"))
        return km_fail(err, KM_FORMAT, "the condition has an operator where a selection's name belongs");
    *out_whole = true;
    return begins_of(p) ? read_of(p, err) : read_name(p, err);
}

/* What stands behind a value. */
static enum km_code read_operator(struct parser *p, bool *out_whole, struct km_err *err)
{
    bool is_and = is_word(p, "and");
    if (p->token == CLOSE || p->token == END) {
        enum km_code code = reduce(p, OR, err);
        if (code != KM_OK)
            return code;
        bool open = p->depth > 0;
        if (open != (p->token == CLOSE))
            return km_fail(err, KM_FORMAT, "the condition's parentheses do not match");
        p->depth -= open;
        return KM_OK;
    }
    if (!is_and && !is_word(p, "or"))
        return km_fail(err, KM_FORMAT, "the condition has '%s' where 'and' or 'or' belongs",
                       p->token == OPEN ? "(" : p->word);
    *out_whole = false;
    enum km_code code = reduce(p, is_and ? AND : OR, err);
    if (code == KM_OK)
        code = emit(p, is_and ? KM_RULE_SKIP_IF_FALSE : KM_RULE_SKIP_IF_TRUE, 0, err);
    return code == KM_OK ? push(p, is_and ? AND : OR, p->program->count - 1, err) : code;
}

enum km_code km_rule_condition_compile(struct km_rule_program *program, const char *text, struct km_err *err)
{
    struct parser p = {.program = program, .at = text};
    enum km_code code = KM_OK;
    /* A second condition of a list: either is enough. */
    size_t skip = program->count;
    if (skip > 0)
        code = emit(&p, KM_RULE_SKIP_IF_TRUE, 0, err);
    for (bool whole = false; code == KM_OK;) {
        code = next_token(&p, err);
        if (code != KM_OK)
            break;
        bool ended = whole && p.token == END;
        code = whole ? read_operator(&p, &whole, err) : read_operand(&p, &whole, err);
        /* A parenthesis that closes is a whole operand: what stood before it as "not" ends with it. */
        if (code == KM_OK && whole)
            code = reduce(&p, NOT, err);
        if (ended)
            break;
    }
    if (code == KM_OK && skip > 0)
        program->steps[skip].to = (uint16_t)program->count;
    return code;
}
