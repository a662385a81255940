#include "container/scan/examine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "container/scan/fileformat.h"
#include "container/scan/inside.h"
#include "container/scan/packing.h"

#define MAX_PACKAGE_FILES 2000000
/* Zeros of a sparse file's holes that are hashed; what is larger keeps no hash, since hashing 8 GB of nothing that the
 * image does not even store is the attacker's gain. The hole itself counts as examined, for it is known to be zero;
 * that the file was not looked up in the lists of hashes is a gap, or a hole would hide any file from them. */
#define MAX_HASHED_HOLE_BYTES ((uint64_t)64 << 20)

/* An open file. As many as the source nests; kept for reuse. */
struct open_file {
    struct open_file *next; /* in the stack of open files, or in the free list */
    struct km_record *record;
    struct km_digest *sha256;
    struct km_digest *md5;
    struct km_package_file *package_file;
    struct km_pipeline_file *scored; /* or NULL */
    struct km_packing_state packing;
    enum km_policy_mode mode;
    uint64_t reached;  /* end of the last block */
    uint64_t received; /* bytes that really came: less than reached behind a damaged region */
    uint64_t holes;
    unsigned depth;
    bool hashable;
    bool is_unpacked;    /* what UPX had packed in it was delivered whole, and is judged on its own */
    bool is_upx_content; /* it is such content */
    bool has_code_name;
    bool is_recalled;        /* its content is not delivered */
    bool is_keepable;        /* so far: what the cache may remember of the file that holds it. Hashed here */
    struct km_inside inside; /* at depth 0 */
    char *path;              /* kept where a gap may have to name it; or NULL */
    uint8_t head[KM_FILEFORMAT_HEAD_BYTES];
    size_t head_bytes;
};

struct km_examine {
    const struct km_examine_options *options;
    struct km_entry_sink sink;
    struct km_records *records;
    struct km_package_db *packages;
    struct km_package_file **package_files;
    size_t package_file_count, package_file_capacity;
    struct open_file *open; /* innermost first */
    struct open_file *unused;
    struct km_links *links;
    uint64_t gaps;
    struct km_examine_left_out left_out;
    struct km_pipeline *pipeline; /* or NULL */
    struct open_file *feeding;    /* whose bytes the pipeline hands back to be hashed */
    pthread_mutex_t lock;         /* of the records' kept hashes, to which workers add */
};

static struct open_file *take_open_file(struct km_examine *examine, struct km_err *err)
{
    struct open_file *file = examine->unused;
    if (file) {
        examine->unused = file->next;
        struct km_digest *sha256 = file->sha256;
        struct km_digest *md5 = file->md5;
        *file = (struct open_file){.sha256 = sha256, .md5 = md5};
        km_digest_reset(sha256);
        km_digest_reset(md5);
        return file;
    }
    file = km_calloc(1, sizeof *file, sizeof *file, err);
    if (!file)
        return NULL;
    file->sha256 = km_digest_new(KM_DIGEST_SHA256, err);
    file->md5 = file->sha256 ? km_digest_new(KM_DIGEST_MD5, err) : NULL;
    if (!file->md5) {
        km_digest_free(file->sha256);
        free(file);
        return NULL;
    }
    return file;
}

static void free_list(struct open_file *file)
{
    while (file) {
        struct open_file *next = file->next;
        km_digest_free(file->sha256);
        km_digest_free(file->md5);
        free(file->path);
        free(file);
        file = next;
    }
}

/* A database file above the memory limit spoils the comparison, not the scan. */
static enum km_code begin_package_file(struct km_examine *examine, const struct km_entry *entry, struct open_file *file,
                                       struct km_err *err)
{
    struct km_package_file *package_file = km_package_db_begin(examine->packages, entry->path, err);
    if (!package_file && err->code == KM_LIMIT) {
        km_package_db_spoil(examine->packages, err->text);
        return KM_OK;
    }
    if (!package_file)
        return err->code;
    void *list = examine->package_files;
    enum km_code code = km_grow(&list, &examine->package_file_capacity, examine->package_file_count + 1,
                                sizeof(struct km_package_file *), MAX_PACKAGE_FILES, err);
    examine->package_files = list;
    if (code != KM_OK)
        return code;
    examine->package_files[examine->package_file_count++] = package_file;
    file->package_file = package_file;
    file->record->package_file = (uint32_t)examine->package_file_count;
    return KM_OK;
}

static enum km_code begin_picture(struct km_examine *examine, const struct km_entry *entry, struct km_record *record,
                                  struct km_err *err)
{
    uint64_t number = 0;
    if (!examine->options->mosaic)
        return KM_OK;
    enum km_code code = km_mosaic_begin_entry(examine->options->mosaic, entry->blob, &number, err);
    record->picture_entry = (uint32_t)number; /* entries are counted with 32 bits, too */
    return code;
}

/* A member is examined no more than the archive that holds it: its bytes are the archive's. */
static enum km_code choose_mode(const struct km_examine *examine, const struct km_entry *entry, struct open_file *file,
                                struct km_err *err)
{
    bool has_lists = examine->options->hashes && km_hashlist_count(examine->options->hashes) > 0;
    file->mode = km_policy_find(examine->options->policy, entry->path);
    if (entry->depth > 0 && file->next && file->next->mode > file->mode)
        file->mode = file->next->mode;
    file->record->is_skipped = file->mode == KM_POLICY_SKIP;
    file->hashable = file->mode < KM_POLICY_METADATA;
    if (!has_lists && file->mode == KM_POLICY_WHOLE)
        return KM_OK;
    file->path = km_strndup(entry->path, strlen(entry->path), err);
    return file->path ? KM_OK : err->code;
}

/* The file of a layer that is open, with all that is open within it; NULL: none. */
static struct open_file *outermost(const struct km_examine *examine)
{
    struct open_file *file = examine->open;
    while (file && file->next)
        file = file->next;
    return file;
}

static enum km_code begin_scoring(struct km_examine *examine, const struct km_entry *entry, struct open_file *file,
                                  struct km_err *err)
{
    km_packing_init(&file->packing, entry->size == KM_SIZE_UNKNOWN ? UINT64_MAX : entry->size);
    file->is_recalled = entry->depth == 1 && file->next->inside.is_known;
    if (!examine->pipeline || file->mode >= KM_POLICY_METADATA || file->is_recalled)
        return KM_OK;
    file->is_keepable = entry->depth == 1 && file->next->inside.is_asked && entry->size == KM_SIZE_UNKNOWN;
    file->has_code_name = km_fileformat_has_code_suffix(entry->path);
    const struct km_pipeline_begin begin = {.id = entry->id,
                                            .tag = file->record,
                                            .wants_md5 = entry->depth == 0,
                                            .sample = file->mode == KM_POLICY_FRAGMENTS};
    return km_pipeline_open(examine->pipeline, &begin, &file->scored, err);
}

static enum km_code begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct km_examine *examine = context;
    struct open_file *outer = outermost(examine);
    if (outer)
        outer->inside.members++;
    if (entry->type != KM_ENTRY_FILE)
        return km_links_add(examine->links, entry, err);
    struct km_record *record = km_records_touch(examine->records, entry->id, err);
    if (!record)
        return err->code;
    struct open_file *file = take_open_file(examine, err);
    if (!file)
        return err->code;
    *record =
        (struct km_record){.uid = entry->uid, .mode = (uint16_t)(entry->mode & 07777), .has_odd_name = entry->odd_name};
    file->record = record;
    file->depth = entry->depth;
    file->is_unpacked = false;
    file->is_upx_content = entry->depth > 0 && strcmp(entry->path, "upx") == 0; /* source/upx.h */
    file->next = examine->open;
    examine->open = file;
    *out_state = file;
    if (choose_mode(examine, entry, file, err) != KM_OK || begin_scoring(examine, entry, file, err) != KM_OK)
        return err->code;
    if (entry->depth == 0 && begin_picture(examine, entry, record, err) != KM_OK)
        return err->code;
    if (entry->depth == 0 && km_package_wants(entry->path) != KM_PACKAGE_FILE_NONE)
        return begin_package_file(examine, entry, file, err);
    return KM_OK;
}

static void hash_zeros(struct open_file *file, uint64_t length)
{
    static const uint8_t zeros[64 << 10];
    while (length > 0) {
        size_t n = length < sizeof zeros ? (size_t)length : sizeof zeros;
        km_digest_update(file->sha256, zeros, n);
        km_digest_update(file->md5, zeros, n);
        length -= n;
    }
}

static enum km_code take_hole(struct open_file *file, uint64_t length, struct km_err *err)
{
    if (file->package_file) { /* no package manager writes its database with holes */
        enum km_code code = km_package_file_end(file->package_file, false, err);
        file->package_file = NULL;
        if (code != KM_OK)
            return code;
    }
    file->holes += length;
    file->hashable = file->hashable && file->holes <= MAX_HASHED_HOLE_BYTES;
    if (file->hashable && !file->scored)
        hash_zeros(file, length);
    return KM_OK;
}

static void hash_bytes(struct open_file *file, const void *bytes, uint64_t length)
{
    km_digest_update(file->sha256, bytes, (size_t)length);
    if (file->depth == 0)
        km_digest_update(file->md5, bytes, (size_t)length);
}

/* The pipeline's, for files that it does not hash itself. */
static void hash_again(void *context, void *tag, const uint8_t *bytes, uint64_t length)
{
    const struct km_examine *examine = context;
    struct open_file *file = examine->feeding;
    (void)tag;
    if (file->hashable && bytes)
        hash_bytes(file, bytes, length);
    else if (file->hashable)
        hash_zeros(file, length);
}

/* Models are asked about programs only (km_record_is_program); of data their answer would take no part. */
static void choose_scoring(struct open_file *file)
{
    if (!file->has_code_name && km_fileformat_detect(file->head, file->head_bytes) == KM_FORMAT_DATA)
        km_pipeline_hash_only(file->scored);
}

/* From the first block of what a compressed file holds: data of which the cache may say next time what it is. */
static void choose_keeping(struct open_file *file, bool is_enough)
{
    file->is_keepable =
        is_enough && !file->has_code_name && km_fileformat_detect(file->head, file->head_bytes) == KM_FORMAT_DATA;
    if (file->is_keepable)
        km_pipeline_abandon(km_steal(file->scored));
}

static enum km_code data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                         struct km_err *err)
{
    struct km_examine *examine = context;
    struct open_file *file = state;
    if (examine->options->mosaic && file->depth == 0)
        km_mosaic_add(examine->options->mosaic, bytes, length);
    if (file->mode >= KM_POLICY_METADATA) {
        file->reached = offset + length;
        file->received += length;
        return file->package_file && bytes ? km_package_file_feed(file->package_file, bytes, (size_t)length, err)
                                           : KM_OK;
    }
    if (offset < KM_FILEFORMAT_HEAD_BYTES) {
        size_t n =
            length < KM_FILEFORMAT_HEAD_BYTES - offset ? (size_t)length : (size_t)(KM_FILEFORMAT_HEAD_BYTES - offset);
        if (bytes)
            memcpy(file->head + offset, bytes, n);
        file->head_bytes = (size_t)offset + n;
    }
    if (file->is_keepable && offset == 0)
        choose_keeping(file, bytes && length >= KM_FILEFORMAT_HEAD_BYTES);
    /* Bytes missing before this block (a damaged region) leave nothing to compare. */
    if (offset != file->reached)
        file->hashable = false;
    file->reached = offset + length;
    file->received += length;
    km_packing_feed(&file->packing, bytes, length);
    enum km_code code = bytes ? KM_OK : take_hole(file, length, err);
    if (code == KM_OK && file->scored) {
        examine->feeding = file;
        if (file->reached >= KM_FILEFORMAT_HEAD_BYTES) /* the head is complete */
            choose_scoring(file);
        code = km_pipeline_feed(file->scored, offset, bytes, length, err);
    } else if (code == KM_OK && bytes && file->hashable) {
        hash_bytes(file, bytes, length);
    }
    if (code != KM_OK || !bytes)
        return code;
    if (file->package_file)
        return km_package_file_feed(file->package_file, bytes, (size_t)length, err);
    return KM_OK;
}

static enum km_code tell_unhashed(struct km_examine *examine, const struct open_file *file, struct km_err *err)
{
    const struct km_gap gap = {.reason = KM_GAP_LIMIT,
                               .where = file->path,
                               .offset = UINT64_MAX,
                               .bytes = file->received,
                               .detail = "holes too large to be hashed: not compared with the hash lists"};
    examine->gaps++;
    return examine->options->sink->gap(examine->options->sink->context, &gap, err);
}

/* What follows from a file's hashes. Workers call this for files that they hash: nothing of the record is the reading
 * thread's any more by then. */
static enum km_code take_hashes(struct km_examine *examine, struct km_record *record,
                                const struct km_pipeline_hashes *hashes, struct km_err *err)
{
    struct km_hash_match match;
    record->complete = true;
    if (hashes->has_md5)
        memcpy(record->md5, hashes->md5, sizeof record->md5);
    record->is_known = km_baseline_has_file(examine->options->baseline, hashes->sha256);
    record->is_listed = examine->options->hashes && km_hashlist_find(examine->options->hashes, hashes->sha256, &match);
    bool may_be_shown =
        record->is_listed || record->is_eicar || record->format != KM_FORMAT_DATA || (record->mode & 06111) != 0;
    if (!may_be_shown)
        return KM_OK;
    pthread_mutex_lock(&examine->lock);
    enum km_code code = km_records_keep_sha256(examine->records, record, hashes->sha256, err);
    pthread_mutex_unlock(&examine->lock);
    return code;
}

static enum km_code hashed(void *context, void *tag, const struct km_pipeline_hashes *hashes, struct km_err *err)
{
    return take_hashes(context, tag, hashes, err);
}

static enum km_code tell_left_out(struct km_examine *examine, const struct open_file *file, uint64_t bytes,
                                  struct km_err *err)
{
    const struct km_gap gap = {.reason = KM_GAP_POLICY,
                               .where = file->path,
                               .offset = UINT64_MAX,
                               .bytes = bytes,
                               .detail = km_policy_mode_to_string(file->mode)};
    examine->gaps++;
    if (file->depth == 0) {
        examine->left_out.bytes += bytes;
        examine->left_out.files++;
    }
    return examine->options->sink->gap(examine->options->sink->context, &gap, err);
}

/* The record as far as the reading thread knows it, before a worker may touch it. */
static void fill_record(struct open_file *file, bool complete)
{
    struct km_record *record = file->record;
    record->size = file->received;
    if (file->mode >= KM_POLICY_METADATA)
        return;
    record->format = (uint8_t)km_fileformat_detect(file->head, file->head_bytes);
    record->is_eicar = complete && km_fileformat_is_eicar(file->head, file->head_bytes, file->received);
    record->packing = complete ? (uint8_t)km_packing_end(&file->packing) : KM_PACKING_NONE;
    if (record->packing == KM_PACKING_UPX && file->is_unpacked)
        record->packing = KM_PACKING_NONE;
    if (complete && file->is_upx_content && file->next)
        file->next->is_unpacked = true;
}

/* What the cache knows of it, held against the lists of today. */
static enum km_code finish_recalled(struct km_examine *examine, const struct open_file *file, struct km_err *err)
{
    const struct km_segcache_inside *content = &file->next->inside.content;
    struct km_pipeline_hashes hashes = {.has_md5 = false};
    file->record->size = content->size;
    file->record->format = KM_FORMAT_DATA;
    memcpy(hashes.sha256, content->sha256, sizeof hashes.sha256);
    return take_hashes(examine, file->record, &hashes, err);
}

static enum km_code finish_record(struct km_examine *examine, struct open_file *file, bool complete, struct km_err *err)
{
    struct km_pipeline_end end = {.is_hashed = false};
    bool too_large = complete && file->path && file->holes > MAX_HASHED_HOLE_BYTES;
    enum km_code code = KM_OK;
    fill_record(file, complete);
    if (file->scored) {
        examine->feeding = file;
        choose_scoring(file);
        code = km_pipeline_end(km_steal(file->scored), complete && file->hashable, &end, err);
    }
    if (code == KM_OK && file->mode >= KM_POLICY_METADATA)
        return tell_left_out(examine, file, file->received, err);
    if (code == KM_OK && end.left_out > 0)
        code = tell_left_out(examine, file, end.left_out, err);
    if (code != KM_OK)
        return code;
    if (too_large)
        return tell_unhashed(examine, file, err);
    if (!complete || !file->hashable || end.is_hashed)
        return KM_OK;
    struct km_pipeline_hashes hashes = {.has_md5 = true};
    km_digest_finish(file->sha256, hashes.sha256);
    km_digest_finish(file->md5, hashes.md5);
    if (file->is_keepable && !file->record->is_eicar && file->record->packing == KM_PACKING_NONE)
        km_inside_note(&file->next->inside, file->record->size, hashes.sha256);
    return take_hashes(examine, file->record, &hashes, err);
}

static void close_file(struct km_examine *examine, struct open_file *file)
{
    for (struct open_file **at = &examine->open; *at; at = &(*at)->next)
        if (*at == file) {
            *at = file->next;
            break;
        }
    km_pipeline_abandon(km_steal(file->scored));
    free(file->path);
    file->path = NULL;
    file->next = examine->unused;
    examine->unused = file;
}

static enum km_code end(void *context, void *state, bool complete, struct km_err *err)
{
    struct km_examine *examine = context;
    struct open_file *file = state;
    if (!file)
        return KM_OK; /* not a regular file */
    if (examine->options->mosaic && file->depth == 0)
        km_mosaic_end_entry(examine->options->mosaic);
    enum km_code code =
        file->is_recalled ? finish_recalled(examine, file, err) : finish_record(examine, file, complete, err);
    if (code == KM_OK && complete)
        km_inside_keep(&file->inside, examine->options->cache);
    if (code == KM_OK && file->package_file)
        code = km_package_file_end(file->package_file, complete, err);
    close_file(examine, file);
    return code;
}

static enum km_code pass_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    const struct km_examine *examine = context;
    struct open_file *file = outermost(examine);
    if (file)
        file->inside.is_spoiled = true;
    return examine->options->sink->gap(examine->options->sink->context, gap, err);
}

static bool recalls(void *context, void *state, const char *name, const void *bytes, size_t length, uint64_t *out_size)
{
    const struct km_examine *examine = context;
    struct open_file *file = state;
    bool is_read_whole = file->mode == KM_POLICY_WHOLE && km_policy_find(examine->options->policy, name) == file->mode;
    if (!is_read_whole || km_fileformat_has_code_suffix(name))
        return false;
    bool is_known = km_inside_ask(&file->inside, examine->options->cache, bytes, length);
    *out_size = file->inside.content.size;
    return is_known;
}

static void progress(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    const struct km_examine *examine = context;
    if (examine->options->progress)
        examine->options->progress(examine->options->progress_context, bytes_read, bytes_total);
}

static enum km_code start_pipeline(struct km_examine *examine, struct km_err *err)
{
    const struct km_examine_options *options = examine->options;
    if (!options->detector)
        return KM_OK;
    const struct km_pipeline_options pipeline = {.detector = options->detector,
                                                 .baseline = options->baseline,
                                                 .cache = options->cache,
                                                 .jobs = options->jobs,
                                                 .hashed = hashed,
                                                 .feed_hash = hash_again,
                                                 .context = examine};
    examine->pipeline = km_pipeline_new(&pipeline, err);
    return examine->pipeline ? KM_OK : err->code;
}

enum km_code km_examine_finish(struct km_examine *examine, struct km_err *err)
{
    return examine->pipeline ? km_pipeline_finish(examine->pipeline, err) : KM_OK;
}

struct km_examine *km_examine_new(const struct km_examine_options *options, struct km_err *err)
{
    struct km_examine *examine = km_calloc(1, sizeof *examine, sizeof *examine, err);
    if (!examine)
        return NULL;
    examine->options = options;
    pthread_mutex_init(&examine->lock, NULL);
    bool remembers = options->detector && options->cache;
    examine->sink = (struct km_entry_sink){examine, begin, data, end, pass_gap, progress, remembers ? recalls : NULL};
    examine->records = km_records_new(err);
    examine->links = examine->records ? km_links_new(err) : NULL;
    if (!examine->links) {
        km_examine_free(examine);
        return NULL;
    }
    examine->packages = km_package_db_new(KM_PACKAGE_DEFAULT_MAX_BYTES, err);
    if (!examine->packages || start_pipeline(examine, err) != KM_OK) {
        km_examine_free(examine);
        return NULL;
    }
    return examine;
}

void km_examine_free(struct km_examine *examine)
{
    if (!examine)
        return;
    for (struct open_file *file = examine->open; file; file = file->next)
        km_pipeline_abandon(km_steal(file->scored));
    km_pipeline_free(examine->pipeline); /* its workers write to the records */
    free_list(examine->open);
    free_list(examine->unused);
    km_records_free(examine->records);
    km_package_db_free(examine->packages);
    free(examine->package_files);
    km_links_free(examine->links);
    pthread_mutex_destroy(&examine->lock);
    free(examine);
}

const struct km_entry_sink *km_examine_sink(const struct km_examine *examine)
{
    return &examine->sink;
}

const struct km_records *km_examine_records(const struct km_examine *examine)
{
    return examine->records;
}

uint64_t km_examine_gaps(const struct km_examine *examine)
{
    return examine->gaps;
}

struct km_examine_left_out km_examine_left_out(const struct km_examine *examine)
{
    return examine->left_out;
}

const struct km_pipeline *km_examine_pipeline(const struct km_examine *examine)
{
    return examine->pipeline;
}

struct km_package_db *km_examine_packages(struct km_examine *examine)
{
    return examine->packages;
}

struct km_package_file *km_examine_package_file(const struct km_examine *examine, uint32_t number)
{
    return number ? examine->package_files[number - 1] : NULL;
}

size_t km_examine_package_file_count(const struct km_examine *examine)
{
    return examine->package_file_count;
}

const struct km_links *km_examine_links(const struct km_examine *examine)
{
    return examine->links;
}
