/*
 * What is packed, and unpacked again by the reader of a scan (container/source): unseen positives and their benign
 * twins as scripts that carry a gzip stream, and, where the caller names UPX, as UPX makes them. Packers run on copies
 * of samples; nothing of a sample runs. A file's score is its strongest member's, its own included.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "container/lab/evaluation_parts.h"
#include "container/source/source.h"

#define FOLDER_BYTES 64
#define PATH_BYTES   (FOLDER_BYTES + 16)
#define OUTPUT_BYTES 65536
#define TIME_LIMIT   120000 /* ms, of one packer */

static const char head[] = "#!/bin/sh\n# what follows is packed\nexit 0\n";

enum packer {
    PACKER_SCRIPT = 0,
    PACKER_UPX = 1,
};

struct packing {
    struct km_evaluating *work;
    struct km_filescorer *scorer;
    char folder[FOLDER_BYTES]; /* holds "plain" and "image/packed" */
    const struct km_sample *sample;
    uint8_t *bytes; /* of the member that is read: KM_SAMPLE_MAX_BYTES */
    size_t filled;
    bool whole;   /* nothing of it was left out */
    double score; /* the highest so far */
    bool opened;  /* a member was the sample, byte for byte */
};

/* ---- Making one ---- */

static enum km_code write_file(const char *path, const void *bytes, size_t length, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0700);
    for (size_t at = 0; fd >= 0 && at < length;) {
        ssize_t n = write(fd, (const uint8_t *)bytes + at, length - at);
        if (n < 0 && errno != EINTR)
            return km_fail_errno(err, errno, "cannot write %s", path);
        at += n > 0 ? (size_t)n : 0;
    }
    return fd >= 0 ? KM_OK : km_fail_errno(err, errno, "cannot write %s", path);
}

/* `out` gets the head, if there is one, and what the packer prints. */
static enum km_code run_packer(const struct packing *packing, const char *const *argv, FILE *out, struct km_err *err)
{
    const struct km_spawn_options options = {
        .argv = argv, .time_limit_ms = TIME_LIMIT, .cancel = packing->work->options->cancel};
    KM_CLEANUP(km_spawn_cleanup) struct km_spawn *child = km_spawn_start(&options, err);
    KM_CLEANUP(km_cleanup_free) uint8_t *buffer = child ? km_calloc(OUTPUT_BYTES, 1, SIZE_MAX, err) : NULL;
    if (!buffer)
        return err->code;
    size_t length = 0;
    enum km_code code;
    while ((code = km_spawn_read(child, buffer, OUTPUT_BYTES, &length, err)) == KM_OK && length > 0)
        if (out && fwrite(buffer, 1, length, out) != length)
            return km_fail(err, KM_IO, "cannot write a packed file");
    return code == KM_OK ? km_spawn_finish(child, err) : code;
}

/* KM_IO: the packer would not. */
static enum km_code pack(const struct packing *packing, enum packer packer, struct km_err *err)
{
    char plain[PATH_BYTES], packed[PATH_BYTES];
    (void)snprintf(plain, sizeof plain, "%s/plain", packing->folder);
    (void)snprintf(packed, sizeof packed, "%s/image/packed", packing->folder);
    (void)unlink(packed);
    enum km_code code = write_file(plain, packing->sample->bytes, packing->sample->length, err);
    if (code != KM_OK)
        return code;
    if (packer == PACKER_UPX) {
        const char *const argv[] = {packing->work->options->upx, "-1", "-qq", "-o", packed, plain, NULL};
        return run_packer(packing, argv, NULL, err);
    }
    FILE *out = fopen(packed, "we");
    if (!out)
        return km_fail_errno(err, errno, "cannot write %s", packed);
    const char *const argv[] = {"gzip", "-cn", plain, NULL};
    bool begun = fwrite(head, 1, sizeof head - 1, out) == sizeof head - 1;
    code = run_packer(packing, argv, out, err);
    if ((fclose(out) != 0 || !begun) && code == KM_OK)
        code = km_fail(err, KM_IO, "cannot write %s", packed);
    return code;
}

/* ---- Reading it as a scan does ---- */

static enum km_code begin_member(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct packing *packing = context;
    (void)err;
    /* The outer file is begun first and ended last: a member takes the buffer over. */
    *out_state = entry->type == KM_ENTRY_FILE && entry->depth > 0 ? packing : NULL;
    if (*out_state) {
        packing->filled = 0;
        packing->whole = true;
    }
    return KM_OK;
}

static enum km_code take_bytes(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                               struct km_err *err)
{
    struct packing *packing = context;
    (void)err;
    if (!state)
        return KM_OK;
    if (offset != packing->filled || length > KM_SAMPLE_MAX_BYTES - packing->filled) {
        packing->whole = false;
        return KM_OK;
    }
    if (bytes)
        memcpy(packing->bytes + packing->filled, bytes, (size_t)length);
    else
        memset(packing->bytes + packing->filled, 0, (size_t)length);
    packing->filled += (size_t)length;
    return KM_OK;
}

static enum km_code score_bytes(struct packing *packing, const uint8_t *bytes, size_t length, struct km_err *err)
{
    struct km_filescore score;
    enum km_code code = km_filescorer_run(packing->scorer, bytes, length, &score, err);
    if (code == KM_OK)
        packing->score = fmax(packing->score, score.parts[KM_FILESCORE_FUSED]);
    return code;
}

static enum km_code end_member(void *context, void *state, bool complete, struct km_err *err)
{
    struct packing *packing = context;
    const struct km_sample *sample = packing->sample;
    if (!state || !complete || !packing->whole || packing->filled == 0)
        return KM_OK;
    packing->opened |= packing->filled == sample->length && memcmp(packing->bytes, sample->bytes, sample->length) == 0;
    return score_bytes(packing, packing->bytes, packing->filled, err);
}

static enum km_code pass_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context, (void)gap, (void)err;
    return KM_OK;
}

static enum km_code read_packed(struct packing *packing, struct km_err *err)
{
    char image[PATH_BYTES];
    (void)snprintf(image, sizeof image, "%s/image", packing->folder);
    struct km_source *source = NULL;
    enum km_code code = km_source_open(image, NULL, &source, err);
    if (code != KM_OK)
        return code;
    const struct km_entry_sink sink = {
        .context = packing, .begin = begin_member, .data = take_bytes, .end = end_member, .gap = pass_gap};
    code = km_source_run(source, &sink, packing->work->options->cancel, err);
    km_source_close(source);
    return code;
}

/* The packed file as it is. */
static enum km_code read_outer(struct packing *packing, struct km_err *err)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/image/packed", packing->folder);
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, packing->bytes, (size_t)KM_SAMPLE_MAX_BYTES) : -1;
    if (n < 0)
        return km_fail_errno(err, errno, "cannot read %s", path);
    return n > 0 ? score_bytes(packing, packing->bytes, (size_t)n, err) : KM_OK;
}

/* ---- Figures ---- */

static enum km_code score_packed(struct packing *packing, uint32_t number, enum packer packer, struct km_err *err)
{
    packing->sample = km_dataset_get(packing->work->dataset, number);
    packing->score = -INFINITY;
    packing->opened = false;
    enum km_code code = pack(packing, packer, err);
    if (code == KM_OK)
        code = read_outer(packing, err);
    return code == KM_OK ? read_packed(packing, err) : code;
}

/* A pair counts when both could be packed: UPX refuses small files. */
static enum km_code judge_pairs(struct packing *packing, enum packer packer, struct km_figure_files *pairs,
                                struct km_figure_files *plain, struct km_figure_files *opened, struct km_err *err)
{
    const struct km_evaluating *work = packing->work;
    enum km_code code = KM_OK;
    for (uint32_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        uint32_t twin = work->twins[i];
        bool fits = packer == PACKER_SCRIPT || sample->kind == KM_SAMPLE_PROGRAM;
        if (!km_evaluating_is_test(sample) || twin == KM_DATASET_NO_TWIN || !fits)
            continue;
        code = score_packed(packing, i, packer, err);
        double score = packing->score;
        bool is_open = packing->opened;
        if (code == KM_OK)
            code = score_packed(packing, twin, packer, err);
        if (code == KM_IO) {
            *err = (struct km_err)KM_ERR_INIT;
            code = KM_OK;
            continue;
        }
        const double both[] = {score, packing->score, work->scores[i].parts[KM_FILESCORE_FUSED],
                               work->scores[twin].parts[KM_FILESCORE_FUSED]};
        for (size_t k = 0; k < 4 && code == KM_OK; k++)
            code = km_figure_files_add(k < 2 ? pairs : plain, both[k], k % 2 == 0, sample->family_id, err);
        if (code == KM_OK)
            code = km_figure_files_add(opened, is_open ? 1 : 0, true, sample->family_id, err);
    }
    return code;
}

static enum km_code judge_packer(struct packing *packing, enum packer packer, struct km_err *err)
{
    struct km_figure_files pairs = {0}, plain = {0}, opened = {0};
    bool upx = packer == PACKER_UPX;
    enum km_code code = judge_pairs(packing, packer, &pairs, &plain, &opened, err);
    if (code == KM_OK)
        code = km_evaluating_add_auc(packing->work,
                                     upx ? "detect.packed.upx.twin.auc" : "detect.packed.script.twin.auc", &pairs, err);
    if (code == KM_OK)
        code = km_evaluating_add_auc(
            packing->work, upx ? "detect.packed.upx.plain.auc" : "detect.packed.script.plain.auc", &plain, err);
    if (code == KM_OK)
        code = km_evaluating_add_share(packing->work, upx ? "detect.packed.upx.opened" : "detect.packed.script.opened",
                                       &opened, err);
    km_figure_files_done(&pairs);
    km_figure_files_done(&plain);
    km_figure_files_done(&opened);
    return code;
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"/image/packed", "/plain"};
    char path[PATH_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/image", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

enum km_code km_evaluating_packed(struct km_evaluating *work, struct km_err *err)
{
    struct packing packing = {.work = work, .folder = "/tmp/komainu-packed-XXXXXX"};
    KM_CLEANUP(km_filescorer_cleanup) struct km_filescorer *scorer = km_filescorer_new(work->parts, err);
    KM_CLEANUP(km_cleanup_free)
    uint8_t *bytes = scorer ? km_calloc((size_t)KM_SAMPLE_MAX_BYTES, 1, SIZE_MAX, err) : NULL;
    if (!bytes)
        return err->code;
    packing.scorer = scorer;
    packing.bytes = bytes;
    char image[PATH_BYTES];
    if (!mkdtemp(packing.folder))
        return km_fail_errno(err, errno, "cannot make a folder in /tmp");
    (void)snprintf(image, sizeof image, "%s/image", packing.folder);
    enum km_code code = mkdir(image, 0700) == 0 ? KM_OK : km_fail_errno(err, errno, "cannot make %s", image);
    if (code == KM_OK)
        code = judge_packer(&packing, PACKER_SCRIPT, err);
    if (code == KM_OK && work->options->upx)
        code = judge_packer(&packing, PACKER_UPX, err);
    remove_folder(packing.folder);
    return code;
}
