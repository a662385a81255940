# Learn, replay both ways, decide, damage: what the daemon commands print.
run() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1; echo "exit $?"; }
python3 - <<'P'
import random
random.seed(7)
def trace(n):
    calls = [232, 0]
    for i in range(8 + n % 6):
        calls += [257, 5, 3] if i % 2 else [257, 3]
    return calls + [1] * (1 + n % 3)
with open('normal.tsv', 'w') as f:
    for n in range(300):
        f.write(f'n{n}\tnormal\t{" ".join(map(str, trace(n)))}\n')
with open('mixed.tsv', 'w') as f:
    for n in range(5):
        f.write(f'm{n}\tnormal\t{" ".join(map(str, trace(n)))}\n')
    f.write('odd\tattack\t232 0 41 42 33 33 33 59 41 42 33 59 57 61 101 59 90 87 105 59\n')
P
run replay --import tsv --unit web --learn store normal.tsv
run profile list --store store
run replay --import tsv --unit web --record mixed.kmt --profile store --rate 0.01 mixed.tsv

echo '--- the same bytes again, from the recording, both ways'
for way in '' --deployed; do
  for i in 1 2; do "$KOMAINU" replay $way -f json --profile store --rate 0.01 mixed.kmt >out$i 2>/dev/null; done
  cmp out1 out2 && wc -l <out1
done
"$KOMAINU" replay --deployed -f json --profile store --rate 0.01 mixed.kmt 2>/dev/null | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
print([row["alarm"] for row in rows], sorted(rows[-1]["why"]))'

echo '--- a person decides'
"$KOMAINU" replay --quarantine --profile store --rate 0.01 mixed.kmt >/dev/null 2>&1
id=$("$KOMAINU" profile show web trace --store store | sed -n 's/^waiting \([0-9a-f]*\):.*/\1/p')
run profile accept web trace 0000000000000000 --store store
run profile accept web trace "$id" --until 2020-01-01 --store store | sed "s/$id/ID/"
run profile list --store store
"$KOMAINU" profile diff web trace --store store | tail -n 2
run profile expire web trace --store store
run profile rollback web trace --store store
run profile accept web trace x --until someday --store store

echo '--- damage'
printf x | dd of=store/web/trace/v000002.kmp bs=1 seek=900 conv=notrunc status=none
run profile list --store store
head -c 100 mixed.kmt >cut.kmt
run replay --profile store cut.kmt
printf x | dd of=mixed.kmt bs=1 seek=100 conv=notrunc status=none
run replay --profile store mixed.kmt
run replay --profile store/web/trace/v000002.kmp mixed.tsv
run replay --profile store normal.tsv
run replay
