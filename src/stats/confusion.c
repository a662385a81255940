#include "stats/confusion.h"

#include <math.h>

void km_confusion_add(struct km_confusion *confusion, bool positive, bool alarm)
{
    if (positive)
        *(alarm ? &confusion->true_positives : &confusion->false_negatives) += 1;
    else
        *(alarm ? &confusion->false_positives : &confusion->true_negatives) += 1;
}

static struct km_estimate share(uint64_t part, uint64_t rest, double confidence)
{
    double whole = (double)part + (double)rest;
    struct km_interval interval = km_interval_wilson((double)part, whole, confidence);
    return (struct km_estimate){whole > 0 ? (double)part / whole : NAN, interval};
}

struct km_estimate km_confusion_precision(const struct km_confusion *confusion, double confidence)
{
    return share(confusion->true_positives, confusion->false_positives, confidence);
}

struct km_estimate km_confusion_recall(const struct km_confusion *confusion, double confidence)
{
    return share(confusion->true_positives, confusion->false_negatives, confidence);
}

struct km_estimate km_confusion_false_positive_rate(const struct km_confusion *confusion, double confidence)
{
    return share(confusion->false_positives, confusion->true_negatives, confidence);
}

double km_confusion_f1(const struct km_confusion *confusion)
{
    double twice = 2 * (double)confusion->true_positives;
    double whole = twice + (double)confusion->false_positives + (double)confusion->false_negatives;
    return whole > 0 ? twice / whole : NAN;
}
