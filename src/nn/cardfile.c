#include "nn/cardfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/wholefile.h"

static enum km_code check_weights(const struct km_card *card, const uint8_t *bytes, size_t length, struct km_err *err)
{
    uint8_t digest[KM_SHA256_BYTES];
    if ((uint64_t)card->weights_bytes != length)
        return km_fail(err, KM_CONFLICT, "the weights are %zu bytes, the card says %lld", length,
                       (long long)card->weights_bytes);
    enum km_code code = km_digest_sha256(bytes, length, digest, err);
    if (code == KM_OK && memcmp(digest, card->sha256, sizeof digest) != 0)
        return km_fail(err, KM_CONFLICT, "the weights are not the ones that the card names: their SHA-256 differs");
    return code;
}

enum km_code km_cardfile_load_card(int fd, struct km_card *out, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *text = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, KM_CARD_MAX_BYTES, &text, &length, err);
    if (code != KM_OK)
        return km_err_wrap(err, "model card");
    return km_card_parse((const char *)text, length, out, err);
}

enum km_code km_cardfile_load_weights(int fd, const struct km_card *card, size_t max_bytes, uint8_t **out_bytes,
                                      size_t *out_length, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, max_bytes, &bytes, &length, err);
    if (code != KM_OK)
        return km_err_wrap(err, "weights");
    code = check_weights(card, bytes, length, err);
    if (code != KM_OK)
        return code;
    *out_bytes = km_steal(bytes);
    *out_length = length;
    return KM_OK;
}

static enum km_code save_weights(int folder, const char *name, size_t max_bytes,
                                 const struct km_cardfile_writer *writer, struct km_card *card, struct km_err *err)
{
    KM_CLEANUP(km_replacement_abort) struct km_replacement file;
    enum km_code code = km_replacement_begin(&file, folder, name, err);
    if (code == KM_OK)
        code = writer->write(writer->context, file.fd, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_cleanup_close) int back = openat(folder, file.temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (back < 0)
        return km_fail_errno(err, errno, "cannot read %s back", name);
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    code = km_wholefile_read(back, max_bytes, &bytes, &length, err);
    if (code == KM_OK)
        code = km_digest_sha256(bytes, length, card->sha256, err);
    card->weights_bytes = (int64_t)length;
    return code == KM_OK ? km_replacement_commit(&file, err) : code;
}

static enum km_code save_card(int folder, const char *name, const struct km_card *card, struct km_err *err)
{
    KM_CLEANUP(km_buf_done) struct km_buf text;
    km_buf_init(&text, KM_CARD_MAX_BYTES);
    enum km_code code = km_card_format(card, &text, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_replacement_abort) struct km_replacement file;
    code = km_replacement_begin(&file, folder, name, err);
    if (code == KM_OK)
        code = km_wholefile_write(file.fd, km_buf_text(&text), text.length, err);
    return code == KM_OK ? km_replacement_commit(&file, err) : code;
}

enum km_code km_cardfile_save(int folder, const char *name, const struct km_card *card, size_t max_bytes,
                              const struct km_cardfile_writer *writer, struct km_err *err)
{
    char file[200];
    if (strlen(name) > sizeof file - 16)
        return km_fail(err, KM_LIMIT, "a model's name is too long");
    KM_CLEANUP(km_cleanup_free) struct km_card *own = km_calloc(1, sizeof *own, SIZE_MAX, err);
    if (!own)
        return err->code;
    *own = *card;
    (void)snprintf(file, sizeof file, "%s.safetensors", name);
    enum km_code code = save_weights(folder, file, max_bytes, writer, own, err);
    if (code != KM_OK)
        return code;
    (void)snprintf(file, sizeof file, "%s.json", name);
    return save_card(folder, file, own, err);
}
