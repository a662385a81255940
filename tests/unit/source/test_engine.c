#define KM_TEST_NAME "engine"
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
#include "container/source/engine.h"
#include "container/source/stream.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct route {
    const char *path; /* of the request, whole */
    const char *status;
    const char *body;
    bool cut; /* the connection is closed in the middle of the body */
};

/* An engine that answers one connection after another from a table, and 404 for the rest. */
struct engine {
    char folder[64], path[96];
    int listener;
    pthread_t thread;
    const struct route *routes;
};

static const struct route *find_route(const struct engine *engine, const char *request)
{
    static const struct route missing = {"", "404 Not Found", "{\"message\":\"no such thing\"}", false};
    for (const struct route *route = engine->routes; route->path; route++) {
        size_t length = strlen(route->path);
        if (strncmp(request, "GET ", 4) == 0 && strncmp(request + 4, route->path, length) == 0 &&
            request[4 + length] == ' ')
            return route;
    }
    return &missing;
}

static void answer(const struct engine *engine, int peer)
{
    char request[2048] = "", reply[4096];
    size_t used = 0;
    while (used < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t n = recv(peer, request + used, sizeof request - 1 - used, 0);
        if (n <= 0)
            return;
        used += (size_t)n;
    }
    const struct route *route = find_route(engine, request);
    size_t length = strlen(route->body);
    int n = snprintf(reply, sizeof reply, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
                     route->status, length, route->cut ? (int)length / 2 : (int)length, route->body);
    (void)send(peer, reply, (size_t)n, MSG_NOSIGNAL);
}

static void *serve(void *context)
{
    const struct engine *engine = context;
    for (;;) {
        int peer = accept4(engine->listener, NULL, NULL, SOCK_CLOEXEC);
        if (peer < 0)
            return NULL;
        answer(engine, peer);
        (void)close(peer);
    }
}

static void engine_start(struct engine *engine, const struct route *routes)
{
    *engine = (struct engine){.folder = "/tmp/km-engine-XXXXXX", .routes = routes};
    assert_non_null(mkdtemp(engine->folder));
    (void)snprintf(engine->path, sizeof engine->path, "%s/socket", engine->folder);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", engine->path);
    engine->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(engine->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(engine->listener, 4), 0);
    assert_int_equal(pthread_create(&engine->thread, NULL, serve, engine), 0);
}

static void engine_stop(struct engine *engine)
{
    (void)shutdown(engine->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(engine->thread, NULL), 0);
    (void)close(engine->listener);
    (void)unlink(engine->path);
    (void)rmdir(engine->folder);
}

/* "image: BODY", "container: BODY", or "code: text". */
static void fetch(const struct engine *engine, enum km_engine kind, const char *target, char *out, size_t out_bytes)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_engine_request request = {
        .engine = kind, .target = target, .socket = engine->path, .stall_timeout_ms = 2000};
    struct km_stream *stream KM_CLEANUP(km_stream_cleanup) = NULL;
    bool is_container = false;
    char body[256] = "";
    size_t length = 0;
    enum km_code code = km_engine_open(&request, &stream, &is_container, &err);
    if (code == KM_OK)
        code = km_stream_read(stream, body, sizeof body - 1, &length, &err);
    const char *text =
        strncmp(err.text, engine->path, strlen(engine->path)) == 0 ? err.text + strlen(engine->path) + 2 : err.text;
    (void)snprintf(out, out_bytes, "%s: %s",
                   code != KM_OK  ? km_code_to_string(code)
                   : is_container ? "container"
                                  : "image",
                   code != KM_OK ? text : body);
}

static const struct route routes[] = {
    {"/images/web/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/images/web%3Alatest/get", "200 OK", "web image", false},
    {"/images/r%3A5000%2Fx%3A1/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/images/r%3A5000%2Fx%3A1/get", "200 OK", "x image", false},
    {"/images/0123456789ab/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/images/0123456789ab/get", "200 OK", "image by id", false},
    {"/images/sha256%3A" ID "/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/images/sha256%3A" ID "/get", "200 OK", "image by digest", false},
    {"/images/cafe/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false}, /* a name that looks like an id */
    {"/images/cafe%3Alatest/get", "200 OK", "cafe image", false},
    {"/containers/job_1/json", "200 OK", "{\"Id\":\"x\"}", false},
    {"/containers/job_1/export", "200 OK", "job's files", false},
    {"/images/both/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/containers/both/json", "200 OK", "{}", false},
    {"/images/both%3Alatest/get", "200 OK", "the image", false},
    {"/containers/both/export", "200 OK", "the container", false},
    {"/images/container%2Fx/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/images/container%2Fx%3Alatest/get", "200 OK", "a strange name", false},
    {"/images/broken/json", "200 OK", "{\"Id\":", false},
    {"/images/failing/json", "500 Internal Server Error", "{\"message\":\"disk full\"}", false},
    {"/images/half/json", "200 OK", "{\"Id\":\"sha256:" ID "\"}", false},
    {"/images/half%3Alatest/get", "200 OK", "only the half", true},
    {"/images/locked/json", "403 Forbidden", "{\"message\":\"by policy\"}", false},
    {NULL, NULL, NULL, false},
};

static void targets(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"web", "image: web image"}, /* docker would send all tags of "web" */
        {"r:5000/x:1", "image: x image"},
        {"0123456789ab", "image: image by id"},
        {"sha256:" ID, "image: image by digest"},
        {"cafe", "image: cafe image"},
        {"job_1", "container: job's files"},
        {"container/job_1", "container: job's files"},
        {"both", "conflict: docker has an image and a container 'both': say image/both or container/both"},
        {"image/both", "image: the image"},
        {"container/both", "container: the container"},
        {"image/container/x", "image: a strange name"},
        {"nothing", "not-found: docker has no image or container 'nothing'"},
        {"image/job_1", "not-found: docker has no image 'job_1'"},
        {"container/web", "not-found: docker has no container 'web'"},
        {"", "format: '' is no name of an image or a container"},
        {"image/", "format: '' is no name of an image or a container"},
        {"../../version", "format: '../../version' is no name of an image or a container"},
        {"container/a/b", "format: 'a/b' is no name of an image or a container"},
        {"container/..", "format: '..' is no name of an image or a container"},
        {"a\nb", "format: 'a\\nb' is no name of an image or a container"},
    };
    struct engine engine;
    engine_start(&engine, routes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[512];
        fetch(&engine, KM_ENGINE_DOCKER, rows[i][0], got, sizeof got);
        assert_string_equal(got, rows[i][1]);
    }
    engine_stop(&engine);
}

static void answers_that_are_wrong(void **state)
{
    (void)state;
    struct engine engine;
    char got[512];
    engine_start(&engine, routes);
    fetch(&engine, KM_ENGINE_PODMAN, "image/broken", got, sizeof got);
    assert_non_null(strstr(got, "format: not valid JSON"));
    fetch(&engine, KM_ENGINE_PODMAN, "failing", got, sizeof got);
    assert_string_equal(got, "io: status 500: disk full");
    fetch(&engine, KM_ENGINE_PODMAN, "locked", got, sizeof got);
    assert_string_equal(got, "denied: status 403: by policy");
    fetch(&engine, KM_ENGINE_PODMAN, "half", got, sizeof got);
    assert_string_equal(got, "io: the answer ended early, after 6 bytes");
    fetch(&engine, KM_ENGINE_PODMAN, "gone", got, sizeof got);
    assert_string_equal(got, "not-found: podman has no image or container 'gone'");
    engine_stop(&engine);
}

static void a_missing_socket_is_not_a_missing_image(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_stream *stream = NULL;
    bool is_container = true;
    const struct km_engine_request request = {.target = "web", .socket = "/nonexistent/docker.sock"};
    assert_int_equal(km_engine_open(&request, &stream, &is_container, &err), KM_NOTFOUND);
    assert_string_equal(err.text, "cannot connect to /nonexistent/docker.sock: No such file or directory");
    assert_null(stream);
    assert_true(is_container);
}

static void sockets_by_environment(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char path[KM_ENGINE_SOCKET_BYTES];
    assert_int_equal(setenv("DOCKER_HOST", "unix:///x/docker.sock", 1), 0);
    assert_ok(km_engine_find_socket(KM_ENGINE_DOCKER, path, &err), err);
    assert_string_equal(path, "/x/docker.sock");
    assert_int_equal(setenv("DOCKER_HOST", "tcp://10.0.0.1:2375", 1), 0);
    assert_int_equal(km_engine_find_socket(KM_ENGINE_DOCKER, path, &err), KM_UNSUPPORTED);
    assert_string_equal(err.text, "DOCKER_HOST is 'tcp://10.0.0.1:2375': only unix:// sockets are supported");
    char large[KM_ENGINE_SOCKET_BYTES + 16] = "unix://";
    memset(large + 7, 'x', sizeof large - 8);
    large[sizeof large - 1] = '\0';
    assert_int_equal(setenv("DOCKER_HOST", large, 1), 0);
    assert_int_equal(km_engine_find_socket(KM_ENGINE_DOCKER, path, &err), KM_LIMIT);
    assert_int_equal(unsetenv("DOCKER_HOST"), 0);
    assert_int_equal(setenv("CONTAINER_HOST", "unix:///x/podman.sock", 1), 0);
    assert_ok(km_engine_find_socket(KM_ENGINE_PODMAN, path, &err), err);
    assert_string_equal(path, "/x/podman.sock");
    assert_int_equal(setenv("CONTAINER_HOST", "", 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/nonexistent", 1), 0);
    assert_ok(km_engine_find_socket(KM_ENGINE_PODMAN, path, &err), err);
    assert_string_equal(path, "/run/podman/podman.sock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),
        cmocka_unit_test(answers_that_are_wrong),
        cmocka_unit_test(a_missing_socket_is_not_a_missing_image),
        cmocka_unit_test(sockets_by_environment),
    };
    return KM_RUN_TESTS(tests);
}
