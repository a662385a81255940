#include "daemon/rules/rule_set.h"

/* The value of a field, as this record has it. */
static struct km_rule_value *value_of(struct km_rules *rules, enum km_rule_field field)
{
    struct km_rule_record *record = &rules->record;
    bool here = record->visible & record->known & KM_RULE_FIELD_BIT(field);
    return here ? &record->values[field] : &rules->absent;
}

/* A keyword in any field; *out_field is set when it is found. */
static bool keyword_matches(struct km_rules *rules, const struct km_rule_pattern *pattern,
                            enum km_rule_field *out_field)
{
    uint64_t fields = rules->record.visible & rules->record.known;
    while (fields != 0) {
        unsigned field = (unsigned)__builtin_ctzll(fields);
        fields &= fields - 1;
        if (km_rule_pattern_matches(pattern, &rules->record.values[field], rules->engine)) {
            *out_field = (enum km_rule_field)field;
            return true;
        }
    }
    return false;
}

static bool pattern_matches(struct km_rules *rules, const struct km_rule_item *item,
                            const struct km_rule_pattern *pattern, enum km_rule_field *out_field)
{
    *out_field = item->field;
    if (item->field == KM_RULE_FIELD_NONE)
        return keyword_matches(rules, pattern, out_field);
    return km_rule_pattern_matches(pattern, value_of(rules, item->field), rules->engine);
}

static bool item_matches(struct km_rules *rules, const struct km_rule_item *item)
{
    enum km_rule_field field;
    for (size_t i = 0; i < item->count; i++)
        if (pattern_matches(rules, item, &item->patterns[i], &field) != item->all)
            return !item->all;
    return item->all;
}

static bool map_matches(struct km_rules *rules, const struct km_rule_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        if (!item_matches(rules, &map->items[i]))
            return false;
    return true;
}

static const struct km_rule_map *find_map(struct km_rules *rules, const struct km_rule_selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        if (map_matches(rules, &selection->maps[i]))
            return &selection->maps[i];
    return NULL;
}

static bool condition_holds(struct km_rules *rules, const struct km_rule_compiled *rule)
{
    bool truth = false;
    size_t at = 0;
    while (at < rule->step_count) {
        const struct km_rule_step *step = &rule->steps[at++];
        switch ((enum km_rule_op)step->op) {
        case KM_RULE_SELECT:
            truth = find_map(rules, &rule->selections[step->to]) != NULL;
            break;
        case KM_RULE_NOT:
            truth = !truth;
            break;
        case KM_RULE_SKIP_IF_TRUE:
            at = truth ? step->to : at;
            break;
        case KM_RULE_SKIP_IF_FALSE:
            at = truth ? at : step->to;
            break;
        }
    }
    return truth;
}

/* ---- what is told of a rule that fired ---- */

struct hits {
    struct km_rule_hit items[KM_RULES_MAX_HITS];
    size_t count;
};

static void add_hit(struct km_rules *rules, const struct km_rule_compiled *rule, const struct km_rule_item *item,
                    const struct km_rule_pattern *pattern, struct hits *hits)
{
    enum km_rule_field field;
    if (hits->count >= KM_RULES_MAX_HITS || !pattern_matches(rules, item, pattern, &field))
        return;
    const char *name = km_rule_field_name(rule->source, field);
    hits->items[hits->count++] =
        (struct km_rule_hit){.field = name, .pattern = pattern->text, .value = value_of(rules, field)->bytes};
}

static void add_map_hits(struct km_rules *rules, const struct km_rule_compiled *rule, const struct km_rule_map *map,
                         struct hits *hits)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct km_rule_item *item = &map->items[i];
        size_t before = hits->count;
        for (size_t k = 0; k < item->count && (item->all || hits->count == before); k++)
            add_hit(rules, rule, item, &item->patterns[k], hits);
    }
}

static enum km_code tell(struct km_rules *rules, const struct km_rule_compiled *rule,
                         const struct km_rules_matcher *matcher, struct km_err *err)
{
    struct hits hits = {.count = 0};
    for (size_t i = 0; i < rule->step_count; i++) {
        if (rule->steps[i].op != KM_RULE_SELECT || rule->steps[i].excepted)
            continue;
        const struct km_rule_map *map = find_map(rules, &rule->selections[rule->steps[i].to]);
        if (map)
            add_map_hits(rules, rule, map, &hits);
    }
    struct km_rule_match match = {
        .rule = &rule->about,
        .hits = hits.items,
        .hit_count = hits.count,
        .unknown_fields = (unsigned)__builtin_popcountll(rule->fields & rules->record.visible & ~rules->record.known),
    };
    rules->stats.matches++;
    return matcher->match(matcher->context, &match, err);
}

/* ---- the rules of a log source ---- */

static enum km_code match_source(struct km_rules *rules, unsigned source, const struct km_rules_matcher *matcher,
                                 struct km_err *err)
{
    for (size_t i = 0; i < rules->sources[source].count; i++) {
        struct km_rule_compiled *rule = rules->sources[source].rules[i];
        if (rule->fired_at == rules->stats.events) /* on another record of the same event */
            continue;
        bool fires = condition_holds(rules, rule);
        uint64_t exceeded = km_rule_engine_take_exceeded(rules->engine);
        if (exceeded > 0) {
            rules->stats.regex_exceeded += exceeded;
            rules->stats.regex_title = rules->stats.regex_title ? rules->stats.regex_title : rule->about.title;
        }
        if (!fires)
            continue;
        rule->fired_at = rules->stats.events;
        enum km_code code = tell(rules, rule, matcher, err);
        (void)km_rule_engine_take_exceeded(rules->engine); /* counted above */
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static enum km_code match_audit(struct km_rules *rules, const struct km_event_landmark *landmark,
                                const struct km_rules_matcher *matcher, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (unsigned i = 0; i < KM_RULE_AUDIT_RECORDS && code == KM_OK; i++)
        if (km_rule_record_audit(&rules->record, landmark, i))
            code = match_source(rules, KM_RULE_AUDITD, matcher, err);
    return code;
}

static unsigned sources_with_rules(const struct km_rules *rules, const struct km_event *event)
{
    unsigned sources = event->kind == KM_EVENT_LANDMARK ? km_rule_record_sources(&event->landmark) : 0;
    for (unsigned i = 0; i < KM_RULE_SOURCE_COUNT; i++)
        if (rules->sources[i].count == 0)
            sources &= ~(1u << i);
    return sources;
}

bool km_rules_wants(const struct km_rules *rules, const struct km_event *event)
{
    return sources_with_rules(rules, event) != 0;
}

enum km_code km_rules_match(struct km_rules *rules, const struct km_rule_process *process, const struct km_event *event,
                            const struct km_rules_matcher *matcher, struct km_err *err)
{
    unsigned sources = sources_with_rules(rules, event);
    if (event->kind == KM_EVENT_LANDMARK)
        rules->stats.events++;
    if (sources == 0)
        return KM_OK;
    km_rule_record_fill(&rules->record, process, event);
    rules->stats.values_cut += rules->record.cut;
    for (unsigned i = 0; i < KM_RULE_SOURCE_COUNT; i++) {
        if (!(sources >> i & 1))
            continue;
        rules->record.visible = rules->sources[i].fields;
        enum km_code code = i == KM_RULE_AUDITD ? match_audit(rules, &event->landmark, matcher, err)
                                                : match_source(rules, i, matcher, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}
