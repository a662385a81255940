/*
 * The paths of a source's file systems, each stored once: nodes numbered from 0 (the root, path ""), linked to their
 * parent directory. A directory that only occurs inside a longer path has a node too. Names that lie in no file system
 * (members of nested archives) can be kept here as loose nodes: stored, never found, without parent.
 *
 * Memory: 24 bytes a node, 8 of table, and the path; limited at birth.
 */
#ifndef KM_CONTAINER_SOURCE_PATHTREE_H
#define KM_CONTAINER_SOURCE_PATHTREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_PATHTREE_NONE UINT32_MAX

struct km_pathtree;

/* max_bytes limits nodes and paths together. NULL with *err set on KM_NOMEM. */
struct km_pathtree *km_pathtree_new(size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_pathtree_free(struct km_pathtree *tree);

/* The node of a normalised path (no leading, trailing or doubled "/"), made when it is new. KM_LIMIT, KM_NOMEM; the
 * tree stays usable. */
enum km_code km_pathtree_add(struct km_pathtree *tree, const char *path, uint32_t *out_node,
                             struct km_err *err) KM_MUST_USE;
enum km_code km_pathtree_add_loose(struct km_pathtree *tree, const char *path, uint32_t *out_node,
                                   struct km_err *err) KM_MUST_USE;

/* The path of a node that was added by name (not of one that is only implied). Borrowed from the tree. */
const char *km_pathtree_path(const struct km_pathtree *tree, uint32_t node);

/* The directory that holds node, or KM_PATHTREE_NONE for the root and for loose nodes. */
uint32_t km_pathtree_parent(const struct km_pathtree *tree, uint32_t node);

size_t km_pathtree_count(const struct km_pathtree *tree);

/* Bytes used of max_bytes. */
size_t km_pathtree_used(const struct km_pathtree *tree);

#endif
