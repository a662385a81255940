#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct km_digest {
    EVP_MD_CTX *context;
    EVP_MD *algorithm;
};

struct km_digest *km_digest_new(enum km_digest_kind kind, struct km_err *err)
{
    struct km_digest *digest = calloc(1, sizeof *digest);
    if (!digest) {
        km_fail(err, KM_NOMEM, "out of memory (digest)");
        return NULL;
    }
    static const char *const names[] = {
        [KM_DIGEST_SHA256] = "SHA256", [KM_DIGEST_MD5] = "MD5", [KM_DIGEST_SHA1] = "SHA1"};
    const char *name = names[kind];
    digest->context = EVP_MD_CTX_new();
    digest->algorithm = EVP_MD_fetch(NULL, name, NULL);
    if (!digest->context || !digest->algorithm || !EVP_DigestInit_ex2(digest->context, digest->algorithm, NULL)) {
        km_digest_free(digest);
        km_fail(err, KM_UNSUPPORTED, "the cryptographic library has no %s", name);
        return NULL;
    }
    return digest;
}

void km_digest_free(struct km_digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->algorithm);
    free(digest);
}

void km_digest_reset(struct km_digest *digest)
{
    KM_ASSERT(EVP_DigestInit_ex2(digest->context, digest->algorithm, NULL) == 1);
}

void km_digest_update(struct km_digest *digest, const void *bytes, size_t length)
{
    KM_ASSERT(EVP_DigestUpdate(digest->context, bytes, length) == 1);
}

void km_digest_finish(struct km_digest *digest, uint8_t *out)
{
    KM_ASSERT(EVP_DigestFinal_ex(digest->context, out, NULL) == 1);
}

enum km_code km_digest_sha256(const void *bytes, size_t length, uint8_t out[KM_SHA256_BYTES], struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    km_digest_update(digest, bytes, length);
    km_digest_finish(digest, out);
    km_digest_free(digest);
    return KM_OK;
}

void km_hex_format(const uint8_t *bytes, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * length] = '\0';
}

static int nibble_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

enum km_code km_hex_parse(const char *text, size_t length, uint8_t *out, struct km_err *err)
{
    for (size_t i = 0; i < 2 * length; i++)
        if (nibble_of(text[i]) < 0) /* a NUL stops here too, so a short text is never read beyond its end */
            return km_fail(err, KM_FORMAT, "not %zu hexadecimal digits", 2 * length);
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)((unsigned)nibble_of(text[2 * i]) << 4 | (unsigned)nibble_of(text[2 * i + 1]));
    return KM_OK;
}
