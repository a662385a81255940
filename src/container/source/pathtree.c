#include "container/source/pathtree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/keyhash.h"
#include "base/mem.h"

#define FIRST_SLOTS ((size_t)1024)

struct node {
    const char *path; /* of an implied node: the beginning of a longer path, so not ended by NUL at `length` */
    uint32_t length;
    uint32_t parent;
    uint32_t hash;
};

struct km_pathtree {
    struct km_arena *names;
    struct km_keyhash key;
    struct node *nodes;
    size_t count, capacity;
    uint32_t *slots; /* node + 1, or 0: open addressing, at most half full */
    size_t slot_count, slots_used;
    size_t max_bytes;
};

struct km_pathtree *km_pathtree_new(size_t max_bytes, struct km_err *err)
{
    struct km_pathtree *tree = km_calloc(1, sizeof *tree, SIZE_MAX, err);
    if (!tree)
        return NULL;
    tree->max_bytes = max_bytes;
    km_keyhash_init(&tree->key);
    tree->names = km_arena_new(max_bytes, err);
    tree->slots = tree->names ? km_calloc(FIRST_SLOTS, sizeof *tree->slots, SIZE_MAX, err) : NULL;
    tree->slot_count = FIRST_SLOTS;
    void *nodes = NULL;
    if (!tree->slots || km_grow(&nodes, &tree->capacity, 1, sizeof *tree->nodes, UINT32_MAX - 1, err) != KM_OK) {
        km_pathtree_free(tree);
        return NULL;
    }
    tree->nodes = nodes;
    tree->nodes[0] = (struct node){.path = "", .parent = KM_PATHTREE_NONE};
    tree->count = 1;
    return tree;
}

void km_pathtree_free(struct km_pathtree *tree)
{
    if (!tree)
        return;
    km_arena_free(tree->names);
    free(tree->nodes);
    free(tree->slots);
    free(tree);
}

size_t km_pathtree_used(const struct km_pathtree *tree)
{
    return km_arena_used(tree->names) + tree->count * sizeof *tree->nodes + tree->slot_count * sizeof *tree->slots;
}

static enum km_code check_room(const struct km_pathtree *tree, size_t more, struct km_err *err)
{
    size_t used = km_pathtree_used(tree);
    if (used > tree->max_bytes || more > tree->max_bytes - used)
        return km_fail(err, KM_LIMIT, "more than %zu bytes of names and records", tree->max_bytes);
    return KM_OK;
}

/* The slot that holds path[0..length), or the free one where it belongs. */
static size_t slot_of(const struct km_pathtree *tree, const char *path, size_t length, uint32_t hash)
{
    size_t slot = hash & (tree->slot_count - 1);
    for (; tree->slots[slot]; slot = (slot + 1) & (tree->slot_count - 1)) {
        const struct node *node = &tree->nodes[tree->slots[slot] - 1];
        if (node->hash == hash && node->length == length && memcmp(node->path, path, length) == 0)
            break;
    }
    return slot;
}

static enum km_code double_slots(struct km_pathtree *tree, struct km_err *err)
{
    size_t wanted = tree->slot_count * 2;
    enum km_code code = check_room(tree, tree->slot_count * sizeof *tree->slots, err);
    if (code != KM_OK)
        return code;
    uint32_t *slots = km_calloc(wanted, sizeof *slots, SIZE_MAX, err);
    if (!slots)
        return err->code;
    for (size_t i = 0; i < tree->slot_count; i++) {
        if (!tree->slots[i])
            continue;
        size_t slot = tree->nodes[tree->slots[i] - 1].hash & (wanted - 1);
        while (slots[slot])
            slot = (slot + 1) & (wanted - 1);
        slots[slot] = tree->slots[i];
    }
    free(tree->slots);
    tree->slots = slots;
    tree->slot_count = wanted;
    return KM_OK;
}

static enum km_code add_node(struct km_pathtree *tree, const struct node *node, struct km_err *err)
{
    enum km_code code = check_room(tree, sizeof *node, err);
    if (code != KM_OK)
        return code;
    void *nodes = tree->nodes;
    code = km_grow(&nodes, &tree->capacity, tree->count + 1, sizeof *node, UINT32_MAX - 1, err);
    tree->nodes = nodes;
    if (code == KM_OK)
        tree->nodes[tree->count++] = *node;
    return code;
}

/* Makes the node of path[0..length) unless there is one. *out_new says which. */
static enum km_code enter(struct km_pathtree *tree, const char *path, size_t length, uint32_t *out_node, bool *out_new,
                          struct km_err *err)
{
    uint32_t hash = (uint32_t)km_keyhash_bytes(&tree->key, path, length);
    size_t slot = slot_of(tree, path, length, hash);
    *out_new = tree->slots[slot] == 0;
    if (!*out_new) {
        *out_node = tree->slots[slot] - 1;
        return KM_OK;
    }
    if (2 * (tree->slots_used + 1) > tree->slot_count) {
        enum km_code code = double_slots(tree, err);
        if (code != KM_OK)
            return code;
        slot = slot_of(tree, path, length, hash);
    }
    const struct node node = {path, (uint32_t)length, 0, hash};
    enum km_code code = add_node(tree, &node, err);
    if (code != KM_OK)
        return code;
    tree->slots[slot] = (uint32_t)tree->count;
    tree->slots_used++;
    *out_node = (uint32_t)tree->count - 1;
    return KM_OK;
}

/* Length of the parent directory's path: 0 is the root. */
static size_t parent_length(const char *path, size_t length)
{
    while (length > 0 && path[length - 1] != '/')
        length--;
    return length > 0 ? length - 1 : 0;
}

/* Gives a new node its chain of directories, up to the first that is known. A node whose chain could not be finished
 * hangs below the root. */
static enum km_code link_parents(struct km_pathtree *tree, uint32_t node, struct km_err *err)
{
    const char *path = tree->nodes[node].path;
    size_t length = tree->nodes[node].length;
    bool is_new = true;
    while (is_new) {
        length = parent_length(path, length);
        uint32_t parent = 0;
        is_new = false;
        enum km_code code = length > 0 ? enter(tree, path, length, &parent, &is_new, err) : KM_OK;
        if (code != KM_OK)
            return code;
        tree->nodes[node].parent = parent;
        node = parent;
    }
    return KM_OK;
}

static const char *copy_path(struct km_pathtree *tree, const char *path, size_t length, struct km_err *err)
{
    if (length >= UINT32_MAX) {
        km_fail(err, KM_LIMIT, "a path of %zu bytes", length);
        return NULL;
    }
    return check_room(tree, length + 1, err) == KM_OK ? km_arena_strndup(tree->names, path, length, err) : NULL;
}

static bool is_whole(const struct node *node)
{
    return node->path[node->length] == '\0';
}

enum km_code km_pathtree_add(struct km_pathtree *tree, const char *path, uint32_t *out_node, struct km_err *err)
{
    size_t length = strlen(path);
    if (length == 0) {
        *out_node = 0;
        return KM_OK;
    }
    uint32_t hash = (uint32_t)km_keyhash_bytes(&tree->key, path, length);
    uint32_t found = tree->slots[slot_of(tree, path, length, hash)];
    if (found && is_whole(&tree->nodes[found - 1])) {
        *out_node = found - 1;
        return KM_OK;
    }
    const char *copy = copy_path(tree, path, length, err);
    if (!copy)
        return err->code;
    if (found) {
        tree->nodes[found - 1].path = copy;
        *out_node = found - 1;
        return KM_OK;
    }
    uint32_t node = 0;
    bool is_new = true;
    enum km_code code = enter(tree, copy, length, &node, &is_new, err);
    if (code == KM_OK)
        code = link_parents(tree, node, err);
    if (code == KM_OK)
        *out_node = node;
    return code;
}

enum km_code km_pathtree_add_loose(struct km_pathtree *tree, const char *path, uint32_t *out_node, struct km_err *err)
{
    size_t length = strlen(path);
    const char *copy = copy_path(tree, path, length, err);
    if (!copy)
        return err->code;
    const struct node node = {copy, (uint32_t)length, KM_PATHTREE_NONE, 0};
    enum km_code code = add_node(tree, &node, err);
    if (code == KM_OK)
        *out_node = (uint32_t)tree->count - 1;
    return code;
}

const char *km_pathtree_path(const struct km_pathtree *tree, uint32_t node)
{
    return tree->nodes[node].path;
}

uint32_t km_pathtree_parent(const struct km_pathtree *tree, uint32_t node)
{
    return tree->nodes[node].parent;
}

size_t km_pathtree_count(const struct km_pathtree *tree)
{
    return tree->count;
}
