/*
 * Profiles as files (docs/formats/profile.md): a head with version, length and SHA-256, then sections. The same profile
 * gives the same bytes. A damaged file is refused whole.
 */
#ifndef KM_PROFILE_PROFILE_FILE_H
#define KM_PROFILE_PROFILE_FILE_H

#include "base/buf.h"
#include "daemon/profile/profile.h"

#define KM_PROFILE_VERSION        4
#define KM_PROFILE_MAX_FILE_BYTES ((size_t)32 << 20)

/* Appends the file's bytes to *out. note: one line about why this version exists ("learned", "accepted 1f3a…"); kept in
 * the file. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_profile_save(const struct km_profile *profile, const char *note, struct km_buf *out,
                             struct km_err *err) KM_MUST_USE;

/* Reads a whole file. NULL with *err set: KM_FORMAT, KM_UNSUPPORTED (a newer version), KM_LIMIT, KM_NOMEM. note: holds
 * KM_EVENT_MAX_NAME_BYTES, or NULL; untouched on failure. */
struct km_profile *km_profile_load(const void *bytes, size_t length, char *note, struct km_err *err) KM_MUST_USE;

#endif
