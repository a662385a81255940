/* ELF files made by hand: a header, two program headers, a dynamic segment, symbols and their strings. */
#ifndef KM_TESTS_MADEELF_H
#define KM_TESTS_MADEELF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MADE_ELF_BYTES 4096

struct made_elf {
    bool wide, big;
    uint64_t dynamic_at; /* offset in the file, 0: 1024 */
};

static inline void made_put(const struct made_elf *elf, uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[elf->big ? bytes - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

static inline void made_entry(const struct made_elf *elf, uint8_t **at, uint64_t tag, uint64_t value)
{
    unsigned word = elf->wide ? 8 : 4;
    made_put(elf, *at, tag, word);
    made_put(elf, *at + word, value, word);
    *at += 2 * word;
}

/* Fills bytes, which hold at least MADE_ELF_BYTES and dynamic_at + 256. Imports open_device, exports run_plugin, needs
 * libpcap.so.0.8. Symbols at 512, strings at 768; addresses are offsets + 0x10000. */
static inline void made_elf_write(const struct made_elf *elf, uint8_t *bytes)
{
    static const char strings[] = "\0open_device\0run_plugin\0libpcap.so.0.8";
    unsigned word = elf->wide ? 8 : 4, header = elf->wide ? 64 : 52, segment = elf->wide ? 56 : 32;
    uint64_t dynamic = elf->dynamic_at ? elf->dynamic_at : 1024;
    memset(bytes, 0, MADE_ELF_BYTES);
    memcpy(bytes, "\177ELF", 4);
    bytes[4] = elf->wide ? 2 : 1;
    bytes[5] = elf->big ? 2 : 1;
    made_put(elf, bytes + (elf->wide ? 32 : 28), header, word);
    made_put(elf, bytes + (elf->wide ? 54 : 42), segment, 2);
    made_put(elf, bytes + (elf->wide ? 56 : 44), 2, 2);
    uint8_t *load = bytes + header, *place = load + segment;
    made_put(elf, load, 1, 4);
    made_put(elf, load + (elf->wide ? 16 : 8), 0x10000, word);
    made_put(elf, load + (elf->wide ? 32 : 16), 0x1000, word);
    made_put(elf, place, 2, 4);
    made_put(elf, place + (elf->wide ? 8 : 4), dynamic, word);
    made_put(elf, place + (elf->wide ? 32 : 16), 256, word);
    memcpy(bytes + 768, strings, sizeof strings);
    unsigned symbol = elf->wide ? 24 : 16, section = elf->wide ? 6 : 14;
    made_put(elf, bytes + 512 + symbol, 1, 4);
    made_put(elf, bytes + 512 + 2 * symbol, 13, 4);
    made_put(elf, bytes + 512 + 2 * symbol + section, 7, 2);
    uint8_t *at = bytes + dynamic;
    memset(at, 0, 256);
    made_entry(elf, &at, 1, 24);                         /* needed */
    made_entry(elf, &at, 6, 0x10000 + 512);              /* symbols */
    made_entry(elf, &at, 5, 0x10000 + 768);              /* strings */
    made_entry(elf, &at, 10, sizeof strings);            /* their length */
    made_entry(elf, &at, 4, 0x10000 + 512 + 3 * symbol); /* hash: ends the symbols */
}

#endif
