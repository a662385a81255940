#include "container/source/entrypath.h"

#include <string.h>

static void drop_last(struct km_buf *out)
{
    while (out->length > 0 && out->data[out->length - 1] != '/')
        out->length--;
    if (out->length > 0)
        out->length--; /* the slash */
    if (out->data)
        out->data[out->length] = '\0';
}

/* Adds the parts of `stored` to what *out has. */
static enum km_code add_parts(const char *stored, struct km_buf *out, bool *out_climbs, struct km_err *err)
{
    for (const char *at = stored; *at;) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            *out_climbs = true;
            drop_last(out);
        } else if (length > 0 && !(length == 1 && at[0] == '.')) {
            enum km_code code = out->length > 0 ? km_buf_append(out, "/", 1, err) : KM_OK;
            if (code == KM_OK)
                code = km_buf_append(out, at, length, err);
            if (code != KM_OK)
                return code;
        }
        at += length;
        while (*at == '/')
            at++;
    }
    return KM_OK;
}

enum km_code km_entrypath_normalise(const char *stored, struct km_buf *out, bool *out_climbs, struct km_err *err)
{
    bool climbs = false;
    km_buf_clear(out);
    enum km_code code = add_parts(stored, out, &climbs, err);
    if (code == KM_OK)
        *out_climbs = climbs;
    return code;
}

enum km_whiteout km_entrypath_whiteout(struct km_buf *path)
{
    static const char mark[] = ".wh.", opaque[] = ".wh..wh..opq", aufs[] = ".wh..wh.";
    if (path->length == 0)
        return KM_WHITEOUT_NONE;
    const char *slash = strrchr(path->data, '/');
    size_t at = slash ? (size_t)(slash - path->data) + 1 : 0;
    char *name = path->data + at;
    if (strcmp(name, opaque) == 0) {
        drop_last(path);
        return KM_WHITEOUT_OPAQUE;
    }
    if (strncmp(name, mark, sizeof mark - 1) != 0 || strncmp(name, aufs, sizeof aufs - 1) == 0)
        return KM_WHITEOUT_NONE;
    const char *hidden = name + sizeof mark - 1;
    if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return KM_WHITEOUT_NONE;
    size_t length = strlen(hidden);
    memmove(name, hidden, length + 1);
    path->length = at + length;
    return KM_WHITEOUT_NAME;
}
