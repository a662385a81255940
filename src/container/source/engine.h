/*
 * Images and containers of a local engine, over its API socket: docker and podman speak the same calls.
 *
 * A target is "image/NAME", "container/NAME" or "NAME", which is looked up as both; a name that both have is refused
 * with KM_CONFLICT, because guessing would scan the wrong one. (An image whose own name begins with "image/" or
 * "container/" is written with "image/" in front.) An image is NAME[:TAG], NAME@DIGEST or an id; a container is a name
 * or an id, running or stopped. Images come as a docker-archive, containers as the tar of their file system, without
 * volumes and other mounts, as the engine exports them.
 *
 * The engine is asked with GET alone; nothing is changed, started or pulled.
 */
#ifndef KM_CONTAINER_SOURCE_ENGINE_H
#define KM_CONTAINER_SOURCE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"

struct km_stream; /* stream.h */

enum km_engine {
    KM_ENGINE_DOCKER = 0,
    KM_ENGINE_PODMAN = 1,
};

struct km_engine_request {
    enum km_engine engine;
    const char *target;
    const char *socket;             /* path, or NULL: km_engine_find_socket decides */
    int64_t first_byte_timeout_ms;  /* as in http.h; 0: its default */
    int64_t stall_timeout_ms;       /* likewise */
    const struct km_cancel *cancel; /* or NULL; outlives the stream */
};

#define KM_ENGINE_SOCKET_BYTES 256

/* Where the engine listens: DOCKER_HOST or CONTAINER_HOST when set, else the first that is there of
 * /var/run/docker.sock and $XDG_RUNTIME_DIR/docker.sock, or /run/podman/podman.sock and
 * $XDG_RUNTIME_DIR/podman/podman.sock; the system's when none is. KM_UNSUPPORTED when the variable names something else
 * than a unix socket, KM_LIMIT for long paths. */
enum km_code km_engine_find_socket(enum km_engine engine, char out_path[KM_ENGINE_SOCKET_BYTES],
                                   struct km_err *err) KM_MUST_USE;

/* Opens the stream of a target; *out_is_container says what it is (a tar of one file system, else an archive of
 * images). The caller closes the stream. KM_NOTFOUND (no such target, or no socket), KM_CONFLICT, KM_DENIED,
 * KM_FORMAT (no valid name), KM_UNSUPPORTED, KM_IO, KM_NOMEM, KM_CANCELLED. Reading gives KM_IO when the engine's
 * answer ends early or stalls. */
enum km_code km_engine_open(const struct km_engine_request *request, struct km_stream **out_stream,
                            bool *out_is_container, struct km_err *err) KM_MUST_USE;

#endif
