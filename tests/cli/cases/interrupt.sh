# Ctrl-C gives the report of what was seen, and exit status 3; a second one ends at once. A time limit does the same.
eicar() { printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR' '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'; }
mkdir root && eicar >root/eicar.com && head -c 2000000 /dev/zero >root/zeros
tar -C root -cf whole.tar eicar.com zeros
mkfifo pipe
"$KOMAINU" scan tar:- <pipe >report.txt 2>errors.txt &
pid=$!
exec 9>pipe
head -c 1000000 whole.tar >&9 # returns when all but a pipe's capacity was read
kill -INT $pid
wait $pid
echo "exit $?"
exec 9>&-
grep -oE 'malicious +[0-9.]+ +[a-z.]+$|cancelled.*|verdict.*score [0-9.]+' report.txt
cat errors.txt

echo '--- nothing found before the interruption'
tar -C root -cf zeros.tar zeros
"$KOMAINU" scan tar:- <pipe >report.txt 2>errors.txt &
pid=$!
exec 9>pipe
head -c 1000000 zeros.tar >&9
kill -INT $pid
wait $pid
echo "exit $?"
exec 9>&-
grep -oE 'verdict.*score [0-9.]+' report.txt

echo '--- a time limit'
"$KOMAINU" scan --time-limit 1 tar:- <pipe >report.txt 2>errors.txt &
pid=$!
exec 9>pipe
head -c 1000000 zeros.tar >&9
wait $pid
echo "exit $?"
exec 9>&-
grep -oE 'cancelled.*|verdict.*score [0-9.]+' report.txt

echo '--- a picture or result that cannot be written'
"$KOMAINU" scan whole.tar -o json=/dev/full >/dev/null; echo "exit $?"
"$KOMAINU" scan whole.tar >/dev/full; echo "exit $?"
