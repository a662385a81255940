#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/inventory/inventory_internal.h"

#define TCP_LISTEN      0x0a
#define UDP_UNCONNECTED 0x07
#define MAX_SOCKETS     ((size_t)1 << 18)
#define MAX_TABLE_BYTES ((size_t)64 << 20)

static enum km_code add(struct km_sockets *out, const struct km_socket *socket, struct km_err *err)
{
    enum km_code code =
        km_grow((void **)&out->rows, &out->capacity, out->count + 1, sizeof *out->rows, MAX_SOCKETS, err);
    if (code == KM_OK)
        out->rows[out->count++] = *socket;
    return code;
}

/* 32-bit words of the address as the kernel prints them: host order each. */
static bool parse_address(const char *hex, bool six, uint8_t out[16])
{
    size_t words = six ? 4 : 1;
    if (strlen(hex) != words * 8)
        return false;
    for (size_t i = 0; i < words; i++) {
        unsigned word;
        if (sscanf(hex + i * 8, "%8x", &word) != 1)
            return false;
        memcpy(out + i * 4, &word, 4);
    }
    return true;
}

static enum km_reach reach_of(const uint8_t *address, bool six)
{
    static const uint8_t zero[16];
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (six && memcmp(address, mapped, sizeof mapped) == 0) {
        address += sizeof mapped;
        six = false;
    }
    if (memcmp(address, zero, six ? 16 : 4) == 0)
        return KM_REACH_ANY;
    if (!six)
        return address[0] == 127 ? KM_REACH_LOOPBACK : KM_REACH_ADDRESS;
    return memcmp(address, zero, 15) == 0 && address[15] == 1 ? KM_REACH_LOOPBACK : KM_REACH_ADDRESS;
}

static enum km_code parse_line(const char *line, bool six, bool udp, struct km_sockets *out, struct km_err *err)
{
    char local[33];
    char remote[33];
    unsigned port;
    unsigned remote_port;
    unsigned state;
    unsigned long long inode;
    uint8_t address[16];
    if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %32[0-9A-Fa-f]:%4x %2x %*s %*s %*s %*u %*u %llu", local, &port, remote,
               &remote_port, &state, &inode) != 6)
        return KM_OK;
    if (state != (udp ? UDP_UNCONNECTED : TCP_LISTEN) || remote_port != 0 || port == 0 ||
        !parse_address(local, six, address))
        return KM_OK;
    struct km_socket socket = {.inode = inode, .seen_by = SIZE_MAX};
    socket.listener.udp = udp;
    socket.listener.port = (uint16_t)port;
    socket.listener.reach = reach_of(address, six);
    if (!inet_ntop(six ? AF_INET6 : AF_INET, address, socket.listener.address, sizeof socket.listener.address))
        return KM_OK;
    return add(out, &socket, err);
}

enum km_code km_sockets_parse_inet(const char *text, bool six, bool udp, struct km_sockets *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    char line[512];
    while (*text && code == KM_OK) {
        size_t length = strcspn(text, "\n");
        if (length < sizeof line) {
            memcpy(line, text, length);
            line[length] = '\0';
            code = parse_line(line, six, udp, out, err);
        }
        text += length + (text[length] == '\n');
    }
    return code;
}

enum km_code km_sockets_parse_unix(const char *text, struct km_sockets *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    char line[512];
    while (*text && code == KM_OK) {
        size_t length = strcspn(text, "\n");
        if (length < sizeof line) {
            unsigned flags;
            unsigned long long inode;
            int at = 0;
            memcpy(line, text, length);
            line[length] = '\0';
            /* Num RefCount Protocol Flags Type St Inode Path; 0x10000: it accepts connections */
            if (sscanf(line, "%*[^:]: %*x %*x %x %*x %*x %llu %n", &flags, &inode, &at) == 2 && (flags & 0x10000)) {
                struct km_socket socket = {.inode = inode, .seen_by = SIZE_MAX, .listener.reach = KM_REACH_UNIX};
                (void)snprintf(socket.listener.address, sizeof socket.listener.address, "%.108s", at ? line + at : "");
                code = add(out, &socket, err);
            }
        }
        text += length + (text[length] == '\n');
    }
    return code;
}

static int by_inode(const void *a, const void *b)
{
    const struct km_socket *left = a;
    const struct km_socket *right = b;
    return left->inode < right->inode ? -1 : left->inode > right->inode;
}

struct km_socket *km_sockets_find(const struct km_sockets *sockets, uint64_t inode)
{
    const struct km_socket key = {.inode = inode};
    return sockets->count ? bsearch(&key, sockets->rows, sockets->count, sizeof key, by_inode) : NULL;
}

enum km_code km_sockets_read(const char *proc_root, uint32_t pid, struct km_sockets *out, struct km_err *err)
{
    static const struct {
        const char *name;
        bool six, udp, local;
    } tables[] = {{"tcp", false, false, false},
                  {"tcp6", true, false, false},
                  {"udp", false, true, false},
                  {"udp6", true, true, false},
                  {"unix", false, false, true}};
    out->count = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char path[400];
        struct km_err ignored;
        KM_CLEANUP(km_cleanup_free) char *text = NULL;
        (void)snprintf(path, sizeof path, "%s/%u/net/%s", proc_root, pid, tables[i].name);
        if (km_inventory_read_text(path, MAX_TABLE_BYTES, &text, &ignored) != KM_OK)
            continue; /* no IPv6, or the process ended */
        enum km_code code = tables[i].local ? km_sockets_parse_unix(text, out, err)
                                            : km_sockets_parse_inet(text, tables[i].six, tables[i].udp, out, err);
        if (code != KM_OK)
            return code;
    }
    if (out->count > 0)
        qsort(out->rows, out->count, sizeof *out->rows, by_inode);
    return KM_OK;
}
