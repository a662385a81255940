// A scan policy: how much of which files is examined. A text of one rule a line, the first that fits decides; what fits
// none is examined as a whole. Format: komainu-scan-policy(5).
//
//     # MODE     GLOB
//     skip       usr/share/doc/**
//     fragments  var/lib/**.img
//
// In a glob "?" and "*" stand for what is not "/", "**" for anything. A leading "/" is ignored. A member of an archive
// inside the container is examined no more than the archive is.
#ifndef KM_CONTAINER_SCAN_POLICY_H
#define KM_CONTAINER_SCAN_POLICY_H

#include <stddef.h>

#include "base/err.h"

#define KM_POLICY_MAX_BYTES      ((size_t)1 << 20)
#define KM_POLICY_MAX_RULES      4096
#define KM_POLICY_MAX_GLOB_BYTES 4096

/* Weaker ones are larger. */
enum km_policy_mode {
    KM_POLICY_WHOLE = 0,
    KM_POLICY_FRAGMENTS = 1, /* hashed as a whole; of what is larger than a segment, a sample is scored */
    KM_POLICY_METADATA = 2,  /* path, rights and owner alone */
    KM_POLICY_SKIP = 3,      /* not judged at all */
};

struct km_policy;

/* KM_FORMAT ("own.policy:7: …"), KM_LIMIT, KM_NOMEM. label is for messages. */
struct km_policy *km_policy_parse(const char *label, const char *text, size_t length, struct km_err *err) KM_MUST_USE;
/* The same for a file; also KM_IO, KM_NOTFOUND, KM_DENIED. */
struct km_policy *km_policy_load(const char *path, struct km_err *err) KM_MUST_USE;
void km_policy_free(struct km_policy *policy);

/* path as in a km_entry. A policy of NULL wants everything whole. */
enum km_policy_mode km_policy_find(const struct km_policy *policy, const char *path);

/* "whole", "fragments", "metadata", "skip". Static storage. */
const char *km_policy_mode_to_string(enum km_policy_mode mode);

#endif
