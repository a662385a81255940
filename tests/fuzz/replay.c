/* Runs a fuzz target over every file of a corpus folder: the corpora are part of every test run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LARGEST_INPUT_BYTES ((size_t)4 << 20)

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return -1;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return -1;
    uint8_t *bytes = malloc(LARGEST_INPUT_BYTES);
    size_t length = bytes ? fread(bytes, 1, LARGEST_INPUT_BYTES, file) : 0;
    fclose(file);
    if (!bytes)
        return -1;
    uint8_t *exact = malloc(length ? length : 1); /* so that a sanitizer sees one byte too many */
    if (exact) {
        memcpy(exact, bytes, length);
        LLVMFuzzerTestOneInput(exact, length);
    }
    int result = exact ? 0 : -1;
    free(exact);
    free(bytes);
    return result;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 1;
    }
    DIR *folder = opendir(argv[1]);
    if (!folder) {
        fprintf(stderr, "%s: cannot open %s\n", argv[0], argv[1]);
        return 1;
    }
    unsigned inputs = 0, failures = 0;
    for (const struct dirent *item; (item = readdir(folder));) {
        if (item->d_name[0] == '.')
            continue;
        inputs++;
        if (replay_file(argv[1], item->d_name) != 0) {
            fprintf(stderr, "%s: cannot replay %s\n", argv[0], item->d_name);
            failures++;
        }
    }
    closedir(folder);
    printf("%u inputs replayed, %u failed\n", inputs, failures);
    return inputs == 0 || failures > 0;
}
