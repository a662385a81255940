#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Formats into a scratch line of twice the size, so that an over-long line is cut at a whole escaped character. */
static void KM_PRINTF(3, 0) format_escaped(char *out, size_t out_size, const char *fmt, va_list args)
{
    char raw[2 * KM_ERR_TEXT_BYTES];
    int n = vsnprintf(raw, sizeof raw, fmt, args);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length >= sizeof raw)
        length = sizeof raw - 1;
    km_text_escape(raw, length, out, out_size);
}

enum km_code km_fail(struct km_err *err, enum km_code code, const char *fmt, ...)
{
    va_list args;
    err->code = code;
    err->sys_errno = 0;
    va_start(args, fmt);
    format_escaped(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return code;
}

static enum km_code code_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case EACCES:
    case EPERM:
        return KM_DENIED;
    case ENOENT:
        return KM_NOTFOUND;
    case ENOMEM:
        return KM_NOMEM;
    default:
        return KM_IO;
    }
}

enum km_code km_fail_errno(struct km_err *err, int sys_errno, const char *fmt, ...)
{
    char context[KM_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    format_escaped(context, sizeof context, fmt, args);
    va_end(args);
    err->code = code_of_errno(sys_errno);
    err->sys_errno = sys_errno;
    const char *reason = strerrordesc_np(sys_errno);
    snprintf(err->text, sizeof err->text, "%.400s: %s", context, reason ? reason : "unknown error");
    return err->code;
}

enum km_code km_err_wrap(struct km_err *err, const char *fmt, ...)
{
    char context[KM_ERR_TEXT_BYTES];
    char cause[KM_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    format_escaped(context, sizeof context, fmt, args);
    va_end(args);
    memcpy(cause, err->text, sizeof cause);
    size_t cause_length = strnlen(cause, sizeof cause - 1);
    size_t room = sizeof err->text - 1 - cause_length;
    if (room < 3)
        return err->code;
    int width = (int)(room - 2);
    snprintf(err->text, sizeof err->text, "%.*s: %.*s", width, context, (int)cause_length, cause);
    return err->code;
}

const char *km_code_to_string(enum km_code code)
{
    switch (code) {
    case KM_OK:
        return "ok";
    case KM_NOMEM:
        return "no-memory";
    case KM_IO:
        return "io";
    case KM_FORMAT:
        return "format";
    case KM_LIMIT:
        return "limit";
    case KM_NOTFOUND:
        return "not-found";
    case KM_CONFLICT:
        return "conflict";
    case KM_UNSUPPORTED:
        return "unsupported";
    case KM_DENIED:
        return "denied";
    case KM_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

_Noreturn void km_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "komainu: internal error: %s (%s:%d)\n", condition, file, line);
    abort();
}
