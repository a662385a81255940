# Reports as HTML that a strict reader takes, in two languages, with hostile names in them; what is typed wrong.
export KOMAINU_STORE=$PWD/desk.db
export KOMAINU_LOCALE_DIR=$(dirname "$KOMAINU")/po
report() { echo "\$ komainu report $*"; "$KOMAINU" report "$@" 2>&1 | grep -v ': store '; local status=${PIPESTATUS[0]}; [ "$status" = 0 ] || echo "exit $status"; }
page() { python3 "$SOURCE/tests/cli/cases/report_page.py" "$@"; }

echo '--- an empty store'
report -o empty.html
page empty.html
"$KOMAINU" alerts list >/dev/null 2>&1
python3 "$SOURCE/tests/cli/cases/desk_fill.py" desk.db
python3 - <<'P'
import sqlite3
db = sqlite3.connect('desk.db')
db.execute("UPDATE finding SET path='tmp/<script>alert(1)</script>\"onload=\x1b[31m\u202e\uffff' WHERE image='shop:1' AND verdict=2")
db.execute("INSERT INTO target(run_id, seq, name, scheme, began_ns, verdict, bytes_total, bytes_examined, bytes_opaque, files_total,"
           " files_examined, gaps) SELECT id, 99, '<b>&till', 'dir', began_ns, 1, 1000000, 900000, 50000, 10, 9, 1 FROM run")
db.execute("INSERT INTO gap(run_id, seq, target_id, reason, place, detail) SELECT run_id, 98, id, 1, '<img src=x>', NULL"
           " FROM target WHERE name='<b>&till'")
db.execute("INSERT INTO loss(run_id, at_ns, what, lost, seen) SELECT id, began_ns, 'event', 7, 1000 FROM run")
db.execute("INSERT INTO watch(run_id, unit, role, from_ns, to_ns, mature, confidence, episodes, tapped)"
           " SELECT id, 'nginx.service', 'worker', began_ns-7200000000000, began_ns, 1, 1, 500, 10 FROM run")
db.commit()
P
"$KOMAINU" alerts decide 1 attack --note '<script>note</script>' --minutes 12 >/dev/null 2>&1
"$KOMAINU" alerts decide 3 benign-learn --note 'renewal' --minutes 3 >/dev/null 2>&1

for lang in en ja; do
  echo "--- $lang"
  report --lang $lang -o pilot-$lang.html
  page pilot-$lang.html
  report --lang $lang -o incident.html incident 2
  page incident.html
  report --lang $lang -o container.html container '<b>&till'
  page container.html
done
report -o attack.html incident 1
page attack.html
page --text pilot-en.html | sed -E 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}Z)?/TIME/g; s/(median\) \| )[0-9.]+/\1N/'
page --text pilot-ja.html | sed -E 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}Z)?/TIME/g; s/(中央値） \| )[0-9.]+/\1N/'

echo '--- the language of the environment'
language() { env "$@" "$KOMAINU" report 2>/dev/null | grep -o '<html lang="..">'; }
language LC_ALL=ja_JP.UTF-8
language LC_ALL= LANG=ja_JP.UTF-8
language LC_ALL=de_DE.UTF-8 LANG=ja_JP.UTF-8
language LC_ALL=java
language KOMAINU_LOCALE_DIR=/nonexistent LC_ALL=ja_JP.UTF-8
KOMAINU_LOCALE_DIR=/nonexistent report --lang ja
report --lang fr
"$KOMAINU" alerts show 2 --lang ja 2>/dev/null | sed -n '/^what to do/,$p'
"$KOMAINU" alerts show 2 --lang ja 2>/dev/null | grep tmp
env LC_ALL=ja_JP.UTF-8 "$KOMAINU" alerts show 2 -f json 2>/dev/null | grep -c 'ファイル'

echo '--- JSON'
"$KOMAINU" report -f json 2>/dev/null | python3 -c '
import json, sys
d = json.load(sys.stdin)
for key in ("schema", "watched", "found", "missed", "cost"):
    if key == "cost":
        d[key].pop("median_decision_minutes")
    print(key, d[key])
print(len(d["days"]), sum(day["alerts"] for day in d["days"]) == d["found"]["alerts"])'
"$KOMAINU" report -f json --since 2001-01-01 --until 2001-02-01 2>/dev/null | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(len(d["days"]), d["found"]["incidents"], d["watched"]["daemon_hours"], d["cost"]["minutes"])'

echo '--- typed wrong'
report incident
report incident x
report incident 99
report container nowhere
report container 'shop:1' -f json
report frobnicate 1
report --since yesterday
report --since 2026-01-02 --until 2026-01-01
report -o /nonexistent/x.html
ls pilot-en.html*
