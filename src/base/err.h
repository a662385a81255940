/*
 * Errors: a code that the caller can act on, and one line of text for a person.
 *
 * Every function that can fail returns enum km_code and takes a struct km_err * last (never NULL). On failure it fills
 * the err where the cause is known (km_fail) and callers may put context in front going up (km_err_wrap). Outputs are
 * untouched on failure. A struct km_err is plain data: copy it across threads and sockets freely.
 *
 * A verdict about scanned content is never an error: see finding/finding.h.
 */
#ifndef KM_BASE_ERR_H
#define KM_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define KM_ERR_TEXT_BYTES 512

enum km_code {
    KM_OK = 0,
    KM_NOMEM = 1,       /* memory could not be had */
    KM_IO = 2,          /* the operating system or a peer failed; sys_errno may say why */
    KM_FORMAT = 3,      /* input breaks its format */
    KM_LIMIT = 4,       /* input is valid but larger, deeper or longer than a stated limit */
    KM_NOTFOUND = 5,    /* what was asked for is not there */
    KM_CONFLICT = 6,    /* two parts of the input, or input and state, contradict each other */
    KM_UNSUPPORTED = 7, /* valid, and not handled by this build */
    KM_DENIED = 8,      /* permission refused */
    KM_CANCELLED = 9,   /* the user or a deadline asked to stop */
};

struct km_err {
    enum km_code code;
    int sys_errno; /* errno at the cause, or 0 */
    char text[KM_ERR_TEXT_BYTES];
};

#define KM_ERR_INIT                                                                                                    \
    {                                                                                                                  \
        KM_OK, 0, ""                                                                                                   \
    }
#define KM_MUST_USE          __attribute__((warn_unused_result))
#define KM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Records `code` and a formatted line in *err and returns `code`. The text is escaped (km_text_escape): control
 * characters and invalid UTF-8 from hostile names cannot reach a terminal. sys_errno becomes 0. */
enum km_code km_fail(struct km_err *err, enum km_code code, const char *fmt, ...) KM_PRINTF(3, 4);

/* The same for a failed system call: appends ": <strerror(sys_errno)>" and keeps the errno. EACCES and EPERM give
 * KM_DENIED, ENOENT KM_NOTFOUND, ENOMEM KM_NOMEM, EINTR after cancellation is the caller's business; others KM_IO. */
enum km_code km_fail_errno(struct km_err *err, int sys_errno, const char *fmt, ...) KM_PRINTF(3, 4);

/* Puts "<formatted>: " in front of err->text and returns err->code. The cause is never cut: the context is. */
enum km_code km_err_wrap(struct km_err *err, const char *fmt, ...) KM_PRINTF(2, 3);

/* A stable lower-case word for a code ("format", "limit"); "unknown" outside the enum. Static storage. */
const char *km_code_to_string(enum km_code code);

/* Ends the program with a message: for our own mistakes, never for input. Always on. */
_Noreturn void km_assert_failed(const char *condition, const char *file, int line);
#define KM_ASSERT(condition) ((condition) ? (void)0 : km_assert_failed(#condition, __FILE__, __LINE__))

#endif
