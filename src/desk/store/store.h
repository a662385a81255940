/*
 * The desk's store: one SQLite file in WAL mode that guardians write findings to and people decide in.
 *
 * A struct km_desk is one connection; it belongs to one thread, and a process that forks opens its own afterwards.
 * Several processes share a file: writers queue behind each other (immediate transactions, KM_DESK_BUSY_MS), readers
 * never wait. What a commit returned KM_OK for is on the disk. The file is made when it is missing and brought to the
 * newest schema when it is older; one that is newer than this program is refused. sqlite3.h is included by this folder
 * alone: others ask with desk/store/query.h. The tables are described in docs/formats/store.md.
 *
 * Errors, of every call of this folder: KM_IO (also a full disk, see km_desk_is_full), KM_CONFLICT (the store stayed
 * locked for KM_DESK_BUSY_MS), KM_DENIED (no right to write), KM_FORMAT (no store of komainu, or a damaged one),
 * KM_UNSUPPORTED (a newer schema), KM_NOMEM, KM_LIMIT.
 */
#ifndef KM_DESK_STORE_STORE_H
#define KM_DESK_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_DESK_BUSY_MS        10000
#define KM_DESK_APPLICATION_ID 0x6b6d6473 /* "kmds", in the file's header */

struct km_desk;

/* Opens the store at `path`, made when it is missing (its folder must exist; 0660, or 0600 where the folder is not
 * writable by its group). ":memory:" is a store that ends with the connection. */
struct km_desk *km_desk_open(const char *path, struct km_err *err) KM_MUST_USE;
void km_desk_close(struct km_desk *desk);
KM_DEFINE_CLEANUP(struct km_desk, km_desk_cleanup, km_desk_close);

/* As given to km_desk_open; borrowed. */
const char *km_desk_path(const struct km_desk *desk);

/* The schema that this program writes. */
unsigned km_desk_schema_newest(void);

/* An immediate transaction: from begin on this connection alone may write. They do not nest (KM_ASSERT). A commit that
 * fails has rolled back. km_desk_rollback does nothing outside of a transaction, so that cleanup may always call it. */
enum km_code km_desk_begin(struct km_desk *desk, struct km_err *err) KM_MUST_USE;
enum km_code km_desk_commit(struct km_desk *desk, struct km_err *err) KM_MUST_USE;
void km_desk_rollback(struct km_desk *desk);
bool km_desk_in_transaction(const struct km_desk *desk);

/* Whether the newest failed call of this connection failed for want of room on the disk: nothing was committed, and the
 * same call works again when there is room. */
bool km_desk_is_full(const struct km_desk *desk);

/* Settings: a few named texts in the store ("budget.daemon", "collect.paths"). get gives `fallback` for a name that was
 * never set; the answer is copied to out (KM_DESK_SETTING_BYTES). set is audited by its callers, not here. */
#define KM_DESK_SETTING_BYTES 256
enum km_code km_desk_get_setting(struct km_desk *desk, const char *name, const char *fallback, char *out,
                                 struct km_err *err) KM_MUST_USE;
enum km_code km_desk_set_setting(struct km_desk *desk, const char *name, const char *value,
                                 struct km_err *err) KM_MUST_USE;

/* Which store a command uses when none is named. */
enum km_desk_place {
    KM_DESK_PLACE_NAMED = 0,  /* --store or KOMAINU_STORE */
    KM_DESK_PLACE_SHARED = 1, /* KM_DESK_SHARED_PATH: root, and members of group komainu */
    KM_DESK_PLACE_OWN = 2,    /* $XDG_STATE_HOME/komainu/desk.db, else ~/.local/state/komainu/desk.db */
};
#define KM_DESK_SHARED_PATH "/var/lib/komainu/desk.db"
#define KM_DESK_PATH_BYTES  4096

/* Writes the path to out (KM_DESK_PATH_BYTES) and makes its folder when it is missing: the shared one 2770 for group
 * komainu where that group exists, the user's own 0700. `named` wins when it is not NULL or empty, then KOMAINU_STORE.
 * A user who may write to the shared folder uses the shared store. KM_NOTFOUND: neither XDG_STATE_HOME nor HOME is set.
 */
enum km_code km_desk_find_place(const char *named, char *out, enum km_desk_place *out_place,
                                struct km_err *err) KM_MUST_USE;
/* "named", "shared", "own". Static storage. */
/* Whether the store that km_desk_find_place(NULL) would name is there and may be written; makes nothing. */
bool km_desk_is_there(void);
const char *km_desk_place_to_string(enum km_desk_place place);

#endif
