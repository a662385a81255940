#include "cli/rules_import.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/newfile.h"
#include "daemon/rules/rules.h"

#define MAX_NAMES_BYTES ((size_t)64 << 20)
#define PATH_BYTES      4096

struct candidate { /* a file of the folder that is imported */
    const char *file;
    const char *id; /* of its first rule */
    const char *reason;
    unsigned line; /* of what is refused */
    unsigned rules;
};

struct import {
    struct km_arena *names;
    struct candidate *files;
    size_t count, capacity;
    struct km_rules *present; /* in the folder that is imported into */
    const char *to;
    bool force;
    enum km_code failed; /* of a report */
    struct km_err *err;
    unsigned copied, same, left;
};

static struct candidate *candidate_of(struct import *import, const char *file)
{
    if (import->count > 0 && strcmp(import->files[import->count - 1].file, file) == 0)
        return &import->files[import->count - 1];
    void *array = import->files;
    if (km_grow(&array, &import->capacity, import->count + 1, sizeof *import->files, KM_RULES_MAX_FILES, import->err) !=
        KM_OK)
        return NULL;
    import->files = array;
    struct candidate *candidate = &import->files[import->count];
    *candidate = (struct candidate){.file = km_arena_strndup(import->names, file, strlen(file), import->err)};
    import->count += candidate->file != NULL;
    return candidate->file ? candidate : NULL;
}

static void note(void *context, const struct km_rule_report *report)
{
    struct import *import = context;
    struct candidate *candidate = import->failed == KM_OK ? candidate_of(import, report->file) : NULL;
    const char *id = report->rule ? report->rule->id : "";
    if (candidate && candidate->rules++ == 0)
        candidate->id = km_arena_strndup(import->names, id, strlen(id), import->err);
    if (candidate && report->reason && !candidate->reason) {
        candidate->reason =
            km_arena_strndup(import->names, report->reason->text, strlen(report->reason->text), import->err);
        candidate->line = report->line;
    }
    if (!candidate || (report->reason && !candidate->reason) || !candidate->id)
        import->failed = import->err->code;
}

static void leave_out(struct import *import, const struct candidate *candidate, const char *reason)
{
    if (candidate->line > 0)
        printf("left out: %s:%u: %s\n", candidate->file, candidate->line, reason);
    else
        printf("left out: %s: %s\n", candidate->file, reason);
    import->left++;
}

static enum km_code write_copy(const char *path, const struct km_buf *text, struct km_err *err)
{
    struct km_newfile *file KM_CLEANUP(km_newfile_cleanup) = km_newfile_open(path, err);
    enum km_code code = file ? km_newfile_write(file, km_buf_text(text), text->length, err) : err->code;
    return code == KM_OK ? km_newfile_commit(file, err) : code;
}

static bool same_text(const char *path, const struct km_buf *text)
{
    struct km_err ignored = KM_ERR_INIT;
    struct km_buf other;
    km_buf_init(&other, KM_RULES_MAX_FILE_BYTES);
    bool same = km_buf_append_file(&other, path, &ignored) == KM_OK && other.length == text->length &&
                memcmp(km_buf_text(&other), km_buf_text(text), text->length) == 0;
    km_buf_done(&other);
    return same;
}

/* The rule of that id in the folder, and how many rules its file has. */
static const struct km_rule *find_present(const struct import *import, const char *id, unsigned *out_in_file)
{
    const struct km_rule *found = NULL;
    for (size_t i = 0; i < km_rules_count(import->present) && !found; i++)
        if (strcmp(km_rules_get(import->present, i)->id, id) == 0)
            found = km_rules_get(import->present, i);
    *out_in_file = 0;
    for (size_t i = 0; i < km_rules_count(import->present) && found; i++)
        *out_in_file += strcmp(km_rules_get(import->present, i)->file, found->file) == 0;
    return found;
}

/* Where a new file goes: under its own name, or the rule's id when another rule has that name. */
static enum km_code place_of(const struct import *import, const struct candidate *candidate, char path[PATH_BYTES],
                             struct km_err *err)
{
    struct stat st;
    const char *slash = strrchr(candidate->file, '/');
    int length = snprintf(path, PATH_BYTES, "%s/%s", import->to, slash ? slash + 1 : candidate->file);
    if (length < PATH_BYTES && lstat(path, &st) == 0)
        length = snprintf(path, PATH_BYTES, "%s/%s.yml", import->to, candidate->id);
    if (length >= PATH_BYTES)
        return km_fail(err, KM_LIMIT, "a path below %.200s is longer than %d bytes", import->to, PATH_BYTES);
    return lstat(path, &st) == 0 ? km_fail(err, KM_CONFLICT, "%s is there and is another rule", path) : KM_OK;
}

static enum km_code take(struct import *import, const struct candidate *candidate, const struct km_buf *text,
                         struct km_err *err)
{
    char path[PATH_BYTES];
    unsigned in_file;
    const struct km_rule *present = find_present(import, candidate->id, &in_file);
    if (present && same_text(present->file, text)) {
        import->same++;
        return KM_OK;
    }
    if (present && (!import->force || in_file > 1)) {
        (void)snprintf(path, sizeof path, "%.2000s has another rule of this id%s", present->file,
                       import->force ? ", beside other rules" : "; --force replaces it");
        leave_out(import, candidate, path);
        return KM_OK;
    }
    enum km_code code = KM_OK;
    if (present)
        (void)snprintf(path, sizeof path, "%s", present->file);
    else
        code = place_of(import, candidate, path, err);
    if (code == KM_CONFLICT) {
        leave_out(import, candidate, err->text);
        return KM_OK;
    }
    if (code == KM_OK)
        code = write_copy(path, text, err);
    import->copied += code == KM_OK;
    return code;
}

static enum km_code take_file(struct import *import, const struct candidate *candidate, struct km_err *err)
{
    struct km_buf text;
    if (candidate->reason) {
        leave_out(import, candidate, candidate->reason);
        return KM_OK;
    }
    km_buf_init(&text, KM_RULES_MAX_FILE_BYTES);
    enum km_code code = km_buf_append_file(&text, candidate->file, err);
    if (code == KM_OK)
        code = take(import, candidate, &text, err);
    km_buf_done(&text);
    return code;
}

static enum km_code read_both(struct import *import, const char *from, struct km_err *err)
{
    struct km_rules_listener listener = {import, note};
    struct km_rules *offered KM_CLEANUP(km_rules_cleanup) = km_rules_new(err);
    if (!offered)
        return err->code;
    enum km_code code = km_rules_load_path(offered, from, &listener, err);
    if (code != KM_OK || import->failed != KM_OK)
        return err->code;
    if (mkdir(import->to, 0777) != 0 && errno != EEXIST)
        return km_fail_errno(err, errno, "cannot make %s", import->to);
    return km_rules_load_path(import->present, import->to, NULL, err);
}

enum km_code km_rules_import(const char *from, const char *to, bool force, struct km_err *err)
{
    struct import import = {.to = to, .force = force, .err = err};
    import.names = km_arena_new(MAX_NAMES_BYTES, err);
    import.present = import.names ? km_rules_new(err) : NULL;
    enum km_code code = import.present ? read_both(&import, from, err) : err->code;
    for (size_t i = 0; i < import.count && code == KM_OK; i++)
        code = take_file(&import, &import.files[i], err);
    if (code == KM_OK)
        printf("%u files copied to %s, %u there already, %u left out\n", import.copied, to, import.same, import.left);
    free(import.files);
    km_rules_free(import.present);
    km_arena_free(import.names);
    return code;
}
