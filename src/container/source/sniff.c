#include "container/source/sniff.h"

#include <stdbool.h>
#include <string.h>

#include "container/source/tarhead.h"

struct magic {
    enum km_content content;
    const char *name;
    const char *bytes;
    size_t length;
};

#define MAGIC(content, name, bytes)                                                                                    \
    {                                                                                                                  \
        content, name, bytes, sizeof(bytes) - 1                                                                        \
    }

static const struct magic magics[] = {
    MAGIC(KM_CONTENT_GZIP, "gzip", "\x1f\x8b\x08"),
    MAGIC(KM_CONTENT_ZSTD, "zstd", "\x28\xb5\x2f\xfd"),
    MAGIC(KM_CONTENT_XZ, "xz",
          "\xfd"
          "7zXZ\0"),
    MAGIC(KM_CONTENT_BZIP2, "bzip2", "BZh"),
    MAGIC(KM_CONTENT_ZIP, "zip", "PK\x03\x04"),
    MAGIC(KM_CONTENT_ZIP, "zip", "PK\x05\x06"),
    MAGIC(KM_CONTENT_ZIP, "zip", "PK\x07\x08PK\x03\x04"),
    MAGIC(KM_CONTENT_AR, "ar", "!<arch>\n"),
    MAGIC(KM_CONTENT_CPIO, "cpio", "070701"),
    MAGIC(KM_CONTENT_CPIO, "cpio", "070702"),
    MAGIC(KM_CONTENT_CPIO, "cpio", "070707"),
    MAGIC(KM_CONTENT_ENCRYPTED, "LUKS volume", "LUKS\xba\xbe"),
    MAGIC(KM_CONTENT_ENCRYPTED, "age file", "age-encryption.org/v1\n"),
    MAGIC(KM_CONTENT_ENCRYPTED, "OpenPGP message", "-----BEGIN PGP MESSAGE-----"),
    MAGIC(KM_CONTENT_ENCRYPTED, "openssl enc file", "Salted__"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "7z archive", "7z\xbc\xaf\x27\x1c"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "rar archive", "Rar!\x1a\x07"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "cab archive", "MSCF\0\0\0\0"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "xar archive", "xar!\0\x1c"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "rpm package", "\xed\xab\xee\xdb"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "lz4 file", "\x04\x22\x4d\x18"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "lzip file", "LZIP\x01"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "lzop file", "\x89LZO\0\r\n\x1a\n"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "squashfs image", "hsqs"),
    MAGIC(KM_CONTENT_UNSUPPORTED, "qcow image", "QFI\xfb"),
};

static bool plausible(const struct magic *magic, const uint8_t *bytes, size_t length)
{
    switch (magic->content) {
    case KM_CONTENT_GZIP: /* reserved flags must be zero */
        return length >= 18 && (bytes[3] & 0xe0) == 0;
    case KM_CONTENT_BZIP2: /* a block, or the end of an empty file */
        return length >= 14 && bytes[3] >= '1' && bytes[3] <= '9' &&
               (memcmp(bytes + 4, "1AY&SY", 6) == 0 || memcmp(bytes + 4, "\x17rE8P\x90", 6) == 0);
    case KM_CONTENT_UNSUPPORTED: /* four letters could begin a text: ask for the superblock's size and version */
        return memcmp(magic->bytes, "hsqs", 4) != 0 || (length >= 32 && bytes[28] == 4 && bytes[29] == 0);
    case KM_CONTENT_PLAIN:
    case KM_CONTENT_TAR:
    case KM_CONTENT_ZSTD:
    case KM_CONTENT_XZ:
    case KM_CONTENT_ZIP:
    case KM_CONTENT_AR:
    case KM_CONTENT_CPIO:
    case KM_CONTENT_ENCRYPTED:
        break;
    }
    return true;
}

static const struct magic *find(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (length >= magics[i].length && memcmp(bytes, magics[i].bytes, magics[i].length) == 0)
            return plausible(&magics[i], bytes, length) ? &magics[i] : NULL;
    return NULL;
}

static bool zstd_skippable(const uint8_t *bytes, size_t length)
{
    return length >= 8 && (bytes[0] & 0xf0) == 0x50 && bytes[1] == 0x2a && bytes[2] == 0x4d && bytes[3] == 0x18;
}

enum km_content km_sniff(const uint8_t *bytes, size_t length)
{
    const struct magic *magic = find(bytes, length);
    if (magic)
        return magic->content;
    if (zstd_skippable(bytes, length))
        return KM_CONTENT_ZSTD;
    if (length >= KM_TAR_BLOCK && km_tar_classify(bytes) == KM_TAR_HEADER)
        return KM_CONTENT_TAR;
    return KM_CONTENT_PLAIN;
}

const char *km_sniff_name(const uint8_t *bytes, size_t length)
{
    const struct magic *magic = find(bytes, length);
    if (magic)
        return magic->name;
    return km_sniff(bytes, length) == KM_CONTENT_TAR ? "tar" : km_sniff(bytes, length) == KM_CONTENT_ZSTD ? "zstd" : "";
}
