# What this site knows: adding, listing, removing, and what is refused.
eicar() { printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'; }
baseline() {
  echo "\$ komainu baseline $*"
  "$KOMAINU" baseline --store store "$@" 2>&1 | sed -E 's/added 20[0-9T:Z-]+ by .*/added WHEN by WHO/; s/"(added|who)": "[^"]*"/"\1": "…"/; s/"digest": "[0-9a-f]{64}"/"digest": "…"/'
  echo "exit ${PIPESTATUS[0]}"
}

baseline
baseline add
baseline frobnicate
baseline list
mkdir -p one/etc two/etc && echo hello >one/etc/motd && echo other >one/etc/issue && echo hello >two/etc/motd && : >one/empty
tar -cf one.tar -C one . && tar -cf two.tar -C two .
baseline add one.tar two.tar
baseline list
baseline add one.tar
baseline add --name again one.tar
baseline add --name again one.tar two.tar
baseline add nowhere.tar
baseline remove one.tar
baseline list
baseline remove one.tar

echo '--- an attack does not become normal in silence'
mkdir -p bad/opt && eicar >bad/opt/eicar.com && tar -cf bad.tar -C bad .
baseline add bad.tar
baseline add --force ' ' bad.tar
baseline add --force 'the test file of our own pipeline' bad.tar
baseline list | tail -n 5

echo '--- what cannot be examined is told'
mkdir -p odd && printf 'Salted__0123456789abcdefghijklmnop' >odd/secret && tar -cf odd.tar -C odd .
baseline add odd.tar
tar -cf cut.tar -C one . && head -c 1300 cut.tar >cut2.tar
baseline add cut2.tar | sed 's/at byte [0-9]*/at byte N/'

echo '--- as JSON'
baseline list --format json >out.json
sed '1d;$d' out.json | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["version"], d["files"], d["layers"], [(i["name"], i["files"], i["reason"]) for i in d["images"]])'

echo '--- damaged, of another version, writable by others'
cp -r store kept
printf 'x' | dd of="$(echo store/hashes-*)" bs=1 seek=100 conv=notrunc status=none
baseline list | sed -E 's/hashes-[0-9a-f]+/hashes-N/'
baseline add --name more two.tar | sed -E 's/hashes-[0-9a-f]+/hashes-N/'
rm -r store && cp -r kept store && sed -i '1s/baseline 1/baseline 9/' store/current
baseline list
rm -r store && cp -r kept store && chmod 777 store
baseline list
chmod 700 store && baseline list | tail -n 2
