#include "finding/finding.h"

const char *km_verdict_to_string(enum km_verdict verdict)
{
    switch (verdict) {
    case KM_VERDICT_CLEAN:
        return "clean";
    case KM_VERDICT_INCOMPLETE:
        return "incomplete";
    case KM_VERDICT_SUSPICIOUS:
        return "suspicious";
    case KM_VERDICT_MALICIOUS:
        return "malicious";
    }
    return "unknown";
}

const char *km_gap_reason_to_string(enum km_gap_reason reason)
{
    static const char *const names[] = {
        [KM_GAP_TRUNCATED] = "truncated",     [KM_GAP_DAMAGED] = "damaged",
        [KM_GAP_TRAILING] = "trailing",       [KM_GAP_UNREFERENCED] = "unreferenced",
        [KM_GAP_MISSING] = "missing",         [KM_GAP_LIMIT] = "limit",
        [KM_GAP_ENCRYPTED] = "encrypted",     [KM_GAP_NESTED] = "nested",
        [KM_GAP_UNSUPPORTED] = "unsupported", [KM_GAP_UNREADABLE] = "unreadable",
        [KM_GAP_MISMATCH] = "mismatch",       [KM_GAP_CANCELLED] = "cancelled",
        [KM_GAP_POLICY] = "policy",
    };
    size_t i = (size_t)reason;
    return i < sizeof names / sizeof names[0] ? names[i] : "unknown";
}
