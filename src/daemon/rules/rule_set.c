#include "daemon/rules/rule_set.h"

#include <string.h>

#include "base/digest.h"

#define MAX_ARENA_BYTES ((size_t)256 << 20)

const char *km_rule_level_to_string(enum km_rule_level level)
{
    switch (level) {
    case KM_RULE_INFORMATIONAL:
        return "informational";
    case KM_RULE_LOW:
        return "low";
    case KM_RULE_MEDIUM:
        return "medium";
    case KM_RULE_HIGH:
        return "high";
    case KM_RULE_CRITICAL:
        return "critical";
    }
    return "unknown";
}

struct km_rules *km_rules_new(struct km_err *err)
{
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_calloc(1, sizeof *rules, SIZE_MAX, err);
    if (!rules)
        return NULL;
    km_keyhash_init(&rules->hash);
    for (unsigned i = 0; i < KM_RULE_SOURCE_COUNT; i++)
        rules->sources[i].fields = km_rule_source_fields((enum km_rule_source)i);
    rules->arena = km_arena_new(MAX_ARENA_BYTES, err);
    rules->engine = rules->arena ? km_rule_engine_new(err) : NULL;
    return rules->engine ? km_steal(rules) : NULL;
}

void km_rules_free(struct km_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->count; i++)
        km_rule_regex_free_all(rules->rules[i]->rule.regexes);
    for (unsigned i = 0; i < KM_RULE_SOURCE_COUNT; i++)
        free(rules->sources[i].rules);
    km_rule_engine_free(rules->engine);
    km_arena_free(rules->arena);
    free(rules->rules);
    free(rules);
}

size_t km_rules_count(const struct km_rules *rules)
{
    return rules->count;
}

const struct km_rule *km_rules_get(const struct km_rules *rules, size_t i)
{
    KM_ASSERT(i < rules->count);
    return &rules->rules[i]->rule.about;
}

enum km_code km_rules_digest(const struct km_rules *rules, char *out, struct km_err *err)
{
    uint8_t bytes[KM_SHA256_BYTES];
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    for (size_t i = 0; i < rules->count; i++)
        km_digest_update(digest, rules->rules[i]->rule.digest, sizeof rules->rules[i]->rule.digest);
    km_digest_finish(digest, bytes);
    km_digest_free(digest);
    km_hex_format(bytes, sizeof bytes, out);
    return KM_OK;
}

void km_rules_get_stats(const struct km_rules *rules, struct km_rules_stats *out)
{
    *out = rules->stats;
    out->loaded = rules->count;
}

static size_t bucket_of(const struct km_rules *rules, const char *id)
{
    return km_keyhash_bytes(&rules->hash, id, strlen(id)) % KM_RULE_ID_BUCKETS;
}

const struct km_rule_compiled *km_rules_find(const struct km_rules *rules, const char *id)
{
    for (const struct km_rule_loaded *at = rules->buckets[bucket_of(rules, id)]; at; at = at->same_bucket)
        if (strcmp(at->rule.about.id, id) == 0)
            return &at->rule;
    return NULL;
}

enum km_code km_rules_add(struct km_rules *rules, const struct km_rule_compiled *rule, struct km_err *err)
{
    void *array = rules->rules;
    enum km_code code =
        km_grow(&array, &rules->capacity, rules->count + 1, sizeof(struct km_rule_loaded *), KM_RULES_MAX, err);
    if (code != KM_OK)
        return code == KM_LIMIT ? km_fail(err, KM_LIMIT, "more than %d rules", KM_RULES_MAX) : code;
    rules->rules = array;
    array = rules->sources[rule->source].rules;
    code = km_grow(&array, &rules->sources[rule->source].capacity, rules->sources[rule->source].count + 1,
                   sizeof(struct km_rule_compiled *), KM_RULES_MAX, err);
    if (code != KM_OK)
        return code;
    rules->sources[rule->source].rules = array;
    struct km_rule_loaded *loaded = km_arena_alloc(rules->arena, sizeof *loaded, err);
    if (!loaded)
        return err->code;
    size_t bucket = bucket_of(rules, rule->about.id);
    loaded->rule = *rule;
    loaded->same_bucket = rules->buckets[bucket];
    rules->buckets[bucket] = loaded;
    rules->rules[rules->count++] = loaded;
    rules->sources[rule->source].rules[rules->sources[rule->source].count++] = &loaded->rule;
    return KM_OK;
}
