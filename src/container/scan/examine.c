#include "container/scan/examine.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/mem.h"
#include "container/scan/fileformat.h"

#define MAX_PACKAGE_FILES   2000000
#define MAX_LINKS           1000000
#define MAX_LINK_TEXT_BYTES ((size_t)32 << 20)
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
    uint64_t reached;  /* end of the last block */
    uint64_t received; /* bytes that really came: less than reached behind a damaged region */
    uint64_t holes;
    unsigned depth;
    bool hashable;
    char *path; /* kept while there are hashes to be found, for the gap of finish_record; or NULL */
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
    struct km_arena *link_texts;
    struct km_examine_link *links;
    size_t link_count, link_capacity;
    uint64_t gaps;
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

/* Hard links share their target's content, top-level symbolic links may merge /usr. What does not fit is not compared
 * with the package database, which the caller sees as "unchecked". */
static enum km_code keep_link(struct km_examine *examine, const struct km_entry *entry, struct km_err *err)
{
    bool wanted = entry->type == KM_ENTRY_HARDLINK || (entry->type == KM_ENTRY_SYMLINK && !strchr(entry->path, '/'));
    if (!wanted || entry->depth > 0 || !entry->link)
        return KM_OK;
    struct km_examine_link link = {.id = entry->id, .blob = entry->blob, .type = entry->type};
    void *links = examine->links;
    enum km_code code = km_grow(&links, &examine->link_capacity, examine->link_count + 1, sizeof link, MAX_LINKS, err);
    examine->links = links;
    if (code == KM_OK) {
        link.target = km_arena_strndup(examine->link_texts, entry->link, strlen(entry->link), err);
        code = link.target ? KM_OK : err->code;
    }
    if (code == KM_OK)
        examine->links[examine->link_count++] = link;
    return code == KM_LIMIT ? KM_OK : code;
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

static enum km_code begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct km_examine *examine = context;
    if (entry->type != KM_ENTRY_FILE)
        return keep_link(examine, entry, err);
    struct km_record *record = km_records_touch(examine->records, entry->id, err);
    if (!record)
        return err->code;
    struct open_file *file = take_open_file(examine, err);
    if (!file)
        return err->code;
    *record = (struct km_record){.uid = entry->uid, .mode = (uint16_t)(entry->mode & 07777)};
    file->record = record;
    file->depth = entry->depth;
    file->hashable = true;
    file->next = examine->open;
    examine->open = file;
    *out_state = file;
    if (examine->options->hashes && km_hashlist_count(examine->options->hashes) > 0) {
        file->path = km_strndup(entry->path, strlen(entry->path), err);
        if (!file->path)
            return err->code;
    }
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
    if (file->hashable)
        hash_zeros(file, length);
    return KM_OK;
}

static enum km_code data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                         struct km_err *err)
{
    const struct km_examine *examine = context;
    struct open_file *file = state;
    if (examine->options->mosaic && file->depth == 0)
        km_mosaic_add(examine->options->mosaic, bytes, length);
    if (offset < KM_FILEFORMAT_HEAD_BYTES) {
        size_t n =
            length < KM_FILEFORMAT_HEAD_BYTES - offset ? (size_t)length : (size_t)(KM_FILEFORMAT_HEAD_BYTES - offset);
        if (bytes)
            memcpy(file->head + offset, bytes, n);
        file->head_bytes = (size_t)offset + n;
    }
    /* Bytes missing before this block (a damaged region) leave nothing to compare. */
    if (offset != file->reached)
        file->hashable = false;
    file->reached = offset + length;
    file->received += length;
    if (!bytes)
        return take_hole(file, length, err);
    if (file->hashable) {
        km_digest_update(file->sha256, bytes, (size_t)length);
        if (file->depth == 0)
            km_digest_update(file->md5, bytes, (size_t)length);
    }
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

static enum km_code finish_record(struct km_examine *examine, struct open_file *file, bool complete, struct km_err *err)
{
    struct km_record *record = file->record;
    record->size = file->received;
    record->complete = complete && file->hashable;
    record->format = (uint8_t)km_fileformat_detect(file->head, file->head_bytes);
    record->is_eicar = complete && km_fileformat_is_eicar(file->head, file->head_bytes, file->received);
    if (complete && file->path && file->holes > MAX_HASHED_HOLE_BYTES)
        return tell_unhashed(examine, file, err);
    if (!record->complete)
        return KM_OK;
    uint8_t sha256[KM_SHA256_BYTES];
    struct km_hash_match match;
    km_digest_finish(file->sha256, sha256);
    km_digest_finish(file->md5, record->md5);
    record->is_listed = examine->options->hashes && km_hashlist_find(examine->options->hashes, sha256, &match);
    bool may_be_shown =
        record->is_listed || record->is_eicar || record->format != KM_FORMAT_DATA || (record->mode & 06111) != 0;
    return may_be_shown ? km_records_keep_sha256(examine->records, record, sha256, err) : KM_OK;
}

static void close_file(struct km_examine *examine, struct open_file *file)
{
    for (struct open_file **at = &examine->open; *at; at = &(*at)->next)
        if (*at == file) {
            *at = file->next;
            break;
        }
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
    enum km_code code = finish_record(examine, file, complete, err);
    if (code == KM_OK && file->package_file)
        code = km_package_file_end(file->package_file, complete, err);
    close_file(examine, file);
    return code;
}

static enum km_code pass_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    const struct km_examine *examine = context;
    return examine->options->sink->gap(examine->options->sink->context, gap, err);
}

static void progress(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    const struct km_examine *examine = context;
    if (examine->options->progress)
        examine->options->progress(examine->options->progress_context, bytes_read, bytes_total);
}

struct km_examine *km_examine_new(const struct km_examine_options *options, struct km_err *err)
{
    struct km_examine *examine = km_calloc(1, sizeof *examine, sizeof *examine, err);
    if (!examine)
        return NULL;
    examine->options = options;
    examine->sink = (struct km_entry_sink){examine, begin, data, end, pass_gap, progress};
    examine->records = km_records_new(err);
    examine->link_texts = km_arena_new(MAX_LINK_TEXT_BYTES, err);
    if (!examine->link_texts) {
        km_examine_free(examine);
        return NULL;
    }
    examine->packages = examine->records ? km_package_db_new(KM_PACKAGE_DEFAULT_MAX_BYTES, err) : NULL;
    if (!examine->packages) {
        km_examine_free(examine);
        return NULL;
    }
    return examine;
}

void km_examine_free(struct km_examine *examine)
{
    if (!examine)
        return;
    free_list(examine->open);
    free_list(examine->unused);
    km_records_free(examine->records);
    km_package_db_free(examine->packages);
    free(examine->package_files);
    free(examine->links);
    km_arena_free(examine->link_texts);
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

size_t km_examine_links(const struct km_examine *examine, const struct km_examine_link **out_links)
{
    *out_links = examine->links;
    return examine->link_count;
}
