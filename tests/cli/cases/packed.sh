# What scripts and programs carry inside is scanned like any other file, or is said not to have been.
eicar() { printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'; }
scan() { echo "\$ komainu scan $*"; "$KOMAINU" scan "$@" 2>&1 | grep -E '!/|payload|opaque|verdict|packed|image|file$|malicious|incomplete|clean' | sed -E 's/\([0-9]+ s\)/(TIME)/; s/[0-9.]+ k?B/N/g; s/byte [0-9]+/byte N/'; echo "exit ${PIPESTATUS[0]}"; }

mkdir -p script/opt && eicar >test.com
{ printf '#!/bin/sh\ntail -n +3 "$0" | gzip -cd\n'; gzip -nc test.com; } >script/opt/install.sh
scan script

echo '--- an archive behind a program'
mkdir -p program/opt && tar -cf test.tar test.com
{ printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\64\0\0\0\0\0\0\0'; head -c 100 /dev/zero; cat test.tar; } >program/opt/tool
scan program

echo '--- nothing hides behind the depth'
scan --depth 0 script

echo '--- what is not opened is opaque'
mkdir -p image/opt
{ head -c 52 program/opt/tool; printf 'hsqs'; head -c 24 /dev/zero; printf '\4\0'; head -c 3000 /dev/zero; } >image/opt/app.run
scan image
