/*
 * Where a command finds profiles: a store (a folder) or one profile file that serves every role.
 */
#ifndef KM_CLI_PROFILE_SOURCE_H
#define KM_CLI_PROFILE_SOURCE_H

#include "base/mem.h"
#include "daemon/profile/store_dir.h"

struct km_profile_source;

/* path NULL: the usual store. NULL: the error of opening. */
struct km_profile_source *km_profile_source_open(const char *path, struct km_err *err) KM_MUST_USE;
void km_profile_source_close(struct km_profile_source *source);
KM_DEFINE_CLEANUP(struct km_profile_source, km_profile_source_cleanup, km_profile_source_close);

/* The profile of a role, the caller's; NULL when there is none. A damaged one is named on stderr, and the last good
 * one taken. */
struct km_profile *km_profile_source_find(struct km_profile_source *source, const struct km_profile_identity *identity);

/* Puts an alarm into the store's quarantine. KM_UNSUPPORTED: the source is a file. */
enum km_code km_profile_source_quarantine(struct km_profile_source *source, const struct km_profile *profile,
                                          const struct km_episode *episode, const struct km_assessment *assessment,
                                          struct km_err *err) KM_MUST_USE;

/* The usual store: /var/lib/komainu/profiles for root, else $XDG_STATE_HOME/komainu/profiles (~/.local/state). Its
 * parent folders are made. KM_NOTFOUND: no home; KM_IO. out holds 4096 bytes. */
enum km_code km_profile_source_usual(char *out, struct km_err *err) KM_MUST_USE;

#endif
