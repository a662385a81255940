# What a scan says about small folders and archives, and its exit status.
eicar() { printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'; }
scan() { echo "\$ komainu scan $*"; "$KOMAINU" scan "$@" 2>&1 | sed -E 's/\([0-9]+ s\)/(TIME)/; s/[1-9][0-9]{2,} B/N B/g'; echo "exit ${PIPESTATUS[0]}"; }

mkdir -p plain/etc && echo hello >plain/etc/motd
scan dir:plain
scan plain

echo '--- a test file, in the open and inside archives'
mkdir -p found/opt/a && eicar >found/opt/eicar.com
(cd found/opt && tar -czf a/one.tar.gz eicar.com && tar -cf - a/one.tar.gz | xz >two.tar.xz)
scan found
scan --fail-on never found | tail -n 1

echo '--- beyond the depth, nothing is called clean'
rm found/opt/eicar.com found/opt/a/one.tar.gz
scan --depth 1 found
scan --depth 2 found | grep -E 'malicious|exit'

echo '--- a hash list'
sha256sum plain/etc/motd | sed 's/plain.*/greeting/' >own.sha256
scan --hash-list own.sha256 plain
echo 'zz' >bad.sha256
scan --hash-list bad.sha256 plain

echo '--- several targets: the worst counts'
scan plain found missing | grep -E '^exit|verdict'

echo '--- JSON to a file, text on standard output'
scan -o json=out.json plain >/dev/null
python3 - "$SOURCE/data/schema/scan-1.json" out.json <<'P'
import json, sys
schema, result = (json.load(open(f)) for f in sys.argv[1:])
try:
    import jsonschema
    jsonschema.validate(result, schema)
except ImportError:
    pass
print(result['verdict'], result['coverage']['bytes_total'], result['target']['scheme'])
P

echo '--- a truncated archive'
tar -cf whole.tar -C plain . && head -c 1300 whole.tar >cut.tar
scan cut.tar | sed 's/at byte [0-9]*/at byte N/'
echo '--- not an archive, an empty file, nothing there'
head -c 3000 /dev/zero | tr '\0' 'x' >text.bin && : >empty
scan text.bin
scan empty
scan tar:empty
scan nowhere
scan nosuch:thing

echo '--- hostile names do not reach the terminal'
mkdir names && eicar >"$(printf 'names/a\033[31m\nb')"
scan names | head -n 3

echo '--- decisions'
mkdir -p dec/opt && eicar >dec/opt/eicar.com
decide() { cat >dec.yaml; scan --decisions dec.yaml dec | grep -vE 'packages|coverage|^$'; }
decide <<'Y'
- {path: "opt/*.com", decision: benign-until, until: 2199-12-31, who: kato, note: planted for the drill}
Y
decide <<'Y'
- {path: "opt/*", decision: benign-until, until: 2020-01-01, who: kato, note: old}
Y
decide <<'Y'
- {path: "opt/eicar.com", decision: benign-once, who: kato, note: no content given}
Y
decide <<'Y'
- {path: "opt/eicar.com", decision: harmless, who: kato, note: x}
Y
decide <<'Y'
- {path: "*", decision: benign-once, who: kato, note: x, sha256: 0000000000000000000000000000000000000000000000000000000000000000}
Y
decide <<Y
- {path: "*", decision: benign-once, who: kato, note: x, sha256: "$(printf '%064d' 0)"}
- {path: "opt/eicar.com", decision: benign-learn, who: kato, note: "this content", sha256: $(sha256sum dec/opt/eicar.com | cut -c1-64)}
Y
decide <<'Y'
- {path: "*", decision: benign-until, until: 2999-12-31, who: kato, note: x}
Y
decide <<'Y'
- {path: "*", decision: benign-until, until: 2100-12-31, who: kato, note: x, scope: all}
Y
