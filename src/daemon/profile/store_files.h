/*
 * What the parts of the profile store share: files and folders (store_dir.c), versions (store_versions.c), and alarms
 * that wait or were accepted (store_waiting.c). Paths are relative to the store and hold KM_STORE_PATH_BYTES.
 */
#ifndef KM_DAEMON_PROFILE_STORE_FILES_H
#define KM_DAEMON_PROFILE_STORE_FILES_H

#include "daemon/profile/store_dir.h"

#define KM_STORE_PATH_BYTES   4096
#define KM_STORE_LEARNED_NOTE "learned"

struct km_store {
    int fd;
    char quarantined[KM_STORE_ID_BYTES]; /* last */
};

/* ---- files ---- */

/* "unit/role/rest". KM_LIMIT. */
enum km_code km_store_path(const char *unit, const char *role, const char *rest, char *out, struct km_err *err);
/* The folders of a role, made when they are missing. */
enum km_code km_store_make_role(struct km_store *store, const char *unit, const char *role, struct km_err *err);

/* Whole and synced, or the file stays as it was. */
enum km_code km_store_write_file(struct km_store *store, const char *path, const void *bytes, size_t length,
                                 struct km_err *err);
/* A regular file of at most `limit` bytes; the caller frees *out. */
enum km_code km_store_read_file(struct km_store *store, const char *path, size_t limit, char **out, size_t *out_length,
                                struct km_err *err);
enum km_code km_store_write_json(struct km_store *store, const char *path, const struct km_json *value,
                                 struct km_err *err);
struct km_json *km_store_read_json(struct km_store *store, const char *path, struct km_err *err);
/* A failure is not told: what stays is taken away the next time. */
void km_store_remove(struct km_store *store, const char *unit, const char *role, const char *rest);

/* The names in a folder that `take` wants, sorted. A missing folder is empty. *out is freed with
 * km_store_free_names, also after a failure. */
enum km_code km_store_list_folder(struct km_store *store, const char *path, bool (*take)(const char *name), char ***out,
                                  size_t *out_count, struct km_err *err);
void km_store_free_names(char **names, size_t count);

/* ---- versions ---- */

/* Their numbers, ascending; the caller frees *out. */
enum km_code km_store_list_versions(struct km_store *store, const char *unit, const char *role, unsigned **out,
                                    size_t *out_count, struct km_err *err);
/* note: KM_EVENT_MAX_NAME_BYTES. The profile is the caller's. */
struct km_profile *km_store_load_version(struct km_store *store, const char *unit, const char *role, unsigned version,
                                         char *note, struct km_err *err);
/* The newest version that was learned from scratch, or NULL with *err set. */
struct km_profile *km_store_load_learned(struct km_store *store, const char *unit, const char *role,
                                         struct km_err *err);

#endif
