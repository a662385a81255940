#include <arpa/inet.h>
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

/* Cuts the line into words; the rest behind the last of `most` words goes to *out_rest. */
static size_t split(char *line, char **words, size_t most, char **out_rest)
{
    size_t count = 0;
    while (count < most) {
        line += strspn(line, " ");
        if (*line == '\0')
            break;
        words[count++] = line;
        line += strcspn(line, " ");
        if (*line == '\0')
            break;
        *line++ = '\0';
    }
    *out_rest = line + strspn(line, " ");
    return count;
}

/* "ADDRESS:PORT": 32-bit words of the address as the kernel prints them, host order each. */
static bool parse_end(const char *text, bool six, uint8_t address[16], unsigned long long *out_port)
{
    size_t words = six ? 4 : 1;
    if (strcspn(text, ":") != words * 8)
        return false;
    for (size_t i = 0; i < words; i++) {
        char digits[9];
        const char *at = digits;
        unsigned long long word;
        (void)snprintf(digits, sizeof digits, "%.8s", text + i * 8);
        if (!km_inventory_read_number(&at, 16, &word) || *at != '\0')
            return false;
        uint32_t low = (uint32_t)word;
        memcpy(address + i * 4, &low, sizeof low);
    }
    const char *port = text + words * 8 + 1;
    return km_inventory_read_number(&port, 16, out_port) && *out_port <= UINT16_MAX;
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

/* sl local remote st queues timer retransmissions uid timeout inode */
static enum km_code parse_line(char *line, bool six, bool udp, struct km_sockets *out, struct km_err *err)
{
    char *words[10];
    char *rest;
    uint8_t address[16];
    uint8_t peer[16];
    unsigned long long port;
    unsigned long long peer_port;
    unsigned long long state;
    unsigned long long inode;
    if (split(line, words, 10, &rest) < 10)
        return KM_OK;
    const char *state_at = words[3];
    const char *inode_at = words[9];
    if (!parse_end(words[1], six, address, &port) || !parse_end(words[2], six, peer, &peer_port) ||
        !km_inventory_read_number(&state_at, 16, &state) || !km_inventory_read_number(&inode_at, 10, &inode))
        return KM_OK;
    if (state != (udp ? UDP_UNCONNECTED : TCP_LISTEN) || peer_port != 0 || port == 0)
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

/* Num RefCount Protocol Flags Type St Inode Path; flag 0x10000: it accepts connections */
static enum km_code parse_unix_line(char *line, struct km_sockets *out, struct km_err *err)
{
    char *words[7];
    char *path;
    unsigned long long flags;
    unsigned long long inode;
    if (split(line, words, 7, &path) < 7)
        return KM_OK;
    const char *flags_at = words[3];
    const char *inode_at = words[6];
    if (!km_inventory_read_number(&flags_at, 16, &flags) || !km_inventory_read_number(&inode_at, 10, &inode) ||
        !(flags & 0x10000))
        return KM_OK;
    struct km_socket socket = {.inode = inode, .seen_by = SIZE_MAX, .listener.reach = KM_REACH_UNIX};
    (void)snprintf(socket.listener.address, sizeof socket.listener.address, "%.108s", path);
    return add(out, &socket, err);
}

enum km_code km_sockets_parse_unix(const char *text, struct km_sockets *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    char line[512];
    while (*text && code == KM_OK) {
        size_t length = strcspn(text, "\n");
        if (length < sizeof line) {
            memcpy(line, text, length);
            line[length] = '\0';
            code = parse_unix_line(line, out, err);
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
