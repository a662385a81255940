/*
 * Names of users, as this machine's user database has them. What was asked is remembered, also that nobody has a
 * number: a database behind a network is asked once. Users of a container are named as the machine would name them.
 * Not thread-safe.
 */
#ifndef KM_GUARD_USERS_H
#define KM_GUARD_USERS_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_USERS_MAX        64 /* remembered; the oldest goes */
#define KM_USERS_NAME_BYTES 64 /* a longer name is not known */

struct km_users;

/* NULL: KM_NOMEM. */
struct km_users *km_users_new(struct km_err *err) KM_MUST_USE;
void km_users_free(struct km_users *users);
KM_DEFINE_CLEANUP(struct km_users, km_users_cleanup, km_users_free);

/* The user's name, or "" when it is not known; UINT32_MAX never is. Borrowed until the next call. */
const char *km_users_name(struct km_users *users, uint32_t uid);

/* How often the database was asked. */
uint64_t km_users_asked(const struct km_users *users);

#endif
