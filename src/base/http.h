/*
 * A GET whose answer is pulled: over TCP or a unix socket (libcurl behind it). For clients of local engines and of
 * services that the user names; no redirects are followed, no proxy is used for a unix socket.
 *
 * The server is not trusted: headers are limited, its words are escaped, an answer must say where it ends (a length,
 * or chunks), and one that ends early is an error, never a short success. Every wait has a limit and checks the cancel
 * token at least five times a second. At most 256 KiB are held; a reader that takes its time stops the sender.
 *
 * One transfer, one thread. Lifecycle: km_http_open, km_http_read until 0, km_http_close.
 */
#ifndef KM_BASE_HTTP_H
#define KM_BASE_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"

#define KM_HTTP_MAX_HEADER_BYTES  ((size_t)64 << 10)
#define KM_HTTP_MAX_MESSAGE_BYTES ((size_t)4096) /* of an error's body */

struct km_http_request {
    const char *url;                /* http:// or https:// */
    const char *unix_socket;        /* path, or NULL for TCP; the url's host is then only a name */
    int64_t connect_timeout_ms;     /* 0: 10 s */
    int64_t first_byte_timeout_ms;  /* from the connection to the answer's headers; 0: 300 s */
    int64_t stall_timeout_ms;       /* without a byte while the reader waits; 0: 60 s */
    const struct km_cancel *cancel; /* or NULL; outlives the transfer */
};

struct km_http;

/* Sends the request and reads the headers. NULL with *err set: status 401 and 403 give KM_DENIED, 404 KM_NOTFOUND, 409
 * KM_CONFLICT, redirects KM_UNSUPPORTED, all else that is not 200 KM_IO, with the server's message; KM_NOTFOUND and
 * KM_DENIED also for the socket; KM_UNSUPPORTED when the answer does not say where it ends; KM_LIMIT for headers above
 * KM_HTTP_MAX_HEADER_BYTES; KM_IO, KM_NOMEM, KM_CANCELLED. */
struct km_http *km_http_open(const struct km_http_request *request, struct km_err *err) KM_MUST_USE;

/* Copies 1..size bytes of the body to buffer; *out_length 0 is its end. KM_IO ("ended early", "no data for …"),
 * KM_CANCELLED; after a failure the same again. */
enum km_code km_http_read(struct km_http *http, void *buffer, size_t size, size_t *out_length,
                          struct km_err *err) KM_MUST_USE;

void km_http_close(struct km_http *http);
KM_DEFINE_CLEANUP(struct km_http, km_http_cleanup, km_http_close);

/* text with everything but letters, digits and "-._~" as %XX, so that it is one component of a path. NULL with *err set
 * (KM_NOMEM). The caller frees it. */
char *km_http_escape(const char *text, struct km_err *err) KM_MUST_USE;

#endif
