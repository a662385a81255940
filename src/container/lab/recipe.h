/*
 * Recipes of a corpus: which packages, in which role, split and build, told by name, version and digest; no content.
 * docs/formats/corpus.md has the format. Hostile input: every field is checked before it becomes a file name, a URL or
 * a size.
 *
 * A recipe names one binary package. Its family is what must not be on two sides of a split: the source package, or a
 * group of source packages that share code.
 */
#ifndef KM_CONTAINER_LAB_RECIPE_H
#define KM_CONTAINER_LAB_RECIPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#define KM_RECIPE_MAX_BYTES         ((size_t)8 << 20)
#define KM_RECIPE_MAX_COUNT         20000
#define KM_RECIPE_WORD_BYTES        96
#define KM_RECIPE_PATH_BYTES        256
#define KM_RECIPE_MAX_PACKAGE_BYTES ((uint64_t)64 << 20)

enum km_recipe_role {
    KM_RECIPE_POSITIVE = 0, /* a dual-use tool of the policy */
    KM_RECIPE_BENIGN = 1,
    KM_RECIPE_HARD = 2, /* benign, and an administrator's tool: reported apart */
};
#define KM_RECIPE_ROLES 3

enum km_recipe_split {
    KM_RECIPE_TRAIN = 0,
    KM_RECIPE_VALID = 1,
    KM_RECIPE_TEST = 2,
};
#define KM_RECIPE_SPLITS 3

/* Words hold letters, digits and "+-.:~_" only; path is relative, below "pool/", of such words and "/" and "%". */
struct km_recipe {
    enum km_recipe_role role;
    enum km_recipe_split split;
    char family[KM_RECIPE_WORD_BYTES];
    char suite[KM_RECIPE_WORD_BYTES];
    char architecture[KM_RECIPE_WORD_BYTES];
    char package[KM_RECIPE_WORD_BYTES];
    char version[KM_RECIPE_WORD_BYTES];
    char language[KM_RECIPE_WORD_BYTES];
    uint64_t bytes; /* of the package file; 1..KM_RECIPE_MAX_PACKAGE_BYTES */
    uint8_t sha256[KM_SHA256_BYTES];
    char path[KM_RECIPE_PATH_BYTES];
};

struct km_recipes {
    struct km_recipe *rows; /* owned */
    size_t count;
};

/* KM_FORMAT (the text begins with "line N: "), also when a family stands on two sides of a split or a package file is
 * named twice; KM_LIMIT, KM_UNSUPPORTED (version), KM_NOMEM. */
enum km_code km_recipe_parse(const char *text, size_t length, struct km_recipes *out, struct km_err *err) KM_MUST_USE;
/* The same for a file. KM_NOTFOUND, KM_IO, KM_DENIED. */
enum km_code km_recipe_load(const char *path, struct km_recipes *out, struct km_err *err) KM_MUST_USE;
void km_recipe_done(struct km_recipes *recipes);

/* "positive", "benign", "hard"; "train", "valid", "test". Static storage. */
const char *km_recipe_role_to_string(enum km_recipe_role role);
const char *km_recipe_split_to_string(enum km_recipe_split split);
/* KM_FORMAT for other words. */
enum km_code km_recipe_role_from_string(const char *text, enum km_recipe_role *out, struct km_err *err) KM_MUST_USE;
enum km_code km_recipe_split_from_string(const char *text, enum km_recipe_split *out, struct km_err *err) KM_MUST_USE;

#endif
