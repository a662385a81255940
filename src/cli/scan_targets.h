/*
 * What the targets of `komainu scan` name: sources that can be opened, and lists of images that are taken apart.
 */
#ifndef KM_CLI_SCAN_TARGETS_H
#define KM_CLI_SCAN_TARGETS_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/err.h"
#include "cli/options.h"
#include "container/source/source.h"

struct km_scan_access {
    const char *socket;   /* the engine's, or NULL */
    const char *platform; /* "linux/arm64", or NULL */
    const char *authfile; /* or NULL */
    bool tls_verify;
    struct km_source_limits limits;
    const struct km_cancel *cancel;
};

/* Rows for the table of a command: all of km_scan_access_read. */
#define KM_SCAN_ACCESS_OPTIONS                                                                                         \
    {.name = "depth",                                                                                                  \
     .type = KM_OPTION_INTEGER,                                                                                        \
     .argument = "N",                                                                                                  \
     .fallback = "4",                                                                                                  \
     .least = 0,                                                                                                       \
     .most = 16,                                                                                                       \
     .help = "open archives within archives to this depth"},                                                           \
        {.name = "socket",                                                                                             \
         .type = KM_OPTION_TEXT,                                                                                       \
         .argument = "PATH",                                                                                           \
         .help = "the engine's socket for docker: and podman:"},                                                       \
        {.name = "platform",                                                                                           \
         .type = KM_OPTION_TEXT,                                                                                       \
         .argument = "OS/ARCH",                                                                                        \
         .help = "which platform to ask a registry for"},                                                              \
        {.name = "authfile",                                                                                           \
         .type = KM_OPTION_TEXT,                                                                                       \
         .argument = "FILE",                                                                                           \
         .help = "registry credentials, as skopeo reads them"},                                                        \
    {                                                                                                                  \
        .name = "tls-verify", .type = KM_OPTION_FLAG, .fallback = "true", .help = "check the registry's certificate"   \
    }

/* Texts stay the options'. cancel may be NULL. */
struct km_scan_access km_scan_access_read(const struct km_options *options, const struct km_cancel *cancel);

/* One thing to scan. */
struct km_scan_item {
    char *name; /* a target as the user would give it, "SERVICE: TARGET" for members of a list in messages */
    char *spec; /* what to open; NULL: it cannot be, and problem says why */
    struct km_err problem;
};

struct km_scan_items {
    struct km_scan_item *items;
    size_t count, capacity;
    bool from_list; /* at least one target was a list of images */
};

void km_scan_items_done(struct km_scan_items *items);

/* Adds what the target names: itself, or each image of a compose, Helm or Kubernetes file. KM_NOMEM, KM_LIMIT; a file
 * that cannot be read becomes an item with a problem. */
enum km_code km_scan_items_add(struct km_scan_items *items, const char *target, struct km_err *err) KM_MUST_USE;

/* Opens an item's spec: any scheme of source.h, docker:, podman:, registry:. The codes of km_source_open,
 * km_engine_open and km_registry_open. */
enum km_code km_scan_target_open(const char *spec, const struct km_scan_access *access, struct km_source **out,
                                 struct km_err *err) KM_MUST_USE;

#endif
