#include "cli/scan_tarview.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define CARD_ENDING    ".json"
#define WEIGHTS_ENDING ".safetensors"
#define FOLDER_CARD    "picture" CARD_ENDING

/* Said, so that nobody believes that they took part. */
static enum km_code check_options(const struct km_options *options, struct km_err *err)
{
    static const char *const file_view[] = {"picture", "hash-list", "baseline", "policy", "cache", "depth"};
    for (size_t i = 0; i < sizeof file_view / sizeof file_view[0]; i++)
        if (km_options_is_given(options, file_view[i]))
            return km_fail(err, KM_FORMAT, "--view tar looks at no files: --%s has no place in it", file_view[i]);
    const char *model = km_options_text(options, "model");
    if (!model || strcmp(model, "none") == 0)
        return km_fail(err, KM_FORMAT, "--view tar needs --model NAME.json: none is shipped");
    return KM_OK;
}

static enum km_code open_file(const char *path, int *out_fd, struct km_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return km_fail_errno(err, errno, "--model: %s", path);
    *out_fd = fd;
    return KM_OK;
}

static enum km_code find_files(const char *model, char card[4096], char weights[4096], struct km_err *err)
{
    struct stat status;
    bool folder = stat(model, &status) == 0 && S_ISDIR(status.st_mode);
    int length = snprintf(card, 4096, folder ? "%s/" FOLDER_CARD : "%s", model);
    size_t ending = strlen(CARD_ENDING);
    if (length < 0 || (size_t)length + strlen(WEIGHTS_ENDING) >= 4096)
        return km_fail(err, KM_LIMIT, "--model: the path is too long");
    size_t stem = (size_t)length > ending ? (size_t)length - ending : 0;
    if (stem == 0 || strcmp(card + stem, CARD_ENDING) != 0)
        return km_fail(err, KM_FORMAT, "--model: %s is neither a card (NAME" CARD_ENDING ") nor a folder", model);
    (void)snprintf(weights, 4096, "%.*s" WEIGHTS_ENDING, (int)stem, card);
    return KM_OK;
}

enum km_code km_scan_tarview_open(const struct km_options *options, unsigned jobs, struct km_patchnet **out,
                                  struct km_err *err)
{
    char card[4096], weights[4096];
    KM_CLEANUP(km_cleanup_close) int card_fd = -1;
    KM_CLEANUP(km_cleanup_close) int weights_fd = -1;
    enum km_code code = check_options(options, err);
    if (code == KM_OK)
        code = find_files(km_options_text(options, "model"), card, weights, err);
    if (code == KM_OK)
        code = open_file(card, &card_fd, err);
    if (code == KM_OK)
        code = open_file(weights, &weights_fd, err);
    if (code != KM_OK)
        return code;
    const struct km_patchnet_options wanted = {.jobs = jobs};
    code = km_patchnet_load(card_fd, weights_fd, &wanted, out, err);
    if (code != KM_OK)
        return km_err_wrap(err, "--model: %s", card);
    if (km_patchnet_unknown(*out)[0] != '\0') {
        char name[256];
        km_text_escape(km_patchnet_unknown(*out), strlen(km_patchnet_unknown(*out)), name, sizeof name);
        fprintf(stderr, "komainu: scan: --model: the network has no tensor '%s': it is passed over\n", name);
    }
    return KM_OK;
}

enum km_code km_scan_tarview_input(const char *spec, const struct km_cancel *cancel, struct km_input *out,
                                   struct km_err *err)
{
    static const char *const schemes[] = {"tar:", "docker-archive:", "oci-archive:"};
    static const char *const others[] = {"dir:", "oci-dir:", "docker:", "podman:", "registry:"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strncmp(spec, others[i], strlen(others[i])) == 0)
            return km_fail(err, KM_UNSUPPORTED,
                           "--view tar wants one archive: docker export NAME | komainu scan --view tar --model M -");
    const char *path = spec;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(spec, schemes[i], strlen(schemes[i])) == 0)
            path = spec + strlen(schemes[i]);
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", standard ? "standard input" : path);
    return km_input_open(out, fd, cancel, err);
}
