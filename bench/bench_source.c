/*
 * Costs of the source module, measured in a process of its own (bench_source runs it and prints the figures):
 *
 *     bench_source generate BYTES FILES   writes a tar with that content to standard output
 *     bench_source read TARGET            reads it, hashing each file with SHA-256 as a scan does; prints
 *                                         "BYTES CPU_SECONDS MAX_RSS_KB ENTRIES GAPS"
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/digest.h"
#include "container/source/source.h"

#define BLOCK        512
#define BUFFER_BYTES 65536

struct totals {
    struct km_digest *digest; /* plain files come one after the other; nested ones are not generated */
    uint64_t bytes, entries, gaps;
};

static enum km_code on_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct totals *totals = context;
    (void)entry;
    (void)out_state;
    (void)err;
    km_digest_reset(totals->digest);
    totals->entries++;
    return KM_OK;
}

static enum km_code on_data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                            struct km_err *err)
{
    struct totals *totals = context;
    (void)state;
    (void)offset;
    (void)err;
    if (bytes)
        km_digest_update(totals->digest, bytes, (size_t)length);
    totals->bytes += length;
    return KM_OK;
}

static enum km_code on_end(void *context, void *state, bool complete, struct km_err *err)
{
    struct totals *totals = context;
    uint8_t digest[KM_SHA256_BYTES];
    (void)state;
    (void)complete;
    (void)err;
    km_digest_finish(totals->digest, digest);
    return KM_OK;
}

static enum km_code on_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct totals *totals = context;
    (void)gap;
    (void)err;
    totals->gaps++;
    return KM_OK;
}

static double cpu_seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static int read_target(const char *target)
{
    struct km_err err = KM_ERR_INIT;
    struct totals totals = {.digest = km_digest_new(KM_DIGEST_SHA256, &err)};
    const struct km_entry_sink sink = {
        .context = &totals, .begin = on_begin, .data = on_data, .end = on_end, .gap = on_gap};
    struct km_source *source = NULL;
    enum km_code code = totals.digest ? km_source_open(target, NULL, &source, &err) : err.code;
    if (code == KM_OK)
        code = km_source_run(source, &sink, NULL, &err);
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0 && code == KM_OK)
        printf("%" PRIu64 " %.6f %ld %" PRIu64 " %" PRIu64 "\n", totals.bytes, cpu_seconds(&usage), usage.ru_maxrss,
               totals.entries, totals.gaps);
    if (code != KM_OK)
        (void)fprintf(stderr, "bench_source: %s\n", err.text);
    km_source_close(source);
    km_digest_free(totals.digest);
    return code == KM_OK ? 0 : 1;
}

static int write_block(const char *bytes, size_t length)
{
    return fwrite(bytes, 1, length, stdout) == length ? 0 : -1;
}

static int write_header(uint64_t number, uint64_t size)
{
    char header[BLOCK] = {0};
    unsigned sum = 0;
    (void)snprintf(header, 100, "usr/share/folder%" PRIu64 "/file%" PRIu64, number / 1000, number);
    (void)snprintf(header + 100, 8, "0000644");
    (void)snprintf(header + 108, 8, "0000000");
    (void)snprintf(header + 116, 8, "0000000");
    (void)snprintf(header + 124, 12, "%011" PRIo64, size);
    (void)snprintf(header + 136, 12, "00000000000");
    header[156] = '0';
    (void)snprintf(header + 257, 6, "ustar");
    (void)snprintf(header + 263, 3, "00");
    for (int i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)header[i];
    (void)snprintf(header + 148, 8, "%06o", sum);
    return write_block(header, sizeof header);
}

static int write_content(const char *noise, uint64_t size)
{
    uint64_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
    while (padded > 0) {
        size_t part = padded < BUFFER_BYTES ? (size_t)padded : BUFFER_BYTES;
        if (write_block(noise, part) != 0)
            return -1;
        padded -= part;
    }
    return 0;
}

static int generate(uint64_t bytes, uint64_t files)
{
    static char noise[BUFFER_BYTES], end[2 * BLOCK];
    uint64_t random = 88172645463325252u; /* xorshift64 */
    for (size_t i = 0; i < sizeof noise; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        noise[i] = (char)random;
    }
    for (uint64_t i = 0; i < files; i++) {
        uint64_t size = bytes / files;
        if (write_header(i, size) != 0 || write_content(noise, size) != 0)
            return 1;
    }
    return write_block(end, sizeof end) == 0 && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "generate") == 0 && strtoull(argv[3], NULL, 10) > 0)
        return generate(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return read_target(argv[2]);
    (void)fprintf(stderr, "usage: %s generate BYTES FILES | read TARGET\n", argv[0]);
    return 1;
}
