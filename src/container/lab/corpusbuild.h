/*
 * From recipes to a data set: fetches the packages that are not there yet, checks each against its digest, streams
 * their members (dpkg-deb --fsys-tarfile) and keeps what is a sample. Nothing of a package is run or written to disk as
 * a file of its own.
 *
 * The same recipes and packages give the same data set, whatever the number of jobs. A package that cannot be had, or
 * is not what its recipe says, fails that recipe alone: it is counted, named in the summary, and changes the digest.
 * A build that was stopped goes on with the packages that it has fetched.
 */
#ifndef KM_CONTAINER_LAB_CORPUSBUILD_H
#define KM_CONTAINER_LAB_CORPUSBUILD_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/lab/recipe.h"

#define KM_CORPUS_POSITIVE_FILES 15 /* of one package, at most */
#define KM_CORPUS_BENIGN_FILES   20
#define KM_CORPUS_MAX_JOBS       16u
#define KM_CORPUS_MIRROR         "http://deb.debian.org/debian"

struct km_corpus_options {
    const char *mirror; /* URL below which the recipes' paths lie */
    const char *cache;  /* folder of packages, named by their SHA-256: fetched ones are kept there */
    const char *folder; /* of the data set; made if it is not there */
    unsigned jobs;      /* 1..KM_CORPUS_MAX_JOBS */
    const struct km_cancel *cancel;
    /* Called from one thread at a time. failure: why this recipe failed, or NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t total, const char *failure);
    void *context;
};

struct km_corpus_report {
    size_t recipes, failed, samples, dropped; /* dropped: contents met before, or in both classes */
    uint64_t bytes;                           /* of the samples */
    char digest[KM_SHA256_HEX_BYTES];
};

/* KM_IO and KM_DENIED (cache, folder, a full disk), KM_NOTFOUND (no dpkg-deb; no sample at all), KM_LIMIT, KM_NOMEM,
 * KM_CANCELLED. A data set that was there is replaced only when the new one is complete. */
enum km_code km_corpus_build(const struct km_recipes *recipes, const struct km_corpus_options *options,
                             struct km_corpus_report *out, struct km_err *err) KM_MUST_USE;

#endif
