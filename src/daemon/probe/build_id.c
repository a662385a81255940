#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "daemon/probe/build_id.h"

#define MAX_HEADERS    64
#define MAX_NOTE_BYTES (64 << 10)
#define CHUNK_BYTES    4096

static bool read_at(int fd, void *out, size_t bytes, uint64_t offset)
{
    return offset <= INT64_MAX - bytes && pread(fd, out, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* Walks the notes of one segment; the header of each gives the next one's place. */
static size_t find_in_notes(int fd, uint64_t offset, uint64_t size, uint8_t *out)
{
    uint64_t at = 0;
    Elf64_Nhdr note;
    char name[4];

    if (size > MAX_NOTE_BYTES)
        size = MAX_NOTE_BYTES;
    while (at + sizeof note <= size) {
        if (!read_at(fd, &note, sizeof note, offset + at))
            return 0;
        uint64_t name_at = at + sizeof note;
        uint64_t text_at = name_at + (((uint64_t)note.n_namesz + 3) & ~UINT64_C(3));
        at = text_at + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
        if (at > size)
            return 0;
        if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != sizeof name || note.n_descsz == 0)
            continue;
        if (!read_at(fd, name, sizeof name, offset + name_at) || memcmp(name, "GNU", sizeof name) != 0)
            continue;
        size_t length = note.n_descsz < KM_EVENT_BUILD_ID_BYTES ? note.n_descsz : KM_EVENT_BUILD_ID_BYTES;
        return read_at(fd, out, length, offset + text_at) ? length : 0;
    }
    return 0;
}

size_t km_build_id_read(int fd, uint8_t out[KM_EVENT_BUILD_ID_BYTES])
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    size_t length = 0;

    if (!read_at(fd, &header, sizeof header, 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof segment)
        return 0;
    for (unsigned i = 0; i < header.e_phnum && i < MAX_HEADERS && length == 0; i++) {
        if (header.e_phoff > INT64_MAX / 2 ||
            !read_at(fd, &segment, sizeof segment, header.e_phoff + i * sizeof segment))
            return 0;
        if (segment.p_type == PT_NOTE && segment.p_offset < INT64_MAX / 2)
            length = find_in_notes(fd, segment.p_offset, segment.p_filesz, out);
    }
    return length;
}
