/*
 * The images that a deployment names: a compose file, Helm values, or Kubernetes manifests, all YAML.
 *
 *   compose     a mapping with "services": one row for each service, named after it. ${VAR:-default} and ${VAR-default}
 *               give the default, ${VAR:+other} nothing; a variable without default is an error of its row, as is
 *               "build" without "image". No environment and no other file is read: "include" is an error row.
 *   Kubernetes  documents with "apiVersion" and "kind": containers, initContainers and ephemeralContainers at any
 * depth, named KIND/NAME/CONTAINER, and other "image" values by their path. Helm        anything else: "image" (a
 * reference, or a mapping with repository and registry, tag, digest) and mappings of that shape under keys that end in
 * "Image", named by the path of their keys.
 *
 * Nothing is left out silently: what names an image and cannot be resolved is a row with an error. A number as a tag is
 * what YAML makes of it, as in Helm itself: 1.10 unquoted is 1.1. Rows are in the order of the text; equal references
 * are not merged. Limits: 1 MiB, those of yaml.h, and KM_IMAGELIST_MAX_ROWS.
 */
#ifndef KM_CONTAINER_SOURCE_IMAGELIST_H
#define KM_CONTAINER_SOURCE_IMAGELIST_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_IMAGELIST_MAX_BYTES ((size_t)1 << 20)
#define KM_IMAGELIST_MAX_ROWS  ((size_t)4096)

struct km_imagelist_row {
    const char *name;      /* raw text from the file */
    const char *reference; /* as km_imageref_normalise gives it, or NULL when there is an error */
    const char *error;     /* one escaped line, or NULL */
};

struct km_imagelist; /* owns its rows */

/* NULL with *err set: KM_FORMAT (not YAML, or it names no image at all), KM_LIMIT, KM_NOMEM. */
struct km_imagelist *km_imagelist_parse(const char *text, size_t length, struct km_err *err) KM_MUST_USE;
void km_imagelist_free(struct km_imagelist *list);
KM_DEFINE_CLEANUP(struct km_imagelist, km_imagelist_cleanup, km_imagelist_free);

size_t km_imagelist_count(const struct km_imagelist *list);
const struct km_imagelist_row *km_imagelist_row(const struct km_imagelist *list, size_t i);

#endif
