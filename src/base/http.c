#include "base/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"

#define BUFFER_BYTES          ((size_t)256 << 10)
#define POLL_MS               200
#define CONNECT_TIMEOUT_MS    10000
#define FIRST_BYTE_TIMEOUT_MS 300000
#define STALL_TIMEOUT_MS      60000

struct km_http {
    CURLM *multi;
    CURL *easy;
    char *buffer; /* BUFFER_BYTES; bytes[start..end) wait to be read */
    size_t start, end;
    size_t header_bytes;
    bool header_limit_met;
    bool headers_over; /* of the final answer, not of a 1xx */
    bool delimited;    /* by a length or by chunks */
    bool paused;
    bool over;
    CURLcode result;   /* once it is over */
    uint64_t received; /* body bytes */
    int64_t stall_timeout_ms;
    const struct km_cancel *cancel;
    struct km_err failure; /* of an earlier read; code KM_OK while there is none */
    char peer[256];        /* for messages */
    char detail[CURL_ERROR_SIZE];
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result = CURLE_OK;

static void init_global(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- Callbacks from libcurl ---- */

static size_t take_body(char *bytes, size_t one, size_t length, void *context)
{
    (void)one; /* always 1 */
    struct km_http *http = context;
    if (http->start == http->end)
        http->start = http->end = 0;
    if (length > BUFFER_BYTES - http->end) {
        http->paused = true;
        return CURL_WRITEFUNC_PAUSE; /* the same bytes come again */
    }
    memcpy(http->buffer + http->end, bytes, length);
    http->end += length;
    http->received += length;
    return length;
}

static bool begins_with(const char *line, size_t length, const char *prefix)
{
    return length >= strlen(prefix) && strncasecmp(line, prefix, strlen(prefix)) == 0;
}

static bool says_chunked(const char *line, size_t length)
{
    char copy[128];
    (void)snprintf(copy, sizeof copy, "%.*s", length < sizeof copy ? (int)length : (int)sizeof copy - 1, line);
    return begins_with(line, length, "transfer-encoding:") && strcasestr(copy, "chunked");
}

static size_t take_header(char *line, size_t one, size_t length, void *context)
{
    (void)one;
    struct km_http *http = context;
    http->header_bytes += length;
    if (http->header_bytes > KM_HTTP_MAX_HEADER_BYTES) {
        http->header_limit_met = true;
        return 0; /* ends the transfer */
    }
    if (begins_with(line, length, "HTTP/"))
        http->delimited = begins_with(line, length, "HTTP/2"); /* frames end by themselves */
    else if (begins_with(line, length, "content-length:") || says_chunked(line, length))
        http->delimited = true;
    long status = 0;
    if (length <= 2 && (line[0] == '\r' || line[0] == '\n') &&
        curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200)
        http->headers_over = true;
    return length;
}

/* ---- Waiting ---- */

static enum km_code fail_transfer(struct km_http *http, struct km_err *err)
{
    long sys_errno = 0;
    (void)curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &sys_errno);
    if (http->header_limit_met)
        return km_fail(err, KM_LIMIT, "%s: headers of more than %zu bytes", http->peer, KM_HTTP_MAX_HEADER_BYTES);
    if (http->result == CURLE_COULDNT_CONNECT && sys_errno != 0)
        return km_fail_errno(err, (int)sys_errno, "cannot connect to %s", http->peer);
    if (http->result == CURLE_OUT_OF_MEMORY)
        return km_fail(err, KM_NOMEM, "out of memory (transfer)");
    if (http->headers_over)
        return km_fail(err, KM_IO, "%s: the answer ended early, after %llu bytes", http->peer,
                       (unsigned long long)http->received);
    if (http->result == CURLE_OK) /* what libcurl says of headers that are cut */
        return km_fail(err, KM_IO, "%s: the answer ended early, within its headers", http->peer);
    return km_fail(err, KM_IO, "%s: %s", http->peer, http->detail[0] ? http->detail : curl_easy_strerror(http->result));
}

/* One round of the transfer. Blocks for at most POLL_MS, and not when something came. */
static enum km_code advance(struct km_http *http, struct km_err *err)
{
    enum km_code code = km_cancel_check(http->cancel, err);
    if (code != KM_OK)
        return code;
    if (http->paused && http->start == http->end) {
        http->paused = false;
        (void)curl_easy_pause(http->easy, CURLPAUSE_CONT); /* a failure shows in the transfer's result */
    }
    int running = 0, left = 0;
    CURLMcode multi = curl_multi_perform(http->multi, &running);
    const CURLMsg *message = curl_multi_info_read(http->multi, &left);
    if (message && message->msg == CURLMSG_DONE) {
        http->over = true;
        http->result = message->data.result;
    }
    bool waits = !http->headers_over || (http->start == http->end && !http->paused);
    if (multi == CURLM_OK && !http->over && waits)
        multi = curl_multi_poll(http->multi, NULL, 0, POLL_MS, NULL);
    if (multi != CURLM_OK)
        return km_fail(err, KM_IO, "%s: %s", http->peer, curl_multi_strerror(multi));
    return KM_OK;
}

/* Waits for body bytes or the end. The limit starts anew with every call that has to wait. */
static enum km_code wait_for_body(struct km_http *http, struct km_err *err)
{
    int64_t give_up_ns = km_clock_monotonic_ns() + http->stall_timeout_ms * KM_NS_PER_MS;
    while (http->start == http->end && !http->over) {
        enum km_code code = advance(http, err);
        if (code != KM_OK)
            return code;
        if (http->start == http->end && !http->over && km_clock_monotonic_ns() > give_up_ns)
            return km_fail(err, KM_IO, "%s: no data for %lld s, after %llu bytes", http->peer,
                           (long long)(http->stall_timeout_ms / 1000), (unsigned long long)http->received);
    }
    if (http->start == http->end && http->result != CURLE_OK)
        return fail_transfer(http, err);
    return KM_OK;
}

static enum km_code wait_for_headers(struct km_http *http, int64_t timeout_ms, struct km_err *err)
{
    int64_t give_up_ns = km_clock_monotonic_ns() + timeout_ms * KM_NS_PER_MS;
    while (!http->headers_over && !http->over) {
        enum km_code code = advance(http, err);
        if (code != KM_OK)
            return code;
        if (!http->headers_over && !http->over && km_clock_monotonic_ns() > give_up_ns)
            return km_fail(err, KM_IO, "%s: no answer within %lld s", http->peer, (long long)(timeout_ms / 1000));
    }
    return http->headers_over ? KM_OK : fail_transfer(http, err);
}

/* ---- Answers ---- */

static enum km_code code_of_status(long status)
{
    if (status == 401 || status == 403)
        return KM_DENIED;
    if (status == 404)
        return KM_NOTFOUND;
    if (status == 409)
        return KM_CONFLICT;
    return status >= 300 && status < 400 ? KM_UNSUPPORTED : KM_IO;
}

/* What the server says about its refusal: the "message" of a JSON object, as engines send, or the text itself. */
static enum km_code fail_status(struct km_http *http, long status, struct km_err *err)
{
    char body[KM_HTTP_MAX_MESSAGE_BYTES + 1];
    size_t length = 0;
    struct km_err ignored = KM_ERR_INIT;
    while (length < KM_HTTP_MAX_MESSAGE_BYTES && wait_for_body(http, &ignored) == KM_OK && http->start < http->end) {
        size_t more = http->end - http->start, room = KM_HTTP_MAX_MESSAGE_BYTES - length;
        more = more < room ? more : room;
        memcpy(body + length, http->buffer + http->start, more);
        http->start += more;
        length += more;
    }
    while (length > 0 && (body[length - 1] == '\n' || body[length - 1] == '\r'))
        length--;
    body[length] = '\0';
    struct km_json *json KM_CLEANUP(km_json_cleanup) = km_json_parse(body, length, sizeof body, &ignored);
    const char *message = km_json_string(json, "message", body);
    return km_fail(err, code_of_status(status), "%s: status %ld%s%.300s", http->peer, status, *message ? ": " : "",
                   message);
}

static enum km_code read_head(struct km_http *http, const struct km_http_request *request, struct km_err *err)
{
    int64_t timeout_ms = request->first_byte_timeout_ms ? request->first_byte_timeout_ms : FIRST_BYTE_TIMEOUT_MS;
    enum km_code code = wait_for_headers(http, timeout_ms, err);
    if (code != KM_OK)
        return code;
    long status = 0;
    (void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return fail_status(http, status, err);
    if (!http->delimited)
        return km_fail(err, KM_UNSUPPORTED, "%s: the answer does not say where it ends", http->peer);
    return KM_OK;
}

static bool set_options(struct km_http *http, const struct km_http_request *request)
{
    CURL *easy = http->easy;
    long connect_ms = (long)(request->connect_timeout_ms ? request->connect_timeout_ms : CONNECT_TIMEOUT_MS);
    CURLcode failed = curl_easy_setopt(easy, CURLOPT_URL, request->url);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->detail);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
    failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_USERAGENT, "komainu");
    if (request->unix_socket) {
        failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
        failed = failed ? failed : curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    return failed == CURLE_OK;
}

struct km_http *km_http_open(const struct km_http_request *request, struct km_err *err)
{
    (void)pthread_once(&global_once, init_global);
    struct km_http *http KM_CLEANUP(km_http_cleanup) = km_calloc(1, sizeof *http, SIZE_MAX, err);
    if (!http)
        return NULL;
    http->cancel = request->cancel;
    http->stall_timeout_ms = request->stall_timeout_ms ? request->stall_timeout_ms : STALL_TIMEOUT_MS;
    const char *host = strstr(request->url, "://");
    host = host ? host + 3 : request->url;
    (void)snprintf(http->peer, sizeof http->peer, "%.*s", request->unix_socket ? 200 : (int)strcspn(host, "/?#"),
                   request->unix_socket ? request->unix_socket : host);
    http->buffer = km_calloc(1, BUFFER_BYTES, SIZE_MAX, err);
    if (!http->buffer)
        return NULL;
    http->multi = global_result == CURLE_OK ? curl_multi_init() : NULL;
    http->easy = http->multi ? curl_easy_init() : NULL;
    if (!http->easy) {
        km_fail(err, KM_NOMEM, "out of memory (transfer)");
        return NULL;
    }
    if (!set_options(http, request) || curl_multi_add_handle(http->multi, http->easy) != CURLM_OK) {
        km_fail(err, KM_UNSUPPORTED, "%s: the transfer library refuses the request", http->peer);
        return NULL;
    }
    if (read_head(http, request, err) != KM_OK)
        return NULL;
    return km_steal(http);
}

enum km_code km_http_read(struct km_http *http, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    if (http->failure.code == KM_OK && wait_for_body(http, &http->failure) == KM_OK) {
        size_t length = http->end - http->start;
        length = length < size ? length : size;
        memcpy(buffer, http->buffer + http->start, length);
        http->start += length;
        *out_length = length;
        return KM_OK;
    }
    *err = http->failure;
    return err->code;
}

void km_http_close(struct km_http *http)
{
    if (!http)
        return;
    if (http->multi && http->easy)
        (void)curl_multi_remove_handle(http->multi, http->easy);
    curl_easy_cleanup(http->easy);
    (void)curl_multi_cleanup(http->multi);
    free(http->buffer);
    free(http);
}

char *km_http_escape(const char *text, struct km_err *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t length = strlen(text), used = 0;
    char *out = km_calloc(length + 1, 3, SIZE_MAX, err);
    for (size_t i = 0; out && i < length; i++) {
        if (strchr(plain, text[i]))
            out[used++] = text[i];
        else
            used += (size_t)snprintf(out + used, 4, "%%%02X", (unsigned)(unsigned char)text[i]);
    }
    return out;
}
