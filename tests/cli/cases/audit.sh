# The audit log: whole, changed, cut; and what is held about whom.
export KOMAINU_STORE=$PWD/desk.db
user=$(id -un)
mask() { sed -E "s/20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g; s/[0-9a-f]{64}/HASH/g; s/  $user  /  USER  /"; }
k() { echo "\$ komainu $*" | mask; "$KOMAINU" "$@" 2>&1 | grep -v ': store ' | mask; local status=${PIPESTATUS[0]}; [ "$status" = 0 ] || echo "exit $status"; }

k audit verify
k audit head
"$KOMAINU" alerts list >/dev/null 2>&1 && python3 "$SOURCE/tests/cli/cases/desk_fill.py" desk.db
"$KOMAINU" alerts decide 1 attack --note 'told by tanaka@example.org' 2>/dev/null
"$KOMAINU" alerts decide 2 benign-once --note 'a test' 2>/dev/null
"$KOMAINU" alerts decide 3 suspicious --note 'asked tanaka@example.org' 2>/dev/null
k audit list
k audit verify
head=$("$KOMAINU" audit head)
k audit verify --head "$head"
k audit verify --head "3 $(printf '%064d' 0)"
k audit verify --head "nonsense"

echo '--- what is held, and its end'
k privacy show
k privacy show tanaka@example.org
k privacy show x
k privacy erase tanaka@example.org | tail -n 1
k privacy erase tanaka@example.org --yes
k privacy show tanaka@example.org | awk '{print $NF, $(NF-1), $(NF-2)}' | sort | uniq -c | sed 's/^ *//'
strings -a desk.db desk.db-wal 2>/dev/null | grep -c tanaka
k audit list
k audit verify --head "$head"
k privacy erase /bin/sh --yes
k alerts list --all
k privacy set collect.paths hashed
k privacy set collect.paths some
k privacy set retention.noted 7
k privacy set budget.host 7
k privacy expire
k privacy frobnicate

echo '--- a changed entry, a missing one, a cut end'
tamper() { cp desk.db bad.db; cp desk.db.anchor bad.db.anchor; python3 - "$1" <<'P'
import sqlite3, sys
db = sqlite3.connect('bad.db')
for trigger in ('audit_no_update', 'audit_no_delete', 'audit_detail_no_update', 'audit_detail_no_delete'):
    db.execute('DROP TRIGGER ' + trigger)
db.executescript(sys.argv[1])
P
k audit verify --store bad.db; rm -f bad.db*; }
"$KOMAINU" audit verify >/dev/null 2>&1
python3 -c "import sqlite3; sqlite3.connect('desk.db').execute('PRAGMA wal_checkpoint(TRUNCATE)')"
tamper "UPDATE audit SET who='nobody' WHERE id=2"
tamper "DELETE FROM audit_detail WHERE audit_id=2; DELETE FROM audit WHERE id=2"
tamper "DELETE FROM audit_detail WHERE audit_id>4; DELETE FROM audit WHERE id>4"
k audit verify -f json

echo '--- JSON follows its schema'
follows() { # SCHEMA ARGUMENT...
  local schema=$1
  shift
  "$KOMAINU" "$@" -f json >out.json 2>/dev/null
  python3 "$SOURCE/tests/cli/cases/follows.py" "$SOURCE/data/schema/$schema-1.json" out.json || echo 'does not follow'
}
follows audit audit list
follows audit audit verify
follows privacy privacy show
follows privacy privacy show tanaka@example.org
follows privacy privacy erase tanaka@example.org --yes
follows privacy privacy expire

echo '--- what other commands change is in the log of a store that is there'
mkdir -p own/etc && echo hello >own/etc/motd && tar -cf own.tar -C own .
"$KOMAINU" baseline --store known add --name shop own.tar >/dev/null 2>&1
"$KOMAINU" baseline --store known remove shop >/dev/null 2>&1
"$KOMAINU" audit list 2>/dev/null | mask | tail -n 2
k audit verify
