# A scan that records: incidents, decisions that come back to the scan, a second writer, a store that cannot be opened.
eicar() { printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'; }
mask() { sed -E 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g; s/\([0-9]+ s\)/(TIME)/; s/^(  on )[^,]*,/\1HOST,/'"; s/by $(id -un):/by USER:/"; }
k() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1 | grep -v ': store ' | mask; local status=${PIPESTATUS[0]}; [ "$status" = 0 ] || echo "exit $status"; }
export KOMAINU_STORE=$PWD/desk.db
mkdir -p image/opt/app && eicar >image/opt/app/eicar.com && echo hello >image/opt/app/readme

k scan image | grep -v '^$' | tail -n 2
[ -e desk.db ] && echo 'a plain scan records nothing: wrong'
k scan --record image | grep -E 'verdict|incident|exit'
k alerts list
k alerts show 1 | head -n 12
echo '--- again: the same incident'
k scan --record image | grep -c 'new incident'
k alerts list | awk '/^#/ {print $1, $6}'
echo '--- a decision reaches the next scan, which acknowledges it'
k alerts decide 1 benign-learn --note 'planted for the drill'
k scan --record image | grep -E 'verdict|drill|decided'
k alerts show 1 | grep drill
k alerts undo 1 --note 'the drill is over'
k scan --record image | grep -E 'verdict|incident'
echo '--- coverage and cost are kept'
python3 - <<'P'
import sqlite3
db = sqlite3.connect('desk.db')
print(db.execute('SELECT count(*), sum(bytes_total)=sum(bytes_examined), count(ended_ns) FROM target').fetchone())
print(db.execute("SELECT count(*), count(ended_ns), min(memory_peak_bytes)>0, min(komainu) FROM run").fetchone())
P
echo '--- what was in force, and how old it is'
echo "$(printf '%064d' 7) nothing" >own.sha256
touch -d 2024-01-01T00:00:00Z own.sha256
k scan --record --hash-list own.sha256 --model "$SOURCE/models/default" image | grep verdict
k scan --record --hash-list own.sha256 --model "$SOURCE/models/default" image | grep verdict
"$KOMAINU" kpi -f csv --model-age 3660 2>/dev/null | grep '^"age' | cut -d, -f1,3,9- | sed -E 's/[0-9]+\.[0-9]+/DAYS/'
python3 - <<'P'
import sqlite3
print(sqlite3.connect('desk.db').execute('SELECT kind, name, made_ns>0, to_ns FROM component ORDER BY kind').fetchall())
P
echo '--- a target that is not there is recorded, too'
k scan --record nowhere | grep -E 'komainu:|^exit'
python3 -c "import sqlite3; print(sqlite3.connect('desk.db').execute('SELECT name, error FROM target WHERE error NOT NULL').fetchone())"
echo '--- a store that cannot be opened stops before the first byte'
k scan --store /nonexistent/desk.db image
KOMAINU_STORE='' HOME=$PWD/elsewhere k scan --store own.db image | tail -n 1
echo '--- eight at once on a store that is not there yet, and on one of the first schema'
at_once() { for i in 1 2 3 4 5 6 7 8; do "$KOMAINU" alerts list --all --store "$1" >"out.$i" 2>/dev/null || echo failed & done; wait; sort out.? | uniq -c | sed 's/^ *//' | mask; rm out.?; }
at_once new.db
python3 - "$SOURCE/tests/data/desk/schema-1.sql" <<'P'
import sqlite3, sys
sqlite3.connect('old.db').executescript(open(sys.argv[1]).read())
P
at_once old.db
echo '--- eight scans record at once: nothing is lost or doubled, one thing is one incident'
for i in 1 2 3 4 5 6 7 8; do mkdir -p many/$i/opt && eicar >many/$i/opt/eicar.com && echo $i >many/$i/opt/own; done
for i in 1 2 3 4 5 6 7 8; do { "$KOMAINU" scan --model none --record --store many.db dir:many/$i >/dev/null 2>&1; echo "exit $?" >"out.$i"; } & done
wait
sort out.? | uniq -c | sed 's/^ *//'
python3 - <<'P'
import sqlite3
db = sqlite3.connect('many.db')
print(db.execute('SELECT count(*), count(ended_ns) FROM run').fetchone(), db.execute('SELECT count(ended_ns) FROM target').fetchone(),
      db.execute('SELECT count(*), count(DISTINCT run_id), sum(grouped) FROM finding WHERE verdict>1').fetchone(),
      db.execute('SELECT count(*), sum(count) FROM incident').fetchone(), db.execute('PRAGMA integrity_check').fetchone())
P
"$KOMAINU" audit verify --store many.db >/dev/null 2>&1 && echo 'the log is whole'
echo '--- a store that is there is used without a flag, and trouble with it is no error'
plain() { # VARIABLE=VALUE... ARGUMENT...
  env -u KOMAINU_SCAN_RECORD "$@" 2>&1 | grep -E 'store|recorded|verdict|incident' | mask
  echo "exit ${PIPESTATUS[0]}"
}
echo fine >image/opt/app/eicar.com
mkdir home2
plain KOMAINU_STORE= HOME="$PWD/home2" XDG_STATE_HOME="$PWD/home2" "$KOMAINU" scan --model none dir:image
find home2 -name 'desk.db*'
plain KOMAINU_STORE=$PWD/here.db "$KOMAINU" scan --model none dir:image
"$KOMAINU" alerts list --store here.db >/dev/null 2>&1
plain KOMAINU_STORE=$PWD/here.db "$KOMAINU" scan --model none dir:image
plain KOMAINU_STORE=$PWD/here.db "$KOMAINU" scan --model none --no-record dir:image
plain KOMAINU_STORE=$PWD/here.db KOMAINU_SCAN_RECORD=false "$KOMAINU" scan --model none dir:image
python3 -c "import sqlite3; db = sqlite3.connect('here.db'); print(db.execute('SELECT count(*) FROM target').fetchone()); db.execute('PRAGMA user_version=999')"
plain KOMAINU_STORE=$PWD/here.db "$KOMAINU" scan --model none dir:image
plain KOMAINU_STORE=$PWD/here.db "$KOMAINU" scan --model none --record dir:image
