# Check, list, import and time rules: what is refused and why, and that nothing is replaced unasked.
run() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1; echo "exit $?"; }
mkdir -p sigma/deep sigma/win
rule() { # FILE TITLE ID LOGSOURCE ITEM CONDITION
  printf 'title: %s\nid: %s\nlevel: high\nstatus: test\nlogsource: {%s}\ndetection:\n    selection:\n        %s\n    condition: %s\n' \
    "$2" "$3" "$4" "$5" "$6" >"$1"
}
process='product: linux, category: process_creation'
rule sigma/shell.yml 'A shell' aaaaaaaa-0000-4000-8000-000000000001 "$process" 'Image|endswith: /sh' selection
rule sigma/deep/two.yaml 'Another' aaaaaaaa-0000-4000-8000-000000000002 'product: linux, category: file_event' 'TargetFilename: /etc/x' selection
rule sigma/win/reg.yml 'A registry key' aaaaaaaa-0000-4000-8000-000000000003 'product: windows, category: registry_set' 'Details: x' selection
rule sigma/wide.yml 'A wide text' aaaaaaaa-0000-4000-8000-000000000004 "$process" 'CommandLine|wide|base64offset|contains: x' selection
rule sigma/count.yml 'A count' aaaaaaaa-0000-4000-8000-000000000005 "$process" 'Image: /bin/x' 'selection | count() > 5'
rule sigma/again.yml 'Again' aaaaaaaa-0000-4000-8000-000000000001 "$process" 'Image|endswith: /zsh' selection
rule sigma/wrong.yml 'Wrong' aaaaaaaa-0000-4000-8000-000000000006 "$process" 'Image: /bin/x' 'selection and filter'
printf 'title: [\n' >sigma/broken.yml
echo 'no rule' >sigma/readme.txt
ln -s /etc/passwd sigma/link.yml

run rules check sigma
run rules check sigma/shell.yml sigma/deep
run rules list sigma/shell.yml sigma/deep
"$KOMAINU" rules list -f json sigma/shell.yml
"$KOMAINU" rules check -f json sigma | python3 -c '
import json, sys
root = json.load(sys.stdin)
print(root["files"], root["loaded"], root["refused"], root["hidden"], len(root["digest"]))
for row in root["not_loaded"]:
    print(row["file"], row["line"], row["outcome"], row["code"])'

echo '--- import'
run rules import sigma --to mine
ls mine
run rules import sigma --to mine
sed -i 's/Again/My own/' mine/again.yml
run rules import sigma/shell.yml --to mine
grep title mine/again.yml
run rules import sigma/shell.yml --to mine --force
grep title mine/again.yml
rule mine/two.yaml 'Mine' aaaaaaaa-0000-4000-8000-00000000000a "$process" 'Image: /bin/mine' selection
run rules import sigma/deep --to mine
ls mine

echo '--- the rules that come with the program'
export KOMAINU_RULES="$SOURCE/data/rules"
"$KOMAINU" rules check | tail -n 1 | grep -c ' 0 refused'
"$KOMAINU" rules list | grep -c 'Shell Started by a Server Process'
"$KOMAINU" rules bench "$SOURCE/data/rules" | awk '{ print $1, $3, NF, ($2 > 0 ? "positive" : "wrong") }'

echo '--- mistakes'
run rules
run rules swallow
run rules check nowhere
run rules import sigma
run rules import nowhere --to mine
run rules check --force sigma/shell.yml
run rules bench sigma/shell.yml --trace nowhere
KOMAINU_RULES=nowhere run rules list
