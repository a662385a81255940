/*
 * The site's own files, for training: what samples are (samplekind.h) in the images that a site names, as token sets.
 * The benign side that matters most: a threshold for a site's files is best learned from its files.
 */
#ifndef KM_CONTAINER_LAB_SITEFILES_H
#define KM_CONTAINER_LAB_SITEFILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/tokens/tokenindex.h"
#include "container/tokens/tokens.h"

#define KM_SITEFILES_MAX     50000
#define KM_SITEFILES_MAX_IDS ((size_t)1 << 27)

struct km_sitefile {
    uint32_t *ids; /* owned */
    size_t count;
    char label[KM_TOKEN_INDEX_LABEL_BYTES]; /* the path, printable */
};

struct km_sitefiles {
    struct km_sitefile *files; /* owned */
    size_t count, capacity, ids;
    bool (*excludes)(void *context, const void *bytes, size_t length); /* a sample that must not teach; NULL: none */
    void *excludes_context;
};

/* Adds the files of one image, as `komainu scan` names targets of container/source (source.h). Members of nested
 * archives are not looked into; files with too few tokens for the index are left out. KM_LIMIT beyond the limits
 * above; the codes of source.h. What was added before a failure stays. */
enum km_code km_sitefiles_read(struct km_sitefiles *site, const char *target, const struct km_cancel *cancel,
                               struct km_err *err) KM_MUST_USE;
void km_sitefiles_done(struct km_sitefiles *site);

#endif
