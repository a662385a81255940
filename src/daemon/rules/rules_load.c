#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "base/yaml.h"
#include "daemon/rules/rule_set.h"

#define MAX_NAMES   100000
#define MAX_SCRATCH ((size_t)64 << 20)
#define NAME_BYTES  4096

/* ---- one file ---- */

struct loading {
    struct km_rules *rules;
    const struct km_rules_listener *listener;
    const char *file;
};

static void report(const struct loading *loading, struct km_rule_report *report)
{
    struct km_rules_stats *stats = &loading->rules->stats;
    stats->refused += report->outcome == KM_RULE_REFUSED;
    stats->hidden += report->outcome == KM_RULE_HIDDEN;
    report->file = loading->file;
    if (loading->listener)
        loading->listener->report(loading->listener->context, report);
}

static void refuse_file(const struct loading *loading, unsigned line, const struct km_err *reason)
{
    struct km_rule_report refusal = {.line = line, .id = "", .title = "", .outcome = KM_RULE_REFUSED, .reason = reason};
    report(loading, &refusal);
}

static bool is_separator(const char *at, const char *end)
{
    return end - at >= 3 && memcmp(at, "---", 3) == 0 && (end - at == 3 || strchr(" \t\r\n", at[3]));
}

static const char *after_line(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline + 1 : end;
}

/* The span of each document in the file, for the lines in messages. */
struct spans {
    const char *at, *end;
    unsigned line;
};

static void skip_line(struct spans *spans)
{
    spans->at = after_line(spans->at, spans->end);
    spans->line++;
}

static void next_span(struct spans *spans, bool first, struct km_rule_document *out)
{
    while (first && spans->at < spans->end && strchr("#%\r\n", *spans->at) && *spans->at)
        skip_line(spans);
    if (spans->at < spans->end && is_separator(spans->at, spans->end))
        skip_line(spans);
    while (spans->at < spans->end && (*spans->at == '\n' || *spans->at == '#'))
        skip_line(spans);
    out->text = spans->at;
    out->line = spans->line;
    while (spans->at < spans->end && !is_separator(spans->at, spans->end))
        skip_line(spans);
    out->length = (size_t)(spans->at - out->text);
}

/* A text of the document for a report, whatever it holds. */
static void read_name(const struct km_json *root, const char *key, char *out, size_t out_bytes)
{
    const char *text = km_json_text(km_json_member(root, key));
    (void)km_text_escape(text ? text : "", text ? strlen(text) : 0, out, out_bytes);
}

static enum km_code keep(struct km_rules *rules, const struct km_rule_document *document, const char *file,
                         struct km_err *err)
{
    struct km_rule_compiled rule;
    unsigned line;
    enum km_code code = km_rule_compile(document, rules->arena, &rule, &line, err);
    if (code != KM_OK)
        return code;
    rule.about.file = km_arena_strndup(rules->arena, file, strlen(file), err);
    code = rule.about.file ? km_rules_add(rules, &rule, err) : err->code;
    if (code != KM_OK)
        km_rule_regex_free_all(rule.regexes);
    return code;
}

/* Compiles a document twice: into memory of its own first, so that what is refused leaves nothing behind. */
static enum km_code load_document(const struct loading *loading, const struct km_rule_document *document,
                                  struct km_err *err)
{
    char id[128], title[512];
    struct km_rule_compiled trial;
    struct km_err reason = KM_ERR_INIT;
    struct km_rule_report outcome = {.line = document->line, .id = id, .title = title, .outcome = KM_RULE_LOADED};
    read_name(document->root, "id", id, sizeof id);
    read_name(document->root, "title", title, sizeof title);
    struct km_arena *scratch = km_arena_new(MAX_SCRATCH, err);
    if (!scratch)
        return err->code;
    const struct km_rule_compiled *earlier = NULL;
    enum km_code code = km_rule_compile(document, scratch, &trial, &outcome.line, &reason);
    if (code == KM_OK) {
        earlier = km_rules_find(loading->rules, trial.about.id);
        km_rule_regex_free_all(trial.regexes);
    }
    km_arena_free(scratch);
    if (code == KM_NOMEM)
        return km_fail(err, KM_NOMEM, "%s", reason.text);
    if (code != KM_OK) {
        outcome.outcome = KM_RULE_REFUSED;
        outcome.reason = &reason;
    } else if (earlier) {
        (void)km_fail(&reason, KM_CONFLICT, "its id was loaded before, from %s", earlier->about.file);
        outcome.outcome = KM_RULE_HIDDEN;
        outcome.reason = &reason;
    } else {
        code = keep(loading->rules, document, loading->file, err);
        if (code != KM_OK)
            return code;
        outcome.rule = km_rules_get(loading->rules, km_rules_count(loading->rules) - 1);
        outcome.id = outcome.rule->id;
        outcome.title = outcome.rule->title;
    }
    report(loading, &outcome);
    return KM_OK;
}

static enum km_code load_text(const struct loading *loading, const char *text, size_t length, struct km_err *err)
{
    struct km_err reason = KM_ERR_INIT;
    struct km_yaml *yaml KM_CLEANUP(km_yaml_cleanup) = km_yaml_open(text, length, KM_RULES_MAX_FILE_BYTES, &reason);
    struct spans spans = {text, text + length, 1};
    size_t documents = 0;
    if (!yaml && reason.code == KM_NOMEM)
        return km_fail(err, KM_NOMEM, "%s", reason.text);
    for (bool first = true; yaml; first = false) {
        struct km_json *root KM_CLEANUP(km_json_cleanup) = NULL;
        if (km_yaml_next(yaml, &root, &reason) != KM_OK)
            break;
        if (!root) {
            if (documents > 0)
                return KM_OK;
            (void)km_fail(&reason, KM_FORMAT, "the file holds no rule");
            break;
        }
        struct km_rule_document document = {.root = root};
        next_span(&spans, first, &document);
        if (km_json_type(root) == KM_JSON_NULL)
            continue;
        documents++;
        enum km_code code = load_document(loading, &document, err);
        if (code != KM_OK)
            return code;
    }
    if (reason.code == KM_NOMEM)
        return km_fail(err, KM_NOMEM, "%s", reason.text);
    unsigned line = 0;                               /* the parser's text begins with "line N: " */
    if (sscanf(reason.text, "line %9u", &line) != 1) /* NOLINT(cert-err34-c): a width bounds it */
        line = 0;
    refuse_file(loading, line, &reason);
    return KM_OK;
}

static enum km_code read_file(int fd, struct km_buf *text, struct km_err *err)
{
    char block[16384];
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read the file");
        if (got == 0)
            return KM_OK;
        enum km_code code = km_buf_append(text, block, (size_t)got, err);
        if (code == KM_LIMIT)
            return km_fail(err, KM_LIMIT, "the file is larger than %zu bytes", KM_RULES_MAX_FILE_BYTES);
        if (code != KM_OK)
            return code;
    }
}

enum km_code km_rules_load_file(struct km_rules *rules, int fd, const char *name,
                                const struct km_rules_listener *listener, struct km_err *err)
{
    struct km_err reason = KM_ERR_INIT;
    struct km_buf text;
    struct loading loading = {rules, listener, name};
    km_buf_init(&text, KM_RULES_MAX_FILE_BYTES);
    rules->stats.files++;
    enum km_code code = read_file(fd, &text, &reason);
    if (code == KM_OK) {
        code = load_text(&loading, km_buf_text(&text), text.length, err);
    } else if (code == KM_NOMEM) {
        (void)km_fail(err, KM_NOMEM, "%s", reason.text);
    } else {
        refuse_file(&loading, 0, &reason);
        code = KM_OK;
    }
    km_buf_done(&text);
    return code;
}

/* ---- a folder ---- */

struct level {
    int fd;
    char **names;
    size_t count, next;
    size_t name_length; /* of the folder in walk.name */
};

struct walk {
    struct km_rules *rules;
    const struct km_rules_listener *listener;
    struct level levels[KM_RULES_MAX_DEPTH];
    size_t depth;
    size_t files;
    char name[NAME_BYTES];
};

static void leave(struct walk *walk)
{
    struct level *level = &walk->levels[--walk->depth];
    for (size_t i = 0; i < level->count; i++)
        free(level->names[i]);
    free(level->names);
    (void)close(level->fd);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum km_code read_names(struct level *level, struct km_err *err)
{
    size_t capacity = 0;
    int copy = openat(level->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *item;
    enum km_code code = KM_OK;
    if (!dir) {
        code = km_fail_errno(err, errno, "cannot list the folder");
        if (copy >= 0)
            (void)close(copy);
        return code;
    }
    for (errno = 0; code == KM_OK && (item = readdir(dir)); errno = 0) {
        if (item->d_name[0] == '.')
            continue;
        void *array = level->names;
        code = km_grow(&array, &capacity, level->count + 1, sizeof *level->names, MAX_NAMES, err);
        if (code != KM_OK)
            break;
        level->names = array;
        level->names[level->count] = km_strndup(item->d_name, strlen(item->d_name), err);
        code = level->names[level->count] ? KM_OK : err->code;
        level->count += code == KM_OK;
    }
    if (code == KM_OK && errno != 0)
        code = km_fail_errno(err, errno, "cannot list the folder");
    (void)closedir(dir);
    if (level->count > 0)
        qsort(level->names, level->count, sizeof *level->names, by_bytes);
    return code;
}

/* Takes over fd. */
static enum km_code enter(struct walk *walk, int fd, size_t name_length, struct km_err *err)
{
    if (walk->depth >= KM_RULES_MAX_DEPTH) {
        (void)close(fd);
        return km_fail(err, KM_LIMIT, "folders are nested deeper than %d", KM_RULES_MAX_DEPTH);
    }
    struct level *level = &walk->levels[walk->depth++];
    *level = (struct level){.fd = fd, .name_length = name_length};
    enum km_code code = read_names(level, err);
    if (code != KM_OK)
        leave(walk);
    return code;
}

static bool is_rule_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0);
}

static enum km_code visit(struct walk *walk, const struct level *level, const char *name, struct km_err *err)
{
    struct stat st;
    struct km_err reason = KM_ERR_INIT;
    struct loading loading = {walk->rules, walk->listener, walk->name};
    size_t length = level->name_length + strlen(name) + 1;
    if (length >= sizeof walk->name)
        return km_fail(err, KM_LIMIT, "a path below %.200s is longer than %d bytes", walk->name, NAME_BYTES);
    walk->name[level->name_length] = '/';
    memcpy(walk->name + level->name_length + 1, name, strlen(name) + 1);
    if (fstatat(level->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return KM_OK; /* gone meanwhile */
    bool folder = S_ISDIR(st.st_mode);
    if (!folder && !(S_ISREG(st.st_mode) && is_rule_file(name)))
        return KM_OK;
    if (!folder && ++walk->files > KM_RULES_MAX_FILES)
        return km_fail(err, KM_LIMIT, "more than %d files", KM_RULES_MAX_FILES);
    int fd = openat(level->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (folder ? O_DIRECTORY : 0));
    enum km_code code = fd < 0 ? km_fail_errno(&reason, errno, "cannot open it") : KM_OK;
    if (code == KM_OK && folder) {
        code = enter(walk, fd, length, &reason);
        if (code == KM_NOMEM)
            return km_fail(err, code, "%s", reason.text);
    } else if (code == KM_OK) {
        code = km_rules_load_file(walk->rules, fd, walk->name, walk->listener, err);
        (void)close(fd);
        return code;
    }
    if (code != KM_OK)
        refuse_file(&loading, 0, &reason);
    return KM_OK;
}

enum km_code km_rules_load_folder(struct km_rules *rules, int dirfd, const char *name,
                                  const struct km_rules_listener *listener, struct km_err *err)
{
    int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", name);
    struct walk *walk = km_calloc(1, sizeof *walk, SIZE_MAX, err);
    if (!walk) {
        (void)close(fd);
        return err->code;
    }
    walk->rules = rules;
    walk->listener = listener;
    int length = snprintf(walk->name, sizeof walk->name, "%s", name);
    while (length > 1 && length < NAME_BYTES && walk->name[length - 1] == '/')
        walk->name[--length] = '\0';
    enum km_code code = length < NAME_BYTES ? enter(walk, fd, (size_t)length, err)
                                            : km_fail(err, KM_LIMIT, "a path longer than %d bytes", NAME_BYTES);
    if (code != KM_OK)
        code = km_err_wrap(err, "%s", name);
    while (code == KM_OK && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        if (level->next < level->count)
            code = visit(walk, level, level->names[level->next++], err);
        else
            leave(walk);
    }
    while (walk->depth > 0)
        leave(walk);
    free(walk);
    return code;
}

enum km_code km_rules_load_path(struct km_rules *rules, const char *path, const struct km_rules_listener *listener,
                                struct km_err *err)
{
    struct stat st;
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return km_fail_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return km_rules_load_folder(rules, fd, path, listener, err);
    if (!S_ISREG(st.st_mode))
        return km_fail(err, KM_FORMAT, "%s is neither a file nor a folder", path);
    return km_rules_load_file(rules, fd, path, listener, err);
}
