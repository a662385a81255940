/* A detector's folder: the manifest up to the byte 0xff, then the content of its parts. A row of 64 '@' in the manifest
 * stands for the SHA-256 of that content, so that the readers behind the check are reached. A second bundle without
 * parts takes the fusion that a site file has. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "container/scan/detector.h"
#include "container/scan/sitefile.h"

#define DIGITS ((size_t)2 * KM_SHA256_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming) */

/* One file by three names: a part, and card and weights of a stem. */
static const char *const part_names[] = {"part", "part.json", "part.safetensors"};
static char folder[] = "/tmp/komainu-fuzz-XXXXXX";
static int folder_fd = -1;

static void clean_up(void)
{
    for (size_t i = 0; i < sizeof part_names / sizeof part_names[0]; i++)
        (void)unlinkat(folder_fd, part_names[i], 0);
    (void)unlinkat(folder_fd, KM_DETECTOR_MANIFEST, 0);
    (void)close(folder_fd);
    (void)rmdir(folder);
}

static void write_file(const char *name, const void *bytes, size_t length)
{
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    KM_ASSERT(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    (void)close(fd);
}

static void begin(void)
{
    KM_ASSERT(mkdtemp(folder));
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KM_ASSERT(folder_fd >= 0);
    write_file(part_names[0], "", 0);
    for (size_t i = 1; i < sizeof part_names / sizeof part_names[0]; i++)
        KM_ASSERT(linkat(folder_fd, part_names[0], folder_fd, part_names[i], 0) == 0);
    KM_ASSERT(atexit(clean_up) == 0);
}

static void fill_in_digest(char *manifest, size_t length, const uint8_t *part, size_t part_bytes)
{
    static const char row[] = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";
    uint8_t digest[KM_SHA256_BYTES];
    char hex[KM_SHA256_HEX_BYTES];
    struct km_err err = KM_ERR_INIT;
    struct km_digest *sha256 = km_digest_new(KM_DIGEST_SHA256, &err);
    KM_ASSERT(sha256);
    km_digest_update(sha256, part, part_bytes);
    km_digest_finish(sha256, digest);
    km_digest_free(sha256);
    km_hex_format(digest, sizeof digest, hex);
    for (size_t i = 0; i + DIGITS <= length; i++)
        if (memcmp(manifest + i, row, DIGITS) == 0)
            memcpy(manifest + i, hex, DIGITS);
}

static void try_site_file(const char *path)
{
    static const char empty[] = "{\"komainu_detector\": 1, \"name\": \"empty\"}";
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = NULL;
    if (km_sitefile_load(path, &fusion, &err) != KM_OK)
        return;
    struct km_detector *detector = NULL;
    write_file(KM_DETECTOR_MANIFEST, empty, sizeof empty - 1);
    KM_ASSERT(km_detector_open(folder_fd, &detector, &err) == KM_OK);
    if (km_detector_set_fusion(detector, fusion, &err) == KM_OK)
        KM_ASSERT(km_additive_term_count(km_detector_fusion(detector)) == km_additive_term_count(fusion));
    else
        KM_ASSERT(!km_detector_fusion(detector));
    km_detector_free(detector);
    km_additive_free(fusion);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (folder_fd < 0)
        begin();
    const uint8_t *mark = memchr(data, 0xff, size);
    size_t length = mark ? (size_t)(mark - data) : size, part_bytes = mark ? size - length - 1 : 0;
    const uint8_t *part = mark ? mark + 1 : data;
    char *manifest = malloc(length + 1);
    KM_ASSERT(manifest);
    memcpy(manifest, data, length);
    fill_in_digest(manifest, length, part, part_bytes);
    write_file(KM_DETECTOR_MANIFEST, manifest, length);
    free(manifest);
    write_file(part_names[0], part, part_bytes);
    struct km_err err = KM_ERR_INIT;
    struct km_detector *detector = NULL;
    if (km_detector_open(folder_fd, &detector, &err) == KM_OK)
        KM_ASSERT(detector && strlen(km_detector_version(detector)) > 0 &&
                  (km_detector_load(detector, &err) == KM_OK || err.text[0] != '\0'));
    else
        KM_ASSERT(!detector && err.text[0] != '\0');
    km_detector_free(detector);
    char path[sizeof folder + 16];
    (void)snprintf(path, sizeof path, "%s/part", folder);
    try_site_file(path);
    return 0;
}
