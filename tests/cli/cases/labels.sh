# From a scan to the next model: scan --record, decide, alerts labels, and train, calibrate and baseline add that read the
# file. What people called suspicious or attack is no example of the benign.
seeded=$(dirname "$KOMAINU")/tests/seeded_bundle
[ -x "$seeded" ] || { echo "skip: no cmocka, so no seeded detector"; exit 77; }
command -v dpkg-deb >/dev/null || { echo "skip: no dpkg-deb"; exit 77; }
export XDG_STATE_HOME=$PWD/state
mkdir -p bundle site/usr/bin cache
"$seeded" bundle >/dev/null 2>&1
script() { # FILE WORD: a program with words enough to learn from
  { echo '#!/bin/sh'; seq -f "echo $2 $2_%g" 120; } >"$1"
  chmod 755 "$1"
}
for name in agent backup cleaner deploy; do script site/usr/bin/$name "$name"; done
for name in agent backup cleaner; do sha256sum <site/usr/bin/$name | sed "s/ .*/  $name/"; done >own.list
sum() { sha256sum <"site/usr/bin/$1" | cut -c1-64; }
alerts() { "$KOMAINU" alerts --store desk.db "$@" 2>&1 | grep -v ': store '; }
id_of() { "$KOMAINU" alerts --store desk.db list --all -f json 2>/dev/null | python3 -c '
import json, sys
print(*[i["id"] for i in json.load(sys.stdin)["incidents"] if i["subject"].endswith(sys.argv[1])])' "$1"; }
applied() { "$KOMAINU" alerts --store desk.db show "$(id_of "$1")" -f json 2>/dev/null | python3 -c '
import json, sys
print(sys.argv[1], *[(d["kind"], d["applied"] is not None) for d in json.load(sys.stdin)["decisions"]])' "$1"; }

echo '--- a scan finds, people decide'
"$KOMAINU" scan --model none --hash-list own.list --record --store desk.db --no-progress dir:site >/dev/null 2>&1
echo "exit $?"
alerts labels none.json
alerts decide "$(id_of agent)" attack --note 'a reverse shell' | sed 's/incident [0-9]*/incident N/'
alerts decide "$(id_of backup)" benign-learn --note 'ours' | sed 's/incident [0-9]*/incident N/'
alerts decide "$(id_of cleaner)" suspicious --note 'nobody knows it' | sed 's/incident [0-9]*/incident N/'
for name in agent backup cleaner; do applied $name; done

echo '--- the file, and the acknowledgement'
alerts labels /nonexistent/labels.json
applied agent
alerts labels labels.json
for name in agent backup cleaner; do applied $name; done
python3 "$SOURCE/tests/cli/cases/follows.py" "$SOURCE/data/schema/labels-1.json" labels.json
python3 - "$(sum agent)" "$(sum backup)" "$(sum cleaner)" <<'P'
import json, sys
names = dict(zip(sys.argv[1:], ('agent', 'backup', 'cleaner')))
print(sorted((names[l['sha256']], l['label'], l['path']) for l in json.load(open('labels.json'))['labels']))
P
"$KOMAINU" audit --store desk.db list 2>/dev/null | grep -o 'labels.write  labels' | sort | uniq -c

echo '--- calibrate counts what is not bad'
calibrate() { "$KOMAINU" calibrate --model bundle --rate 0.3 --dry-run "$@" dir:site 2>&1 | grep -E 'programs  |labels:|:$|labels|no ' | grep -v strongest; }
calibrate
calibrate --labels labels.json

echo '--- train learns nothing from what is bad'
package() { # NAME ROLE SPLIT
  mkdir -p "$1/DEBIAN" "$1/usr/bin"
  printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n' "$1" >"$1/DEBIAN/control"
  for k in $(seq 20); do script "$1/usr/bin/$1$k" "${1%-*} $1 part$k"; done
  SOURCE_DATE_EPOCH=0 dpkg-deb --root-owner-group -Zgzip --build "$1" "$1.deb" >/dev/null
  sum=$(sha256sum <"$1.deb" | cut -c1-64)
  mv "$1.deb" "cache/$sum.deb"
  printf '%s\t%s\t%s\tbookworm\tall\t%s\t1\tscript\t%s\t%s\tpool/main/%s.deb\n' "$2" "$3" "$1" "$1" \
    "$(stat -c %s "cache/$sum.deb")" "$sum" "$1" >>recipe.tsv
}
echo '# komainu-recipe 1' >recipe.tsv
for split in train valid test; do
  package strange-$split positive $split
  package odd-$split positive $split
  package usual-$split benign $split
done
"$KOMAINU" dataset build recipe.tsv --to set --cache cache --mirror http://127.0.0.1:9 2>&1 | grep -v '^digest'
train() { # OUT SITE ARGUMENT...
  local out=$1 site=$2
  shift 2
  "$KOMAINU" train --data set --out "$out" --what tokens --site "dir:$site" --no-progress "$@" 2>&1 | sed 's/data set .*/data set/'
}
train with site --labels labels.json
cp -r site clean
rm clean/usr/bin/agent clean/usr/bin/cleaner
train without clean
train all site
same() { diff -rq "$1" "$2" >/dev/null && echo "$1 and $2 are the same" || echo "$1 and $2 differ"; }
same with without
same with all

echo '--- the baseline'
baseline() { "$KOMAINU" baseline --store known --model none add "$@" 2>&1 | sed "s/$(sum agent)/AGENT/; s/$(sum cleaner)/CLEANER/; s/CLEANER\|AGENT/CONTENT/"; }
baseline --force 'all of it is ours' --labels labels.json dir:site
baseline --labels labels.json dir:clean

echo '--- taken back'
alerts undo "$(id_of cleaner)" --note 'it is ours after all' | sed 's/incident [0-9]*/incident N/'
alerts labels labels.json
calibrate --labels labels.json

echo '--- files that are none'
for text in '{}' '{"schema":"komainu.labels/1","labels":[{"sha256":"abc","label":"benign"}]}' 'x' \
  "{\"schema\":\"komainu.labels/1\",\"labels\":[{\"sha256\":\"$(sum agent)\",\"label\":\"fine\"}]}" \
  "{\"schema\":\"komainu.labels/1\",\"labels\":[{\"sha256\":\"$(sum agent)\",\"label\":\"attack\"},{\"sha256\":\"$(sum agent)\",\"label\":\"benign\"}]}"; do
  echo "$text" >bad.json
  "$KOMAINU" calibrate --model bundle --dry-run --labels bad.json dir:site 2>&1 | sed "s/$(sum agent)/AGENT/"
done
"$KOMAINU" calibrate --model bundle --labels nowhere.json dir:site; echo "exit $?"
"$KOMAINU" train --data set --out other --labels labels.json; echo "exit $?"
"$KOMAINU" alerts --store desk.db labels 2>&1 | head -1 | cut -c1-40
