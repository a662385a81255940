#include "container/scan/origin.h"

#include <math.h>
#include <string.h>

static bool is_any_of(const char *id, const enum km_feature *features, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(id, km_feature_name(features[i])) == 0)
            return true;
    return false;
}

static bool is_origin(const struct km_evidence *evidence)
{
    static const enum km_feature features[] = {KM_FEATURE_PACKAGE_UNOWNED, KM_FEATURE_PACKAGE_CHANGED,
                                               KM_FEATURE_EXECUTABLE,      KM_FEATURE_PLACE_SYSTEM,
                                               KM_FEATURE_PLACE_TEMPORARY, KM_FEATURE_PLACE_HIDDEN};
    return is_any_of(evidence->id, features, sizeof features / sizeof features[0]);
}

static bool is_content(const struct km_evidence *evidence)
{
    static const enum km_feature features[] = {KM_FEATURE_TOKENS_SCORE, KM_FEATURE_TOKENS_WINDOW,
                                               KM_FEATURE_TOKENS_LOOKALIKE, KM_FEATURE_TOKENS_BACKGROUND,
                                               KM_FEATURE_NETWORK_SCORE};
    return is_any_of(evidence->id, features, sizeof features / sizeof features[0]);
}

void km_origin_bound(struct km_case *file, double content)
{
    bool unknown = isnan(file->features[KM_FEATURE_TOKENS_SCORE]) && isnan(file->features[KM_FEATURE_NETWORK_SCORE]);
    if (!file->fusion || unknown || content >= 0)
        return;
    double origin = 0;
    for (size_t i = 0; i < file->evidence_count; i++) {
        const struct km_evidence *evidence = &file->evidence[i];
        if (is_origin(evidence))
            origin += evidence->weight;
        else if (!is_content(evidence) && evidence->weight > 0)
            return;
    }
    if (origin <= 0)
        return;
    double excess = fmin(file->log_odds + KM_ORIGIN_BELOW, origin), kept = 1;
    if (excess > 0 && file->log_odds - origin < 0) /* else content alone is an alarm, or nothing is */
        kept = 1 - excess / origin;
    for (size_t i = 0; i < file->evidence_count; i++)
        if (is_origin(&file->evidence[i]))
            file->evidence[i].weight *= kept;
    file->origin = origin * kept;
    file->log_odds -= origin - file->origin;
}
