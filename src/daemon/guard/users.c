#include "daemon/guard/users.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_BYTES 16384

struct user {
    uint32_t uid;
    bool used;
    char name[KM_USERS_NAME_BYTES]; /* "" = nobody has the number */
};

struct km_users {
    struct user list[KM_USERS_MAX];
    size_t next;
    uint64_t asked;
    char entry[ENTRY_BYTES];
};

struct km_users *km_users_new(struct km_err *err)
{
    return km_calloc(1, sizeof(struct km_users), SIZE_MAX, err);
}

void km_users_free(struct km_users *users)
{
    free(users);
}

const char *km_users_name(struct km_users *users, uint32_t uid)
{
    if (uid == UINT32_MAX)
        return "";
    for (size_t i = 0; i < KM_USERS_MAX; i++)
        if (users->list[i].used && users->list[i].uid == uid)
            return users->list[i].name;
    struct user *user = &users->list[users->next++ % KM_USERS_MAX];
    struct passwd found, *answer = NULL;
    *user = (struct user){.uid = uid, .used = true};
    users->asked++;
    if (getpwuid_r(uid, &found, users->entry, sizeof users->entry, &answer) == 0 && answer &&
        strlen(answer->pw_name) < sizeof user->name)
        (void)snprintf(user->name, sizeof user->name, "%s", answer->pw_name);
    return user->name;
}

uint64_t km_users_asked(const struct km_users *users)
{
    return users->asked;
}
