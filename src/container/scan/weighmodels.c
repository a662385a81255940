#include "container/scan/weighmodels.h"

#include <math.h>
#include <stdio.h>

#include "container/scan/origin.h"
#include "finding/evidence.h"

void km_weighmodels_begin(struct km_case *file, const struct km_case_sources *sources)
{
    for (size_t i = 0; i < KM_FEATURE_COUNT; i++)
        file->features[i] = i < KM_FEATURE_PACKED_FOREIGN ? NAN : 0;
    if (!sources->pipeline || file->place.type != KM_ENTRY_FILE ||
        !km_record_is_program(file->record, file->place.path))
        return;
    struct km_score score = km_pipeline_score(sources->pipeline, file->id);
    if (!score.is_scored)
        return;
    file->details = km_pipeline_details(sources->pipeline, file->id);
    file->features[KM_FEATURE_TOKENS_SCORE] = (double)score.tokens;
    file->features[KM_FEATURE_TOKENS_LOOKALIKE] = (double)score.lookalike;
    file->features[KM_FEATURE_NETWORK_SCORE] = (double)score.network;
    if (file->details)
        file->features[KM_FEATURE_TOKENS_WINDOW] = (double)file->details->window;
    const struct km_background *background = sources->background;
    if (background && background->count >= KM_BACKGROUND_LEAST && background->deviation > 0)
        file->features[KM_FEATURE_TOKENS_BACKGROUND] =
            ((double)score.tokens - background->mean) / background->deviation;
    file->fusion = km_detector_fusion(sources->detector);
    if (file->fusion)
        file->log_odds = km_additive_bias(file->fusion) - km_additive_calibration(file->fusion)->threshold;
}

static struct km_evidence *add_model(struct km_case *file, enum km_feature feature)
{
    const char *id = km_feature_name(feature);
    double value = file->features[feature];
    int term = file->fusion ? km_additive_find(file->fusion, id) : -1;
    if (isnan(value))
        return NULL;
    file->is_weighed[feature] = true;
    struct km_evidence *evidence = km_case_add_evidence(
        file, id, term >= 0 ? km_additive_contribution(km_additive_term(file->fusion, (size_t)term), value) : 0);
    km_evidence_add_real(evidence, "score", value);
    return evidence;
}

static void list_words(struct km_case *file)
{
    size_t at = 0;
    file->words[0] = '\0';
    for (size_t i = 0; file->details && i < file->details->reason_count; i++)
        at += (size_t)snprintf(file->words + at, sizeof file->words - at, "%s%s", i > 0 ? ", " : "",
                               file->details->reasons[i].text);
}

/* Each only where a model knows something; its weight is 0 where no fusion has a term for it. */
static void add_evidence(struct km_case *file)
{
    if (file->details && file->details->part_end > 0) {
        struct km_evidence *part = km_case_add_evidence(file, KM_EVIDENCE_PART, 0);
        km_evidence_add_integer(part, "begin", (int64_t)file->details->part_begin);
        km_evidence_add_integer(part, "end", (int64_t)file->details->part_end);
    }
    struct km_evidence *tokens = add_model(file, KM_FEATURE_TOKENS_SCORE);
    if (tokens) {
        list_words(file);
        km_evidence_add_text(tokens, "words", file->words[0] != '\0' ? file->words : "no word that weighs");
    }
    bool is_near = file->details && file->details->lookalike[0] != '\0';
    struct km_evidence *lookalike = is_near ? add_model(file, KM_FEATURE_TOKENS_LOOKALIKE) : NULL;
    if (lookalike) {
        km_evidence_add_text(lookalike, "file", file->details->lookalike);
        km_evidence_add_real(lookalike, "similarity", (double)file->details->known);
    }
    struct km_evidence *network = add_model(file, KM_FEATURE_NETWORK_SCORE);
    if (network && file->details && file->details->range_count > 0)
        km_evidence_add_integer(network, "offset", (int64_t)file->details->ranges[0].begin);
    else if (network)
        km_evidence_add_text(network, "offset", "an unknown offset");
    bool has_background = file->fusion && km_additive_find(file->fusion, "tokens.background") >= 0;
    if (has_background)
        (void)add_model(file, KM_FEATURE_TOKENS_BACKGROUND);
}

void km_weighmodels_add(struct km_case *file)
{
    double before = file->log_odds;
    add_evidence(file);
    for (size_t i = 0; file->fusion && i < km_additive_term_count(file->fusion); i++) {
        const struct km_additive_term *term = km_additive_term(file->fusion, i);
        enum km_feature feature;
        if (km_feature_from_name(term->name, &feature) && !file->is_weighed[feature])
            file->log_odds += km_additive_contribution(term, file->features[feature]);
    }
    if (file->fusion)
        km_origin_bound(file, km_additive_bias(file->fusion) + file->log_odds - before);
}
