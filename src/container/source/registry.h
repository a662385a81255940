/*
 * Images of a registry, through skopeo, which knows registries, credentials and signature policies. It writes a
 * docker-archive to a pipe: nothing is kept on disk but, one layer at a time, skopeo's own temporary file, in a private
 * folder that is removed with the stream, also when the scan is cancelled.
 *
 * The image's layers come uncompressed, so the archive's digests are those of the config and of the diff ids, which
 * skopeo checks, not of the registry's manifest. Of a multi-platform image one platform comes.
 *
 * skopeo closes its output in good order when it fails half-way. The stream therefore ends with KM_OK only after skopeo
 * ended with status 0: a reader must read to the end to know.
 */
#ifndef KM_CONTAINER_SOURCE_REGISTRY_H
#define KM_CONTAINER_SOURCE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"

struct km_stream; /* stream.h */

struct km_registry_request {
    const char *reference;          /* HOST[:PORT]/PATH[:TAG][@DIGEST]; skopeo takes docker.io where no host is given */
    const char *platform;           /* "linux/arm64" or "linux/arm/v7", or NULL: this machine's */
    const char *auth_file;          /* credentials, or NULL: skopeo's default */
    bool no_tls;                    /* plain HTTP or an unverified certificate; only when the user says so */
    const char *program;            /* NULL: "skopeo" */
    int64_t time_limit_ms;          /* for the whole transfer; 0: none */
    const struct km_cancel *cancel; /* or NULL; outlives the stream */
};

/* The caller closes the stream. KM_FORMAT (no valid reference or platform), KM_NOTFOUND (no skopeo, no such image),
 * KM_DENIED, KM_IO, KM_NOMEM, KM_CANCELLED. Reading gives the same codes when the transfer fails half-way. */
enum km_code km_registry_open(const struct km_registry_request *request, struct km_stream **out_stream,
                              struct km_err *err) KM_MUST_USE;

#endif
