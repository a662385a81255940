#define KM_TEST_NAME "http"
#include "../cm.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/http.h"

/* A server for one connection on a unix socket: reads the request's head, sends a reply, then closes or hangs until the
 * client is gone. */
struct server {
    char folder[64];
    char path[96];
    int listener;
    pthread_t thread;
    const char *reply;
    size_t length;
    bool hangs;
    char request[1024];
};

static void *serve(void *context)
{
    struct server *server = context;
    int peer = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return NULL;
    size_t used = 0;
    while (used < sizeof server->request - 1 && !strstr(server->request, "\r\n\r\n")) {
        ssize_t n = recv(peer, server->request + used, sizeof server->request - 1 - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    for (size_t sent = 0; sent < server->length;) {
        ssize_t n = send(peer, server->reply + sent, server->length - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    char end;
    if (server->hangs)
        (void)recv(peer, &end, 1, 0);
    (void)close(peer);
    return NULL;
}

static void server_start(struct server *server, const char *reply, size_t length, bool hangs)
{
    *server = (struct server){.folder = "/tmp/km-http-XXXXXX", .reply = reply, .length = length, .hangs = hangs};
    assert_non_null(mkdtemp(server->folder));
    (void)snprintf(server->path, sizeof server->path, "%s/socket", server->folder);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR); /* when nobody came */
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
    (void)unlink(server->path);
    (void)rmdir(server->folder);
}

static struct km_http_request request_to(const struct server *server)
{
    return (struct km_http_request){.url = "http://engine/a%2Fb", .unix_socket = server->path};
}

/* Reads a whole body in pieces of an odd size; the code that ended it. */
static enum km_code read_all(struct km_http *http, struct km_buf *out, struct km_err *err)
{
    for (;;) {
        char piece[777];
        size_t length = 0;
        enum km_code code = km_http_read(http, piece, sizeof piece, &length, err);
        if (code != KM_OK || length == 0)
            return code;
        assert_true(length <= sizeof piece);
        assert_ok(km_buf_append(out, piece, length, err), *err);
    }
}

/* What the client makes of a reply: the body, or "code: text" without the socket's path. */
static void expect(const char *reply, bool hangs, const char *expected)
{
    struct server server;
    server_start(&server, reply, strlen(reply), hangs);
    struct km_err err = KM_ERR_INIT;
    struct km_http_request request = request_to(&server);
    request.first_byte_timeout_ms = request.stall_timeout_ms = 100;
    struct km_http *http = km_http_open(&request, &err);
    struct km_buf out;
    km_buf_init(&out, (size_t)1 << 20);
    enum km_code code = http ? read_all(http, &out, &err) : err.code;
    char got[1024];
    const char *text =
        strncmp(err.text, server.path, strlen(server.path)) == 0 ? err.text + strlen(server.path) : err.text;
    (void)snprintf(got, sizeof got, "%s%.600s", code == KM_OK ? "" : km_code_to_string(code),
                   code == KM_OK ? km_buf_text(&out) : text);
    km_http_close(http);
    server_stop(&server);
    km_buf_done(&out);
    assert_string_equal(got, expected);
}

static void whole_answers(void **state)
{
    (void)state;
    expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "hello");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", true, "hello");
    expect("HTTP/1.1 200 OK\r\ntransfer-encoding:Chunked\r\n\r\n0\r\n\r\n", true, "");
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true, "x");
}

static void answers_that_end_early_are_errors(void **state)
{
    (void)state;
    expect("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false, "io: the answer ended early, after 5 bytes");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false,
           "io: the answer ended early, after 5 bytes");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", false,
           "io: the answer ended early, after 5 bytes");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhellonothex\r\n", false,
           "io: the answer ended early, after 5 bytes");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Le", false,
           "io: the answer ended early, within its headers");
}

static void answers_without_an_end_are_refused(void **state)
{
    (void)state;
    expect("HTTP/1.1 200 OK\r\n\r\nhello", false, "unsupported: the answer does not say where it ends");
    /* what a 1xx says is not about the final answer */
    expect("HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello", false,
           "unsupported: the answer does not say where it ends");
}

static void servers_that_hang_meet_a_limit(void **state)
{
    (void)state;
    expect("", true, "io: no answer within 0 s");
    expect("HTTP/1.1 200 OK\r\n", true, "io: no answer within 0 s");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true, "io: no data for 0 s, after 5 bytes");
}

static void refusals_carry_the_servers_message(void **state)
{
    (void)state;
    expect("HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{\"message\":\"no such image\"}", true,
           "not-found: status 404: no such image");
    expect("HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n\033[31m!\n", true, "denied: status 403: \\x1b[31m!");
    expect("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", true, "denied: status 401");
    expect("HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", true, "conflict: status 409");
    expect("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", true,
           "unsupported: status 302");
    expect("HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nbroken", true, "io: status 500: broken"); /* and it hangs */
    expect("HTTP/1.1 204 No Content\r\n\r\n", true, "io: status 204");
}

static void headers_are_limited(void **state)
{
    (void)state;
    size_t size = KM_HTTP_MAX_HEADER_BYTES + 4096;
    char *reply = malloc(size + 64);
    assert_non_null(reply);
    size_t used = (size_t)sprintf(reply, "HTTP/1.1 200 OK\r\n");
    while (used < size)
        used += (size_t)sprintf(reply + used, "X-Filler: 0123456789abcdef\r\n");
    expect(reply, true, "limit: headers of more than 65536 bytes");
    free(reply);
}

static void not_http_at_all(void **state)
{
    (void)state;
    expect("SSH-2.0-OpenSSH_9.2\r\n", false, "io: Received HTTP/0.9 when not allowed");
}

/* Far more than the buffer holds, read in pieces of an odd size: nothing is lost where the sender was stopped. */
static void large_bodies_come_whole(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
    size_t length = 3000000;
    char *reply = malloc(sizeof head + length);
    assert_non_null(reply);
    memcpy(reply, head, sizeof head - 1);
    for (size_t i = 0; i < length; i++)
        reply[sizeof head - 1 + i] = (char)(i * 2654435761U >> 13);
    struct server server;
    server_start(&server, reply, sizeof head - 1 + length, true);
    struct km_err err = KM_ERR_INIT;
    struct km_http_request request = request_to(&server);
    struct km_http *http = km_http_open(&request, &err);
    assert_non_null(http);
    struct km_buf out;
    km_buf_init(&out, length);
    assert_ok(read_all(http, &out, &err), err);
    assert_int_equal(out.length, length);
    assert_memory_equal(out.data, reply + sizeof head - 1, length);
    km_buf_done(&out);
    km_http_close(http);
    server_stop(&server);
    assert_non_null(strstr(server.request, "GET /a%2Fb HTTP/1.1\r\n"));
    free(reply);
}

static void a_failure_stays(void **state)
{
    (void)state;
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    struct server server;
    server_start(&server, reply, strlen(reply), false);
    struct km_err err = KM_ERR_INIT;
    struct km_http_request request = request_to(&server);
    struct km_http *http = km_http_open(&request, &err);
    assert_non_null(http);
    struct km_buf out;
    km_buf_init(&out, 100);
    assert_int_equal(read_all(http, &out, &err), KM_IO);
    char byte;
    size_t length = 7;
    assert_int_equal(km_http_read(http, &byte, 1, &length, &err), KM_IO);
    assert_int_equal(length, 7);
    km_buf_done(&out);
    km_http_close(http);
    server_stop(&server);
}

static void cancellation_ends_waiting(void **state)
{
    (void)state;
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    struct server server;
    server_start(&server, reply, strlen(reply), true);
    struct km_cancel cancel = KM_CANCEL_INIT;
    struct km_err err = KM_ERR_INIT;
    struct km_http_request request = request_to(&server);
    request.cancel = &cancel;
    struct km_http *http = km_http_open(&request, &err);
    assert_non_null(http);
    char bytes[16];
    size_t length = 0;
    assert_ok(km_http_read(http, bytes, sizeof bytes, &length, &err), err);
    km_cancel_request(&cancel);
    assert_int_equal(km_http_read(http, bytes, sizeof bytes, &length, &err), KM_CANCELLED);
    km_http_close(http);
    server_stop(&server);
    server_start(&server, reply, strlen(reply), true);
    request.unix_socket = server.path;
    assert_null(km_http_open(&request, &err));
    assert_int_equal(err.code, KM_CANCELLED);
    server_stop(&server);
}

static void sockets_that_cannot_be_reached(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_http_request request = {.url = "http://engine/", .unix_socket = "/nonexistent/socket"};
    assert_null(km_http_open(&request, &err));
    assert_int_equal(err.code, KM_NOTFOUND);
    assert_string_equal(err.text, "cannot connect to /nonexistent/socket: No such file or directory");
    request = (struct km_http_request){.url = "file:///etc/hostname"};
    assert_null(km_http_open(&request, &err));
    request = (struct km_http_request){.url = "http://127.0.0.1:1/"};
    assert_null(km_http_open(&request, &err));
    assert_int_equal(err.code, KM_IO);
    km_http_close(NULL);
}

static void escaped_components(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"aZ09-._~", "aZ09-._~"},
                                          {"r:5000/x:1", "r%3A5000%2Fx%3A1"},
                                          {"a b?c#d%", "a%20b%3Fc%23d%25"},
                                          {"\xff\n", "%FF%0A"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        char *out = km_http_escape(rows[i][0], &err);
        assert_non_null(out);
        assert_string_equal(out, rows[i][1]);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers),
        cmocka_unit_test(answers_that_end_early_are_errors),
        cmocka_unit_test(answers_without_an_end_are_refused),
        cmocka_unit_test(servers_that_hang_meet_a_limit),
        cmocka_unit_test(refusals_carry_the_servers_message),
        cmocka_unit_test(headers_are_limited),
        cmocka_unit_test(not_http_at_all),
        cmocka_unit_test(large_bodies_come_whole),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(cancellation_ends_waiting),
        cmocka_unit_test(sockets_that_cannot_be_reached),
        cmocka_unit_test(escaped_components),
    };
    return KM_RUN_TESTS(tests);
}
