#include "container/source/engine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/http.h"
#include "base/json.h"
#include "container/source/imageref.h"
#include "container/source/stream.h"

#define MAX_INSPECT_BYTES ((size_t)4 << 20)
#define MAX_NAME_BYTES    640

enum wanted { WANT_ANY, WANT_IMAGE, WANT_CONTAINER };

struct session {
    const struct km_engine_request *request;
    const char *engine; /* for messages */
    char socket[KM_ENGINE_SOCKET_BYTES];
};

/* ---- The socket ---- */

static enum km_code copy_path(const char *path, char out[KM_ENGINE_SOCKET_BYTES], struct km_err *err)
{
    if (snprintf(out, KM_ENGINE_SOCKET_BYTES, "%s", path) >= KM_ENGINE_SOCKET_BYTES)
        return km_fail(err, KM_LIMIT, "the path of a socket is too long: %s", path);
    return KM_OK;
}

enum km_code km_engine_find_socket(enum km_engine engine, char out_path[KM_ENGINE_SOCKET_BYTES], struct km_err *err)
{
    bool docker = engine == KM_ENGINE_DOCKER;
    const char *variable = docker ? "DOCKER_HOST" : "CONTAINER_HOST";
    const char *host = getenv(variable), *runtime = getenv("XDG_RUNTIME_DIR");
    static const char scheme[] = "unix://";
    if (host && *host) {
        if (strncmp(host, scheme, sizeof scheme - 1) != 0)
            return km_fail(err, KM_UNSUPPORTED, "%s is '%s': only unix:// sockets are supported", variable, host);
        return copy_path(host + sizeof scheme - 1, out_path, err);
    }
    const char *system_socket = docker ? "/var/run/docker.sock" : "/run/podman/podman.sock";
    char own[KM_ENGINE_SOCKET_BYTES];
    bool own_fits =
        runtime && *runtime &&
        snprintf(own, sizeof own, "%s/%s", runtime, docker ? "docker.sock" : "podman/podman.sock") < (int)sizeof own;
    if (own_fits && access(system_socket, F_OK) != 0 && access(own, F_OK) == 0)
        return copy_path(own, out_path, err);
    return copy_path(system_socket, out_path, err);
}

/* ---- Names ---- */

/* What docker and podman allow; ids are a part of it. */
static bool is_container_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t length = strlen(name);
    return length > 0 && length <= 255 && strchr(letters, name[0]) && strspn(name, allowed) == length;
}

static bool is_image_id(const char *name)
{
    if (strncmp(name, "sha256:", 7) == 0)
        name += 7;
    size_t digits = strspn(name, "0123456789abcdef");
    return name[digits] == '\0' && digits >= 4 && digits <= 64;
}

static bool is_image_name(const char *name)
{
    char ignored[KM_IMAGEREF_MAX_BYTES];
    struct km_err cause;
    return is_image_id(name) || km_imageref_normalise(name, ignored, &cause) == KM_OK;
}

/* ---- Calls ---- */

/* Opens GET /KIND/NAME/CALL. */
static struct km_http *call(const struct session *session, const char *kind, const char *name, const char *what,
                            struct km_err *err)
{
    char *escaped KM_CLEANUP(km_cleanup_free) = km_http_escape(name, err);
    if (!escaped)
        return NULL;
    char url[3 * MAX_NAME_BYTES + 64];
    if (snprintf(url, sizeof url, "http://localhost/%s/%s/%s", kind, escaped, what) >= (int)sizeof url) {
        km_fail(err, KM_FORMAT, "the name is too long");
        return NULL;
    }
    const struct km_http_request request = {
        .url = url,
        .unix_socket = session->socket,
        .first_byte_timeout_ms = session->request->first_byte_timeout_ms,
        .stall_timeout_ms = session->request->stall_timeout_ms,
        .cancel = session->request->cancel,
    };
    return km_http_open(&request, err);
}

static enum km_code read_json(struct km_http *http, struct km_json **out_json, struct km_err *err)
{
    struct km_buf body;
    km_buf_init(&body, MAX_INSPECT_BYTES);
    enum km_code code = KM_OK;
    for (size_t length = 1; code == KM_OK && length > 0;) {
        char piece[16384];
        code = km_http_read(http, piece, sizeof piece, &length, err);
        if (code == KM_OK)
            code = km_buf_append(&body, piece, length, err);
    }
    struct km_json *json =
        code == KM_OK ? km_json_parse(km_buf_text(&body), body.length, MAX_INSPECT_BYTES, err) : NULL;
    km_buf_done(&body);
    if (!json)
        return err->code;
    *out_json = json;
    return KM_OK;
}

/* *out_json is NULL when the engine has no such thing. */
static enum km_code inspect(const struct session *session, const char *kind, const char *name,
                            struct km_json **out_json, struct km_err *err)
{
    *out_json = NULL;
    struct km_http *http KM_CLEANUP(km_http_cleanup) = call(session, kind, name, "json", err);
    if (http)
        return read_json(http, out_json, err);
    bool answered = err->sys_errno == 0; /* else it is the socket that is not there */
    return err->code == KM_NOTFOUND && answered ? KM_OK : err->code;
}

static enum km_code read_http(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    return km_http_read(context, buffer, size, out_length, err);
}

static void close_http(void *context)
{
    km_http_close(context);
}

static enum km_code open_stream(const struct session *session, const char *kind, const char *name, const char *what,
                                struct km_stream **out_stream, struct km_err *err)
{
    struct km_http *http KM_CLEANUP(km_http_cleanup) = call(session, kind, name, what, err);
    if (!http)
        return err->code;
    const struct km_stream_callback callback = {.context = http, .read = read_http, .done = close_http};
    struct km_stream *stream = km_stream_new_callback(&callback, err);
    if (!stream)
        return err->code;
    (void)km_steal(http);
    *out_stream = stream;
    return KM_OK;
}

/* ---- Targets ---- */

/* The name under which to fetch an image: docker takes a name without tag as all tags of a repository, so the tag that
 * the lookup implied is added, unless the name is an id. */
static void fetch_name(const char *name, const struct km_json *image, char out[KM_IMAGEREF_MAX_BYTES])
{
    const char *id = km_json_string(image, "Id", ""), *hex = name;
    struct km_err cause;
    if (strncmp(id, "sha256:", 7) == 0)
        id += 7;
    if (strncmp(hex, "sha256:", 7) == 0)
        hex += 7;
    bool by_id = is_image_id(name) && strncmp(id, hex, strlen(hex)) == 0;
    if (by_id || km_imageref_normalise(name, out, &cause) != KM_OK)
        (void)snprintf(out, KM_IMAGEREF_MAX_BYTES, "%s", name); /* is_image_name limits its length */
}

static enum wanted parse_target(const char *target, const char **out_name)
{
    static const char image[] = "image/", container[] = "container/";
    *out_name = target;
    if (strncmp(target, image, sizeof image - 1) == 0) {
        *out_name = target + sizeof image - 1;
        return WANT_IMAGE;
    }
    if (strncmp(target, container, sizeof container - 1) == 0) {
        *out_name = target + sizeof container - 1;
        return WANT_CONTAINER;
    }
    return WANT_ANY;
}

static enum km_code fail_missing(const struct session *session, enum wanted wanted, const char *name,
                                 struct km_err *err)
{
    static const char *const things[] = {"image or container", "image", "container"};
    return km_fail(err, KM_NOTFOUND, "%s has no %s '%.200s'", session->engine, things[wanted], name);
}

static enum km_code open_target(const struct session *session, enum wanted wanted, const char *name,
                                struct km_stream **out_stream, bool *out_is_container, struct km_err *err)
{
    struct km_json *image KM_CLEANUP(km_json_cleanup) = NULL;
    struct km_json *container KM_CLEANUP(km_json_cleanup) = NULL;
    enum km_code code = KM_OK;
    if (wanted != WANT_CONTAINER && is_image_name(name))
        code = inspect(session, "images", name, &image, err);
    if (code == KM_OK && wanted != WANT_IMAGE && is_container_name(name))
        code = inspect(session, "containers", name, &container, err);
    if (code != KM_OK)
        return code;
    if (image && container)
        return km_fail(err, KM_CONFLICT, "%s has an image and a container '%.200s': say image/%.80s or container/%.80s",
                       session->engine, name, name, name);
    if (!image && !container)
        return fail_missing(session, wanted, name, err);
    char fetched[KM_IMAGEREF_MAX_BYTES];
    if (image)
        fetch_name(name, image, fetched);
    code = image ? open_stream(session, "images", fetched, "get", out_stream, err)
                 : open_stream(session, "containers", name, "export", out_stream, err);
    if (code == KM_OK)
        *out_is_container = container != NULL;
    return code;
}

enum km_code km_engine_open(const struct km_engine_request *request, struct km_stream **out_stream,
                            bool *out_is_container, struct km_err *err)
{
    struct session session = {.request = request, .engine = request->engine == KM_ENGINE_DOCKER ? "docker" : "podman"};
    const char *name = NULL;
    enum wanted wanted = parse_target(request->target, &name);
    bool valid = strlen(name) < MAX_NAME_BYTES && ((wanted != WANT_CONTAINER && is_image_name(name)) ||
                                                   (wanted != WANT_IMAGE && is_container_name(name)));
    if (!valid)
        return km_fail(err, KM_FORMAT, "'%.200s' is no name of an image or a container", name);
    enum km_code code = request->socket ? copy_path(request->socket, session.socket, err)
                                        : km_engine_find_socket(request->engine, session.socket, err);
    return code == KM_OK ? open_target(&session, wanted, name, out_stream, out_is_container, err) : code;
}
