/* What the files of this folder share: a compiled rule and the record that it is matched against. */
#ifndef KM_RULES_RULE_INTERNAL_H
#define KM_RULES_RULE_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "daemon/rules/rule_fields.h"
#include "daemon/rules/rule_pattern.h"
#include "daemon/rules/rules.h"

#define KM_RULE_MAX_TOKENS     1024 /* of a condition */
#define KM_RULE_MAX_NESTING    64   /* of its parentheses and operators */
#define KM_RULE_MAX_STEPS      8192 /* of its program; "1 of them" is written out */
#define KM_RULE_MAX_SELECTIONS 256
#define KM_RULE_MAX_TEXT_BYTES ((size_t)16 << 10) /* of one text about the rule */

struct km_rule_item {
    enum km_rule_field field; /* KM_RULE_FIELD_NONE: a keyword, looked for in every field */
    bool all;                 /* of the patterns, else one */
    const struct km_rule_pattern *patterns;
    size_t count;
};

struct km_rule_map { /* all items */
    struct km_rule_item *items;
    size_t count;
};

struct km_rule_selection { /* one of the maps */
    const char *name;
    struct km_rule_map *maps;
    size_t count;
};

/* A condition as a program on one truth value: SELECT sets it, the jumps skip what cannot change it. */
enum km_rule_op { KM_RULE_SELECT = 0, KM_RULE_NOT = 1, KM_RULE_SKIP_IF_TRUE = 2, KM_RULE_SKIP_IF_FALSE = 3 };

struct km_rule_step {
    uint8_t op;
    bool excepted; /* SELECT: below an odd number of "not" */
    uint16_t to;   /* SELECT: the selection; skips: the step that comes next */
};

struct km_rule_compiled {
    struct km_rule about;
    enum km_rule_source source;
    struct km_rule_selection *selections;
    size_t selection_count;
    struct km_rule_step *steps;
    size_t step_count;
    uint64_t fields; /* bits by enum km_rule_field: those it names */
    struct km_rule_regex *regexes;
    uint8_t digest[32]; /* of its document */
    uint64_t fired_at;  /* number of the event that it fired on last */
};

/* A rule's document, compiled into `arena`. *out is valid on KM_OK; its regexes are freed with
 * km_rule_regex_free_all. On failure *out_line tells where in the file it is, as near as can be told.
 * KM_FORMAT, KM_UNSUPPORTED, KM_LIMIT, KM_NOMEM. */
struct km_rule_document {
    const struct km_json *root;
    const char *text; /* the file's bytes of this document, to find lines in */
    size_t length;
    unsigned line; /* of its first byte */
};
enum km_code km_rule_compile(const struct km_rule_document *document, struct km_arena *arena,
                             struct km_rule_compiled *out, unsigned *out_line, struct km_err *err) KM_MUST_USE;

/* The condition's program. `text` is one condition. Appends to *steps from *count on. */
struct km_rule_program {
    const struct km_rule_selection *selections;
    size_t selection_count;
    struct km_rule_step *steps; /* KM_RULE_MAX_STEPS */
    size_t count;
};
enum km_code km_rule_condition_compile(struct km_rule_program *program, const char *text,
                                       struct km_err *err) KM_MUST_USE;

/* ---- the record ---- */

#define KM_RULE_RECORD_BYTES ((size_t)192 << 10)

/* A landmark as fields with values. Values point into the record, the event and the process. */
struct km_rule_record {
    struct km_rule_value values[KM_RULE_FIELD_COUNT];
    uint64_t known;   /* bits: has a value */
    uint64_t visible; /* bits: in the kind of record that is being looked at */
    size_t used;
    uint64_t cut;
    char bytes[KM_RULE_RECORD_BYTES];
};

/* The log sources that the landmark is seen by, as bits by enum km_rule_source. */
unsigned km_rule_record_sources(const struct km_event_landmark *landmark);

void km_rule_record_fill(struct km_rule_record *record, const struct km_rule_process *process,
                         const struct km_event *event);

#define KM_RULE_AUDIT_RECORDS 4
/* The audit records that a landmark stands for: fills in type and what depends on it, and makes that record's fields
 * visible. False when the landmark has none of that number. */
bool km_rule_record_audit(struct km_rule_record *record, const struct km_event_landmark *landmark, unsigned number);

#endif
