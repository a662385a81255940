# A detector of seeded weights: what it says is shown, weighed, calibrated; what lies is refused. Its numbers depend on
# the processor in their last digits, so only their presence is compared.
seeded=$(dirname "$KOMAINU")/tests/seeded_bundle
[ -x "$seeded" ] || { echo "no cmocka, so no seeded detector"; exit 77; }
mkdir -p bundle root/usr/bin root/usr/share/doc
"$seeded" bundle >made.txt 2>&1 || { cat made.txt; exit 1; }
{ echo '#!/bin/sh'; echo 'brute_force wordlist essid sniffing spoofed bssid aircrack payload shellcode handshake'; } >root/usr/bin/tool
{ echo '#!/bin/sh'; echo 'printf locale usage gettext option filename directory symbolic nothing standard'; } >root/usr/bin/plain
echo 'nothing to run' >root/usr/share/doc/text
chmod 755 root/usr/bin/*

summary() {
  python3 -c '
import json, sys
d = json.load(sys.stdin)
print(d["verdict"], (d["versions"]["model"] or "no model").split(" ")[0], d.get("false_alarms", {}).get("set"))
for f in d["findings"]:
    print(" ", f["verdict"], f["subject"]["path"], *[e["id"] for e in f["evidence"]])
for g in d["coverage"]["gaps"]:
    print("  gap", g["reason"], g["where"], g["detail"])'
}

echo "-- with it, without it"
"$KOMAINU" scan --format json --model bundle dir:root >one.json; echo "status $?"
summary <one.json
"$KOMAINU" scan --format json --model bundle --jobs 1 --no-cache dir:root >two.json
diff <(grep -v seconds one.json) <(grep -v seconds two.json) && echo "workers and cache change nothing"
"$KOMAINU" scan --format json --model none dir:root | summary
"$KOMAINU" scan --model bundle dir:root | grep -E '^  (alarms|model)' | sed 's/ [0-9a-f]*$/ DIGEST/'
ls "$HOME/.cache/komainu/segments" | grep mdb

echo "-- calibrated on itself"
export XDG_STATE_HOME=$PWD/state
"$KOMAINU" calibrate --model bundle --rate 0.1 --set 'this very folder' dir:root |
  sed 's/[-+]*[0-9]*\.[0-9]* *log-odds/N log-odds/; s/^    *[-+][0-9.]*/    N/; s/ [0-9a-f]*$/ DIGEST/; s#/[0-9a-f]*\.json#/DIGEST.json#'
"$KOMAINU" scan --format json --model bundle dir:root | summary
"$KOMAINU" calibrate --model bundle --remove && ls state/komainu/calibration
"$KOMAINU" calibrate --model bundle --remove 2>&1 | sed 's#/[0-9a-f]*\.json#/DIGEST.json#'

echo "-- a policy"
printf 'skip usr/bin/tool\nmetadata usr/share/**\n' >own.policy
"$KOMAINU" scan --format json --model bundle --policy own.policy dir:root >policy.json; echo "status $?"
summary <policy.json
printf 'sometimes usr\n' >bad.policy
"$KOMAINU" scan --policy bad.policy dir:root; echo "status $?"

echo "-- caches"
mkdir -m 755 open; "$KOMAINU" scan --model bundle --cache open dir:root 2>&1 >/dev/null
printf garbage >"$HOME/.cache/komainu/segments/data.mdb"
"$KOMAINU" scan --model bundle dir:root 2>&1 >/dev/null

echo "-- bundles that lie"
"$KOMAINU" scan --model nowhere dir:root; echo "status $?"
printf x >>bundle/known
"$KOMAINU" scan --model bundle dir:root; echo "status $?"
"$KOMAINU" calibrate --model none dir:root; echo "status $?"
"$KOMAINU" calibrate; echo "status $?"
