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
db.execute("INSERT INTO target(run_id, seq, name, scheme, began_ns, ended_ns, verdict, bytes_total, bytes_examined, bytes_opaque, files_total,"
           " files_examined, gaps) SELECT id, 99, '<b>&till', 'dir', began_ns, began_ns+1, 1, 1000000, 900000, 50000, 10, 9, 1 FROM run")
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
# Times depend on when the case runs.
text() { page --text "$1" | sed -E 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}Z)?/TIME/g; s/^(  (minutes|seconds) from [^|]*\| )[0-9.]+/\1N/; s/^(  [^|]*までの時間（[^|]*\| )[0-9.]+/\1N/; s/^(  (daemon-hours |[^|]*デーモン時間)[^|]*\| )[0-9.]+/\1N/'; }
text pilot-en.html
text pilot-ja.html

echo '--- the language of the environment'
language() { env "$@" "$KOMAINU" report 2>/dev/null | grep -o '<html lang="..">'; }
language LC_ALL=ja_JP.UTF-8
language LC_ALL= LANG=ja_JP.UTF-8
language LC_ALL=de_DE.UTF-8 LANG=ja_JP.UTF-8
language LC_ALL=java
language KOMAINU_LOCALE_DIR=/nonexistent LC_ALL=ja_JP.UTF-8
KOMAINU_LOCALE_DIR=/nonexistent report --lang ja
report --lang fr
times() { sed -E 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g; s/root/USER/g'"; s/$(id -un)/USER/g"; }
"$KOMAINU" alerts show 1 --lang ja 2>/dev/null | times
"$KOMAINU" alerts show 2 --lang ja 2>/dev/null | grep tmp
"$KOMAINU" alerts list --lang ja 2>/dev/null | times
"$KOMAINU" alerts digest --lang ja 2>/dev/null | times
"$KOMAINU" kpi --lang ja 2>/dev/null | sed -n '3,6p'
mkdir -p image/tmp && printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*' >image/tmp/test
"$KOMAINU" scan --model none --lang ja dir:image | sed -E 's/（[0-9]+ s）/（TIME）/'
"$KOMAINU" scan --model none --lang ja -f json dir:image >ja.json
"$KOMAINU" scan --model none -f json dir:image >en.json
diff <(grep -v seconds ja.json) <(grep -v seconds en.json) && echo 'JSON is English'
env LC_ALL=ja_JP.UTF-8 "$KOMAINU" alerts show 2 -f json 2>/dev/null | grep -c 'ファイル'

echo '--- JSON: the schema, and the figures of komainu kpi'
"$KOMAINU" report -f json >report.json 2>/dev/null
"$KOMAINU" kpi -f json >kpi.json 2>/dev/null
python3 "$SOURCE/tests/cli/cases/follows.py" "$SOURCE/data/schema/report-1.json" report.json
python3 - "$SOURCE/data/schema" <<'P'
import json, sys
report, kpi = json.load(open('report.json')), json.load(open('kpi.json'))
schemas = [json.load(open(f'{sys.argv[1]}/{name}-1.json')) for name in ('report', 'kpi')]
print('one form of a figure:', schemas[0]['$defs']['figure'] == schemas[1]['$defs']['figure'])
for key in ('watched', 'found', 'missed', 'cost'):
    print(key, report[key])
alike = [a == b for a, b in zip(report['figures'], kpi['figures']) if not a['id'].startswith(('latency', 'daemon_'))]
print('the same figures:', [f['id'] for f in report['figures']] == [f['id'] for f in kpi['figures']], all(alike))
figures = {f['id']: f for f in report['figures']}
days = report['days']
print(len(days), *(sum(day[key] for day in days) for key in ('alerts', 'right', 'false')), figures['alerts']['value'],
      figures['precision']['value'], figures['precision']['n'])
P
"$KOMAINU" report -f json --since 2001-01-01 --until 2001-02-01 >old.json 2>/dev/null
python3 "$SOURCE/tests/cli/cases/follows.py" "$SOURCE/data/schema/report-1.json" old.json
python3 -c "
import json
d = json.load(open('old.json'))
print(len(d['days']), d['found']['incidents'], d['cost']['minutes'], all(f['value'] in (None, 0) for f in d['figures']))"

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
