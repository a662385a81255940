#include "container/lab/corpusbuild.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/newfile.h"
#include "container/lab/dataset.h"
#include "container/lab/debfetch.h"
#include "container/lab/debmembers.h"

#define LINE_BYTES        2048
#define MAX_TOLD_FAILURES 2000

/* One place of a content: how it may be met again. */
struct content {
    uint8_t sha256[KM_SHA256_BYTES];
    uint32_t line; /* of the table */
    bool positive, clash;
};

struct build {
    const struct km_recipes *recipes;
    const struct km_corpus_options *options;
    struct km_newfile *blob;
    struct km_json *failures;
    struct km_corpus_report report;
    char **lines; /* of the table, in order; NULL: dropped */
    size_t line_count, line_capacity;
    struct content *contents; /* open addressing by the digest's first bytes; line UINT32_MAX: free */
    size_t slots;
    struct km_digest *digest;

    pthread_mutex_t lock; /* guards all below, and all above while workers run */
    pthread_cond_t turn;
    size_t next_start, next_commit;
    enum km_code code; /* the first failure that ends the build */
    struct km_err err;
};

/* ---- What one recipe adds (under the lock, in the recipes' order) ---- */

static struct content *find_content(struct build *build, const uint8_t *sha256)
{
    uint64_t hash;
    memcpy(&hash, sha256, sizeof hash);
    size_t slot = (size_t)hash & (build->slots - 1);
    while (build->contents[slot].line != UINT32_MAX &&
           memcmp(build->contents[slot].sha256, sha256, KM_SHA256_BYTES) != 0)
        slot = (slot + 1) & (build->slots - 1);
    return &build->contents[slot];
}

static enum km_code add_line(struct build *build, const struct km_recipe *recipe, const struct km_debmember *member,
                             struct km_err *err)
{
    enum km_code code = km_grow((void **)&build->lines, &build->line_capacity, build->line_count + 1,
                                sizeof *build->lines, KM_DATASET_MAX_SAMPLES, err);
    if (code != KM_OK)
        return code;
    char line[LINE_BYTES], hex[KM_SHA256_HEX_BYTES];
    km_hex_format(member->sha256, KM_SHA256_BYTES, hex);
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%llu\t%zu\t%s\t%s\n",
                          km_recipe_role_to_string(recipe->role), km_recipe_split_to_string(recipe->split),
                          km_sample_kind_to_string(member->kind), recipe->family, recipe->suite, recipe->architecture,
                          recipe->package, recipe->version, recipe->language, (unsigned long long)build->report.bytes,
                          member->length, hex, member->path);
    KM_ASSERT(length > 0 && (size_t)length < sizeof line);
    build->lines[build->line_count] = km_strndup(line, (size_t)length, err);
    if (!build->lines[build->line_count])
        return err->code;
    build->line_count++;
    build->report.bytes += member->length;
    return km_newfile_write(build->blob, member->bytes, member->length, err);
}

/* The first of equal contents stays; one that both classes have goes, bytes and all but its place in the blob. */
static enum km_code add_member(struct build *build, const struct km_recipe *recipe, const struct km_debmember *member,
                               struct km_err *err)
{
    bool positive = recipe->role == KM_RECIPE_POSITIVE;
    struct content *content = find_content(build, member->sha256);
    if (content->line != UINT32_MAX) {
        build->report.dropped++;
        if (content->positive != positive && !content->clash) {
            content->clash = true;
            free(km_steal(build->lines[content->line]));
            build->report.dropped++;
        }
        return KM_OK;
    }
    enum km_code code = add_line(build, recipe, member, err);
    if (code == KM_OK) {
        memcpy(content->sha256, member->sha256, KM_SHA256_BYTES);
        content->line = (uint32_t)(build->line_count - 1);
        content->positive = positive;
    }
    return code;
}

static void add_failure(struct build *build, const struct km_recipe *recipe, const struct km_err *cause)
{
    build->report.failed++;
    if (km_json_size(build->failures) >= MAX_TOLD_FAILURES)
        return;
    struct km_json *failure = km_json_new_object();
    km_json_set_string(failure, "package", recipe->path);
    km_json_set_string(failure, "reason", cause->text);
    km_json_append(build->failures, failure);
}

/* Which failures are the recipe's own, and which end the build. */
static bool is_fatal(enum km_code code)
{
    return code == KM_NOMEM || code == KM_CANCELLED || code == KM_DENIED;
}

static enum km_code commit(struct build *build, const struct km_recipe *recipe, const struct km_debmembers *members,
                           struct km_err *cause, struct km_err *err)
{
    char line[LINE_BYTES], hex[KM_SHA256_HEX_BYTES];
    km_hex_format(recipe->sha256, KM_SHA256_BYTES, hex);
    (void)snprintf(line, sizeof line, "%s %s %s %s %s\n", hex, cause->code == KM_OK ? "ok" : "failed",
                   km_recipe_role_to_string(recipe->role), km_recipe_split_to_string(recipe->split), recipe->family);
    km_digest_update(build->digest, line, strlen(line));
    if (cause->code != KM_OK)
        add_failure(build, recipe, cause);
    enum km_code code = KM_OK;
    for (size_t i = 0; i < members->count && code == KM_OK; i++)
        code = add_member(build, recipe, &members->members[i], err);
    return code;
}

/* ---- Workers ---- */

static void read_package(const struct build *build, const struct km_recipe *recipe, struct km_debmembers *members,
                         struct km_err *err)
{
    const struct km_corpus_options *options = build->options;
    const struct km_debfetch fetch = {.mirror = options->mirror, .cache = options->cache, .cancel = options->cancel};
    char path[KM_DEBFETCH_PATH_BYTES];
    size_t most = recipe->role == KM_RECIPE_POSITIVE ? KM_CORPUS_POSITIVE_FILES : KM_CORPUS_BENIGN_FILES;
    if (km_debfetch_get(&fetch, recipe, path, err) == KM_OK &&
        km_debmembers_read(path, recipe->package, most, options->cancel, members, err) != KM_OK)
        (void)km_err_wrap(err, "%s", recipe->path);
}

/* Takes recipes in order and commits in order: a slow one holds the others back, at most one package each. */
static void *work(void *context)
{
    struct build *build = context;
    (void)pthread_mutex_lock(&build->lock);
    while (build->code == KM_OK && build->next_start < build->recipes->count) {
        size_t number = build->next_start++;
        const struct km_recipe *recipe = &build->recipes->rows[number];
        (void)pthread_mutex_unlock(&build->lock);
        struct km_debmembers members = {0};
        struct km_err cause = KM_ERR_INIT;
        read_package(build, recipe, &members, &cause);
        (void)pthread_mutex_lock(&build->lock);
        while (build->next_commit != number)
            (void)pthread_cond_wait(&build->turn, &build->lock);
        if (build->code == KM_OK && is_fatal(cause.code)) {
            build->code = cause.code;
            build->err = cause;
        }
        if (build->code == KM_OK)
            build->code = commit(build, recipe, &members, &cause, &build->err);
        build->next_commit++;
        if (build->options->progress)
            build->options->progress(build->options->context, build->next_commit, build->recipes->count,
                                     cause.code == KM_OK ? NULL : cause.text);
        (void)pthread_cond_broadcast(&build->turn);
        km_debmembers_done(&members);
    }
    (void)pthread_mutex_unlock(&build->lock);
    return NULL;
}

static enum km_code run_workers(struct build *build, struct km_err *err)
{
    pthread_t threads[KM_CORPUS_MAX_JOBS];
    unsigned started = 0;
    while (started < build->options->jobs && pthread_create(&threads[started], NULL, work, build) == 0)
        started++;
    if (started == 0)
        return km_fail(err, KM_NOMEM, "no thread could be started");
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    if (build->code != KM_OK)
        *err = build->err;
    return build->code;
}

/* ---- Files ---- */

static enum km_code write_table(struct build *build, const char *path, struct km_err *err)
{
    KM_CLEANUP(km_newfile_cleanup) struct km_newfile *file = km_newfile_open(path, err);
    if (!file)
        return err->code;
    static const char head[] = KM_DATASET_TABLE_HEAD "\n";
    enum km_code code = km_newfile_write(file, head, sizeof head - 1, err);
    for (size_t i = 0; i < build->line_count && code == KM_OK; i++)
        if (build->lines[i]) {
            build->report.samples++;
            km_digest_update(build->digest, build->lines[i], strlen(build->lines[i]));
            code = km_newfile_write(file, build->lines[i], strlen(build->lines[i]), err);
        }
    if (code == KM_OK && build->report.samples == 0)
        code = km_fail(err, KM_NOTFOUND, "no package gave a sample");
    return code == KM_OK ? km_newfile_commit(file, err) : code;
}

static enum km_code write_summary(struct build *build, const char *path, struct km_err *err)
{
    uint8_t digest[KM_SHA256_BYTES];
    km_digest_finish(build->digest, digest);
    km_hex_format(digest, sizeof digest, build->report.digest);
    KM_CLEANUP(km_json_cleanup) struct km_json *root = km_json_new_object();
    km_json_set_integer(root, "komainu_dataset", 1);
    km_json_set_string(root, "digest", build->report.digest);
    km_json_set_integer(root, "recipes", (int64_t)build->report.recipes);
    km_json_set_integer(root, "failed", (int64_t)build->report.failed);
    km_json_set_integer(root, "samples", (int64_t)build->report.samples);
    km_json_set_integer(root, "dropped", (int64_t)build->report.dropped);
    km_json_set_integer(root, "bytes", (int64_t)build->report.bytes);
    km_json_set(root, "failures", km_steal(build->failures));
    struct km_buf text;
    km_buf_init(&text, (size_t)8 << 20);
    enum km_code code = km_json_format(root, 2, &text, err);
    KM_CLEANUP(km_newfile_cleanup) struct km_newfile *file = code == KM_OK ? km_newfile_open(path, err) : NULL;
    if (code == KM_OK)
        code = file ? km_newfile_write(file, text.data, text.length, err) : err->code;
    if (code == KM_OK)
        code = km_newfile_commit(file, err);
    km_buf_done(&text);
    return code;
}

static enum km_code make_folder(const char *path, struct km_err *err)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? KM_OK : km_fail_errno(err, errno, "cannot make %s", path);
}

static enum km_code name_file(const struct km_corpus_options *options, const char *name, char out[4096],
                              struct km_err *err)
{
    return snprintf(out, 4096, "%s/%s", options->folder, name) < 4096
               ? KM_OK
               : km_fail(err, KM_LIMIT, "the path of the data set is too long");
}

/* The summary comes last: without the right one nothing opens the data set. */
static enum km_code run_build(struct build *build, struct km_err *err)
{
    char path[4096];
    enum km_code code = make_folder(build->options->folder, err);
    if (code == KM_OK)
        code = make_folder(build->options->cache, err);
    if (code == KM_OK)
        code = name_file(build->options, KM_DATASET_BLOB, path, err);
    if (code != KM_OK)
        return code;
    build->blob = km_newfile_open(path, err);
    if (!build->blob)
        return err->code;
    code = run_workers(build, err);
    if (code == KM_OK)
        code = name_file(build->options, KM_DATASET_SUMMARY, path, err);
    if (code == KM_OK && remove(path) != 0 && errno != ENOENT)
        code = km_fail_errno(err, errno, "cannot replace %s", path);
    if (code == KM_OK)
        code = km_newfile_commit(build->blob, err);
    if (code == KM_OK)
        code = name_file(build->options, KM_DATASET_TABLE, path, err);
    if (code == KM_OK)
        code = write_table(build, path, err);
    if (code == KM_OK)
        code = name_file(build->options, KM_DATASET_SUMMARY, path, err);
    return code == KM_OK ? write_summary(build, path, err) : code;
}

static size_t slots_for(size_t recipes)
{
    size_t slots = 1024;
    while (slots < 2 * recipes * KM_CORPUS_BENIGN_FILES)
        slots *= 2;
    return slots;
}

static void build_done(struct build *build)
{
    km_newfile_close(build->blob);
    km_json_free(build->failures);
    km_digest_free(build->digest);
    for (size_t i = 0; i < build->line_count; i++)
        free(build->lines[i]);
    free((void *)build->lines);
    free(build->contents);
}

enum km_code km_corpus_build(const struct km_recipes *recipes, const struct km_corpus_options *options,
                             struct km_corpus_report *out, struct km_err *err)
{
    KM_ASSERT(options->jobs >= 1 && options->jobs <= KM_CORPUS_MAX_JOBS);
    struct build build = {
        .recipes = recipes,
        .options = options,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .turn = PTHREAD_COND_INITIALIZER,
        .slots = slots_for(recipes->count),
    };
    build.report.recipes = recipes->count;
    build.contents = km_calloc(build.slots, sizeof *build.contents, (size_t)1 << 30, err);
    if (!build.contents)
        return err->code;
    for (size_t i = 0; i < build.slots; i++)
        build.contents[i].line = UINT32_MAX;
    build.digest = km_digest_new(KM_DIGEST_SHA256, err);
    build.failures = km_json_new_array();
    enum km_code code = build.digest ? KM_OK : err->code;
    if (code == KM_OK) {
        km_digest_reset(build.digest);
        code = run_build(&build, err);
    }
    if (code == KM_OK)
        *out = build.report;
    build_done(&build);
    return code;
}
