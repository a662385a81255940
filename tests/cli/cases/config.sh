# Where a value comes from, and how a wrong one is named.
show() { echo "\$ $*"; "$@" 2>&1; echo "exit $?"; }
mkdir -p ~/.config/komainu
echo '--- defaults'
"$KOMAINU" config show | grep -E '^scan|fail-on|depth|hash-list'
cat >~/.config/komainu/komainu.yaml <<'Y'
scan:
  fail-on: suspicious
  depth: 2
  hash-list: [one, "two words"]
Y
echo '--- file'
"$KOMAINU" config show | grep -E 'fail-on|depth|hash-list'
echo '--- environment over file'
KOMAINU_SCAN_DEPTH=7 "$KOMAINU" config show | grep depth
echo '--- another file'
echo 'scan: {depth: 3}' >other.yaml
"$KOMAINU" config --file other.yaml show | grep -E 'fail-on|depth'
echo '--- errors'
printf 'scan:\n  depht: 3\n' >bad1.yaml;  show "$KOMAINU" scan -c bad1.yaml x
printf '\nscann:\n  depth: 3\n' >bad2.yaml; show "$KOMAINU" scan -c bad2.yaml x
printf 'scan:\n  depth: 300\n' >bad3.yaml; show "$KOMAINU" scan -c bad3.yaml x
printf 'scan:\n  output: [text=x]\n' >bad4.yaml; show "$KOMAINU" scan -c bad4.yaml x
printf 'scan: [\n' >bad5.yaml; show "$KOMAINU" scan -c bad5.yaml x
printf 'other: {}\nrender:\n  nothing: 1\n' >bad6.yaml; show "$KOMAINU" scan -c bad6.yaml x
show "$KOMAINU" scan -c missing.yaml x
KOMAINU_SCAN_FAIL_ON=always show "$KOMAINU" scan x
echo '--- a file in the current folder is not read'
printf 'nonsense' >komainu.yaml; rm ~/.config/komainu/komainu.yaml
"$KOMAINU" config show | grep -E 'depth'
