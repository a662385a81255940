#include "container/scan/fileformat.h"

#include <string.h>

#define EICAR_BYTES     68
#define EICAR_MAX_BYTES 128

enum km_file_format km_fileformat_detect(const uint8_t *head, size_t length)
{
    if (length >= 18 && memcmp(head, "\177ELF", 4) == 0) {
        bool big_endian = head[5] == 2;
        unsigned type = big_endian ? (unsigned)head[16] << 8 | head[17] : (unsigned)head[17] << 8 | head[16];
        return type == 1 ? KM_FORMAT_ELF_OBJECT : KM_FORMAT_ELF_PROGRAM;
    }
    if (length >= 3 && head[0] == '#' && head[1] == '!')
        return KM_FORMAT_SCRIPT;
    if (length >= 64 && head[0] == 'M' && head[1] == 'Z')
        return KM_FORMAT_PE;
    return KM_FORMAT_DATA;
}

const char *km_fileformat_name(enum km_file_format format)
{
    switch (format) {
    case KM_FORMAT_DATA:
        return NULL;
    case KM_FORMAT_ELF_PROGRAM:
        return "ELF";
    case KM_FORMAT_ELF_OBJECT:
        return "ELF object";
    case KM_FORMAT_SCRIPT:
        return "script";
    case KM_FORMAT_PE:
        return "PE";
    }
    return NULL;
}

bool km_fileformat_has_code_suffix(const char *path)
{
    static const char *const suffixes[] = {".py",  ".pl",  ".pm",  ".rb",  ".sh",  ".lua", ".js",
                                           ".php", ".ps1", ".tcl", ".nse", ".pyc", ".mjs", ".cjs"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t n = strlen(suffixes[i]);
        if (length > n && strcmp(path + length - n, suffixes[i]) == 0)
            return true;
    }
    return false;
}

bool km_fileformat_is_program(enum km_file_format format, const char *path)
{
    return format != KM_FORMAT_DATA || km_fileformat_has_code_suffix(path);
}

bool km_fileformat_is_eicar(const uint8_t *head, size_t length, uint64_t size)
{
    /* In two pieces with the middle left out, so that our own program is not the test file to another scanner. */
    static const char first[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$";
    static const char word[] = "EICAR";
    static const char rest[] = "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";
    if (size < EICAR_BYTES || size > EICAR_MAX_BYTES || length < size)
        return false;
    size_t a = sizeof first - 1, b = sizeof word - 1, c = sizeof rest - 1;
    if (memcmp(head, first, a) != 0 || memcmp(head + a, word, b) != 0 || memcmp(head + a + b, rest, c) != 0)
        return false;
    for (size_t i = EICAR_BYTES; i < size; i++)
        if (head[i] == '\0' || !strchr(" \t\n\r\x1a", head[i]))
            return false;
    return true;
}
