/* A set of rules, for the files that load it and match with it. */
#ifndef KM_RULES_RULE_SET_H
#define KM_RULES_RULE_SET_H

#include "base/keyhash.h"
#include "daemon/rules/rule_internal.h"

#define KM_RULE_ID_BUCKETS 4096

struct km_rule_loaded {
    struct km_rule_compiled rule;
    struct km_rule_loaded *same_bucket;
};

struct km_rules {
    struct km_arena *arena;
    struct km_rule_loaded **rules; /* in the order of loading */
    size_t count, capacity;
    struct {
        struct km_rule_compiled **rules;
        size_t count, capacity;
        uint64_t fields;
    } sources[KM_RULE_SOURCE_COUNT];
    struct km_rule_loaded *buckets[KM_RULE_ID_BUCKETS];
    struct km_keyhash hash;
    struct km_rule_engine *engine;
    struct km_rules_stats stats;
    struct km_rule_value absent;
    struct km_rule_record record;
};

/* Takes a compiled rule, whose texts lie in the set's arena. KM_LIMIT, KM_NOMEM: the rule's expressions are then still
 * the caller's. */
enum km_code km_rules_add(struct km_rules *rules, const struct km_rule_compiled *rule, struct km_err *err) KM_MUST_USE;

/* The loaded rule of that id, or NULL. */
const struct km_rule_compiled *km_rules_find(const struct km_rules *rules, const char *id);

#endif
