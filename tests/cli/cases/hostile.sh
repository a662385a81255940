# What would be lost, hidden or left behind if komainu believed its input or its surroundings.
eicar() { printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'; }
scan() { echo "\$ komainu scan $*"; "$KOMAINU" scan "$@" 2>&1 | sed -E 's/\([0-9]+ s\)/(TIME)/'; echo "exit ${PIPESTATUS[0]}"; }

echo '--- a flipped byte in the data of a zip is no clean zip'
mkdir zip && python3 - <<'P'
import random, zipfile
random.seed(1)
with zipfile.ZipFile('zip/a.zip', 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr('data', random.randbytes(5000))
b = bytearray(open('zip/a.zip', 'rb').read())
b[3000] ^= 1
open('zip/a.zip', 'wb').write(b)
P
scan zip

echo '--- a hole does not hide a file from the hash list'
mkdir holes && truncate -s 70M holes/hole && printf '%064d\n' 0 >other.sha256
scan --hash-list other.sha256 holes

echo '--- what a damaged zstd archive gave before the damage is examined'
mkdir z && eicar >z/a.com && seq 1 60000 >z/b && tar -C z -cf z.tar a.com b && zstd -q z.tar 2>/dev/null ||
  { echo "zstd is not installed"; exit 77; }
python3 - <<'P'
b = bytearray(open('z.tar.zst', 'rb').read())
b[-100] ^= 0xff
open('z.tar.zst', 'wb').write(b)
P
scan z.tar.zst | grep -E '^  malicious|damaged|exit' | sed 's/at byte [0-9]*/at byte N/' # mtimes move it

echo '--- a limit is a gap, and hides no finding behind an error'
mkdir -p oci/blobs/sha256 && tar -cf layer.tar -C z a.com && python3 - <<'P'
import hashlib, json
def put(b):
    d = hashlib.sha256(b).hexdigest()
    open('oci/blobs/sha256/' + d, 'wb').write(b)
    return {'digest': 'sha256:' + d, 'size': len(b)}
config = put(json.dumps({'os': 'linux', 'architecture': 'amd64', 'rootfs': {'type': 'layers', 'diff_ids': []}}).encode())
layer = put(open('layer.tar', 'rb').read()) | {'mediaType': 'application/vnd.oci.image.layer.v1.tar'}
manifest = put(json.dumps({'schemaVersion': 2, 'config': config, 'layers': [layer] * 1025}).encode())
manifest['mediaType'] = 'application/vnd.oci.image.manifest.v1+json'
open('oci/index.json', 'w').write(json.dumps({'schemaVersion': 2, 'manifests': [manifest]}))
open('oci/oci-layout', 'w').write('{"imageLayoutVersion": "1.0.0"}')
P
scan oci | grep -E 'malicious|limit|error|exit'

echo '--- names that are none'
python3 - <<'P'
import io, tarfile
t = tarfile.open('names.tar', 'w')
for name in '..', '/':
    i = tarfile.TarInfo(name)
    i.size = 68
    t.addfile(i, io.BytesIO(b'X5O!P%@AP[4\\PZX54(P^)7CC)7}$' b'EICAR' b'-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'))
P
scan names.tar | grep malicious

echo '--- names in a list of images do not reach the terminal'
printf 'services: {"web\\e]0;x\\a": {image: "no\\e[31m/such:1"}}\n' >compose.yaml
"$KOMAINU" scan compose.yaml 2>&1 >/dev/null | cat -v

echo '--- configuration in one line'
echo 'scan: {depth: -1}' >flow.yaml; scan -c flow.yaml zip
printf '\nscan:\n  { "fail-on": maybe}\n' >flow2.yaml; scan -c flow2.yaml zip

echo '--- standard streams that are closed or full'
"$KOMAINU" scan --help >/dev/full; echo "exit $?"
"$KOMAINU" --help >&-; echo "exit $?"
"$KOMAINU" scan holes >&-; echo "exit $?"
head -c 700 names.tar >cut.tar
"$KOMAINU" render cut.tar -o cut.png --size 64 2>note.txt; "$KOMAINU" render cut.tar -o silent.png --size 64 2>&-
cmp cut.png silent.png && echo same

echo '--- a terminal that goes away is an interruption'
head -c 1000000 /dev/zero >zeros && tar -cf zeros.tar zeros && mkfifo pipe
for command in 'scan tar:-' 'render - -o a.png'; do
  "$KOMAINU" $command <pipe >report.txt 2>errors.txt &
  pid=$!
  exec 9>pipe
  head -c 900000 zeros.tar >&9 # returns when all but a pipe's capacity was read
  kill -HUP $pid
  wait $pid
  echo "$command: exit $?"
  exec 9>&-
  cat errors.txt
  grep -o 'cancelled.*' report.txt
done
ls a.png* 2>/dev/null
