# The scripts load, and offer what exists.
"$KOMAINU" completion bash >bash.sh && bash -n bash.sh && echo "bash: loads"
. ./bash.sh
COMP_WORDS=(komainu sc) COMP_CWORD=1; _komainu; echo "sc -> ${COMPREPLY[*]}"
COMP_WORDS=(komainu scan --fa) COMP_CWORD=2; _komainu; echo "--fa -> ${COMPREPLY[*]}"
COMP_WORDS=(komainu scan --fail-on "") COMP_CWORD=3; _komainu; echo "--fail-on -> ${COMPREPLY[*]}"
"$KOMAINU" completion fish | grep -c '^complete -c komainu' | awk '{print ($1 > 10) ? "fish: many lines" : "fish: few lines"}'
"$KOMAINU" completion zsh >zsh.txt; head -n 1 zsh.txt
# Every option of every command is in the manual, and the manual has no other.
bad=0
for page in "$SOURCE"/man/komainu-*.1; do
  name=${page##*/komainu-}; name=${name%.1}
  "$KOMAINU" "$name" --help >help.txt 2>/dev/null || { echo "no command for $page"; continue; }
  for option in $(grep -oE '^ +(-[a-z], )?--[a-z-]+' help.txt | grep -oE '\-\-[a-z-]+' | sed 's/^--//' | grep -vxE 'help|config'); do
    grep -qE "Fl Fl (no-)?$option( |\$)" "$page" || { echo "$name: --$option is not in its manual page"; bad=1; }
  done
  for option in $(grep -oE '^\.It.* Fl Fl [a-z-]+|^\.It Fl Fl [a-z-]+' "$page" | grep -oE '[a-z-]+$'); do
    grep -qE -- "--${option#no-}( |,|\$)" help.txt || { echo "$name: the manual's --$option is no option"; bad=1; }
  done
done
echo "manual pages disagree: $bad"
